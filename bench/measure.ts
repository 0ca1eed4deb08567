/**
 * How an operation is measured: a closed loop with a fixed number in flight, for a fixed time.
 *
 * A closed loop tells what the system can do, and how long a caller waits when callers wait for each other; it
 * hides what an outside load would wait during a stall (coordinated omission). So these figures compare systems
 * under the same loop, and are no promise about a load that arrives by itself.
 */
import { createHistogram } from 'node:perf_hooks'

/** What a measurement came to; NaN where nothing was done within its time. */
export interface Measurement {
  readonly perSecond: number
  readonly p50Us: number
  readonly p99Us: number
}

/** The share of the time that comes before, unmeasured. */
const WARM_UP_SHARE = 0.3
const NS_PER_MS = 1e6
const LATENCY_NS_MAX = 60e9

/** Operations that settle without waiting for anything would keep the event loop to themselves. */
const YIELD_EVERY_MS = 2

/** Runs `operation` with `inFlight` at a time for `ms`; each call counts as `weight` operations. */
export async function measure(
  inFlight: number,
  ms: number,
  weight: number,
  operation: () => Promise<unknown>,
): Promise<Measurement> {
  const window = new Window(ms)
  let yieldedAt = performance.now()
  let turn: Promise<void> | undefined
  const nextTurn = (): Promise<void> =>
    new Promise((resolve) => {
      setImmediate(() => {
        turn = undefined
        yieldedAt = performance.now()
        resolve()
      })
    })
  const work = async (): Promise<void> => {
    for (let begun = performance.now(); begun < window.end; ) {
      await operation()
      const now = performance.now()
      window.record(begun, now)
      begun = now
      if (now - yieldedAt < YIELD_EVERY_MS) continue
      // All of them wait for the same turn: the loop does not turn while one goes on.
      turn ??= nextTurn()
      await turn
      begun = performance.now()
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  return window.measurement(weight)
}

/** As `measure`, for an operation that blocks. */
export function measureSync(ms: number, operation: () => unknown): Measurement {
  const window = new Window(ms)
  for (let begun = performance.now(); begun < window.end; ) {
    operation()
    const now = performance.now()
    window.record(begun, now)
    begun = now
  }
  return window.measurement(1)
}

/** What completes within `ms` after the warm-up. */
class Window {
  readonly end: number
  readonly #ms: number
  readonly #from: number
  readonly #latencies = createHistogram({ lowest: 1, highest: LATENCY_NS_MAX, figures: 3 })

  constructor(ms: number) {
    this.#ms = ms
    this.#from = performance.now() + ms * WARM_UP_SHARE
    this.end = this.#from + ms
  }

  record(begun: number, ended: number): void {
    if (ended < this.#from || ended > this.end) return
    this.#latencies.record(Math.max(1, Math.round((ended - begun) * NS_PER_MS)))
  }

  measurement(weight: number): Measurement {
    if (this.#latencies.count === 0) {
      return { perSecond: Number.NaN, p50Us: Number.NaN, p99Us: Number.NaN }
    }
    return {
      perSecond: (this.#latencies.count * weight * 1000) / this.#ms,
      p50Us: this.#latencies.percentile(50) / 1000,
      p99Us: this.#latencies.percentile(99) / 1000,
    }
  }
}

/** The middle of `values`. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
