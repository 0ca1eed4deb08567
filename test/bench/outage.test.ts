import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gapOf, quantileOf, timelineOf } from '../../bench/outage.js'

const FAULT = { begunAt: 1000, watchedUntil: 3000 }

test('a gap is the longest time without an answer from the fault on', () => {
  const before = [900, 990]
  assert.equal(gapOf([...before, 1010, 1400, 1410, 2990], FAULT), 1580)
  assert.equal(gapOf([...before, 1300, 1600, 1900, 2300, 2700], FAULT), 400)
})

test('what lasts until nobody looked any more is as long as was looked, and no longer', () => {
  assert.equal(gapOf([900, 990, 1500], FAULT), 1500)
  assert.equal(gapOf([], FAULT), 2000)
  assert.equal(gapOf([1500, 9000], FAULT), 1500)
})

test('what was answered long before the fault is no gap of it', () => {
  const every100 = Array.from({ length: 19 }, (_, i) => 1100 + i * 100)
  assert.equal(gapOf([10, ...every100], FAULT), 100)
})

test('a timeline is in answers per second, before and after the fault', () => {
  const answeredAt = [700, 710, 720, 1200]
  const timeline = timelineOf([{ answeredAt, fault: FAULT }])
  const at = (ms: number) => timeline.find(([since]) => since === ms)?.[1]
  assert.equal(at(-300), 60)
  assert.equal(at(200), 20)
  assert.equal(at(0), 0)
  assert.deepEqual(timeline[0], [-500, 0])
})

test('a quantile is one of the values', () => {
  assert.equal(quantileOf([3, 1, 2], 0.5), 2)
  assert.equal(quantileOf([3, 1, 2], 0.99), 3)
  assert.equal(quantileOf([5], 0.01), 5)
})
