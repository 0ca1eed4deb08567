/**
 * The committed log as the checkers see it, and the states it leads through.
 *
 * The log is the truth that calls are compared with: a simulation takes it from its state machines, a real cluster
 * from a dump. The state after index `i` is the replay of everything up to and including `i`; an entry's changes
 * become visible together.
 */
import type { Change, Found, Value } from '../history.js'

/** The client of requests that the leader itself made: what had expired is removed. */
export const THE_LEADER = '0000000000000000'

/** A client's request, as the state machine applied it. Those it refused as repeated are not listed. */
export interface AppliedRequest {
  /** The log index of its entry; several requests may share one. */
  readonly index: number
  readonly client: string
  /** The client's number for the request; of the leader's own, the index. */
  readonly seq: number
  /** Each command's changes; a command is atomic and stands for one write of the history. */
  readonly commands: readonly (readonly Change[])[]
}

/** Everything committed, from the first entry on. */
export interface CommittedLog {
  /** In the order of application. */
  readonly requests: readonly AppliedRequest[]
  readonly lastIndex: number
}

/** What a key held from `index` on. */
export interface Version {
  readonly index: number
  readonly value: Found
}

const NOTHING: Version = { index: 0, value: null }

/** Every state that the log leads through; built in O(changes), a question costs a binary search per key. */
export class Replay {
  readonly lastIndex: number
  readonly #versions = new Map<string, Version[]>()

  /** @throws {RangeError} when the requests are not in the order of the log */
  constructor(log: CommittedLog) {
    this.lastIndex = log.lastIndex
    let last = 0
    for (const { index, commands } of log.requests) {
      if (index < last || index > log.lastIndex) throw new RangeError(`index ${index} out of order`)
      last = index
      for (const change of commands.flat()) this.#apply(index, change)
    }
  }

  /** Every key that was ever written. */
  keys(): Iterable<string> {
    return this.#versions.keys()
  }

  /** What `key` holds after `index`. */
  versionAt(key: string, index: number): Version {
    const versions = this.#versions.get(key) ?? []
    return versions[countUpTo(versions, index) - 1] ?? NOTHING
  }

  /**
   * The ranges `[from, to)` of indexes after which `key` holds `value`, rising. A value that its own entry replaced
   * has an empty one.
   */
  rangesOf(key: string, value: Found): [from: number, to: number][] {
    const versions = [NOTHING, ...(this.#versions.get(key) ?? [])]
    return versions.flatMap((version, at): [number, number][] => {
      const end = versions[at + 1]?.index ?? Number.POSITIVE_INFINITY
      return version.value === value ? [[version.index, end]] : []
    })
  }

  /** The last state by key. */
  finalState(): Map<string, Value> {
    const state = new Map<string, Value>()
    for (const key of this.#versions.keys()) {
      const { value } = this.versionAt(key, this.lastIndex)
      if (value !== null) state.set(key, value)
    }
    return state
  }

  #apply(index: number, change: Change): void {
    const version = { index, value: change.type === 'put' ? change.value : null }
    const versions = this.#versions.get(change.key)
    if (versions === undefined) this.#versions.set(change.key, [version])
    else versions.push(version)
  }
}

/** How many of `versions` are at `index` or before it. */
function countUpTo(versions: readonly Version[], index: number): number {
  let low = 0
  let high = versions.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (versions[middle]!.index <= index) low = middle + 1
    else high = middle
  }
  return low
}
