/** Quorum arithmetic against definitions that are too simple to be wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { jointVote, majority, majorityIndex, majorityVote } from '../../src/raft/quorum.js'

/** The largest of `acked` that more than half have reached. */
function dumbIndex(acked: readonly number[]): number {
  if (acked.length === 0) return Number.POSITIVE_INFINITY
  const reached = (index: number) => acked.filter((value) => value >= index).length
  return Math.max(0, ...acked.filter((index) => reached(index) > acked.length / 2))
}

test('T-11 the commit index is what more than half have reached, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 9 }), fc.nat(5), (acked, spare) => {
      const scratch = [...acked, ...new Array(spare).fill(99)]
      assert.equal(majorityIndex(scratch, acked.length), dumbIndex(acked))
    }),
    { numRuns: 5_000 },
  )
})

test('the empty majority commits everything and wins every vote', () => {
  assert.equal(majorityIndex([], 0), Number.POSITIVE_INFINITY)
  assert.equal(majorityVote(0, 0, 0), 'won')
  for (const result of ['won', 'pending', 'lost'] as const) {
    assert.equal(jointVote(result, majorityVote(0, 0, 0)), result)
  }
})

test('two majorities of the same voters share one', () => {
  for (let count = 1; count < 20; count++) assert.ok(2 * majority(count) > count)
})

test('a vote is decided exactly when the votes still out cannot change it', () => {
  for (let count = 1; count < 9; count++) {
    for (let granted = 0; granted <= count; granted++) {
      for (let rejected = 0; granted + rejected <= count; rejected++) {
        const out = count - granted - rejected
        const best = granted + out > count / 2
        const worst = granted > count / 2
        const expected = worst ? 'won' : best ? 'pending' : 'lost'
        assert.equal(majorityVote(count, granted, rejected), expected)
      }
    }
  }
})

test('a joint vote is symmetric, and equal halves decide like one', () => {
  const results = ['won', 'pending', 'lost'] as const
  for (const a of results) {
    assert.equal(jointVote(a, a), a)
    for (const b of results) assert.equal(jointVote(a, b), jointVote(b, a))
  }
})
