import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { planLevels } from './plan.js'
import { tortureLevels } from './run.js'

test('three processes under kill, pause and partition keep what every level promises', async (t) => {
  const seed = randomInt(2 ** 31)
  t.diagnostic(`npm run torture -- --check-levels --rounds 1 --seed ${seed}`)
  const root = await mkdtemp(join(tmpdir(), 'quorate-levels-'))
  const { violations, calls } = await tortureLevels({
    seed,
    rounds: 1,
    roundMs: 1500,
    root,
    isVerbose: true,
    say: (line) => t.diagnostic(line),
    onCluster: () => undefined,
  })
  assert.deepEqual(violations, [], `the history is in ${root}`)
  assert.ok(calls > 100, `${calls} calls show little`)
  await rm(root, { recursive: true })
})

test('every kind of fault comes up within sixty rounds, and a cut in each of them', () => {
  const rounds = Array.from({ length: 60 }, (_, i) => planLevels(1, i, 3, 1500))
  const kinds = new Set(rounds.flat().map(({ kind }) => kind))
  assert.equal(kinds.size, 7)
  const cuts = new Set(['isolate', 'deafen', 'silence'])
  for (const faults of rounds) assert.ok(faults.some(({ kind }) => cuts.has(kind)))
})
