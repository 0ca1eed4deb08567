/** What the answers around a fault say: how long nothing was answered, and how many were answered when. */
import type { Point } from './latencies.js'

/** A fault, and when its effects had been looked at for long enough. */
export interface Fault {
  readonly begunAt: number
  readonly watchedUntil: number
}

/** So long before a fault a timeline begins. */
const BEFORE_MS = 500
const BUCKET_MS = 50

/**
 * The longest time without an answer that reaches into the fault: from the last answer before it, or a later one, to
 * the next. Nothing after it counts as lasting until the end.
 * @param answeredAt rising
 */
export function gapOf(answeredAt: readonly number[], { begunAt, watchedUntil }: Fault): number {
  let longest = 0
  let last = begunAt
  for (const at of answeredAt) {
    if (at < begunAt) continue
    if (at > watchedUntil) break
    longest = Math.max(longest, at - last)
    last = at
  }
  return Math.max(longest, watchedUntil - last)
}

/** Answers per second by the time since the fault began, as a mean over several faults. */
export function timelineOf(
  events: readonly { readonly answeredAt: readonly number[]; readonly fault: Fault }[],
): Point[] {
  const longest = Math.max(0, ...events.map(({ fault }) => fault.watchedUntil - fault.begunAt))
  const buckets = Math.ceil((BEFORE_MS + longest) / BUCKET_MS)
  const counts = new Array<number>(buckets).fill(0)
  for (const { answeredAt, fault } of events) {
    for (const at of answeredAt) {
      const bucket = Math.floor((at - fault.begunAt + BEFORE_MS) / BUCKET_MS)
      if (bucket >= 0 && bucket < buckets && at <= fault.watchedUntil) counts[bucket]!++
    }
  }
  return counts.map((count, i) => {
    const since = i * BUCKET_MS - BEFORE_MS
    const watched = events.filter(({ fault }) => fault.watchedUntil - fault.begunAt > since).length
    return [since, watched === 0 ? 0 : (count * 1000) / BUCKET_MS / watched]
  })
}

/** The value below which the share `quantile` of `values` lies: the smallest such of them. */
export function quantileOf(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? Number.NaN
}
