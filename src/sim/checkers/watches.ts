/**
 * What watches promise: each gives exactly the changes of the committed log in its range, from where it began to where
 * it came.
 *
 *   order     positions rise: nothing comes twice, and nothing after what follows it
 *   gap       no entry of the log is left out between two positions
 *   cut       an entry comes with all of its changes in the range, in their order, and no others
 *   state     the state that a watch begins with is the replay up to its index
 *   unfinished  changes come after the last piece of a state, not in between
 *   uncommitted  a watch names no index that the log does not have
 */
import type { Change, Value } from '../history.js'
import { compareKeys } from '../history.js'
import { type CommittedLog, Replay } from './committed-log.js'
import type { Verdict } from './verdict.js'

/** Keys `gte <= key < lt`. */
export interface WatchedRange {
  readonly gte?: string
  readonly lt?: string
}

/** A change; `gone`: a put whose large value could not be had any more, because another change had replaced it. */
export type GivenChange = Change | { readonly type: 'gone'; readonly key: string }

/** What a watch gave, as src/store/watch.ts does; `reset` throws away what was known. */
export type WatchedItem =
  | {
      readonly type: 'state'
      readonly index: number
      readonly entries: readonly (readonly [key: string, value: Value])[]
      readonly isLast: boolean
    }
  | { readonly type: 'changes'; readonly index: number; readonly changes: readonly GivenChange[] }
  | { readonly type: 'progress'; readonly index: number }
  | { readonly type: 'reset'; readonly index: number }

/** One watch from its beginning to its end. */
export interface WatchRun {
  readonly range: WatchedRange
  /** Undefined: it began with a state. */
  readonly after: number | undefined
  readonly items: readonly WatchedItem[]
}

/** What was looked at. */
export interface WatchesObserved {
  readonly watches: number
  readonly entries: number
  readonly states: number
  readonly resets: number
}

interface Fault {
  readonly rule: 'order' | 'gap' | 'cut' | 'state' | 'unfinished' | 'uncommitted'
  readonly words: string
}

/** Whether all `runs` gave what the log says. O(items log entries), a state counting as the keys ever written. */
export function checkWatches(
  runs: readonly WatchRun[],
  log: CommittedLog,
): Verdict<WatchesObserved> {
  const items = runs.flatMap((run) => run.items)
  const count = (type: WatchedItem['type']) => items.filter((item) => item.type === type).length
  const observed: WatchesObserved = {
    watches: runs.length,
    entries: count('changes'),
    states: items.filter((item) => item.type === 'state' && item.isLast).length,
    resets: count('reset'),
  }
  const truth = new Truth(log)
  for (const [at, run] of runs.entries()) {
    const fault = new Walk(run, truth).run()
    if (fault === undefined) continue
    const counterexample = `watch ${at} of ${JSON.stringify(run.range)}: ${fault.words}`
    return { verdict: 'violation', rule: fault.rule, counterexample, events: [], observed }
  }
  return { verdict: 'ok', observed }
}

/** The log by index. */
class Truth {
  readonly lastIndex: number
  readonly replay: Replay
  readonly #changes = new Map<number, readonly Change[]>()
  readonly #indexes: readonly number[]

  constructor(log: CommittedLog) {
    this.lastIndex = log.lastIndex
    this.replay = new Replay(log)
    for (const { index, commands } of log.requests) {
      this.#changes.set(index, [...(this.#changes.get(index) ?? []), ...commands.flat()])
    }
    this.#indexes = [...this.#changes.keys()]
  }

  /** What the entry at `index` changed in `range`. */
  changesAt(index: number, range: WatchedRange): readonly Change[] {
    return (this.#changes.get(index) ?? []).filter(({ key }) => isWithin(key, range))
  }

  /** Whether an entry after `index` changed `key`. */
  isChangedAfter(key: string, index: number): boolean {
    return this.#indexes.some(
      (later) => later > index && this.changesAt(later, {}).some((change) => change.key === key),
    )
  }

  /** The first entry between two others that changed something in `range`. */
  firstBetween(after: number, before: number, range: WatchedRange): number | undefined {
    return this.#indexes.find(
      (index) => index > after && index < before && this.changesAt(index, range).length > 0,
    )
  }
}

/** Walks along one watch. */
class Walk {
  readonly #run: WatchRun
  readonly #truth: Truth
  /** Where it stands; undefined before its state is complete. */
  #position: number | undefined
  /** It never goes back before this, not even by a reset. */
  #floor = 0
  #pieces: (readonly [string, Value])[] = []
  #stateIndex: number | undefined

  constructor(run: WatchRun, truth: Truth) {
    this.#run = run
    this.#truth = truth
    this.#position = run.after
    this.#floor = run.after ?? 0
  }

  run(): Fault | undefined {
    for (const item of this.#run.items) {
      const fault = this.#take(item)
      if (fault !== undefined) return fault
      this.#floor = Math.max(this.#floor, item.index)
    }
    return undefined
  }

  #take(item: WatchedItem): Fault | undefined {
    const { index } = item
    if (item.type === 'reset') {
      this.#position = undefined
      return undefined
    }
    if (index > this.#truth.lastIndex) {
      return fault('uncommitted', `it names ${index}, the log ends at ${this.#truth.lastIndex}`)
    }
    if (item.type === 'state') return this.#takePiece(index, item.entries, item.isLast)
    if (this.#position === undefined || this.#stateIndex !== undefined) {
      return fault('unfinished', `${item.type} at ${index} before its state is complete`)
    }
    if (index < this.#position || (item.type === 'changes' && index === this.#position)) {
      return fault('order', `${item.type} at ${index} after ${this.#position}`)
    }
    return this.#moveTo(index, item.type === 'changes' ? item.changes : undefined)
  }

  #moveTo(index: number, given: readonly GivenChange[] | undefined): Fault | undefined {
    const { range } = this.#run
    const missed = this.#truth.firstBetween(this.#position!, index, range)
    if (missed !== undefined) {
      return fault('gap', `it went from ${this.#position} to ${index} without ${missed}`)
    }
    const position = this.#position!
    this.#position = index
    const expected = index === position ? [] : this.#truth.changesAt(index, range)
    if (given === undefined && expected.length > 0) {
      return fault('gap', `it went from ${position} to ${index} without ${index} itself`)
    }
    const known = given?.map((change, i) =>
      change.type === 'gone' && this.#isReplaced(change.key, index, expected.slice(i + 1))
        ? expected[i]
        : change,
    )
    if (known === undefined || JSON.stringify(known) === JSON.stringify(expected)) return undefined
    return fault(
      'cut',
      `${index} changed ${JSON.stringify(expected)}, it gave ${JSON.stringify(given)}`,
    )
  }

  /** Whether what the entry at `index` put under `key`, before `rest`, has given way to another change. */
  #isReplaced(key: string, index: number, rest: readonly Change[]): boolean {
    return rest.some((change) => change.key === key) || this.#truth.isChangedAfter(key, index)
  }

  #takePiece(
    index: number,
    entries: readonly (readonly [string, Value])[],
    isLast: boolean,
  ): Fault | undefined {
    if (index < this.#floor || (this.#stateIndex ?? index) !== index) {
      return fault('order', `a state at ${index} after ${this.#stateIndex ?? this.#floor}`)
    }
    if (this.#position !== undefined) return fault('order', `a state at ${index}, unasked for`)
    this.#stateIndex = index
    this.#pieces.push(...entries)
    if (!isLast) return undefined
    const expected = this.#stateAt(index)
    const found = this.#pieces
    this.#pieces = []
    this.#stateIndex = undefined
    this.#position = index
    if (JSON.stringify(found) === JSON.stringify(expected)) return undefined
    return fault(
      'state',
      `the state at ${index} is ${JSON.stringify(expected)}, it gave ${JSON.stringify(found)}`,
    )
  }

  /** In the order of the keys. */
  #stateAt(index: number): (readonly [string, Value])[] {
    const { replay } = this.#truth
    return [...replay.keys()]
      .filter((key) => isWithin(key, this.#run.range))
      .sort(compareKeys)
      .flatMap((key) => {
        const { value } = replay.versionAt(key, index)
        return value === null ? [] : [[key, value] as const]
      })
  }
}

function fault(rule: Fault['rule'], words: string): Fault {
  return { rule, words }
}

function isWithin(key: string, { gte, lt }: WatchedRange): boolean {
  if (gte !== undefined && compareKeys(key, gte) < 0) return false
  return lt === undefined || compareKeys(key, lt) < 0
}
