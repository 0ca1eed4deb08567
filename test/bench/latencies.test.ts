import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Latencies } from '../../bench/latencies.js'

test('quantiles are right to three figures, and the curve ends where single operations decide', () => {
  const latencies = new Latencies()
  for (let i = 1; i <= 1000; i++) latencies.record(i / 10)
  const { count, p50, p90, p99, max, curve } = latencies.summary()
  assert.equal(count, 1000)
  for (const [found, expected] of [
    [p50, 50],
    [p90, 90],
    [p99, 99],
    [max, 100],
  ] as const) {
    assert.ok(Math.abs(found / expected - 1) < 0.002, `${found} instead of ${expected}`)
  }
  assert.ok(curve.every(([q]) => 1 - q >= 1 / 1000))
  assert.ok(curve.every(([, ms], i) => i === 0 || ms >= curve[i - 1]![1]))
})

test('without operations there is no latency, not a latency of zero', () => {
  const { count, p50, max, curve } = new Latencies().summary()
  assert.deepEqual([count, curve], [0, []])
  assert.ok(Number.isNaN(p50) && Number.isNaN(max))
})
