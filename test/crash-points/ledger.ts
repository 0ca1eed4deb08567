/** What the callers of a workload know: what they asked for, and what they were told. */
import { StoreError } from '../../src/base/errors.js'
import type { HardState } from '../../src/raft/types.js'
import type { Store } from '../../src/store/store.js'

/** The ledger at one moment; never changes. */
export interface Known {
  /** By key the newest number that was acknowledged, and the newest that was asked for. */
  readonly acknowledged: ReadonlyMap<string, number>
  readonly asked: ReadonlyMap<string, number>
  /** The memberships that may be in force; empty when the workload has no members to speak of. */
  readonly memberships: readonly string[]
  /** Terms and votes that are durable, by machine. */
  readonly votes: ReadonlyMap<string, HardState>
  /** What else was told to have been done. */
  readonly done: ReadonlySet<string>
}

/** Every second key is written together with the one named so: both or neither. */
export const TWIN = '+'

const LARGEST_EVERY = 23
const LARGEST_BYTES = 70_000

/** The value of a number: its size is drawn from it, now and then beyond a segment. */
export function textOf(number: number): string {
  const bytes = number % LARGEST_EVERY === 0 ? LARGEST_BYTES : (number * 97) % 3000
  return `${number} ${'x'.repeat(bytes)}`
}

/** See the file's comment. Each key has one writer, which waits for its answer. */
export class Ledger {
  /** The memberships that may be in force from now on. */
  memberships: readonly string[] = []
  readonly #done = new Set<string>()
  readonly #acknowledged = new Map<string, number>()
  readonly #asked = new Map<string, number>()
  #last = 0

  /** This moment. */
  known(votes: ReadonlyMap<string, HardState>): Known {
    return {
      acknowledged: new Map(this.#acknowledged),
      asked: new Map(this.#asked),
      memberships: this.memberships,
      votes: new Map(votes),
      done: new Set(this.#done),
    }
  }

  /** Something else was done, durably. */
  note(what: string): void {
    this.#done.add(what)
  }

  /** Writes the next number to `key`; true when it was acknowledged. Operating errors leave it unknown. */
  async write(store: Store, key: string, timeoutMs: number): Promise<boolean> {
    const number = ++this.#last
    const keys = number % 2 === 0 ? [key, key + TWIN] : [key]
    for (const each of keys) this.#asked.set(each, number)
    const puts = keys.map((each) => ({ type: 'put' as const, key: each, value: textOf(number) }))
    try {
      await store.batch(puts, { timeoutMs })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      return false
    }
    for (const each of keys) this.#acknowledged.set(each, number)
    return true
  }
}
