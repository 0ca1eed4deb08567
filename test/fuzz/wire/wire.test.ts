import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fuzzWire, judgeMemory } from './wire.js'

const MIB = 1_048_576

for (const secret of [undefined, Buffer.from('the secret of the fuzzed member')]) {
  const protection = secret === undefined ? 'without a secret' : 'with a secret'
  test(`a member ${protection} withstands hostile connections and serves others meanwhile`, async (t) => {
    const seed = randomInt(2 ** 31)
    t.diagnostic(`npm run fuzz -- wire --frames 8000 --seed ${seed}`)
    const dir = await mkdtemp(join(tmpdir(), 'quorate-fuzz-'))
    const { frames, refused, served } = await fuzzWire({
      seed,
      frames: 4_000,
      phases: 1,
      secret,
      dir,
    })
    t.diagnostic(`${frames} frames; ${JSON.stringify(refused)}; ${JSON.stringify(served)}`)
    for (const reason of ['malformed', 'oversized', 'header', 'kind']) {
      assert.ok(refused[reason], `nothing was refused as ${reason}: the fuzz has no bite`)
    }
    const { calls, connectedCalls, remoteCalls, newcomers } = served
    for (const answered of [calls, connectedCalls, remoteCalls, newcomers]) assert.ok(answered > 0)
    await rm(dir, { recursive: true })
  })
}

test('memory that grows from sample to sample is not flat', () => {
  const samples = (growth: number) =>
    Array.from({ length: 10 }, (_, i) => ({
      rss: (100 + growth * i) * MIB,
      heapUsed: 10 * MIB,
      external: 5 * MIB,
    }))
  assert.equal(judgeMemory(samples(0)), undefined)
  assert.match(judgeMemory(samples(20)) ?? '', /^rss grew from 140\.0 MiB to 240\.0 MiB/)
})
