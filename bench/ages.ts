/** How old what was read was: from the writes that were acknowledged before. */
import type { Point } from './latencies.js'
import { quantileOf } from './outage.js'
import type { Acknowledged, Seen } from './sequence.js'

/** The age of one read. */
export interface Age {
  /** Since the first acknowledged write that it did not see; 0 when it saw all that were acknowledged before it. */
  readonly ms: number
  /** How many entries of the log the state lacked of those that hold acknowledged writes. */
  readonly entries: number
}

/** The age of each read that was begun after the first acknowledgement. */
export function agesOf(writes: readonly Acknowledged[], reads: readonly Seen[]): Age[] {
  const byAck = [...writes].sort(([, a], [, b]) => a - b)
  const byRead = [...reads].sort(([a], [b]) => a - b)
  const ages: Age[] = []
  // Acknowledgements may come out of order: what counts is the first of those not seen.
  const unseen: Acknowledged[] = []
  let next = 0
  let lastIndex = 0
  for (const [at, number, appliedIndex] of byRead) {
    for (; next < byAck.length && byAck[next]![1] <= at; next++) {
      unseen.push(byAck[next]!)
      lastIndex = Math.max(lastIndex, byAck[next]![2])
    }
    if (lastIndex === 0) continue
    // A reader that moves between members may see less than before: nothing is thrown away, only looked past.
    const first = firstNotSeen(unseen, number)
    ages.push({
      ms: first === undefined ? 0 : at - first[1],
      entries: Math.max(0, lastIndex - appliedIndex),
    })
  }
  return ages
}

/** Looks from the end: what is not seen is nearly always among the last. */
function firstNotSeen(
  acknowledged: readonly Acknowledged[],
  seen: number,
): Acknowledged | undefined {
  let first: Acknowledged | undefined
  for (let i = acknowledged.length - 1; i >= 0; i--) {
    const each = acknowledged[i]!
    if (each[0] > seen) first = each
    else if (each[0] <= seen - REORDERED_MAX) break
  }
  return first
}

/** Acknowledgements are out of order by less than the writer has under way. */
const REORDERED_MAX = 1_000

const AFTER_MS = [0, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000]
const QUANTILES = Array.from({ length: 100 }, (_, i) => (i + 1) / 100)

/** So long after its acknowledgement, the share of reads that saw a write. */
export function consistentAfter(ages: readonly Age[]): Point[] {
  return AFTER_MS.map((ms) => [
    ms,
    ages.filter((age) => age.ms <= ms).length / Math.max(1, ages.length),
  ])
}

/** The distribution of values, as quantiles. */
export function distributionOf(values: readonly number[]): Point[] {
  const sorted = [...values].sort((a, b) => a - b)
  return QUANTILES.map((quantile) => [quantile, quantileOf(sorted, quantile)])
}
