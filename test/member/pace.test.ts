import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from '../../src/member/pace.js'

/** A leader whose log grows by `perTick` with every tick of 50 ms, up to `now`. */
function leader(now: number, perTick: number): Pace {
  const pace = new Pace()
  for (let at = 0; at <= now; at += 50) pace.note(at, (at / 50) * perTick)
  return pace
}

test('caught up is who has what the leader had a second ago', () => {
  const pace = leader(10_000, 1)
  assert.equal(pace.isCaughtUp(180, 200), true)
  assert.equal(pace.isCaughtUp(179, 200), false)
})

test('and at least 90 % of what it has now', () => {
  const burst = leader(10_000, 0)
  assert.equal(burst.isCaughtUp(0, 0), true)
  assert.equal(burst.isCaughtUp(89, 100), false, 'all of it came within the last second')
  assert.equal(burst.isCaughtUp(90, 100), true)
})

test('in a short log the few entries on their way are no tenth that is lacking', () => {
  const begun = leader(10_000, 0)
  assert.equal(begun.isCaughtUp(5, 6), true)
  assert.equal(begun.isCaughtUp(1, 9), true)
  assert.equal(begun.isCaughtUp(1, 10), false)
})

test('a leader of a moment knows only where it began', () => {
  const pace = new Pace()
  assert.equal(pace.isCaughtUp(99, 100), false)
  pace.note(0, 100)
  assert.equal(pace.isCaughtUp(99, 101), false)
  assert.equal(pace.isCaughtUp(100, 101), true)
  pace.reset()
  assert.equal(pace.isCaughtUp(100, 101), false)
})
