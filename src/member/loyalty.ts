/**
 * When strong reads may count on a lease (raft/lease.ts), which is opt-in: `strongReads: 'lease'`.
 *
 * A lease rests on two things that the core cannot see. All voters have to keep their loyalty for as long as this
 * leader believes: each says so first on every connection, before any answer that could extend a lease, and a voter
 * that has not, or promises less, ends the trust. And no time may pass uncounted: the core counts ticks, and a pause of
 * the process, a tick that is skipped or a machine that was suspended passes without any. So before every read, and at
 * every tick, what has really passed since the last one is looked at, on the clock for intervals and on the wall clock,
 * whichever says more; a whole tick too much voids the lease (traps T-45, T-46).
 *
 * What is left is the assumption that clocks of members run at about the same speed, within some percent.
 */
import type { Time } from '../env/time.js'
import type { Input, NodeId } from '../raft/types.js'
import { encodeLoyalty } from '../wire/loyalty.js'

/** What trust in a lease depends on. */
export interface LoyaltyPorts {
  readonly time: Time
  readonly self: NodeId
  voters(): readonly NodeId[]
  /** When the next tick is due. */
  dueAt(): number
  step(input: Input): void
  /** Lost when there is no connection. */
  sendLoyalty(to: NodeId, body: Buffer): void
}

/** Raft's clock, in milliseconds and ticks. */
export interface LoyaltyClock {
  readonly tickMs: number
  readonly electionTicks: number
  /** Whether this member promises loyalty, and uses leases while it leads. */
  readonly isPromised: boolean
}

/** See the file's comment. */
export class Loyalty {
  readonly #ports: LoyaltyPorts
  readonly #tickMs: number
  /** What is really promised by so many ticks of loyalty: the first and the last of them may be short. */
  readonly #ownMs: number
  readonly #isPromised: boolean
  readonly #told = new Map<NodeId, number>()
  /** Undefined before it was asked about for the first time. */
  #isTrusted: boolean | undefined
  #wallAtTick: number

  constructor(ports: LoyaltyPorts, { tickMs, electionTicks, isPromised }: LoyaltyClock) {
    this.#ports = ports
    this.#tickMs = tickMs
    this.#ownMs = Math.max(0, electionTicks - 2) * tickMs
    this.#isPromised = isPromised
    this.#wallAtTick = ports.time.wall()
  }

  /** For how long this member votes for nobody else after it has heard from a leader; 0: it promises nothing. */
  get promisedMs(): number {
    return this.#isPromised ? this.#ownMs : 0
  }

  /** A connection to `node` is new: nothing else goes before this. */
  onPeerUp(node: NodeId): void {
    this.#ports.sendLoyalty(node, encodeLoyalty(this.promisedMs))
  }

  /** `from` is loyal for so long. */
  onTold(from: NodeId, ms: number): void {
    this.#told.set(from, ms)
    this.review()
  }

  /** Voters may be others than before. */
  review(): void {
    if (!this.#isPromised) return
    const isTrusted = this.#ports
      .voters()
      .every((node) => node === this.#ports.self || (this.#told.get(node) ?? 0) >= this.#ownMs)
    if (isTrusted === this.#isTrusted) return
    this.#isTrusted = isTrusted
    this.#ports.step({ type: 'lease', is: isTrusted ? 'trusted' : 'untrusted' })
  }

  /** A tick came, `late` ms after it was due. */
  onTick(late: number): void {
    if (this.#isPromised) this.#count(late)
    this.#wallAtTick = this.#ports.time.wall()
  }

  /** To be called before the core is asked about a strong read. */
  beforeRead(): void {
    if (!this.#isPromised) return
    if (this.#isTrusted === undefined) this.review()
    this.#count(this.#ports.time.now() - this.#ports.dueAt())
  }

  #count(late: number): void {
    const lateOnWall = this.#ports.time.wall() - this.#wallAtTick - this.#tickMs
    if (Math.max(late, lateOnWall) < this.#tickMs) return
    this.#ports.step({ type: 'lease', is: 'void' })
  }
}
