/** The torture test's own judge must convict: planted losses, old values and foreign bytes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ledger, valueFor } from './ledger.js'
import { planRound } from './plan.js'

const SEED = 7

test('the last acknowledged value passes, and nothing else does', () => {
  const ledger = new Ledger(SEED)
  ledger.noteAcknowledged('k', 1)
  ledger.noteAcknowledged('k', 2)
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 2)), undefined)
  assert.equal(ledger.judge('k', undefined)?.kind, 'lost')
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 1))?.kind, 'stale')
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 3))?.kind, 'stale')
  assert.equal(ledger.judge('k', valueFor(SEED, 'other', 2))?.kind, 'never written')
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 2).subarray(1))?.kind, 'never written')
})

test('a write of unknown outcome may have happened or not', () => {
  const ledger = new Ledger(SEED)
  ledger.noteUncertain('k', 1)
  assert.equal(ledger.judge('k', undefined), undefined)
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 1)), undefined)
  ledger.noteAcknowledged('k', 2)
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 1)), undefined)
  assert.equal(ledger.judge('k', valueFor(SEED, 'k', 2)), undefined)
  assert.equal(ledger.judge('k', undefined)?.kind, 'lost')
})

test('a plan is the same for the same seed, and has a fault in every round', () => {
  for (let round = 0; round < 50; round++) {
    const plan = planRound(SEED, round, 3, 1500)
    assert.deepEqual(planRound(SEED, round, 3, 1500), plan)
    assert.ok(plan.length >= 1)
    assert.ok(plan.every(({ atMs }) => atMs < 1500))
  }
  assert.notDeepEqual(planRound(SEED, 0, 3, 1500), planRound(SEED + 1, 0, 3, 1500))
})
