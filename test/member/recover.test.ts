/** What can be made of the folder of a member that is not running: a backup, or a cluster without the others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backupFolder } from '../../src/member/offline.js'
import { inspectSurvivor, recoverCluster } from '../../src/member/recover.js'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { openBackup } from '../../src/snapshot/backup.js'
import { restore } from '../../src/store/maintenance.js'
import { grow, hasCode, lone, namesAt, three } from './membership-fixture.js'

const KEYS = Array.from({ length: 30 }, (_, i) => `k${i}`)

/** Writes KEYS through `via`, each acknowledged. */
async function fill(cluster: SimCluster, via: string): Promise<void> {
  for (const [i, key] of KEYS.entries()) await cluster.run(cluster.store(via).put(key, i))
}

async function requireFilled(cluster: SimCluster, via: string): Promise<void> {
  const values = await cluster.run(cluster.store(via).getMany(KEYS, { timeoutMs: 20_000 }))
  assert.deepEqual(
    values,
    KEYS.map((_, i) => i),
  )
}

/** Files of the data folder and records of its database. */
function contentsOf(cluster: SimCluster, name: string): string[] {
  const { disk, databases } = cluster.host(name)
  const files = disk.allPaths.filter((path) => path.startsWith('data/'))
  const records = [...databases.contents('data/state')].map((record) => record.join())
  return [...files.map((path) => `${path} ${disk.bytesOf(path).toString('latin1')}`), ...records]
}

test('when two of three are gone for good, the third becomes a new cluster without losing what it knows', async () => {
  const cluster = await three(1)
  const leader = await cluster.awaitLeader()
  const [survivor] = cluster.names.filter((name) => name !== leader)
  await fill(cluster, leader)
  await cluster.world.advance(1000)
  const { clusterId } = cluster.store(survivor!).status()
  for (const name of cluster.names) cluster.kill(name)
  const before = contentsOf(cluster, survivor!)
  const founded = await cluster.run(
    recoverCluster(cluster.host(survivor!).boot(), 'data', 'recovered'),
  )
  assert.notEqual(founded.clusterId, clusterId)
  assert.deepEqual(contentsOf(cluster, survivor!), before, 'the old folder was changed')
  const address = cluster.addressOf(survivor!)
  await cluster.reopen(survivor!, { dir: 'recovered', listen: address })
  await requireFilled(cluster, survivor!)
  await grow(cluster, survivor!, 'd')
  await grow(cluster, survivor!, 'e')
  assert.equal(await namesAt(cluster, 'e'), `${survivor} d e`)
  await cluster.run(cluster.store('d').put('k', 'goes on'))
  await requireFilled(cluster, 'd')
  await cluster.close()
})

test('a cluster so young that its state was never flushed is recovered from the log alone', async () => {
  const cluster = await three(2)
  await fill(cluster, 'a')
  await cluster.world.advance(1000)
  for (const name of cluster.names) cluster.powerCut(name, 'none')
  const survivor = await cluster.run(inspectSurvivor(cluster.host('b').boot(), 'data'))
  assert.ok(survivor.last.index > KEYS.length)
  await cluster.run(recoverCluster(cluster.host('b').boot(), 'data', 'recovered'))
  await cluster.reopen('b', { dir: 'recovered' })
  await requireFilled(cluster, 'b')
  await cluster.close()
})

test('what a leader could not commit is announced, and becomes part of the new cluster', async () => {
  const cluster = await three(3)
  const leader = await cluster.awaitLeader()
  await fill(cluster, leader)
  await cluster.world.advance(1000)
  for (const name of cluster.names) if (name !== leader) cluster.kill(name)
  const lost = cluster.store(leader).put('tail', 'unproven', { timeoutMs: 500 })
  await assert.rejects(cluster.run(lost), hasCode('QUORATE_TIMEOUT', 'unknown'))
  cluster.kill(leader)
  const env = cluster.host(leader).boot()
  const survivor = await cluster.run(inspectSurvivor(env, 'data'))
  assert.equal(survivor.unproven, 1)
  assert.equal(survivor.last.index, survivor.commitIndex + 1)
  assert.deepEqual([survivor.id, survivor.votedFor], [leader, leader])
  assert.deepEqual(
    survivor.members.map(({ id, as }) => `${id} ${as}`),
    ['a voter', 'b voter', 'c voter'],
  )
  const founded = await cluster.run(recoverCluster(env, 'data', 'recovered'))
  assert.equal(founded.index, survivor.last.index)
  await cluster.reopen(leader, { dir: 'recovered' })
  assert.equal(await cluster.run(cluster.store(leader).get('tail')), 'unproven')
  await requireFilled(cluster, leader)
  await cluster.close()
})

test('a look at a survivor changes nothing, and neither is done while the member runs', async () => {
  const cluster = await lone(4)
  await fill(cluster, 'a')
  const env = cluster.host('a').boot()
  await assert.rejects(cluster.run(inspectSurvivor(env, 'data')), hasCode('QUORATE_LOCKED'))
  await assert.rejects(cluster.run(recoverCluster(env, 'data', 'to')), hasCode('QUORATE_LOCKED'))
  await assert.rejects(cluster.run(inspectSurvivor(env, 'none')), hasCode('QUORATE_NOT_READY'))
  cluster.kill('a')
  const fresh = cluster.host('a').boot()
  const before = contentsOf(cluster, 'a')
  const survivor = await cluster.run(inspectSurvivor(fresh, 'data'))
  assert.deepEqual(contentsOf(cluster, 'a'), before)
  assert.equal(survivor.votedFor, 'a')
  await assert.rejects(
    cluster.run(recoverCluster(fresh, 'data', 'data')),
    hasCode('QUORATE_NOT_EMPTY'),
  )
  await cluster.close()
})

test('a lone store that was killed is backed up with everything that it acknowledged', async () => {
  const cluster = await lone(5)
  await fill(cluster, 'a')
  cluster.powerCut('a', 'none')
  const env = cluster.host('a').boot()
  const result = await cluster.run(backupFolder(env, 'data', 'backup', {}))
  assert.equal(result.unproven, 0)
  await cluster.run(restore(env, 'backup', 'restored', { id: 'a' }))
  await cluster.reopen('a', { dir: 'restored' })
  await requireFilled(cluster, 'a')
  cluster.kill('a')
  await cluster.reopen('a', { dir: 'data' })
  await requireFilled(cluster, 'a')
  await cluster.close()
})

test('one of several members is backed up as far as it knows of commits, and the rest is counted', async () => {
  const cluster = await three(6)
  const leader = await cluster.awaitLeader()
  await fill(cluster, leader)
  await cluster.world.advance(1000)
  for (const name of cluster.names) if (name !== leader) cluster.kill(name)
  const lost = cluster.store(leader).put('tail', 'unproven', { timeoutMs: 500 })
  await assert.rejects(cluster.run(lost))
  cluster.kill(leader)
  const env = cluster.host(leader).boot()
  const result = await cluster.run(backupFolder(env, 'data', 'backup', {}))
  assert.ok(result.unproven >= 1)
  const { manifest } = await cluster.run(openBackup(env.disk, 'backup'))
  assert.equal(manifest.index, result.index)
  await cluster.close()
})
