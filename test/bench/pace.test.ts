import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OpenLoop } from '../../bench/open-loop.js'
import { gapMs, type OpenLoad, sharedNow } from '../../bench/pace.js'
import type { Operations } from '../../bench/workload.js'
import { StoreError } from '../../src/index.js'

const LOAD: OpenLoad = { perSecond: 500, warmUpMs: 0, ms: 1000, seed: 7 }

test('gaps between arrivals are exponential: their mean and their deviation are both the period', () => {
  const gaps = Array.from({ length: 20_000 }, (_, i) => gapMs(LOAD, i))
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
  const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length
  assert.ok(Math.abs(mean - 2) < 0.05, `mean ${mean}`)
  assert.ok(Math.abs(Math.sqrt(variance) - 2) < 0.1, `deviation ${Math.sqrt(variance)}`)
})

test('the same seed gives the same arrivals, another seed others', () => {
  const of = (seed: number) => Array.from({ length: 20 }, (_, i) => gapMs({ ...LOAD, seed }, i))
  assert.deepEqual(of(7), of(7))
  assert.notDeepEqual(of(7), of(8))
})

test('latency counts from when an operation was due, not from when it was begun', async () => {
  const operations: Operations = { next: () => 'get', run: async () => undefined }
  const loop = new OpenLoop(LOAD, operations)
  const now = sharedNow()
  for (let i = 0; i < 10; i++) loop.begin(now - 200)
  const { latency, offeredPerSecond, dropped } = await loop.finish()
  assert.equal(offeredPerSecond, 10)
  assert.equal(dropped, 0)
  assert.equal(latency.get?.count, 10)
  assert.ok(latency.all.p50 >= 199, `a stall of 200 ms shows as ${latency.all.p50} ms`)
})

test('failures are counted by code and are no latencies; the warm-up counts as nothing', async () => {
  const load = { ...LOAD, warmUpMs: 100 }
  const refused = new StoreError('QUORATE_NO_LEADER', 'nobody leads')
  const operations: Operations = { next: () => 'put', run: () => Promise.reject(refused) }
  const loop = new OpenLoop(load, operations)
  const begun = sharedNow() - 150
  for (const after of [0, 50, 99, 100, 120]) loop.begin(begun + after)
  const { errors, latency, offeredPerSecond } = await loop.finish()
  assert.deepEqual(errors, { QUORATE_NO_LEADER: 2 })
  assert.equal(latency.all.count, 0)
  assert.equal(offeredPerSecond, 2)
})
