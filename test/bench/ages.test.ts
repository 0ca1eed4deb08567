import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { agesOf, consistentAfter } from '../../bench/ages.js'
import type { Acknowledged, Seen } from '../../bench/sequence.js'

const WRITES: readonly Acknowledged[] = [
  [1, 100, 11],
  [2, 110, 12],
  [3, 120, 13],
]

test('a read is as old as the first acknowledged write that it does not see', () => {
  const reads: readonly Seen[] = [
    [50, 0, 10],
    [105, 1, 11],
    [115, 1, 11],
    [125, 1, 11],
    [125, 3, 13],
    [126, 9, 20],
  ]
  assert.deepEqual(agesOf(WRITES, reads), [
    { ms: 0, entries: 0 },
    { ms: 5, entries: 1 },
    { ms: 15, entries: 2 },
    { ms: 0, entries: 0 },
    { ms: 0, entries: 0 },
  ])
})

test('acknowledgements out of order count from the earliest that is not seen', () => {
  const writes: readonly Acknowledged[] = [
    [2, 100, 12],
    [1, 105, 11],
    [3, 110, 13],
  ]
  assert.deepEqual(agesOf(writes, [[120, 0, 10]]), [{ ms: 20, entries: 3 }])
  assert.deepEqual(agesOf(writes, [[120, 1, 11]]), [{ ms: 20, entries: 2 }])
  assert.deepEqual(agesOf(writes, [[120, 2, 12]]), [{ ms: 10, entries: 1 }])
})

test('ages are those of the definition, whatever is read when', () => {
  const write = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 200 }))
  const read = fc.tuple(fc.integer({ min: 0, max: 250 }), fc.integer({ min: 0, max: 40 }))
  fc.assert(
    fc.property(
      fc.uniqueArray(write, { selector: ([number]) => number, minLength: 1 }),
      fc.array(read),
      (numbers, readings) => {
        const writes = numbers.map(([number, at]): Acknowledged => [number, at, number])
        const reads = readings.map(([at, number]): Seen => [at, number, number])
        const first = Math.min(...writes.map(([, at]) => at))
        const expected = [...reads]
          .sort(([a], [b]) => a - b)
          .filter(([at]) => at >= first)
          .map(([at, seen]) => {
            const known = writes.filter(([, ackedAt]) => ackedAt <= at)
            const unseen = known.filter(([number]) => number > seen).map(([, ackedAt]) => ackedAt)
            const last = Math.max(...known.map(([number]) => number))
            const ms = unseen.length === 0 ? 0 : at - Math.min(...unseen)
            return { ms, entries: Math.max(0, last - seen) }
          })
        assert.deepEqual(agesOf(writes, reads), expected)
      },
    ),
  )
})

test('the probability of consistency rises to one as time passes', () => {
  const curve = consistentAfter([0, 0, 3, 20].map((ms) => ({ ms, entries: 0 })))
  const at = (ms: number) => curve.find(([after]) => after === ms)?.[1]
  assert.deepEqual([at(0), at(3), at(10), at(20)], [0.5, 0.75, 0.75, 1])
})
