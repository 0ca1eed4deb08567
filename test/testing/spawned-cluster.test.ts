import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { SpawnedCluster } from '../../src/testing.js'

async function withCluster(use: (cluster: SpawnedCluster) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-spawned-'))
  try {
    await using cluster = await SpawnedCluster.start({ dir })
    await use(cluster)
  } finally {
    await rm(dir, { recursive: true })
  }
}

async function leaderOf(cluster: SpawnedCluster, asked: readonly string[]): Promise<string> {
  for (;;) {
    for (const member of asked) {
      const { leader } = await cluster.call(member, 'status', undefined)
      if (leader !== undefined && asked.includes(leader)) return leader
    }
  }
}

test('a killed process comes back with what it acknowledged', async () => {
  await withCluster(async (cluster) => {
    await cluster.call('a', 'put', { key: 'k', value: { n: 1 } })
    await cluster.kill('a')
    await cluster.restart('a')
    const { value } = await cluster.call('a', 'get', { key: 'k' })
    assert.deepEqual(value, { n: 1 })
  })
})

test('a member behind a cut is left out until the cut is healed', async () => {
  await withCluster(async (cluster) => {
    const old = await leaderOf(cluster, cluster.members)
    const rest = cluster.members.filter((member) => member !== old)
    const { token } = await cluster.call(old, 'put', { key: 'k', value: 'before' })
    cluster.partition([[old], rest])
    const lost = cluster.call(old, 'put', { key: 'k', value: 'lost', timeoutMs: 1000 })
    await assert.rejects(lost)
    await leaderOf(cluster, rest)
    await cluster.call(rest[0]!, 'put', { key: 'k', value: 'after', timeoutMs: 20_000 })
    const cutOff = await cluster.call(old, 'get', { key: 'k', consistency: 'session', token })
    assert.equal(cutOff.value, 'before')
    cluster.heal()
    assert.equal((await cluster.call(old, 'get', { key: 'k', timeoutMs: 20_000 })).value, 'after')
  })
})
