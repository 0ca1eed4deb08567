import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Time } from '../../src/env/time.js'
import { Freshness } from '../../src/member/freshness.js'

/** Two clocks that are set by hand. */
function clocks(): { at: number; wall: number; freshness: Freshness } {
  const set = { at: 0, wall: 0 }
  const time = { now: () => set.at, wall: () => set.wall } as Time
  return Object.assign(set, { freshness: new Freshness(time) })
}

const sent = (at: number) => ({ at, wall: at })

test('nothing is known before a proof, nor of a state that ends before its index', () => {
  const { freshness } = clocks()
  assert.equal(freshness.ageMs(10), undefined)
  assert.equal(freshness.confirmed({ token: 1, sent: sent(0), index: 5 }, 5), true)
  assert.equal(freshness.ageMs(5), 0)
  assert.equal(freshness.ageMs(4), undefined)
})

test('a proof holds once its index is applied, and counts from when it was sent', () => {
  const set = clocks()
  set.at = set.wall = 100
  assert.equal(set.freshness.confirmed({ token: 1, sent: sent(20), index: 5 }, 4), false)
  assert.equal(set.freshness.ageMs(4), undefined)
  assert.equal(set.freshness.onApplied(5), true)
  assert.equal(set.freshness.ageMs(5), 80)
  assert.equal(set.freshness.onApplied(6), false)
})

test('a proof that was sent earlier does not take the place of a newer one', () => {
  const { freshness } = clocks()
  freshness.confirmed({ token: 3, sent: sent(0), index: 5 }, 5)
  assert.equal(freshness.confirmed({ token: 1, sent: sent(0), index: 5 }, 5), false)
  assert.equal(freshness.token, 3)
})

test('when the two clocks disagree about what has passed, the longer time counts', () => {
  const set = clocks()
  set.freshness.confirmed({ token: 1, sent: sent(0), index: 1 }, 1)
  Object.assign(set, { at: 10, wall: 5000 })
  assert.equal(set.freshness.ageMs(1), 5000, 'the machine was suspended')
  Object.assign(set, { at: 10, wall: -5000 })
  assert.equal(set.freshness.ageMs(1), 10, 'the wall clock was set back')
})

test('while the state does not come along, a bounded number of proofs waits and the newest is among them', () => {
  const { freshness } = clocks()
  for (let token = 1; token <= 99; token += 2) {
    freshness.confirmed({ token, sent: sent(token), index: token }, 0)
  }
  assert.equal(freshness.onApplied(100), true)
  assert.equal(freshness.token, 99)
})
