/**
 * One member: owns its core, log, state machine and connections, and serves the Stores of its process.
 *
 * Lifetimes: opened in the order lock, identity, log, state machine, core, transport; closed the other way
 * round. The transport comes when everything known to be committed is applied, so that this member knows who the
 * others are before it deals with them (trap T-57). After a fatal error (a failed write of the log, a broken
 * invariant) it acknowledges nothing more, tells everybody waiting, and only `close` is left.
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { RaftLog } from '../log/raft-log.js'
import type { AppliedEntry, Configuration, StateMachine } from '../machine/state-machine.js'
import { RaftCore } from '../raft/core.js'
import {
  type Dropped,
  type LogIndex,
  NONE,
  type NodeId,
  type Proposed,
  type Role,
  type Term,
} from '../raft/types.js'
import type { BackupOptions, BackupResult } from '../snapshot/backup.js'
import type { LogArchive } from '../snapshot/log-archive.js'
import { type CallResult, callErrorOf } from '../wire/envelope.js'
import { isAboutDamage } from '../wire/integrity.js'
import type { MembershipAnswer, MembershipRequest } from '../wire/membership.js'
import { Administration } from './administration.js'
import type {
  AppliedWhere,
  Backend,
  BackendEvents,
  BackupRequest,
  LinkHandlers,
  LocalReads,
  MemberStatus,
  Overload,
  PendingRead,
  RequestLink,
  StateView,
  ViewRequest,
  WatchCursor,
  WatchRequest,
} from './backend.js'
import { archiveOf, Backups } from './backups.js'
import { CallMeters } from './call-meters.js'
import { CheckpointPolicy } from './checkpoint-policy.js'
import { Checkpoints } from './checkpoints.js'
import { answerCall } from './client-calls.js'
import { Clients } from './clients.js'
import { demand } from './demand.js'
import { Driver } from './driver.js'
import { FirstCampaign } from './first-campaign.js'
import { FreeSpace } from './free-space.js'
import { Integrity } from './integrity.js'
import { renewPromise } from './loyalty-mark.js'
import type { MemberMetrics } from './metrics.js'
import { Observer } from './observer.js'
import type { Rebuilt } from './open-state.js'
import { type MemberOptions, maxFrameBytes, maxPieceBytes } from './options.js'
import { Peers } from './peers.js'
import { isAboutReads } from './read-service.js'
import { reportStatus } from './report.js'
import type { Roster } from './roster.js'
import { Service } from './service.js'
import { Snapshots } from './snapshots.js'
import {
  closeStorage,
  coreInit,
  coreOptions,
  machineRecovery,
  openStorage,
  type Storage,
} from './storage.js'
import { Ticker } from './ticker.js'

/** The loop may stand still so long before the core is told that time cannot be trusted. */
const STALL_MS = 500

/** The parts of a member that a simulation watches. */
export interface MemberParts {
  readonly core: RaftCore
  readonly log: RaftLog
  readonly machine: StateMachine
  /** What had to be done about the state before; undefined when it was in order. */
  readonly rebuilt: Rebuilt | undefined
}

/** A running member; see the file's comment. */
export class Member implements Backend {
  readonly clusterId: Uint8Array
  readonly local: LocalReads = {
    get: (key) => {
      this.#refuseIfUnreadable()
      return this.#service.readNow(key)
    },
    view: () => {
      this.#refuseIfUnreadable()
      return this.#service.openNow()
    },
  }
  readonly calls: CallMeters = new CallMeters()
  readonly #env: Env
  readonly #options: MemberOptions
  readonly #observer: Observer
  readonly #storage: Storage
  readonly #core: RaftCore
  readonly #driver: Driver
  readonly #integrity: Integrity
  readonly #service: Service
  readonly #backups: Backups
  readonly #archive: LogArchive | undefined
  readonly #checkpoints: Checkpoints
  readonly #administration: Administration
  readonly #roster: Roster
  readonly #snapshots: Snapshots
  readonly #space: FreeSpace
  readonly #firstCampaign: FirstCampaign
  readonly #clients: Clients
  #ticker: Ticker | undefined
  #peers: Peers | undefined
  #fatal: Error | undefined
  #closing: Promise<void> | undefined
  #isRemoved = false

  /**
   * Opens the data folder and starts to take part. Resolves when everything that is known to be committed
   * here is applied; it does not wait for a leader. A lone member leads within milliseconds.
   *
   * @throws {StoreError} QUORATE_LOCKED, QUORATE_WRONG_MEMBER, QUORATE_WRONG_CLUSTER, QUORATE_FORMAT,
   *   QUORATE_CORRUPTION, QUORATE_INSECURE, QUORATE_NETWORK.
   * @param watch is given the parts before anything happens to them; for simulations
   */
  static async open(
    env: Env,
    options: MemberOptions,
    events: BackendEvents,
    watch: ((parts: MemberParts) => void) | undefined,
  ): Promise<Member> {
    const storage = await openStorage(env, options)
    let member: Member | undefined
    try {
      member = new Member(env, options, events, storage)
      watch?.({
        core: member.#core,
        log: storage.log,
        machine: storage.machine,
        rebuilt: storage.rebuilt,
      })
      await member.#start()
      return member
    } catch (error) {
      if (member !== undefined) await member.#abandon()
      await closeStorage(storage)
      throw error
    }
  }

  private constructor(env: Env, options: MemberOptions, events: BackendEvents, storage: Storage) {
    const { identity, log, machine } = storage
    this.clusterId = Buffer.from(identity.clusterId, 'hex')
    this.#env = env
    this.#options = options
    this.#observer = new Observer(options, events, storage, {
      peers: () => this.#peers,
      roster: () => this.#roster,
    })
    this.#storage = storage
    this.#core = new RaftCore(
      coreOptions(options, identity.nodeId, env.random.u32('election')),
      coreInit(storage),
    )
    this.#driver = this.#newDriver()
    machine.recoverWith(machineRecovery(env, storage))
    this.#space = this.#newSpace()
    this.#integrity = this.#newIntegrity()
    this.#service = this.#newService()
    const { time, random } = env
    const policy = new CheckpointPolicy(time, random, options.storage, machine.checkpointIndex)
    this.#checkpoints = new Checkpoints(log, machine, options.storage, policy, {
      floor: () => this.#snapshots.floor,
      isBarred: () => this.#snapshots.lost !== undefined,
      isShort: () => this.#space.isLow,
      isAlone: () => this.#roster.isSoleVoter && this.#roster.others.length === 0,
      archived: async (index) => this.#archive?.keep(log, index) ?? Number.POSITIVE_INFINITY,
      compacted: (index) => this.#driver.step({ type: 'compacted', index }),
    })
    this.#archive = archiveOf(env, options, identity)
    this.#backups = this.#newBackups()
    this.#administration = this.#newAdministration()
    this.#roster = this.#administration.roster
    this.#snapshots = this.#newSnapshots()
    this.#firstCampaign = new FirstCampaign(env.time, env.random, this.#driver, this.#roster)
    this.#observer.noticeMembers()
    this.#clients = this.#newClients()
  }

  now(): number {
    return this.#env.time.now()
  }

  newClientId(): Uint8Array {
    return this.#env.random.bytes(8, 'client id')
  }

  get appliedIndex(): LogIndex {
    return this.#storage.machine.appliedIndex
  }

  openLink(handlers: LinkHandlers): RequestLink {
    const link = this.#service.openLink(handlers)
    const error = this.#ended()
    if (error !== undefined) handlers.end(error)
    return link
  }

  read(read: PendingRead): void {
    const error = this.#unreadable()
    if (error !== undefined) read.fail(error)
    else {
      this.#observer.reads[read.level]++
      this.#service.read(read)
    }
  }

  async openView(request: ViewRequest): Promise<StateView> {
    this.#refuseIfUnreadable()
    const view = await this.#service.openView(request)
    const error = this.#unreadable()
    if (error === undefined) return view
    await view.close()
    throw error
  }

  watch(request: WatchRequest): WatchCursor {
    this.#refuseIfUnreadable()
    return this.#service.watch(request)
  }

  async awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#refuseIfEnded()
    return this.#service.awaitApplied(index, where, deadline, signal)
  }

  async backup(
    dest: string,
    options: BackupOptions,
    request: BackupRequest,
  ): Promise<BackupResult> {
    this.#refuseIfUnreadable()
    return this.#backups.run(dest, options, request)
  }

  async checkpoint(): Promise<LogIndex> {
    this.#refuseIfUnreadable()
    return this.#checkpoints.run(this.#driver.appendedBytes)
  }

  async askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer> {
    this.#refuseIfEnded()
    return this.#administration.ask(request, signal)
  }

  status(): MemberStatus {
    return reportStatus({
      storage: this.#storage,
      core: this.#core,
      roster: this.#roster,
      peers: this.#peers,
      fatal: this.#fatal,
      isClosed: this.#closing !== undefined,
      snapshots: this.#snapshots,
      disputed: this.#integrity.disputed,
      rotten: this.#integrity.rotten,
      space: this.#space.status,
      slowWriteMs: this.#observer.slowWriteMs,
      archiveFailure: this.#archive?.failure,
    })
  }

  overloaded(overload: Overload): void {
    this.#service.overloaded(overload)
  }

  metrics(): MemberMetrics {
    return this.#observer.metrics({
      status: this.status(),
      storage: this.#storage,
      driver: this.#driver,
      checkpoints: this.#checkpoints.counts,
      peers: this.#peers,
      underWay: this.#service.underWay,
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const error = new StoreError('QUORATE_NOT_OPEN', 'the store was closed')
    this.#endCalls(error)
    await this.#handOver()
    this.#administration.end(error)
    this.#ticker?.stop()
    await this.#clients.end()
    await this.#peers?.close()
    this.#service.close()
    this.#integrity.end()
    this.#snapshots.end()
    this.#space.end()
    await this.#driver.stop()
    await this.#backups.end()
    await closeStorage(this.#storage)
  }

  /** Ends a member that could not be started. */
  async #abandon(): Promise<void> {
    this.#integrity.end()
    this.#snapshots.end()
    this.#space.end()
    await this.#driver.stop()
  }

  async #handOver(): Promise<void> {
    if (this.#fatal !== undefined) return
    try {
      await this.#administration.handOver()
    } catch (error) {
      // The member stopped meanwhile, and has said so.
      if (this.#fatal === undefined) throw error
    }
  }

  async #start(): Promise<void> {
    const { disk, time } = this.#env
    await renewPromise(disk, time, this.#options.dir, this.#service.loyalty.promisedMs)
    await this.#space.start()
    this.#driver.wake()
    await this.#catchUp()
    this.#noticeRemoval()
    if (this.#storage.rebuilt !== undefined) this.#observer.journal.rebuilt(this.#storage.rebuilt)
    const peers = await this.#startPeers()
    this.#peers = peers
    this.#ticker = new Ticker(this.#env.time, this.#options.timing.tickMs, STALL_MS, {
      tick: (now, late) => this.#tick(now, late, peers),
      stalled: (ms) => this.#onStalled(ms),
    })
    if (this.#roster.isSoleVoter) this.#driver.step({ type: 'campaign' })
  }

  /** Weak reads must not go back behind what this member served before it was restarted (trap T-40). */
  async #catchUp(): Promise<void> {
    const { hardState, lastIndex } = this.#storage.log.recovered
    try {
      const minIndex = Math.min(hardState.commit, lastIndex)
      await this.#service.reach(demand('eventual', minIndex, Number.POSITIVE_INFINITY), undefined)
    } catch (error) {
      // A state that turned out damaged is had from the others, who have to be connected for that.
      if (this.#snapshots.lost === undefined) throw error
    }
  }

  #startPeers(): Promise<Peers> {
    return Peers.start(this.#env, this.#storage.identity, this.#options, this.#roster, {
      message: (message) => {
        if (message.type === 'readIndex') this.#service.loyalty.beforeRead()
        this.#driver.step({ type: 'receive', message })
      },
      request: (from, link, request) => this.#service.onRequest(from, link, request),
      answers: (answers) => this.#service.onAnswers(answers),
      retained: (from, index) => {
        if (from === this.#service.leader) this.#checkpoints.onRetained(index)
      },
      space: (from, report) => this.#space.onReport(from, report),
      question: (from, id, request) => this.#administration.onQuestion(from, id, request),
      reply: (from, id, result) => this.#administration.onReply(from, id, result),
      image: (from, kind, body) => {
        if (isAboutDamage(kind)) this.#integrity.onFrame(from, kind, body)
        else if (isAboutReads(kind)) this.#service.onReadFrame(from, kind, body)
        else this.#snapshots.onFrame(from, kind, body)
      },
      peerUp: (node) => this.#onPeerUp(node),
      peerDown: (node) => this.#onPeerDown(node),
      client: (port) => this.#clients.serve(port),
    })
  }

  /** A call of a client connection. */
  #onCall(method: string, params: unknown, reply: (result: CallResult) => void): void {
    const error = this.#isRemoved ? noMember() : this.#ended()
    if (method === 'status') reply({ ok: this.status() })
    else if (error instanceof StoreError) reply({ error: callErrorOf(error) })
    else if (method === 'join') this.#administration.onJoin(params, reply)
    else if (method === 'members') this.#administration.onCall(params, reply)
    else if (method === 'backup') this.#backups.onCall(params, reply)
    else if (method === 'checkpoint') answerCall(this.checkpoint(), reply)
    else reply({ error: { code: 'QUORATE_FORMAT', message: `unknown call ${method}` } })
  }

  #newDriver(): Driver {
    const { log, machine } = this.#storage
    return new Driver(this.#core, log, machine, this.#env.time, {
      collect: () => this.#service.collect(),
      send: (message) => {
        const isSent = this.#peers?.sendMessage(message) ?? false
        if (!isSent && message.type === 'append') {
          this.#driver.step({ type: 'unreachable', peer: message.to })
        }
      },
      onReadIndex: (read) => this.#service.onReadIndex(read.token, read.index),
      onProposed: (proposed) => this.#onProposed(proposed),
      onDropped: (dropped) => this.#onDropped(dropped),
      roomToApply: (bytes) => this.#space.roomToApply(bytes),
      onApplied: (applied) => this.#onApplied(applied),
      onSoft: (role, leader, term) => this.#onSoft(role, leader, term),
      onSnapshotWanted: (wanted) => this.#snapshots.onWanted(wanted),
      onInstalled: (configuration) => this.#onInstalled(configuration),
      onPassedOver: (entries) => this.#administration.onApplied(entries),
      onDamaged: (error) => this.#snapshots.rebuild(error, 'apply'),
      onFatal: (error) => this.#onFatal(error),
    })
  }

  #newSpace(): FreeSpace {
    const { disk } = this.#env
    const { log } = this.#storage
    return new FreeSpace(
      { disk, options: this.#options, log, core: this.#core, driver: this.#driver },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        handOver: (isWanted) => this.#administration.yieldTo(isWanted),
        shorten: () => this.#administration.checkpoint(),
        changed: (status) => this.#observer.journal.space(status),
      },
    )
  }

  #newSnapshots(): Snapshots {
    return new Snapshots({
      env: this.#env,
      options: this.#options,
      storage: this.#storage,
      core: this.#core,
      driver: this.#driver,
      roster: this.#roster,
      peers: () => this.#peers,
      installed: (index) => {
        this.#checkpoints.onInstalled(index)
        this.#observer.journal.installed(index)
      },
      handOver: () => this.#administration.handOver(),
      stateLost: (why) => this.#service.onStateLost(stateLost(why)),
      noted: (to, step, index) => this.#observer.onTransfer(to, step, index),
      rebuilt: (rebuilt) => {
        this.#integrity.onReplaced()
        this.#service.onRebuilt()
        this.#observer.journal.rebuilt(rebuilt)
      },
    })
  }

  #newIntegrity(): Integrity {
    return new Integrity(
      {
        env: this.#env,
        machine: this.#storage.machine,
        core: this.#core,
        driver: this.#driver,
        events: this.#observer.journal,
        generations: this.#storage.generations,
        compareMs: this.#options.storage.compareMs,
        scrubBytesPerSecond: this.#options.storage.scrubBytesPerSecond,
      },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        service: () => this.#service,
        isSound: () => this.#snapshots.lost === undefined,
        rebuild: (why) => this.#snapshots.rebuild(why, 'read'),
      },
    )
  }

  #newService(): Service {
    return new Service(
      {
        env: this.#env,
        options: this.#options,
        storage: this.#storage,
        core: this.#core,
        driver: this.#driver,
      },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        repair: () => this.#integrity.repair,
        refusal: () => this.#space.refusal,
        isSound: () => this.#snapshots.lost === undefined,
        damaged: (error) => this.#snapshots.rebuild(error, 'read'),
        overloaded: (overload) => this.#observer.journal.overloaded(overload),
        dueAt: () => this.#ticker?.due ?? Number.POSITIVE_INFINITY,
      },
    )
  }

  #newBackups(): Backups {
    const { identity, machine } = this.#storage
    return new Backups({
      disk: this.#env.disk,
      time: this.#env.time,
      machine,
      clusterId: identity.clusterId,
      maxPieceBytes: maxPieceBytes(this.#options.limits),
      reach: ({ level, minIndex, deadline, signal }) =>
        this.#service.reach(demand(level, minIndex, deadline), signal),
    })
  }

  #newClients(): Clients {
    const { maxValueBytes, maxRequestBytes } = this.#options.limits
    return new Clients({
      backend: this,
      maxValueBytes,
      maxFrameBytes: maxFrameBytes(this.#options.limits),
      call: (method, params, reply) => this.#onCall(method, params, reply),
      news: (role) => ({
        memberId: this.#storage.identity.id,
        role,
        leader: this.#roster.nameOf(this.#service.leader),
        term: this.#core.term,
        isReady: this.#service.isReady && this.#ended() === undefined,
        isServing: this.#unreadable() === undefined,
        appliedIndex: this.appliedIndex,
        refusal: this.#space.refusal && callErrorOf(this.#space.refusal),
        confIndex: this.#roster.directory.confIndex,
        members: this.#roster.members.map(({ id, address, nodeId }) => ({
          id,
          address,
          as: this.#roster.partOf(nodeId),
        })),
        maxValueBytes,
        maxRequestBytes,
        maxFrameBytes: maxFrameBytes(this.#options.limits),
      }),
    })
  }

  #newAdministration(): Administration {
    return new Administration(
      {
        time: this.#env.time,
        options: this.#options,
        storage: this.#storage,
        core: this.#core,
        driver: this.#driver,
        checkpoints: this.#checkpoints,
        firstQuestion: this.#env.random.u32('question'),
      },
      {
        peers: () => this.#peers,
        isReady: () => this.#service.isReady,
        confirm: (deadline) => this.#confirm(deadline),
        isLow: (node) => this.#space.isLowAt(node),
      },
    )
  }

  async #confirm(deadline: number): Promise<void> {
    this.#refuseIfEnded()
    await this.#service.reach(demand('strong', 0, deadline), undefined)
  }

  #onProposed(proposed: Proposed): void {
    if (proposed.token < 0) this.#administration.onProposed(proposed)
    else this.#service.onProposed(proposed)
  }

  /** Tokens of configuration changes are negative. */
  #onDropped(dropped: Dropped): void {
    if (dropped.token < 0) this.#administration.onDropped(dropped)
    else this.#service.onDropped(dropped)
  }

  #onApplied(applied: readonly AppliedEntry[]): void {
    this.#service.onApplied(applied)
    this.#integrity.onApplied()
    this.#administration.onApplied(applied)
    this.#noticeMembers()
  }

  /** The state is that of a snapshot now: reads wait for no more than before, and others may be members. */
  #onInstalled(configuration: Configuration): void {
    this.#service.onInstalled()
    this.#integrity.onReplaced()
    this.#administration.onInstalled(configuration)
    this.#noticeMembers()
  }

  #noticeMembers(): void {
    this.#observer.noticeMembers()
    this.#noticeRemoval()
  }

  /** Nothing is served any more. The core goes on: those who are left may still need its vote (trap T-54). */
  #noticeRemoval(): void {
    if (this.#isRemoved || this.#roster.standing !== 'removed') return
    this.#isRemoved = true
    this.#service.end(this.#ended())
    this.#observer.journal.removed()
  }

  #onPeerUp(node: NodeId): void {
    this.#observer.onPeerUp(node)
    this.#service.onPeerUp(node)
    if (node === this.#service.leader) this.#onNewWay()
    this.#snapshots.onPeerUp(node)
    this.#firstCampaign.onPeerUp((other) => this.#peers?.isUp(other) === true)
  }

  #onStalled(ms: number): void {
    this.#observer.onStalled(ms)
    this.#driver.step({ type: 'clockGap', ms })
  }

  #onPeerDown(node: NodeId): void {
    this.#observer.onPeerDown(node)
    this.#service.onPeerDown(node)
    this.#driver.step({ type: 'peerDown', peer: node })
    this.#clients.look()
  }

  /** The way to the leader is new: what is unanswered goes there again. */
  #onNewWay(): void {
    this.#service.onNewWay()
    this.#administration.onNewWay()
    this.#clients.look()
  }

  #onSoft(role: Role, leader: NodeId, term: Term): void {
    this.#observer.journal.noteTerm(term)
    const isNew = this.#service.onSoft(role, leader, term)
    this.#administration.onSoft()
    this.#snapshots.onSoft()
    if (!isNew) return
    this.#clients.look()
    if (leader !== NONE) {
      this.#firstCampaign.end()
      this.#onNewWay()
    }
    this.#observer.journal.leader(this.#roster.nameOf(leader), term)
  }

  #tick(now: number, late: number, peers: Peers): void {
    this.#service.loyalty.onTick(late)
    this.#driver.step({ type: 'tick' })
    this.#integrity.tick(now)
    this.#service.tick(now)
    this.#administration.tick(now, peers)
    this.#backups.tick(now)
    this.#snapshots.tick(now)
    this.#space.tick(now)
    this.#observer.tick(now, late)
    this.#clients.tick(now)
    this.#noticeRemoval()
  }

  #ended(): Error | undefined {
    if (this.#fatal !== undefined) {
      return new StoreError('QUORATE_STOPPED', `the member has stopped: ${this.#fatal.message}`, {
        cause: this.#fatal,
      })
    }
    if (this.#closing !== undefined) {
      return new StoreError('QUORATE_NOT_OPEN', 'the store is closed')
    }
    if (this.#isRemoved) {
      const { id } = this.#storage.identity
      return new StoreError('QUORATE_REMOVED', `${id} was removed from the cluster`)
    }
    return undefined
  }

  /** Why nothing can be read here. */
  #unreadable(): Error | undefined {
    const { lost } = this.#snapshots
    return this.#ended() ?? (lost && stateLost(lost))
  }

  #refuseIfUnreadable(): void {
    const error = this.#unreadable()
    if (error !== undefined) throw error
  }

  #refuseIfEnded(): void {
    const error = this.#ended()
    if (error !== undefined) throw error
  }

  #onFatal(cause: unknown): void {
    this.#fatal = cause instanceof Error ? cause : new Error(String(cause))
    this.#ticker?.stop()
    this.#endCalls(this.#ended())
    this.#administration.end(this.#ended())
    this.#integrity.end()
    this.#snapshots.end()
    this.#space.end()
    // Others must not count on this member: its connections go at once.
    if (this.#peers !== undefined) this.#driver.own(this.#peers.close())
    this.#observer.journal.fatal(this.#fatal)
  }

  #endCalls(error: unknown): void {
    this.#service.end(error)
    this.#administration.endQuestions(error)
  }
}

/** What a former member tells clients: it does not mean the client, so it is not QUORATE_REMOVED. */
function noMember(): StoreError {
  return new StoreError('QUORATE_NOT_READY', 'the member asked is none any more: ask another one', {
    retryable: true,
  })
}

function stateLost(why: StoreError): StoreError {
  return new StoreError('QUORATE_NOT_READY', `the state here is being had again: ${why.message}`, {
    cause: why,
    retryable: true,
  })
}
