/**
 * Latencies in an HDR histogram (three figures), and what is told of them: plain data that crosses processes and files.
 */
import { createHistogram } from 'node:perf_hooks'

const NS_PER_MS = 1e6
const LONGEST_NS = 600e9

/** Quantiles of a curve: dense where users look, 40 to the decade of what is left in the tail. */
const CURVE: readonly number[] = [
  ...Array.from({ length: 10 }, (_, i) => i / 20),
  ...Array.from({ length: 81 }, (_, i) => 1 - 0.5 * 10 ** (-i / 20)),
]

/** A point of a curve. */
export type Point = readonly [x: number, y: number]

/** What is told of many latencies; all of them in milliseconds, NaN where nothing was recorded. */
export interface LatencySummary {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** Quantile (0 to 1) and latency; ends where a single operation would decide. */
  readonly curve: readonly Point[]
}

/** Latencies as they come in; recording costs some 150 ns. */
export class Latencies {
  readonly #histogram = createHistogram({ lowest: 1, highest: LONGEST_NS, figures: 3 })

  /** @param ms what is below a nanosecond counts as one, what is above ten minutes as ten minutes */
  record(ms: number): void {
    const ns = Math.round(ms * NS_PER_MS)
    this.#histogram.record(Math.min(LONGEST_NS, Math.max(1, ns)))
  }

  summary(): LatencySummary {
    const { count } = this.#histogram
    const at = (quantile: number): number =>
      count === 0
        ? Number.NaN
        : this.#histogram.percentile(Math.max(quantile * 100, 1e-6)) / NS_PER_MS
    const max = count === 0 ? Number.NaN : this.#histogram.max / NS_PER_MS
    return {
      count,
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max,
      curve: CURVE.filter((quantile) => (1 - quantile) * count >= 1).map((q) => [q, at(q)]),
    }
  }
}
