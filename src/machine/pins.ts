/**
 * Wishes for the state at exact indexes (architecture.md, "Images"): the batch that reaches one ends there.
 *
 * Pins are for images, which can be had at another index, too: beyond PINS_MAX waiting ones the oldest is given up.
 * Cuts are for views that were promised; whoever asks for them bounds them.
 */
import type { DatabaseSnapshot } from '../env/database.js'
import type { LogIndex } from '../raft/types.js'

/** So many pins wait at once. */
export const PINS_MAX = 16

type Taker = (snapshot: DatabaseSnapshot | undefined) => void

interface Pin {
  readonly index: LogIndex
  readonly resolve: Taker
}

/** A cut that waits for its index. */
export interface PendingCut<T> {
  /** Undefined when the state never stands there, or the cut was dropped. */
  readonly coming: Promise<T | undefined>
  /** Nobody wants it any more: an index that never comes keeps nothing. Once it has come this does nothing. */
  drop(): void
}

/** All pins and cuts of one state machine that wait for their index. */
export class Pins {
  #waiting: Pin[] = []
  readonly #cuts = new Map<LogIndex, Taker[]>()

  /** Waits for `settle` at `index`; undefined when the state never stands there. */
  add(index: LogIndex): Promise<DatabaseSnapshot | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push({ index, resolve })
      if (this.#waiting.length > PINS_MAX) this.#waiting.shift()!.resolve(undefined)
    })
  }

  /** The same for a cut. */
  addCut(index: LogIndex): PendingCut<DatabaseSnapshot> {
    let take: Taker = () => undefined
    const coming = new Promise<DatabaseSnapshot | undefined>((resolve) => {
      take = resolve
    })
    const takers = this.#cuts.get(index)
    if (takers === undefined) this.#cuts.set(index, [take])
    else takers.push(take)
    return { coming, drop: () => this.#dropCut(index, take) }
  }

  #dropCut(index: LogIndex, take: Taker): void {
    const others = this.#cuts.get(index)?.filter((taker) => taker !== take) ?? []
    if (others.length > 0) this.#cuts.set(index, others)
    else this.#cuts.delete(index)
    take(undefined)
  }

  /** Whether a batch has to end at `index`. */
  has(index: LogIndex): boolean {
    if (this.#cuts.size > 0 && this.#cuts.has(index)) return true
    return this.#waiting.length > 0 && this.#waiting.some((pin) => pin.index === index)
  }

  /** The state stands at `index`, and `take` fixes it. */
  settle(index: LogIndex, take: () => DatabaseSnapshot): void {
    if (this.#waiting.length > 0) {
      const reached = this.#waiting.filter((pin) => pin.index <= index)
      this.#waiting = this.#waiting.filter((pin) => pin.index > index)
      for (const pin of reached) pin.resolve(pin.index === index ? take() : undefined)
    }
    for (const [at, takers] of this.#cuts) {
      if (at > index) continue
      this.#cuts.delete(at)
      for (const resolve of takers) resolve(at === index ? take() : undefined)
    }
  }

  /** The state goes nowhere any more. */
  end(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const pin of waiting) pin.resolve(undefined)
    for (const takers of this.#cuts.values()) for (const resolve of takers) resolve(undefined)
    this.#cuts.clear()
  }
}
