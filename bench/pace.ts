/**
 * When operations of an open load begin: at times of their own (Poisson arrivals), whatever becomes of earlier ones.
 *
 * Latencies count from these intended times, so a stall costs all operations that should have begun in it, as it does
 * outside of benchmarks. Times are those of CLOCK_MONOTONIC, which all processes of a machine share. Node's timers
 * are a millisecond late in the median, so the process itself sleeps until a due time, and polls for the last moment:
 * it must have nothing else to do. How late it was all the same is its lateness; who is too late has measured itself.
 */
import { keyedU32 } from '../src/base/prng.js'
import { Latencies, type LatencySummary } from './latencies.js'

/** An open load. */
export interface OpenLoad {
  readonly perSecond: number
  /** Before what counts. */
  readonly warmUpMs: number
  readonly ms: number
  readonly seed: number
}

/** Sleeping ends so much late. */
const POLL_MS = 0.12
/** The event loop turns now and then: a socket must hear of its errors. */
const SLEEP_MS_MAX = 20
const TURN_EVERY = 16
const sleeper = new Int32Array(new SharedArrayBuffer(4))
const LATE_SHARE = 0.1
const LATE_FLOOR_MS = { p50: 0.1, p99: 1 }

/** Milliseconds on the clock that all processes of this machine share. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The gap before the arrival of this number: exponential, so that arrivals are a Poisson process. */
export function gapMs({ perSecond, seed }: OpenLoad, arrival: number): number {
  const uniform = (keyedU32(seed, arrival) + 1) / 0x1_0000_0001
  return (-Math.log(uniform) * 1000) / perSecond
}

/**
 * Calls `begin` with the due time of each arrival, as soon as it is due, until the load is over.
 * @returns the lateness of the calls that count
 */
export async function pace(
  load: OpenLoad,
  begin: (dueAt: number) => void,
): Promise<LatencySummary> {
  const lateness = new Latencies()
  const from = sharedNow()
  const end = from + load.warmUpMs + load.ms
  let arrival = 0
  let dueAt = from + gapMs(load, arrival++)
  while (dueAt < end) {
    for (let now = sharedNow(); dueAt > now; now = sharedNow()) {
      const ms = Math.min(SLEEP_MS_MAX, dueAt - now - POLL_MS)
      if (ms > 0) Atomics.wait(sleeper, 0, 0, ms)
    }
    begin(dueAt)
    if (dueAt >= from + load.warmUpMs) lateness.record(sharedNow() - dueAt)
    dueAt += gapMs(load, arrival++)
    if (arrival % TURN_EVERY === 0) await nextTurn()
  }
  return lateness.summary()
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * Whether a run says more about its generator than about what it loaded: at the median or at the 99th percentile, what
 * was begun late is more than a tenth of what was measured, and more than can be seen here.
 */
export function isTooLate(lateness: LatencySummary, latency: LatencySummary): boolean {
  return (
    lateness.p50 > Math.max(LATE_FLOOR_MS.p50, latency.p50 * LATE_SHARE) ||
    lateness.p99 > Math.max(LATE_FLOOR_MS.p99, latency.p99 * LATE_SHARE)
  )
}
