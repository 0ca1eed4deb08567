/**
 * One member: owns its core, log, state machine and connections, and serves the Stores of its process.
 *
 * Lifetimes: opened in the order lock, identity, log, state machine, core, transport; closed the other way
 * round. After a fatal error (a failed write of the log, a broken invariant) it acknowledges nothing more,
 * tells everybody waiting, and only `close` is left.
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { RaftLog } from '../log/raft-log.js'
import type { StateMachine } from '../machine/state-machine.js'
import { RaftCore } from '../raft/core.js'
import {
  type LogIndex,
  NONE,
  type NodeId,
  type ProposedEntry,
  type Role,
  type Term,
} from '../raft/types.js'
import { validateRequest } from '../wire/command.js'
import type { Answer } from '../wire/forward.js'
import type {
  Backend,
  BackendEvents,
  LinkHandlers,
  MemberStatus,
  MemberView,
  PendingRead,
  RequestLink,
  ScanCursor,
  ScanRequest,
} from './backend.js'
import { Checkpoints } from './checkpoints.js'
import { Driver } from './driver.js'
import { Links } from './links.js'
import { LocalReader } from './local-reader.js'
import type { MemberOptions } from './options.js'
import { Peers } from './peers.js'
import { Reads } from './reads.js'
import { Requests } from './requests.js'
import { describeStanding } from './status.js'
import { closeStorage, coreInit, coreOptions, openStorage, type Storage } from './storage.js'
import { Ticker } from './ticker.js'

/** The loop may stand still so long before the core is told that time cannot be trusted. */
const STALL_MS = 500
/** How often members say that they are alive, and the leader which part of the log everybody has. */
const RETAINED_EVERY_MS = 1000
/** A member that starts without a leader waits up to so long before it offers itself. */
const FIRST_CAMPAIGN_SPREAD_MS = 150

/** The parts of a member that a simulation watches. */
export interface MemberParts {
  readonly core: RaftCore
  readonly log: RaftLog
  readonly machine: StateMachine
}

/** A running member; see the file's comment. */
export class Member implements Backend {
  readonly clusterId: Uint8Array
  readonly #env: Env
  readonly #options: MemberOptions
  readonly #events: BackendEvents
  readonly #storage: Storage
  readonly #core: RaftCore
  readonly #driver: Driver
  readonly #reader: LocalReader
  readonly #reads: Reads
  readonly #requests: Requests
  readonly #links: Links
  readonly #checkpoints: Checkpoints
  readonly #names: ReadonlyMap<NodeId, string>
  #ticker: Ticker | undefined
  #peers: Peers | undefined
  #role: Role = 'follower'
  #leader: NodeId = NONE
  #term: Term = 0
  #fatal: Error | undefined
  #closing: Promise<void> | undefined
  #hasSeenLeader = false
  #nextRetainedAt = 0
  readonly #wantsSnapshot = new Set<NodeId>()
  readonly #proposeEntry = (token: number, entry: ProposedEntry): void =>
    this.#driver.step({ type: 'propose', token, entries: [entry] })

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
    try {
      const member = new Member(env, options, events, storage)
      watch?.({ core: member.#core, log: storage.log, machine: storage.machine })
      await member.#start()
      return member
    } catch (error) {
      await closeStorage(storage)
      throw error
    }
  }

  private constructor(env: Env, options: MemberOptions, events: BackendEvents, storage: Storage) {
    const { identity, log, machine } = storage
    this.clusterId = Buffer.from(identity.clusterId, 'hex')
    this.#env = env
    this.#options = options
    this.#events = events
    this.#storage = storage
    this.#names = new Map(identity.firstMembers.map((member) => [member.nodeId, member.id]))
    this.#core = new RaftCore(
      coreOptions(options, identity.nodeId, env.random.u32('election')),
      coreInit(storage),
    )
    this.#driver = this.#newDriver()
    this.#reader = new LocalReader(machine, (work) => this.#driver.own(work))
    this.#reads = this.#newReads()
    this.#requests = new Requests(options.limits.maxRequestBytes, (node, answers) =>
      this.#sendAnswers(node, answers),
    )
    this.#links = this.#newLinks()
    this.#checkpoints = new Checkpoints(log, machine, options.storage.checkpointBytes, (index) =>
      this.#driver.step({ type: 'compacted', index }),
    )
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
    this.#refuseIfEnded()
    return this.#links.open(handlers)
  }

  read(read: PendingRead): void {
    const error = this.#ended()
    if (error !== undefined) read.fail(error)
    else if (this.#reads.add(read)) this.#driver.wake()
  }

  async scan(request: ScanRequest): Promise<ScanCursor> {
    this.#refuseIfEnded()
    await this.#reach(request)
    return this.#reader.scan(request)
  }

  async checkpoint(): Promise<LogIndex> {
    this.#refuseIfEnded()
    return this.#checkpoints.run(this.#driver.appendedBytes)
  }

  status(): MemberStatus {
    const { identity, log, machine } = this.#storage
    const core = this.#core.status()
    const logStatus = log.status()
    const members = this.#memberViews()
    const role = this.#ended() === undefined ? core.role : 'stopped'
    const leader = this.#names.get(core.leader)
    return {
      id: identity.id,
      clusterId: identity.clusterId,
      role,
      term: core.term,
      leader,
      commitIndex: core.commitIndex,
      appliedIndex: machine.appliedIndex,
      checkpointIndex: machine.checkpointIndex,
      firstIndex: core.firstIndex,
      lastIndex: core.lastIndex,
      log: {
        segments: logStatus.segments,
        bytes: logStatus.bytes,
        writes: logStatus.writes,
        fsyncs: logStatus.fsyncs,
        tornBytes: log.recovered.tornBytes,
      },
      sessions: machine.status().sessions,
      address: this.#peers?.address,
      members,
      rejectedConnections: this.#peers?.rejected() ?? {},
      words: describeStanding({
        id: identity.id,
        role,
        leader,
        members,
        cause: this.#fatal,
        peersWantingSnapshot: [...this.#wantsSnapshot].map((node) => this.#nameOf(node)),
      }),
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const error = new StoreError('QUORATE_NOT_OPEN', 'the store was closed')
    this.#endCalls(error)
    this.#ticker?.stop()
    await this.#peers?.close()
    await this.#driver.stop()
    await closeStorage(this.#storage)
  }

  async #start(): Promise<void> {
    const { log } = this.#storage
    this.#peers = await this.#startPeers()
    this.#ticker = new Ticker(this.#env.time, this.#options.timing.tickMs, STALL_MS, {
      tick: (now) => this.#tick(now),
      stalled: (ms) => this.#driver.step({ type: 'clockGap', ms }),
    })
    if (this.#names.size === 1) this.#driver.step({ type: 'campaign' })
    this.#driver.wake()
    // Weak reads must not go back behind what this member served before it was restarted (trap T-40).
    await this.#reach({
      level: 'eventual',
      minIndex: Math.min(log.recovered.hardState.commit, log.recovered.lastIndex),
      deadline: Number.POSITIVE_INFINITY,
      signal: undefined,
    })
  }

  #startPeers(): Promise<Peers> {
    return Peers.start(this.#env, this.#storage.identity, this.#options, {
      message: (message) => this.#driver.step({ type: 'receive', message }),
      request: (from, link, request) => this.#onRequest(from, link, request),
      answers: (answers) => this.#links.answer(answers),
      retained: (from, index) => {
        if (from === this.#leader) this.#checkpoints.onRetained(index)
      },
      peerUp: (node) => this.#onPeerUp(node),
      peerDown: (node) => this.#driver.step({ type: 'peerDown', peer: node }),
      call: (method, _params, reply) => {
        if (method === 'status') reply({ ok: this.status() })
        else reply({ error: { code: 'QUORATE_FORMAT', message: `unknown call ${method}` } })
      },
    })
  }

  #newDriver(): Driver {
    const { log, machine } = this.#storage
    return new Driver(this.#core, log, machine, this.#env.time, {
      collect: () => this.#collect(),
      send: (message) => {
        const isSent = this.#peers?.sendMessage(message) ?? false
        if (!isSent && message.type === 'append') {
          this.#driver.step({ type: 'unreachable', peer: message.to })
        }
      },
      onReadIndex: (read) => this.#reads.onReadIndex(read.token, read.index),
      onProposed: (proposed) => this.#requests.onProposed(proposed),
      onDropped: (dropped) => {
        // Tokens of reads are odd, those of proposals even.
        if (dropped.token % 2 === 1) this.#reads.onDropped(dropped.token)
        else this.#requests.onDropped(dropped)
      },
      onApplied: (applied) => {
        this.#requests.onApplied(applied)
        this.#reads.onApplied()
      },
      onSoft: (role, leader, term) => this.#onSoft(role, leader, term),
      onSnapshotWanted: (peer) => this.#wantsSnapshot.add(peer),
      onFatal: (error) => this.#onFatal(error),
    })
  }

  #newReads(): Reads {
    const { machine } = this.#storage
    const hasLeader = () => this.#leader !== NONE
    return new Reads(
      this.#env.time,
      {
        get appliedIndex() {
          return machine.appliedIndex
        },
        get hasLeader() {
          return hasLeader()
        },
        requestReadIndex: (token) => this.#driver.step({ type: 'readIndex', token }),
        serve: (read) => this.#reader.serve(read),
      },
      this.#options.limits.maxPendingReads,
    )
  }

  #newLinks(): Links {
    const isReady = () =>
      this.#leader !== NONE && (this.#role === 'leader' || this.#peers?.isUp(this.#leader) === true)
    return new Links(
      {
        get isReady() {
          return isReady()
        },
        wake: () => this.#driver.wake(),
        forward: (link, request, seq) => this.#forward(link, request, seq),
      },
      this.#env.random.u32('link'),
    )
  }

  /** Runs before effects are taken: what this turn collected goes to the core as one entry and one round. */
  #collect(): void {
    this.#links.flush()
    this.#requests.flush(this.#proposeEntry)
    this.#reads.flush()
  }

  #forward(link: number, request: Buffer, seq: number): boolean {
    if (this.#role === 'leader') {
      const origin = { node: this.#storage.identity.nodeId, link, seq }
      this.#requests.add(origin, request, this.#proposeEntry)
      return true
    }
    if (this.#leader === NONE) return false
    return this.#peers?.sendRequest(this.#leader, link, request) ?? false
  }

  #sendAnswers(node: NodeId, answers: readonly Answer[]): void {
    if (node === this.#storage.identity.nodeId) this.#links.answer(answers)
    else this.#peers?.sendAnswers(node, answers)
  }

  #onRequest(from: NodeId, link: number, request: Buffer): void {
    const { seq } = validateRequest(request, this.#options.limits.maxValueBytes)
    const origin = { node: from, link, seq }
    if (this.#role !== 'leader') {
      this.#requests.refuse([origin])
      return
    }
    this.#requests.add(origin, request, this.#proposeEntry)
    this.#driver.wake()
  }

  #onPeerUp(node: NodeId): void {
    if (node === this.#leader) this.#links.reset()
    if (this.#hasSeenLeader || !this.#reachesQuorum()) return
    // A cluster that starts has no leader to be loyal to: no need to wait for an election timeout.
    const wait = (this.#env.random.u32('first campaign') / 2 ** 32) * FIRST_CAMPAIGN_SPREAD_MS
    this.#env.time.after(wait, () => {
      if (!this.#hasSeenLeader) this.#driver.step({ type: 'campaign' })
    })
  }

  #reachesQuorum(): boolean {
    let up = 1
    for (const node of this.#names.keys()) if (this.#peers?.isUp(node)) up++
    return up > this.#names.size / 2
  }

  #onSoft(role: Role, leader: NodeId, term: Term): void {
    const isNew = leader !== this.#leader || (leader !== NONE && term !== this.#term)
    const lostLeadership = this.#role === 'leader' && (role !== 'leader' || term !== this.#term)
    this.#role = role
    this.#leader = leader
    this.#term = term
    if (lostLeadership) {
      this.#requests.onLeadershipLost()
      this.#wantsSnapshot.clear()
    }
    if (!isNew) return
    if (leader !== NONE) {
      this.#hasSeenLeader = true
      this.#reads.onLeaderChange()
      this.#links.reset()
    }
    this.#events.leader(this.#names.get(leader), term)
  }

  #tick(now: number): void {
    this.#driver.step({ type: 'tick' })
    this.#reads.tick(now)
    this.#links.tick(now)
    if (now >= this.#nextRetainedAt) {
      this.#nextRetainedAt = now + RETAINED_EVERY_MS
      this.#shareRetained()
    }
    if (this.#checkpoints.isDue(this.#driver.appendedBytes)) this.#checkpointInBackground()
  }

  #shareRetained(): void {
    const retained = this.#role === 'leader' ? this.#retainedByAll() : 0
    for (const node of this.#names.keys()) {
      if (node !== this.#storage.identity.nodeId) this.#peers?.sendRetained(node, retained)
    }
  }

  /** The log up to what every member holds may go everywhere once it is checkpointed. */
  #retainedByAll(): LogIndex {
    let retained = this.#core.lastIndex
    for (const peer of this.#core.status().peers) retained = Math.min(retained, peer.matchIndex)
    this.#checkpoints.onRetained(retained)
    return retained
  }

  #checkpointInBackground(): void {
    this.#driver.own(
      this.#checkpoints.run(this.#driver.appendedBytes).then(
        () => undefined,
        (error: unknown) => {
          // A flush that failed costs nothing yet: the log is kept, and the next tick tries again.
          if (!(error instanceof StoreError && error.code === 'QUORATE_NO_SPACE')) {
            this.#driver.fail(error)
          }
        },
      ),
    )
  }

  /** Resolves on the turn on which the applied state is as new as `request` asks. */
  #reach(request: Omit<ScanRequest, 'range' | 'reverse'>): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = request
      const point: PendingRead = {
        keys: [],
        level: request.level,
        minIndex: request.minIndex,
        deadline: request.deadline,
        abandoned: false,
        complete: () => resolve(),
        fail: reject,
      }
      if (signal === undefined) {
        this.read(point)
        return
      }
      this.read({
        ...point,
        get abandoned() {
          return signal.aborted
        },
      })
    })
  }

  #memberViews(): MemberView[] {
    const { identity } = this.#storage
    const core = this.#core.status()
    const peers = new Map(core.peers.map((peer) => [peer.id, peer]))
    return identity.firstMembers.map(({ id, nodeId }) => {
      const match = peers.get(nodeId)?.matchIndex
      return {
        id,
        address: this.#options.members?.[id],
        isSelf: nodeId === identity.nodeId,
        isLeader: nodeId === core.leader,
        isUp: nodeId === identity.nodeId || this.#peers?.isHeard(nodeId) === true,
        matchIndex: match,
        lag: match === undefined ? undefined : core.lastIndex - match,
      }
    })
  }

  #nameOf(node: NodeId): string {
    return this.#names.get(node) ?? `node ${node}`
  }

  #ended(): Error | undefined {
    if (this.#fatal !== undefined) {
      return new StoreError('QUORATE_STOPPED', `the member has stopped: ${this.#fatal.message}`, {
        cause: this.#fatal,
      })
    }
    if (this.#closing !== undefined)
      return new StoreError('QUORATE_NOT_OPEN', 'the store is closed')
    return undefined
  }

  #refuseIfEnded(): void {
    const error = this.#ended()
    if (error !== undefined) throw error
  }

  #onFatal(cause: unknown): void {
    this.#fatal = cause instanceof Error ? cause : new Error(String(cause))
    this.#ticker?.stop()
    this.#endCalls(this.#ended())
    // Others must not count on this member: its connections go at once.
    if (this.#peers !== undefined) this.#driver.own(this.#peers.close())
    this.#events.fatal(this.#fatal)
  }

  #endCalls(error: unknown): void {
    this.#links.end(error)
    this.#reads.end(error)
  }
}
