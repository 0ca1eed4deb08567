/**
 * The reading half of a member's service: its callers' reads, views and waits, those of other members while it leads,
 * and what goes between the members for them. What may be read when is for Reads to say; here the parts are put
 * together.
 */
import { StoreError } from '../base/errors.js'
import { type LogIndex, NONE, type NodeId, type Role } from '../raft/types.js'
import {
  decodeAppliedIndex,
  encodeAppliedIndex,
  FRAME_APPLIED,
  FRAME_AWAIT_APPLIED,
} from '../wire/applied-call.js'
import { decodeLoyalty, FRAME_LOYALTY } from '../wire/loyalty.js'
import {
  decodeReadAnswers,
  decodeReadCalls,
  FRAME_READ_ANSWERS,
  FRAME_READS,
  type ReadCall,
} from '../wire/read-call.js'
import { AppliedWaits } from './applied-waits.js'
import type {
  AppliedWhere,
  LocalView,
  Overload,
  PendingRead,
  ReadDemand,
  ReadPosition,
  Served,
  StateView,
  StoredValue,
  ViewRequest,
} from './backend.js'
import { ForwardedReads } from './forwarded-reads.js'
import { LocalReader } from './local-reader.js'
import { Loyalty } from './loyalty.js'
import { maxFrameBytes } from './options.js'
import { Overloads } from './overloads.js'
import type { Peers } from './peers.js'
import { ReadDesk } from './read-desk.js'
import type { ReadRepair } from './read-repair.js'
import { Reads } from './reads.js'
import type { ServiceParts } from './service.js'
import { coreOptions } from './storage.js'
import { Views } from './views.js'

/** Forwarded reads of one frame. */
const FORWARD_BYTES_MAX = 1_048_576
/** What `retryAfterMs` says where forwarded reads are too many: about the time of some answers. */
const FORWARD_RETRY_MS = 100

/** What reading asks of its member. */
export interface ReadServicePorts {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  repair(): ReadRepair
  leader(): NodeId
  role(): Role
  overloaded(overload: Overload): void
  /** When the next tick is due. */
  dueAt(): number
}

/** For metrics. */
export interface ReadCounts {
  /** Reads that wait for their state. */
  readonly pending: number
  /** Views that are open or waited for. */
  readonly views: number
  /** Reads that the leader was asked to serve since the start. */
  readonly forwarded: number
}

/** Whether a frame of this kind is for a ReadService. */
export function isAboutReads(kind: number): boolean {
  return kind >= FRAME_READS && kind <= FRAME_LOYALTY
}

/** See the file's comment. */
export class ReadService {
  readonly #parts: ServiceParts
  readonly #ports: ReadServicePorts
  readonly #overloads: Overloads
  /** Whether strong reads may count on a lease. */
  readonly loyalty: Loyalty
  readonly #reader: LocalReader
  readonly #reads: Reads
  readonly #forwarded: ForwardedReads
  readonly #views: Views
  readonly #waits: AppliedWaits
  /** Of the members that forward reads to this one. */
  readonly #desks = new Map<NodeId, ReadDesk>()

  constructor(parts: ServiceParts, ports: ReadServicePorts) {
    this.#parts = parts
    this.#ports = ports
    this.#overloads = new Overloads(parts.env.time, (overload) => ports.overloaded(overload))
    this.loyalty = this.#newLoyalty()
    this.#reader = this.#newReader()
    this.#forwarded = this.#newForwarded()
    this.#reads = this.#newReads()
    this.#views = this.#newViews()
    this.#waits = this.#newWaits()
  }

  get counts(): ReadCounts {
    const { open: views } = this.#views
    return { pending: this.#reads.pending, views, forwarded: this.#forwarded.sent }
  }

  read(read: PendingRead): void {
    if (this.#reads.add(read)) this.#parts.driver.wake()
  }

  reach(demand: ReadDemand, signal: AbortSignal | undefined): Promise<void> {
    return this.#reads.reach(demand, signal)
  }

  openView(request: ViewRequest): Promise<StateView> {
    return this.#views.openView(request)
  }

  /** What needs no waiting. */
  readNow(key: Uint8Array): StoredValue | undefined {
    return this.#reader.get(key)
  }

  openNow(): LocalView {
    return this.#views.openNow()
  }

  awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return this.#waits.wait(index, where, deadline, signal)
  }

  served(position: ReadPosition): Served {
    return this.#reader.served(position)
  }

  /** A call was refused because a bound is reached. */
  overloaded(overload: Overload): void {
    this.#overloads.note(overload)
  }

  /** Sends what this turn collected, and starts its round. */
  flush(): void {
    this.#reads.flush()
    this.#forwarded.flush()
    this.#waits.flush()
  }

  onReadIndex(token: number, index: LogIndex): void {
    this.#reads.onReadIndex(token, index)
  }

  onDropped(token: number): void {
    this.#reads.onDropped(token)
  }

  /** The batch that was written is in the state, and the snapshot that stood in for it can go. */
  onBatchEnd(): void {
    this.#reader.onApplied()
  }

  /** The state has come further. */
  onApplied(): void {
    this.#reads.onApplied()
    this.#waits.onApplied()
  }

  /** Reads have nothing to be served from; who waits for an entry goes on waiting: it will be applied here. */
  onStateLost(error: StoreError): void {
    this.#reads.end(error)
  }

  /** Another role, leader or term. */
  onSoft(isNewLeader: boolean): void {
    const leader = this.#ports.leader()
    if (this.#ports.role() !== 'leader') {
      for (const desk of this.#desks.values()) desk.failAll(notLeading())
    }
    this.#forwarded.onLeader(leader)
    if (isNewLeader && leader !== NONE) this.#reads.onLeaderChange()
  }

  onPeerUp(node: NodeId): void {
    this.loyalty.onPeerUp(node)
    this.#waits.onPeerUp(node)
  }

  onPeerDown(node: NodeId): void {
    this.#forwarded.onPeerDown(node)
    this.#desks.get(node)?.end()
    this.#desks.delete(node)
  }

  /** A frame of another member. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    switch (kind) {
      case FRAME_READS:
        this.#onCalls(from, decodeReadCalls(body))
        return
      case FRAME_READ_ANSWERS:
        this.#forwarded.onAnswers(from, decodeReadAnswers(body))
        return
      case FRAME_AWAIT_APPLIED:
        this.#waits.onAsked(from, decodeAppliedIndex(body))
        return
      case FRAME_APPLIED:
        this.#waits.onTold(from, decodeAppliedIndex(body))
        return
      case FRAME_LOYALTY:
        this.loyalty.onTold(from, decodeLoyalty(body))
    }
  }

  tick(now: number): void {
    this.#forwarded.tick(now)
    this.#reads.tick(now)
    this.#waits.tick(now)
  }

  /** Nothing is served any more: every call fails with `error`. */
  end(error: unknown): void {
    this.#forwarded.end()
    this.#reads.end(error)
    this.#waits.end(error)
  }

  /** The leader serves others from its own state, at the level that they ask for. */
  #onCalls(from: NodeId, calls: readonly ReadCall[]): void {
    let desk = this.#desks.get(from)
    if (desk === undefined) {
      desk = this.#newDesk(from)
      this.#desks.set(from, desk)
    }
    const isLeading = this.#ports.role() === 'leader'
    for (const call of calls) {
      if (isLeading) desk.take(call, 'wait')
      else desk.refuse(call, notLeading())
    }
  }

  #newDesk(from: NodeId): ReadDesk {
    const { env, options } = this.#parts
    return new ReadDesk(
      {
        time: env.time,
        read: (read) => this.read(read),
        send: (body) => this.#send(from, FRAME_READ_ANSWERS, body),
      },
      maxFrameBytes(options.limits),
    )
  }

  #newLoyalty(): Loyalty {
    const { env, options, storage, driver } = this.#parts
    const { identity, machine } = storage
    const { electionTicks } = coreOptions(options, identity.nodeId, 0)
    return new Loyalty(
      {
        time: env.time,
        self: identity.nodeId,
        voters: () => [...machine.conf.voters, ...machine.conf.votersOutgoing],
        dueAt: () => this.#ports.dueAt(),
        step: (input) => driver.step(input),
        sendLoyalty: (to, body) => this.#send(to, FRAME_LOYALTY, body),
      },
      {
        tickMs: options.timing.tickMs,
        electionTicks,
        isPromised: options.strongReads === 'lease',
      },
    )
  }

  #newReader(): LocalReader {
    const { driver, storage } = this.#parts
    const ports = this.#ports
    const ageMs = (index: LogIndex) => this.#reads.freshness.ageMs(index)
    return new LocalReader(storage.machine, {
      repair: () => ports.repair(),
      own: (work) => driver.own(work),
      circumstances: {
        servedBy: storage.identity.id,
        get role() {
          return ports.role()
        },
        ageMs,
      },
    })
  }

  #newReads(): Reads {
    const { env, options, storage, driver, core } = this.#parts
    const { machine } = storage
    const ports = this.#ports
    return new Reads(
      env.time,
      {
        get appliedIndex() {
          // Reads wait while the database is being opened again.
          return machine.isOpen ? machine.appliedIndex : -1
        },
        get commitIndex() {
          return core.commitIndex
        },
        get hasLeader() {
          return ports.leader() !== NONE
        },
        termAt: (index) => core.termAt(index),
        wake: () => driver.wake(),
        requestReadIndex: (token) => {
          this.loyalty.beforeRead()
          driver.step({ type: 'readIndex', token })
        },
        serve: (read) => this.#reader.serve(read),
        forward: (read, done) => this.#forwarded.ask(read, done),
        overloaded: (retryAfterMs) => this.overloaded({ what: 'reads', retryAfterMs }),
      },
      options.limits.maxPendingReads,
    )
  }

  #newForwarded(): ForwardedReads {
    const { env, options, driver, storage } = this.#parts
    const { nodeId: self } = storage.identity
    return new ForwardedReads(
      {
        now: () => env.time.now(),
        leader: () => {
          const leader = this.#ports.leader()
          const isElsewhere = leader !== NONE && leader !== self
          return isElsewhere && this.#ports.peers()?.isUp(leader) === true ? leader : undefined
        },
        send: (to, body) => this.#send(to, FRAME_READS, body),
        wake: () => driver.wake(),
        overloaded: () =>
          this.overloaded({ what: 'forwarded reads', retryAfterMs: FORWARD_RETRY_MS }),
      },
      Math.min(FORWARD_BYTES_MAX, maxFrameBytes(options.limits)),
      env.random.u32('forwarded read'),
    )
  }

  #newViews(): Views {
    const { options, storage, driver } = this.#parts
    const { machine } = storage
    return new Views(
      {
        get appliedIndex() {
          return machine.appliedIndex
        },
        reach: (demand, signal) => this.#reads.reach(demand, signal),
        present: () => machine.view(),
        viewAt: (index) => machine.viewAt(index),
        viewOf: (view, close) => this.#reader.viewOf(view, close),
        own: (work) => driver.own(work),
        overloaded: (retryAfterMs) => this.overloaded({ what: 'views', retryAfterMs }),
      },
      options.limits.maxViews,
    )
  }

  #newWaits(): AppliedWaits {
    const { driver, storage } = this.#parts
    const { machine, identity } = storage
    return new AppliedWaits({
      self: identity.nodeId,
      get appliedIndex() {
        return machine.appliedIndex
      },
      voters: () => [...new Set([...machine.conf.voters, ...machine.conf.votersOutgoing])],
      ask: (to, index) => this.#send(to, FRAME_AWAIT_APPLIED, encodeAppliedIndex(index)),
      tell: (to, index) => this.#send(to, FRAME_APPLIED, encodeAppliedIndex(index)),
      wake: () => driver.wake(),
    })
  }

  #send(to: NodeId, kind: number, body: Buffer): boolean {
    return this.#ports.peers()?.sendFrame(to, kind, [body]) === true
  }
}

function notLeading(): StoreError {
  const message = 'the member that was asked does not lead (any more)'
  return new StoreError('QUORATE_NO_LEADER', message, { retryable: true })
}
