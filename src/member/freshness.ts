/**
 * How old the state of this member can be at most, proven on its own clock.
 *
 * Whoever sends a ReadIndex at t0 and hears index i knows: every write acknowledged before t0 is at i or before it. So
 * once i is applied, a state that is looked at later is at most as old as the time since t0. The moment of sending
 * counts and not that of the answer: between the two others may have written. One clock, so no skew.
 *
 * The clock for intervals stands still while a machine is suspended, and the wall clock may jump; what the two say has
 * passed differs then, and the larger counts. So a proof may look older than it is, and never younger.
 *
 * Invariant: proofs that wait for their index rise in time, and come after the one that holds.
 */
import type { Time } from '../env/time.js'
import type { LogIndex } from '../raft/types.js'

/** Proofs that wait for their index; the newest takes the place of the one before it beyond that. */
const WAITING_MAX = 16

/** The moment at which a ReadIndex was sent. */
export interface SendTime {
  readonly at: number
  readonly wall: number
}

/** A ReadIndex that was answered. */
export interface Proof {
  /** Rises with every round; says which of two was sent later. */
  readonly token: number
  readonly sent: SendTime
  readonly index: LogIndex
}

/** See the file's comment. */
export class Freshness {
  readonly #time: Time
  #holds: Proof | undefined
  #waiting: Proof[] = []

  constructor(time: Time) {
    this.#time = time
  }

  /** The token of the newest proof whose index is applied; 0 while there is none. */
  get token(): number {
    return this.#holds?.token ?? 0
  }

  /** A round was confirmed. Returns whether a newer proof holds now. */
  confirmed(proof: Proof, applied: LogIndex): boolean {
    const newest = this.#waiting.at(-1) ?? this.#holds
    if (newest !== undefined && newest.token >= proof.token) return false
    if (this.#waiting.length === WAITING_MAX) this.#waiting.pop()
    this.#waiting.push(proof)
    return this.onApplied(applied)
  }

  /** Everything up to `applied` is in the state. Returns whether a newer proof holds now. */
  onApplied(applied: LogIndex): boolean {
    let reached = 0
    while (reached < this.#waiting.length && this.#waiting[reached]!.index <= applied) reached++
    if (reached === 0) return false
    this.#holds = this.#waiting[reached - 1]
    this.#waiting.splice(0, reached)
    return true
  }

  /** Every write acknowledged so many ms ago is in the state that ends at `index`; undefined when nothing is proven. */
  ageMs(index: LogIndex): number | undefined {
    const proof = this.#holds
    if (proof === undefined || proof.index > index) return undefined
    const { at, wall } = proof.sent
    return Math.max(this.#time.now() - at, this.#time.wall() - wall)
  }
}
