/**
 * What a member does for those who read and write: it gathers their calls of a turn, hands them to the core, and
 * answers them from the state.
 *
 * It knows who leads, because that decides where requests go. Nothing here decides what is committed or applied.
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { AppliedEntry } from '../machine/state-machine.js'
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
  PendingRead,
  ReadDemand,
  ReadPosition,
  RequestLink,
  Served,
  StateView,
  ViewRequest,
  WatchCursor,
  WatchRequest,
} from './backend.js'
import type { Driver } from './driver.js'
import { LocalReader } from './local-reader.js'
import type { MemberOptions } from './options.js'
import type { Peers } from './peers.js'
import type { ReadRepair } from './read-repair.js'
import { Reads } from './reads.js'
import type { Roster } from './roster.js'
import type { Storage } from './storage.js'
import { Writes } from './writes.js'

/** What a service works on. */
export interface ServiceParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly storage: Storage
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
  readonly #reader: LocalReader
  readonly #reads: Reads
  readonly #writes: Writes
  #leadership: Leadership = { role: 'follower', leader: NONE, term: 0 }

  constructor(parts: ServiceParts, ports: ServicePorts) {
    this.#parts = parts
    this.#ports = ports
    this.#reader = this.#newReader()
    this.#reads = this.#newReads()
    this.#writes = this.#newWrites()
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
    if (this.#reads.add(read)) this.#parts.driver.wake()
  }

  /** Resolves on the turn on which the applied state is as new as `demand` asks. */
  reach(demand: ReadDemand, signal: AbortSignal | undefined): Promise<void> {
    return this.#reads.reach(demand, signal)
  }

  async openView(request: ViewRequest): Promise<StateView> {
    await this.#reads.reach(request, request.signal)
    return this.#reader.view()
  }

  watch(request: WatchRequest): WatchCursor {
    throw new StoreError('QUORATE_NOT_READY', `no history after ${request.after} yet`)
  }

  async awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    _deadline: number,
    _signal: AbortSignal | undefined,
  ): Promise<void> {
    throw new StoreError('QUORATE_NOT_READY', `nobody waits for ${index} at ${String(where)} yet`)
  }

  /** The circumstances of a read that is served from this member's state at `position`. */
  served(position: ReadPosition): Served {
    return this.#reader.served(position)
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
    this.#reader.onApplied()
    this.#writes.onApplied(applied)
    this.#reads.onApplied()
  }

  /** The state is that of a snapshot now: reads wait for no more than before. */
  onInstalled(): void {
    this.#reader.onApplied()
    this.#reads.onApplied()
  }

  /** The state is lost until another one is here. */
  onStateLost(error: StoreError): void {
    this.#reads.end(error)
  }

  /** Another role, leader or term; says whether the way to the leader has changed. */
  onSoft(role: Role, leader: NodeId, term: Term): boolean {
    const before = this.#leadership
    this.#leadership = { role, leader, term }
    const isSame = role === 'leader' && term === before.term
    if (before.role === 'leader' && !isSame) this.#writes.onLeadershipLost()
    const isNew = leader !== before.leader || (leader !== NONE && term !== before.term)
    if (isNew && leader !== NONE) this.#reads.onLeaderChange()
    return isNew
  }

  /** The way to the leader is new: what is unanswered goes there again. */
  onNewWay(): void {
    this.#writes.onNewWay()
  }

  tick(now: number): void {
    this.#reads.tick(now)
    this.#writes.tick(now)
  }

  /** Nothing is served any more: every call fails with `error`. */
  end(error: unknown): void {
    this.#writes.end(error)
    this.#reads.end(error)
  }

  /** The last call has ended: what was held for reads is let go. */
  close(): void {
    this.#reader.onApplied()
  }

  #newReader(): LocalReader {
    const { driver, storage } = this.#parts
    const ports = this.#ports
    return new LocalReader(storage.machine, {
      repair: () => ports.repair(),
      own: (work) => driver.own(work),
      circumstances: () => ({
        servedBy: storage.identity.id,
        role: this.#leadership.role,
        stalenessMs: undefined,
      }),
    })
  }

  #newReads(): Reads {
    const { env, options, storage, driver } = this.#parts
    const { machine } = storage
    const hasLeader = () => this.#leadership.leader !== NONE
    return new Reads(
      env.time,
      {
        get appliedIndex() {
          // Reads wait while the database is being opened again.
          return machine.isOpen ? machine.appliedIndex : -1
        },
        get hasLeader() {
          return hasLeader()
        },
        wake: () => driver.wake(),
        requestReadIndex: (token) => driver.step({ type: 'readIndex', token }),
        serve: (read) => this.#reader.serve(read),
      },
      options.limits.maxPendingReads,
    )
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
