/**
 * All parts of one member and what connects them: effects of the core go to those they concern, and what one part
 * learns goes to the others.
 *
 * Lifetimes: everything is made at once and started in the order space, catching up, transport, clock; closed the other
 * way round. The transport comes when everything known to be committed is applied, so that this member knows who the
 * others are before it deals with them (trap T-57). After a fatal error (a failed write of the log, a broken invariant)
 * nothing is acknowledged any more, everybody waiting is told, and only `close` is left.
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { AppliedEntry, Configuration } from '../machine/state-machine.js'
import { RaftCore } from '../raft/core.js'
import {
  type Dropped,
  NONE,
  type NodeId,
  type Proposed,
  type Role,
  type Term,
} from '../raft/types.js'
import type { LogArchive } from '../snapshot/log-archive.js'
import { isAboutBlobs } from '../wire/blob-frames.js'
import { isAboutDamage } from '../wire/integrity.js'
import { isAboutRetained } from '../wire/retained.js'
import { Administration } from './administration.js'
import type { Backend, BackendEvents, MemberStatus } from './backend.js'
import { archiveOf, Backups } from './backups.js'
import { BlobDesk } from './blobs.js'
import { CheckpointPolicy } from './checkpoint-policy.js'
import { Checkpoints } from './checkpoints.js'
import { demand } from './demand.js'
import { Driver } from './driver.js'
import { FirstCampaign } from './first-campaign.js'
import { FreeSpace } from './free-space.js'
import { Front } from './front.js'
import { Integrity } from './integrity.js'
import { renewPromise } from './loyalty-mark.js'
import type { MemberMetrics } from './metrics.js'
import { Observer } from './observer.js'
import { type MemberOptions, maxPieceBytes } from './options.js'
import { Peers } from './peers.js'
import { isAboutReads } from './read-service.js'
import { reportStatus } from './report.js'
import { Retained } from './retained.js'
import { RetainedCalls } from './retained-calls.js'
import type { Roster } from './roster.js'
import { Service } from './service.js'
import { Snapshots } from './snapshots.js'
import { coreInit, coreOptions, machineRecovery, type Storage } from './storage.js'
import { Ticker } from './ticker.js'

/** The loop may stand still so long before the core is told that time cannot be trusted. */
const STALL_MS = 500

/** What an engine asks of the member around it. */
export interface EngineParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly events: BackendEvents
  readonly storage: Storage
  /** Serves the clients that connect. */
  readonly backend: Backend
}

/** See the file's comment. */
export class Engine {
  readonly #env: Env
  readonly #options: MemberOptions
  readonly observer: Observer
  readonly #storage: Storage
  readonly core: RaftCore
  readonly driver: Driver
  readonly #integrity: Integrity
  readonly service: Service
  readonly blobs: BlobDesk
  readonly retained: Retained
  readonly backups: Backups
  readonly #archive: LogArchive | undefined
  readonly checkpoints: Checkpoints
  readonly administration: Administration
  readonly #roster: Roster
  readonly #snapshots: Snapshots
  readonly #space: FreeSpace
  readonly #firstCampaign: FirstCampaign
  readonly #clients: Front
  #ticker: Ticker | undefined
  #peers: Peers | undefined
  #fatal: Error | undefined
  #isClosing = false
  #isRemoved = false

  constructor({ env, options, events, storage, backend }: EngineParts) {
    const { identity, log, machine } = storage
    this.#env = env
    this.#options = options
    this.observer = new Observer(options, events, storage, {
      peers: () => this.#peers,
      roster: () => this.#roster,
    })
    this.#storage = storage
    this.core = new RaftCore(
      coreOptions(options, identity.nodeId, env.random.u32('election')),
      coreInit(storage),
    )
    this.driver = this.#newDriver()
    machine.recoverWith(machineRecovery(env, storage))
    this.#space = this.#newSpace()
    this.#integrity = this.#newIntegrity()
    this.service = this.#newService()
    this.blobs = this.#newBlobs()
    this.retained = this.#newRetained()
    const { time, random } = env
    const policy = new CheckpointPolicy(time, random, options.storage, machine.checkpointIndex)
    this.checkpoints = new Checkpoints(log, machine, options.storage, policy, {
      floor: () => this.#snapshots.floor,
      isBarred: () => this.#snapshots.lost !== undefined,
      isShort: () => this.#space.isLow,
      isAlone: () => this.#roster.isSoleVoter && this.#roster.others.length === 0,
      archived: async (index) => this.#archive?.keep(log, index) ?? Number.POSITIVE_INFINITY,
      compacted: (index) => this.driver.step({ type: 'compacted', index }),
      applied: () => this.core.status().appliedIndex,
    })
    this.#archive = archiveOf(env, options, identity)
    this.backups = this.#newBackups()
    this.administration = this.#newAdministration()
    this.#roster = this.administration.roster
    this.#snapshots = this.#newSnapshots()
    this.#firstCampaign = new FirstCampaign(env.time, env.random, this.driver, this.#roster)
    this.observer.noticeMembers()
    this.#clients = new Front(backend, options.limits, storage.identity.id, {
      core: this.core,
      roster: this.#roster,
      service: this.service,
      space: this.#space,
      administration: this.administration,
      backups: this.backups,
      retained: this.#newRetainedCalls(),
      ended: () => this.ended(),
      unreadable: () => this.unreadable(),
      isRemoved: () => this.#isRemoved,
    })
  }

  status(): MemberStatus {
    return reportStatus({
      storage: this.#storage,
      core: this.core,
      roster: this.#roster,
      peers: this.#peers,
      fatal: this.#fatal,
      isClosed: this.#isClosing,
      snapshots: this.#snapshots,
      disputed: this.#integrity.disputed,
      rotten: this.#integrity.rotten,
      space: this.#space.status,
      slowWriteMs: this.observer.slowWriteMs,
      blobs: this.blobs.status(),
      retained: this.retained.status(),
      archiveFailure: this.#archive?.failure,
    })
  }

  metrics(): MemberMetrics {
    return this.observer.metrics({
      status: this.status(),
      storage: this.#storage,
      driver: this.driver,
      checkpoints: this.checkpoints.counts,
      peers: this.#peers,
      underWay: this.service.underWay,
    })
  }

  /** Ends all calls, hands over leadership, and lets go of everything but the storage. */
  async close(): Promise<void> {
    this.#isClosing = true
    const error = new StoreError('QUORATE_NOT_OPEN', 'the store was closed')
    this.#endCalls(error)
    await this.#handOver()
    this.administration.end(error)
    this.#ticker?.stop()
    await this.#clients.end()
    await this.#peers?.close()
    this.service.close()
    this.#integrity.end()
    this.#snapshots.end()
    this.#space.end()
    await this.retained.close()
    await this.driver.stop()
    await this.backups.end()
  }

  /** Ends what could not be started. */
  async abandon(): Promise<void> {
    const error = new StoreError('QUORATE_NOT_OPEN', 'the store could not be opened')
    this.blobs.end(error)
    this.retained.end(error)
    this.#integrity.end()
    this.#snapshots.end()
    this.#space.end()
    await this.retained.close()
    await this.driver.stop()
  }

  async #handOver(): Promise<void> {
    if (this.#fatal !== undefined) return
    try {
      await this.administration.handOver()
    } catch (error) {
      // The member stopped meanwhile, and has said so.
      if (this.#fatal === undefined) throw error
    }
  }

  /** Applies what is known to be committed, then meets the others. */
  async start(): Promise<void> {
    const { disk, time } = this.#env
    await renewPromise(disk, time, this.#options.dir, this.service.loyalty.promisedMs)
    await this.#space.start()
    this.driver.wake()
    await this.#catchUp()
    this.#noticeRemoval()
    if (this.#storage.rebuilt !== undefined) this.observer.journal.rebuilt(this.#storage.rebuilt)
    const peers = await this.#startPeers()
    this.#peers = peers
    this.#ticker = new Ticker(this.#env.time, this.#options.timing.tickMs, STALL_MS, {
      tick: (now, late) => this.#tick(now, late, peers),
      stalled: (ms) => this.#onStalled(ms),
    })
    if (this.#roster.isSoleVoter) this.driver.step({ type: 'campaign' })
  }

  /** Weak reads must not go back behind what this member served before it was restarted (trap T-40). */
  async #catchUp(): Promise<void> {
    const { hardState, lastIndex } = this.#storage.log.recovered
    try {
      const minIndex = Math.min(hardState.commit, lastIndex)
      await this.service.reach(demand('eventual', minIndex, Number.POSITIVE_INFINITY), undefined)
    } catch (error) {
      // A state that turned out damaged is had from the others, who have to be connected for that.
      if (this.#snapshots.lost === undefined) throw error
    }
  }

  #startPeers(): Promise<Peers> {
    return Peers.start(this.#env, this.#storage.identity, this.#options, this.#roster, {
      message: (message) => {
        if (message.type === 'readIndex') this.service.loyalty.beforeRead()
        this.driver.step({ type: 'receive', message })
      },
      request: (from, link, request) => this.service.onRequest(from, link, request),
      answers: (answers) => this.service.onAnswers(answers),
      retained: (from, index) => {
        if (from === this.service.leader) this.checkpoints.onRetained(index)
      },
      space: (from, report) => this.#space.onReport(from, report),
      question: (from, id, request) => this.administration.onQuestion(from, id, request),
      reply: (from, id, result) => this.administration.onReply(from, id, result),
      image: (from, kind, body) => {
        if (isAboutBlobs(kind)) this.blobs.onFrame(from, kind, body)
        else if (isAboutRetained(kind)) this.retained.onFrame(from, kind, body)
        else if (isAboutDamage(kind)) this.#integrity.onFrame(from, kind, body)
        else if (isAboutReads(kind)) this.service.onReadFrame(from, kind, body)
        else this.#snapshots.onFrame(from, kind, body)
      },
      peerUp: (node) => this.#onPeerUp(node),
      peerDown: (node) => this.#onPeerDown(node),
      // With `peerDown` it would be too early: what a dead leader had sent is a sign of life when it comes.
      peerSilent: (node) => this.driver.step({ type: 'peerDown', peer: node }),
      client: (port) => this.#clients.serve(port),
    })
  }

  #newDriver(): Driver {
    const { log, machine } = this.#storage
    return new Driver(this.core, log, machine, this.#env.time, {
      collect: () => this.service.collect(),
      send: (message) => {
        const isSent = this.#peers?.sendMessage(message) ?? false
        if (!isSent && message.type === 'append') {
          this.driver.step({ type: 'unreachable', peer: message.to })
        }
      },
      onReadIndex: (read) => this.service.onReadIndex(read.token, read.index),
      onProposed: (proposed) => this.#onProposed(proposed),
      onDropped: (dropped) => this.#onDropped(dropped),
      roomToApply: (bytes) => this.#space.roomToApply(bytes),
      onApplied: (applied) => this.#onApplied(applied),
      onSoft: (role, leader, term) => this.#onSoft(role, leader, term),
      onSnapshotWanted: (wanted) => this.#snapshots.onWanted(wanted),
      onInstalled: (configuration) => this.#onInstalled(configuration),
      onPassedOver: (entries) => this.administration.onApplied(entries),
      onDamaged: (error) => this.#snapshots.rebuild(error, 'apply'),
      onFatal: (error) => this.#onFatal(error),
    })
  }

  #newSpace(): FreeSpace {
    const { disk } = this.#env
    const { log } = this.#storage
    return new FreeSpace(
      { disk, options: this.#options, log, core: this.core, driver: this.driver },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        handOver: (isWanted) => this.administration.yieldTo(isWanted),
        shorten: () => this.administration.checkpoint(),
        changed: (status) => this.observer.journal.space(status),
      },
    )
  }

  #newSnapshots(): Snapshots {
    return new Snapshots({
      env: this.#env,
      options: this.#options,
      storage: this.#storage,
      core: this.core,
      driver: this.driver,
      roster: this.#roster,
      peers: () => this.#peers,
      installed: (index) => {
        this.checkpoints.onInstalled(index)
        this.observer.journal.installed(index)
      },
      handOver: () => this.administration.handOver(),
      stateLost: (why) => this.service.onStateLost(stateLost(why)),
      noted: (to, step, index) => this.observer.onTransfer(to, step, index),
      rebuilt: (rebuilt) => {
        this.#integrity.onReplaced()
        this.service.onRebuilt()
        this.blobs.onReplaced()
        this.retained.onReplaced()
        this.observer.journal.rebuilt(rebuilt)
      },
    })
  }

  #newIntegrity(): Integrity {
    return new Integrity(
      {
        env: this.#env,
        machine: this.#storage.machine,
        core: this.core,
        driver: this.driver,
        events: this.observer.journal,
        generations: this.#storage.generations,
        compareMs: this.#options.storage.compareMs,
        scrubBytesPerSecond: this.#options.storage.scrubBytesPerSecond,
      },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        service: () => this.service,
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
        core: this.core,
        driver: this.driver,
      },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        repair: () => this.#integrity.repair,
        refusal: () => this.#space.refusal,
        isSound: () => this.#snapshots.lost === undefined,
        damaged: (error) => this.#snapshots.rebuild(error, 'read'),
        overloaded: (overload) => this.observer.journal.overloaded(overload),
        dueAt: () => this.#ticker?.due ?? Number.POSITIVE_INFINITY,
      },
    )
  }

  #newBlobs(): BlobDesk {
    return new BlobDesk(
      {
        env: this.#env,
        options: this.#options,
        storage: this.#storage,
        core: this.core,
        driver: this.driver,
      },
      {
        peers: () => this.#peers,
        roster: () => this.#roster,
        isReady: () => this.service.isReady,
        isSound: () => this.#snapshots.lost === undefined,
        refusal: () => this.#space.refusal,
        isLow: (node) =>
          node === this.#roster.self ? this.#space.isLow : this.#space.isLowAt(node),
        propose: (request) => this.service.proposeOwn(request),
        onMended: (key) => this.observer.journal.repaired(key, undefined),
      },
    )
  }

  #newRetained(): Retained {
    const { driver, blobs } = this
    const parts = { env: this.#env, options: this.#options, storage: this.#storage, blobs }
    const work = {
      own: (task: Promise<void>) => driver.own(task),
      fail: (error: unknown) => driver.fail(error),
    }
    return new Retained(
      { ...parts, work },
      {
        isLeading: () => this.core.role === 'leader',
        leader: () => this.service.leader,
        isSound: () => this.#snapshots.lost === undefined,
        propose: (request) => this.service.proposeOwn(request),
        reach: ({ deadline, signal }) => this.service.reach(demand('strong', 0, deadline), signal),
        onDiverged: (index) => this.#integrity.onRetainedDiffers(index),
        onDamaged: (error) => this.#snapshots.rebuild(error, 'read'),
      },
    )
  }

  #newRetainedCalls(): RetainedCalls {
    const { retained, blobs } = this
    return new RetainedCalls({
      time: this.#env.time,
      store: this.#storage.shards,
      maxPieceBytes: maxPieceBytes(this.#options.limits),
      servable: () => retained.servable,
      slot: () => blobs.cluster.members.slots.get(blobs.cluster.self),
      retain: (request) => retained.retain(request),
      fetch: (request) => blobs.fetch(request),
    })
  }

  #newBackups(): Backups {
    const { identity, machine } = this.#storage
    return new Backups({
      disk: this.#env.disk,
      time: this.#env.time,
      machine,
      clusterId: identity.clusterId,
      maxPieceBytes: maxPieceBytes(this.#options.limits),
      blobs: this.blobs,
      reach: ({ level, minIndex, deadline, signal }) =>
        this.service.reach(demand(level, minIndex, deadline), signal),
    })
  }

  #newAdministration(): Administration {
    return new Administration(
      {
        time: this.#env.time,
        options: this.#options,
        storage: this.#storage,
        core: this.core,
        driver: this.driver,
        checkpoints: this.checkpoints,
        firstQuestion: this.#env.random.u32('question'),
      },
      {
        peers: () => this.#peers,
        isReady: () => this.service.isReady,
        confirm: (deadline) => this.#confirm(deadline),
        isLow: (node) => this.#space.isLowAt(node),
        shortfall: (voters) => this.blobs.shortfall(voters),
      },
    )
  }

  async #confirm(deadline: number): Promise<void> {
    this.refuseIfEnded()
    await this.service.reach(demand('strong', 0, deadline), undefined)
  }

  #onProposed(proposed: Proposed): void {
    if (proposed.token < 0) this.administration.onProposed(proposed)
    else this.service.onProposed(proposed)
  }

  /** Tokens of configuration changes are negative. */
  #onDropped(dropped: Dropped): void {
    if (dropped.token < 0) this.administration.onDropped(dropped)
    else this.service.onDropped(dropped)
  }

  #onApplied(applied: readonly AppliedEntry[]): void {
    this.service.onApplied(applied)
    this.#integrity.onApplied()
    this.administration.onApplied(applied)
    this.blobs.onApplied(applied)
    this.#noticeMembers()
  }

  /** The state is that of a snapshot now: reads wait for no more than before, and others may be members. */
  #onInstalled(configuration: Configuration): void {
    this.service.onInstalled()
    this.blobs.onReplaced()
    this.retained.onReplaced()
    this.#integrity.onReplaced()
    this.administration.onInstalled(configuration)
    this.#noticeMembers()
  }

  #noticeMembers(): void {
    this.observer.noticeMembers()
    this.#noticeRemoval()
  }

  /** Nothing is served any more. The core goes on: those who are left may still need its vote (trap T-54). */
  #noticeRemoval(): void {
    if (this.#isRemoved || this.#roster.standing !== 'removed') return
    this.#isRemoved = true
    this.service.end(this.ended())
    this.observer.journal.removed()
  }

  #onPeerUp(node: NodeId): void {
    this.observer.onPeerUp(node)
    this.service.onPeerUp(node)
    this.blobs.onPeerUp(node)
    this.retained.onPeerUp(node)
    if (node === this.service.leader) this.#onNewWay()
    this.#snapshots.onPeerUp(node)
    this.#firstCampaign.onPeerUp((other) => this.#peers?.isUp(other) === true)
  }

  #onStalled(ms: number): void {
    this.observer.onStalled(ms)
    this.driver.step({ type: 'clockGap', ms })
  }

  #onPeerDown(node: NodeId): void {
    this.observer.onPeerDown(node)
    this.service.onPeerDown(node)
    this.blobs.onPeerDown(node)
    this.#clients.look()
  }

  /** The way to the leader is new: what is unanswered goes there again. */
  #onNewWay(): void {
    this.service.onNewWay()
    this.blobs.onNewWay()
    this.administration.onNewWay()
    this.#clients.look()
  }

  #onSoft(role: Role, leader: NodeId, term: Term): void {
    this.observer.journal.noteTerm(term)
    const isNew = this.service.onSoft(role, leader, term)
    this.administration.onSoft()
    this.#snapshots.onSoft()
    if (!isNew) return
    this.#clients.look()
    if (leader !== NONE) {
      this.#firstCampaign.end()
      this.#onNewWay()
    }
    this.observer.journal.leader(this.#roster.nameOf(leader), term)
  }

  #tick(now: number, late: number, peers: Peers): void {
    this.service.loyalty.onTick(late)
    this.driver.step({ type: 'tick' })
    this.#integrity.tick(now)
    this.service.tick(now)
    this.blobs.tick(now)
    this.retained.tick(now)
    this.administration.tick(now, peers)
    this.backups.tick(now)
    this.#snapshots.tick(now)
    this.#space.tick(now)
    this.observer.tick(now, late)
    this.#clients.tick(now)
    this.#noticeRemoval()
  }

  /** Why nothing is done here any more; undefined when it is. */
  ended(): Error | undefined {
    if (this.#fatal !== undefined) {
      return new StoreError('QUORATE_STOPPED', `the member has stopped: ${this.#fatal.message}`, {
        cause: this.#fatal,
      })
    }
    if (this.#isClosing) {
      return new StoreError('QUORATE_NOT_OPEN', 'the store is closed')
    }
    if (this.#isRemoved) {
      const { id } = this.#storage.identity
      return new StoreError('QUORATE_REMOVED', `${id} was removed from the cluster`)
    }
    return undefined
  }

  /** Why nothing can be read here. */
  unreadable(): Error | undefined {
    const { lost } = this.#snapshots
    return this.ended() ?? (lost && stateLost(lost))
  }

  /** @throws why nothing can be read here */
  refuseIfUnreadable(): void {
    const error = this.unreadable()
    if (error !== undefined) throw error
  }

  /** @throws why nothing is done here any more */
  refuseIfEnded(): void {
    const error = this.ended()
    if (error !== undefined) throw error
  }

  #onFatal(cause: unknown): void {
    this.#fatal = cause instanceof Error ? cause : new Error(String(cause))
    this.#ticker?.stop()
    this.#endCalls(this.ended())
    this.administration.end(this.ended())
    this.#integrity.end()
    this.#snapshots.end()
    this.#space.end()
    // Others must not count on this member: its connections go at once.
    if (this.#peers !== undefined) this.driver.own(this.#peers.close())
    this.observer.journal.fatal(this.#fatal)
  }

  #endCalls(error: unknown): void {
    this.service.end(error)
    this.blobs.end(error)
    this.retained.end(error)
    this.administration.endQuestions(error)
  }
}

function stateLost(why: StoreError): StoreError {
  return new StoreError('QUORATE_NOT_READY', `the state here is being had again: ${why.message}`, {
    cause: why,
    retryable: true,
  })
}
