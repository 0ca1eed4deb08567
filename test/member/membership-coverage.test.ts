/** Changes of the members where large values lie in shards on them (rules M1 and M2 of docs/large-values.md). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { BINARY, content, SMALL } from '../store/large/large-fixture.js'
import { grow, hasCode, lone, namesAt, three } from './membership-fixture.js'

const VALUES = [400, 3000, 9000].map((bytes) => [`large${bytes}`, content(bytes)] as const)

async function putLarge(cluster: SimCluster, via: string): Promise<void> {
  for (const [key, value] of VALUES) await cluster.run(cluster.store(via).put(key, value))
}

async function requireLarge(cluster: SimCluster, via: string): Promise<void> {
  for (const [key, value] of VALUES) {
    assert.deepEqual(await cluster.run(cluster.store(via).get(key)), value, `${key} at ${via}`)
  }
}

test('a cluster that grows and is exchanged member by member never loses a large value', async () => {
  const cluster = await lone(1, { erasure: SMALL, ...BINARY })
  await putLarge(cluster, 'a')
  await grow(cluster, 'a', 'b')
  await grow(cluster, 'a', 'c')
  await grow(cluster, 'b', 'd')
  await cluster.run(cluster.store('b').members.remove('a', { timeoutMs: 60_000 }))
  await grow(cluster, 'c', 'e')
  await cluster.run(cluster.store('c').members.remove('b', { timeoutMs: 60_000 }))
  assert.equal(await namesAt(cluster, 'd'), 'c d e')
  // None of those who stored the values is left, and of those who hold them now any one may go.
  for (const gone of ['c', 'd', 'e']) {
    cluster.kill(gone)
    await cluster.awaitLeader()
    await requireLarge(cluster, ['c', 'd', 'e'].find((name) => name !== gone)!)
    await cluster.restart(gone)
    await cluster.world.advance(3000)
  }
  await cluster.close()
})

test('a cluster shrinks to one member, which can read what was coded for five', async () => {
  const cluster = await three(2, { erasure: SMALL, ...BINARY })
  await grow(cluster, 'a', 'd')
  await grow(cluster, 'a', 'e')
  await putLarge(cluster, 'a')
  for (const name of ['b', 'c', 'd', 'e']) {
    await cluster.run(cluster.store('a').members.remove(name, { timeoutMs: 60_000 }))
    cluster.kill(name)
  }
  assert.equal(await namesAt(cluster, 'a'), 'a')
  await requireLarge(cluster, 'a')
  await cluster.close()
})

test('a member is not removed while another one has not got its shards, unless that is forced', async () => {
  const erasure = { ...SMALL, repairBytesPerSecond: 1024 }
  const cluster = await three(3, { erasure, ...BINARY })
  await putLarge(cluster, 'a')
  await grow(cluster, 'a', 'd')
  await cluster.world.advance(3000)
  const remove = (options: { coverage?: 'force' }) =>
    cluster.run(cluster.store('b').members.remove('a', { timeoutMs: 3000, ...options }))
  await assert.rejects(remove({}), (error: Error) => {
    assert.match(error.message, /large values would not be held by enough members: d lacks/)
    return hasCode('QUORATE_NOT_READY', 'none')(error)
  })
  assert.equal(await namesAt(cluster, 'b'), 'a b c d')
  await remove({ coverage: 'force' })
  assert.equal(await namesAt(cluster, 'b'), 'b c d')
  await cluster.close()
})
