/**
 * What a member does for those who read and write: it gathers their calls of a turn, hands them to the core, and
 * answers them from the state.
 *
 * It knows who leads, because that decides where requests go. Nothing here decides what is committed or applied.
 */
import type { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { AppliedEntry } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import {
  type Dropped,
  type LogIndex,
  NONE,
  type NodeId,
  type Proposed,
  type Role,
  type Term,
} from '../raft/types.js'
import type { Answer } from '../wire/forward.js'
import type {
  AppliedWhere,
  LinkHandlers,
  LocalView,
  Overload,
  PendingRead,
  ReadDemand,
  ReadPosition,
  RequestLink,
  Served,
  StateView,
  StoredValue,
  ViewRequest,
  WatchCursor,
  WatchRequest,
} from './backend.js'
import type { Driver } from './driver.js'
import { Expiry } from './expiry.js'
import type { Loyalty } from './loyalty.js'
import type { MemberOptions } from './options.js'
import type { Peers } from './peers.js'
import type { ReadRepair } from './read-repair.js'
import { type ReadCounts, ReadService } from './read-service.js'
import type { Roster } from './roster.js'
import type { Storage } from './storage.js'
import { Watches } from './watches.js'
import { Writes } from './writes.js'

/** What a service works on. */
export interface ServiceParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly storage: Storage
  readonly core: RaftCore
  readonly driver: Driver
}

/** What it asks of its member. */
export interface ServicePorts {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  roster(): Roster
  repair(): ReadRepair
  /** Why no new write is taken at present. */
  refusal(): StoreError | undefined
  /** Whether the state here is in use. */
  isSound(): boolean
  /** The state turned out damaged. */
  damaged(error: StoreError): void
  /** Calls are refused because a bound is reached. */
  overloaded(overload: Overload): void
  /** When the next tick is due. */
  dueAt(): number
}

/** Reads, views and watches under way. */
export interface UnderWay extends ReadCounts {
  /** Watches that are open. */
  readonly watches: number
}

/** Who leads, as this member knows it. */
interface Leadership {
  readonly role: Role
  readonly leader: NodeId
  readonly term: Term
}

/** See the file's comment. */
export class Service {
  readonly #parts: ServiceParts
  readonly #ports: ServicePorts
  readonly #reads: ReadService
  readonly #writes: Writes
  readonly #watches: Watches
  readonly #expiry: Expiry
  #leadership: Leadership = { role: 'follower', leader: NONE, term: 0 }

  constructor(parts: ServiceParts, ports: ServicePorts) {
    this.#parts = parts
    this.#ports = ports
    this.#reads = this.#newReads()
    this.#writes = this.#newWrites()
    this.#watches = this.#newWatches()
    this.#expiry = this.#newExpiry()
  }

  /** What is under way, as plain numbers. */
  get underWay(): UnderWay {
    return { ...this.#reads.counts, watches: this.#watches.openCount }
  }

  /** Whether strong reads may count on a lease. */
  get loyalty(): Loyalty {
    return this.#reads.loyalty
  }

  get leader(): NodeId {
    return this.#leadership.leader
  }

  /** Whether a leader is known and can be reached. */
  get isReady(): boolean {
    const { role, leader } = this.#leadership
    if (leader === NONE) return false
    return role === 'leader' || this.#ports.peers()?.isUp(leader) === true
  }

  openLink(handlers: LinkHandlers): RequestLink {
    return this.#writes.open(handlers)
  }

  read(read: PendingRead): void {
    this.#reads.read(read)
  }

  /** Resolves on the turn on which the applied state is as new as `demand` asks. */
  reach(demand: ReadDemand, signal: AbortSignal | undefined): Promise<void> {
    return this.#reads.reach(demand, signal)
  }

  openView(request: ViewRequest): Promise<StateView> {
    return this.#reads.openView(request)
  }

  /** As LocalReads.get. */
  readNow(key: Uint8Array): StoredValue | undefined {
    return this.#reads.readNow(key)
  }

  /** As LocalReads.view. */
  openNow(): LocalView {
    return this.#reads.openNow()
  }

  watch(request: WatchRequest): WatchCursor {
    return this.#watches.open(request)
  }

  awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return this.#reads.awaitApplied(index, where, deadline, signal)
  }

  /** A call was refused because a bound is reached. */
  overloaded(overload: Overload): void {
    this.#reads.overloaded(overload)
  }

  /** The circumstances of a read that is served from this member's state at `position`. */
  served(position: ReadPosition): Served {
    return this.#reads.served(position)
  }

  /** What this turn collected goes to the core as one entry and one round. */
  collect(): void {
    this.#writes.flush()
    this.#reads.flush()
  }

  onRequest(from: NodeId, link: number, request: Buffer): void {
    this.#writes.onRequest(from, link, request)
  }

  onAnswers(answers: readonly Answer[]): void {
    this.#writes.onAnswers(answers)
  }

  onReadIndex(token: number, index: LogIndex): void {
    this.#reads.onReadIndex(token, index)
  }

  onProposed(proposed: Proposed): void {
    this.#writes.onProposed(proposed)
  }

  /** Tokens of reads are odd, those of requests even. */
  onDropped(dropped: Dropped): void {
    if (dropped.token % 2 === 1) this.#reads.onDropped(dropped.token)
    else this.#writes.onDropped(dropped)
  }

  onApplied(applied: readonly AppliedEntry[]): void {
    this.#reads.onBatchEnd()
    if (applied.some(({ configuration }) => configuration !== undefined)) this.loyalty.review()
    this.#writes.onApplied(applied)
    this.#reads.onApplied()
    this.#watches.onApplied()
    this.#expiry.onApplied(applied)
  }

  /** The state is that of a snapshot now: reads wait for no more than before. */
  onInstalled(): void {
    this.#reads.onBatchEnd()
    this.loyalty.review()
    this.#reads.onApplied()
    this.#watches.onInstalled()
    this.#expiry.onReplaced()
  }

  /** The state is one that another member gave, brought up to date without telling of each entry. */
  onRebuilt(): void {
    this.#expiry.onReplaced()
  }

  /** The state is lost until another one is here. */
  onStateLost(error: StoreError): void {
    this.#watches.onStateLost()
    this.#reads.onStateLost(error)
  }

  /** Another role, leader or term; says whether the way to the leader has changed. */
  onSoft(role: Role, leader: NodeId, term: Term): boolean {
    const before = this.#leadership
    this.#leadership = { role, leader, term }
    const isSame = role === 'leader' && term === before.term
    if (before.role === 'leader' && !isSame) this.#writes.onLeadershipLost()
    const isNew = leader !== before.leader || (leader !== NONE && term !== before.term)
    this.#reads.onSoft(isNew)
    this.#expiry.onSoft(role, term)
    return isNew
  }

  /** Proposes a request of this member itself, which leads; it may be lost. */
  proposeOwn(request: Buffer): void {
    this.#writes.proposeOwn(request)
  }

  /** The way to the leader is new: what is unanswered goes there again. */
  onNewWay(): void {
    this.#writes.onNewWay()
  }

  /** A frame of another member about reads. @throws {DecodeError} */
  onReadFrame(from: NodeId, kind: number, body: Buffer): void {
    this.#reads.onFrame(from, kind, body)
  }

  onPeerUp(node: NodeId): void {
    this.#reads.onPeerUp(node)
  }

  onPeerDown(node: NodeId): void {
    this.#reads.onPeerDown(node)
  }

  tick(now: number): void {
    this.#reads.tick(now)
    this.#writes.tick(now)
    this.#watches.tick(now)
    this.#expiry.tick()
  }

  /** Nothing is served any more: every call fails with `error`. */
  end(error: unknown): void {
    this.#writes.end(error)
    this.#watches.end(error)
    this.#reads.end(error)
  }

  /** The last call has ended: what was held for reads is let go. */
  close(): void {
    this.#reads.onBatchEnd()
  }

  #newReads(): ReadService {
    const ports = this.#ports
    return new ReadService(this.#parts, {
      peers: () => ports.peers(),
      repair: () => ports.repair(),
      leader: () => this.#leadership.leader,
      role: () => this.#leadership.role,
      overloaded: (overload) => ports.overloaded(overload),
      dueAt: () => ports.dueAt(),
    })
  }

  #newWatches(): Watches {
    const { env, options, storage } = this.#parts
    const reach = (demand: ReadDemand, signal: AbortSignal) => this.#reads.reach(demand, signal)
    return new Watches(env.time, storage.machine.history, reach, options.limits)
  }

  #newExpiry(): Expiry {
    const { env, storage, driver } = this.#parts
    const ports = this.#ports
    return new Expiry(env.time, storage.machine, {
      propose: (request) => this.#writes.proposeOwn(request),
      isSound: () => ports.isSound(),
      damaged: (error) => ports.damaged(error),
      own: (work) => driver.own(work),
      fail: (error) => driver.fail(error),
    })
  }

  #newWrites(): Writes {
    const { env, options, storage, driver } = this.#parts
    const ports = this.#ports
    return new Writes(
      storage.identity.nodeId,
      options.limits,
      driver,
      {
        isLeading: () => this.#leadership.role === 'leader',
        isReady: () => this.isReady,
        refusal: () => ports.refusal(),
        sendRequest: (link, request) => {
          const { leader } = this.#leadership
          return leader !== NONE && ports.peers()?.sendRequest(leader, link, request) === true
        },
        sendAnswers: (node, answers) => ports.peers()?.sendAnswers(node, answers),
      },
      env.random.u32('link'),
    )
  }
}
