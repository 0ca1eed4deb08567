/**
 * Wishes for the state at exact indexes (architecture.md, "Images"): the batch that reaches one ends there.
 *
 * Bounded: beyond PINS_MAX waiting ones the oldest is given up.
 */
import type { DatabaseSnapshot } from '../env/database.js'
import type { LogIndex } from '../raft/types.js'

/** So many wait at once. */
export const PINS_MAX = 16

interface Pin {
  readonly index: LogIndex
  resolve(snapshot: DatabaseSnapshot | undefined): void
}

/** All pins of one state machine that wait for their index. */
export class Pins {
  #waiting: Pin[] = []

  /** Waits for `settle` at `index`; undefined when the state never stands there. */
  add(index: LogIndex): Promise<DatabaseSnapshot | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push({ index, resolve })
      if (this.#waiting.length > PINS_MAX) this.#waiting.shift()!.resolve(undefined)
    })
  }

  /** Whether a batch has to end at `index`. */
  has(index: LogIndex): boolean {
    return this.#waiting.length > 0 && this.#waiting.some((pin) => pin.index === index)
  }

  /** The state stands at `index`, and `take` fixes it. */
  settle(index: LogIndex, take: () => DatabaseSnapshot): void {
    if (this.#waiting.length === 0) return
    const reached = this.#waiting.filter((pin) => pin.index <= index)
    this.#waiting = this.#waiting.filter((pin) => pin.index > index)
    for (const pin of reached) pin.resolve(pin.index === index ? take() : undefined)
  }

  /** The state goes nowhere any more. */
  end(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const pin of waiting) pin.resolve(undefined)
  }
}
