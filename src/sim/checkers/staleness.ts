/**
 * Bounded staleness, and how stale reads really were.
 *
 * A read is as stale as the oldest acknowledged write that it misses: the time from that write's answer to the
 * read's call, on the history's one clock. A read with `maxStalenessMs` must not be staler than that. What matters
 * is the index it was served at, whatever key it is of.
 */
import type { History, Read, ReadLevel, Write } from '../history.js'
import { type Answered, acknowledgedWrites, answeredReads, byAnswer, indexOf } from './answered.js'
import { describeCall, eventsOf } from './describe.js'
import type { Verdict } from './verdict.js'

/** The reads of one level. Lists are ascending, with an item for each read that named its index. */
export interface LevelStaleness {
  readonly reads: number
  /** Those that missed at least one acknowledged write. */
  readonly stale: number
  readonly stalenessMs: readonly number[]
  /** By how many entries the served index was behind the newest acknowledged write. */
  readonly lagEntries: readonly number[]
}

/** What was looked at. */
export interface StalenessObserved {
  readonly levels: Readonly<Record<ReadLevel, LevelStaleness>>
  /** Reads with a bound. */
  readonly bounded: number
  /** Reads with a bound that did not name their index: any makes the verdict `unknown`. */
  readonly withoutIndex: number
}

interface Measured {
  readonly read: Answered<Read>
  /** The oldest acknowledged write that the read misses. */
  readonly missed: Answered<Write> | undefined
  readonly stalenessMs: number
  readonly lagEntries: number
}

/** Whether reads kept their bounds. O(n log n). */
export function checkStaleness(history: History): Verdict<StalenessObserved> {
  const reads = answeredReads(history.calls)
  const measured = measure(history, reads)
  const bounded = reads.filter(({ operation }) => operation.maxStalenessMs !== undefined)
  const withoutIndex = bounded.filter((read) => indexOf(read) === undefined).length
  const observed: StalenessObserved = {
    levels: {
      strong: levelOf(measured, 'strong'),
      session: levelOf(measured, 'session'),
      eventual: levelOf(measured, 'eventual'),
    },
    bounded: bounded.length,
    withoutIndex,
  }
  const broken = measured.find(isTooStale)
  if (broken !== undefined) return { ...violationOf(broken), observed }
  if (withoutIndex > 0) {
    return { verdict: 'unknown', reason: `${withoutIndex} answers name no index`, observed }
  }
  return { verdict: 'ok', observed }
}

/** The value below or at which a share `q` (0 to 1) of an ascending list lies; 0 for an empty one. */
export function quantile(ascending: readonly number[], q: number): number {
  return ascending[Math.max(0, Math.ceil(q * ascending.length) - 1)] ?? 0
}

/** Compares each read with the writes that were acknowledged before it was called. */
function measure(history: History, reads: readonly Answered<Read>[]): Measured[] {
  const answers = byAnswer(acknowledgedWrites(history.calls)).filter(
    (w) => indexOf(w) !== undefined,
  )
  // The writes that were higher than all acknowledged before them: indexes and times both rise in it.
  const peaks: Answered<Write>[] = []
  let next = 0
  return reads.flatMap((read): Measured[] => {
    for (; next < answers.length && answers[next]!.outcome.at.i < read.invoked.i; next++) {
      const write = answers[next]!
      if (peaks.length === 0 || indexOf(write)! > indexOf(peaks.at(-1)!)!) peaks.push(write)
    }
    const served = indexOf(read)
    if (served === undefined) return []
    const missed = peaks[countUpTo(peaks, served)]
    return [
      {
        read,
        missed,
        stalenessMs: missed === undefined ? 0 : read.invoked.t - missed.outcome.at.t,
        lagEntries: missed === undefined ? 0 : indexOf(peaks.at(-1)!)! - served,
      },
    ]
  })
}

/** How many of `writes`, whose indexes rise, are at `index` or before it. */
function countUpTo(writes: readonly Answered<Write>[], index: number): number {
  let low = 0
  let high = writes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (indexOf(writes[middle]!)! <= index) low = middle + 1
    else high = middle
  }
  return low
}

function isTooStale({ read, stalenessMs }: Measured): boolean {
  return stalenessMs > (read.operation.maxStalenessMs ?? Number.POSITIVE_INFINITY)
}

function violationOf({ read, missed, stalenessMs }: Measured): {
  verdict: 'violation'
  rule: 'bounded-staleness'
  counterexample: string
  events: number[]
} {
  return {
    verdict: 'violation',
    rule: 'bounded-staleness',
    counterexample:
      `${describeCall(read)}; allowed to be ${read.operation.maxStalenessMs} ms old, it misses what was ` +
      `acknowledged ${stalenessMs} ms before it: ${describeCall(missed!)}`,
    events: [...eventsOf(missed!), ...eventsOf(read)],
  }
}

function levelOf(measured: readonly Measured[], level: ReadLevel): LevelStaleness {
  const ofLevel = measured.filter(({ read }) => read.operation.level === level)
  return {
    reads: ofLevel.length,
    stale: ofLevel.filter(({ missed }) => missed !== undefined).length,
    stalenessMs: ofLevel.map((one) => one.stalenessMs).sort((a, b) => a - b),
    lagEntries: ofLevel.map((one) => one.lagEntries).sort((a, b) => a - b),
  }
}
