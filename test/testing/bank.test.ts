import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulationFailure, simulate } from '../../src/testing.js'
import { atOnce, bank, oneByOne } from './bank.js'

const OPTIONS = { runs: 8, events: 80 } as const
const FAULTS = ['powerCut', 'kill', 'isolate'] as const

test('a bank that writes each transfer as one batch keeps its money under all faults', async () => {
  const tally = await simulate(bank(atOnce), OPTIONS)
  assert.equal(tally.runs, OPTIONS.runs)
})

test('a bank that writes balances one by one loses money, and the smallest run shows how', async () => {
  const options = { ...OPTIONS, faults: FAULTS, seed: 3, runs: 60, shrinkMs: 10_000 }
  const broken = simulate(bank(oneByOne), options)
  await assert.rejects(broken, (error) => {
    assert.ok(error instanceof SimulationFailure)
    assert.match(error.message, /money appeared or vanished/)
    assert.ok(error.message.split('\n').length < 60, error.message)
    return true
  })
})
