/**
 * A number that only grows, written under one key and read elsewhere: how old is what a reader sees?
 *
 * Both ends keep when they saw what, on the clock that all processes of the machine share.
 */
import type { Store } from '../src/index.js'
import { sharedNow } from './pace.js'

/** An acknowledged write: the number, when it was acknowledged, and its index in the log. */
export type Acknowledged = readonly [number: number, at: number, index: number]

/** A read: when it was begun, the number that it saw, and the applied index of the state that it saw. */
export type Seen = readonly [at: number, number: number, appliedIndex: number]

const KEY = 'sequence'
const WRITE_EVERY_MS = 5
const READ_EVERY_MS = 2
const TIMEOUT_MS = 10_000
/** An operation that hangs must not let the others pile up. */
const OUTSTANDING_MAX = 1_000

/** Writes the next number every few milliseconds, whatever became of the last one. Stop it. */
export class SequenceWriter {
  readonly #acknowledged: Acknowledged[] = []
  readonly #timer: NodeJS.Timeout
  #outstanding = 0
  #number = 0

  constructor(store: Store) {
    this.#timer = setInterval(() => {
      if (this.#outstanding >= OUTSTANDING_MAX) return
      this.#outstanding++
      const number = ++this.#number
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(number)
      store
        .put(KEY, bytes, { timeoutMs: TIMEOUT_MS })
        .then(
          ({ index }) => this.#acknowledged.push([number, sharedNow(), index]),
          // Not acknowledged: nobody may count on it.
          () => {},
        )
        .finally(() => this.#outstanding--)
    }, WRITE_EVERY_MS)
  }

  stop(): readonly Acknowledged[] {
    clearInterval(this.#timer)
    return [...this.#acknowledged]
  }
}

/** Reads the number at the level `eventual` every few milliseconds. Stop it. */
export class SequenceReader {
  readonly #seen: Seen[] = []
  readonly #timer: NodeJS.Timeout
  #outstanding = 0

  constructor(store: Store) {
    this.#timer = setInterval(() => {
      if (this.#outstanding >= OUTSTANDING_MAX) return
      this.#outstanding++
      const at = sharedNow()
      store
        .getWithMeta<Buffer>(KEY, { consistency: 'eventual', timeoutMs: TIMEOUT_MS })
        .then(
          ({ value, appliedIndex }) =>
            this.#seen.push([at, value === undefined ? 0 : value.readDoubleLE(0), appliedIndex]),
          // Not answered: nothing was seen.
          () => {},
        )
        .finally(() => this.#outstanding--)
    }, READ_EVERY_MS)
  }

  stop(): readonly Seen[] {
    clearInterval(this.#timer)
    return [...this.#seen]
  }
}
