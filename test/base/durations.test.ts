import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Durations } from '../../src/base/durations.js'

function recorded(values: readonly number[]): Durations {
  const durations = new Durations()
  for (const ms of values) durations.record(ms)
  return durations
}

test('percentiles are right to one part in a hundred, down to a microsecond', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 3_000_000, noNaN: true }), { minLength: 1 }),
      (values) => {
        const { count, p50, p99, max, mean } = recorded(values).summary()
        const sorted = values.toSorted((a, b) => a - b)
        const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1]!
        const isNear = (found: number, wanted: number): boolean =>
          Math.abs(found - wanted) <= wanted / 100 + 0.001
        assert.equal(count, values.length)
        assert.ok(isNear(p50, at(0.5)), `p50 ${p50}, not ${at(0.5)}`)
        assert.ok(isNear(p99, at(0.99)), `p99 ${p99}, not ${at(0.99)}`)
        assert.ok(isNear(max, at(1)), `max ${max}, not ${at(1)}`)
        const sum = values.reduce((total, ms) => total + ms, 0)
        assert.ok(isNear(mean, sum / values.length), `mean ${mean}`)
      },
    ),
  )
})

test('each bucket counts all that took no longer than its bound', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 20_000, noNaN: true })), (values) => {
      const { buckets, sum } = recorded(values).summary()
      for (const { le, count } of buckets) {
        assert.equal(count, values.filter((ms) => ms <= le).length, `at most ${le} ms`)
      }
      assert.ok(Math.abs(sum - values.reduce((total, ms) => total + ms, 0)) < 1e-6)
    }),
  )
})

test('without a value everything is 0, and what is out of bounds does not throw', () => {
  const { count, min, mean, p50, max } = new Durations().summary()
  assert.deepEqual([count, min, mean, p50, max], [0, 0, 0, 0, 0])
  const odd = recorded([-5, 0, 1e12]).summary()
  assert.equal(odd.count, 3)
  assert.equal(odd.buckets.at(-1)?.count, 2)
  assert.ok(Math.abs(odd.max - 3_600_000) / 3_600_000 < 0.01, `${odd.max}`)
})

test('the slowest is that since the last look', () => {
  const durations = recorded([3, 7, 5])
  assert.equal(durations.takeSlowest(), 7)
  assert.equal(durations.takeSlowest(), 0)
  durations.record(2)
  assert.equal(durations.takeSlowest(), 2)
})
