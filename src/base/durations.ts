/**
 * How long something took, over and over: an HDR histogram for its percentiles, counts below fixed bounds for
 * whoever adds up several processes, and the slowest since somebody looked.
 *
 * Recording costs some 50 ns and allocates nothing; one histogram has about 25 KiB, from its first value on. Values
 * come from the clock of whoever records, so this is as deterministic as that clock.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** Durations in milliseconds, since the start; all 0 while there are none. */
export interface DurationSummary {
  readonly count: number
  readonly min: number
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  readonly sum: number
  /** How many took at most so many milliseconds, in ascending order; those above the last bound are only in `count`. */
  readonly buckets: readonly { readonly le: number; readonly count: number }[]
}

/** Two figures: percentiles are right to one part in a hundred. */
const FIGURES = 2
/** An hour, in microseconds; what takes longer counts as so much. */
const LONGEST_US = 3_600_000_000
const BOUNDS_MS: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000,
]

/** See the file's comment. */
export class Durations {
  #histogram: RecordableHistogram | undefined
  /** By bound, not cumulative. */
  readonly #counts: number[] = BOUNDS_MS.map(() => 0)
  #sumMs = 0
  #slowestMs = 0

  /** Takes one duration; a negative one counts as none. */
  record(ms: number): void {
    this.#histogram ??= createHistogram({ lowest: 1, highest: LONGEST_US, figures: FIGURES })
    this.#histogram.record(Math.min(LONGEST_US, Math.max(1, Math.round(ms * 1000))))
    this.#sumMs += Math.max(0, ms)
    if (ms > this.#slowestMs) this.#slowestMs = ms
    let bound = 0
    while (bound < BOUNDS_MS.length && ms > BOUNDS_MS[bound]!) bound++
    if (bound < BOUNDS_MS.length) this.#counts[bound]!++
  }

  /** The slowest since the last call of this, in milliseconds; 0 when there was none. */
  takeSlowest(): number {
    const slowest = this.#slowestMs
    this.#slowestMs = 0
    return slowest
  }

  summary(): DurationSummary {
    const histogram = this.#histogram
    let below = 0
    const buckets = BOUNDS_MS.map((le, i) => {
      below += this.#counts[i]!
      return { le, count: below }
    })
    const at = (percentile: number): number => (histogram?.percentile(percentile) ?? 0) / 1000
    return {
      count: histogram?.count ?? 0,
      min: (histogram?.min ?? 0) / 1000,
      mean: (histogram?.mean ?? 0) / 1000,
      p50: at(50),
      p90: at(90),
      p99: at(99),
      p999: at(99.9),
      max: (histogram?.max ?? 0) / 1000,
      sum: this.#sumMs,
      buckets,
    }
  }
}
