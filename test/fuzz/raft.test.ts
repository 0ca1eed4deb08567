import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { fuzzRaft } from './raft.js'

test('T-70 twenty thousand hostile messages, from a fixed and a fresh seed, break no invariant', (t) => {
  const fresh = randomInt(2 ** 31)
  t.diagnostic(`fresh seed: npm run fuzz -- raft --messages 10000 --seed ${fresh}`)
  for (const seed of [1, fresh]) {
    const { highestTerm } = fuzzRaft(10_000, seed)
    assert.ok(
      highestTerm > 1,
      'the cluster never got past its first election: the fuzz has no bite',
    )
  }
})
