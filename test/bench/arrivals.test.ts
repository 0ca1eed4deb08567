import assert from 'node:assert/strict'
import { test } from 'node:test'
import { awaitArrivals, sendArrivals } from '../../bench/arrivals.js'
import { gapMs, type OpenLoad } from '../../bench/pace.js'
import type { Operations } from '../../bench/workload.js'

/** The arrivals of a load that are due after `fromMs`. */
function dueAfter(load: OpenLoad, fromMs: number): number {
  let due = 0
  for (let at = gapMs(load, 0), i = 1; at < load.warmUpMs + load.ms; at += gapMs(load, i++)) {
    if (at >= fromMs) due++
  }
  return due
}

test('every operation of a load is begun once in the other process, and counts after the warm-up', async () => {
  const load: OpenLoad = { perSecond: 2_000, warmUpMs: 50, ms: 100, seed: 3 }
  let begun = 0
  const operations: Operations = {
    next: () => 'put',
    run: async () => begun++,
  }
  const { port, result } = await awaitArrivals(load, operations)
  const lateness = await sendArrivals(port, load)
  const { latency, dropped, errors } = await result
  assert.equal(begun, dueAfter(load, 0))
  assert.equal(lateness.count, dueAfter(load, load.warmUpMs))
  // The listener counts from the first arrival that it hears of, the generator from when it began.
  assert.ok(Math.abs(latency.all.count - lateness.count) <= 10)
  assert.deepEqual({ dropped, errors }, { dropped: 0, errors: {} })
})
