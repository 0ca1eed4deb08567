/** Large values in backups of whole clusters, and in the clusters that are made of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backupFolder } from '../../src/member/offline.js'
import { recoverCluster } from '../../src/member/recover.js'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { SimRandom } from '../../src/sim/sim-random.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { type BackupSource, writeBackup } from '../../src/snapshot/backup.js'
import { restore, verify } from '../../src/store/maintenance.js'
import { RemoteState } from '../../src/store/remote-state.js'
import { openStore, type Store } from '../../src/store/store.js'
import { ClientConnection } from '../../src/transport/client.js'
import { blobCluster, bytesOf, put, SMALL } from '../member/blob-fixture.js'
import { grow, hasCode } from '../member/membership-fixture.js'

const NAMES = ['a', 'b', 'c']
const OPTIONS = { valueEncoding: 'binary', erasure: SMALL } as const

/** Several parts, one part, and a value that is not coded. */
const VALUES = { long: 7000, short: 500, small: 50 }

async function filled(seed: number): Promise<SimCluster> {
  const cluster = await blobCluster(seed, NAMES)
  for (const [key, bytes] of Object.entries(VALUES)) await put(cluster, 'a', key, bytes)
  return cluster
}

async function requireValues(cluster: SimCluster, store: Store): Promise<void> {
  for (const [key, bytes] of Object.entries(VALUES)) {
    const found = await cluster.run(store.get<Buffer>(key))
    assert.ok(found?.equals(bytesOf(key, bytes)), key)
  }
}

/** Opens the folder, which was restored on the host of `a`. */
function opened(cluster: SimCluster, dir: string): Promise<Store> {
  return cluster.run(openStore(cluster.host('a').boot(), { ...OPTIONS, dir }))
}

test('a backup has large values, and the cluster that it is restored to reads and spreads them', async () => {
  const cluster = await filled(1)
  const before = await cluster.run(cluster.store('a').getWithMeta('long'))
  await cluster.run(cluster.store('a').backup('backup'))
  for (const name of NAMES) cluster.kill(name)
  const env = cluster.host('a').boot()
  const verified = await cluster.run(verify(env, 'backup', {}))
  assert.equal(verified.largeValues, 2)
  const restored = await cluster.run(restore(env, 'backup', 'restored', {}))
  assert.deepEqual(restored.unreadable, { count: 0, keys: [] })
  await cluster.reopen('a', { ...OPTIONS, dir: 'restored', listen: cluster.addressOf('a') })
  await requireValues(cluster, cluster.store('a'))
  const { revision } = await cluster.run(cluster.store('a').getWithMeta('long'))
  assert.equal(revision, before.revision)
  await grow(cluster, 'a', 'd')
  await grow(cluster, 'a', 'e')
  await put(cluster, 'd', 'new', 2000)
  cluster.kill('a')
  await cluster.awaitLeader()
  for (const name of ['d', 'e']) await requireValues(cluster, cluster.store(name))
  await cluster.close()
})

test('a backup is of one moment, though large values are replaced while it is made', async () => {
  const cluster = await filled(2)
  let isOver = false
  const replace = async (): Promise<void> => {
    for (let i = 0; !isOver; i++) await cluster.store('b').put('long', bytesOf(`${i}`, 3000 + i))
  }
  const replacing = replace()
  await cluster.run(cluster.store('c').backup('backup'))
  isOver = true
  await cluster.run(replacing)
  const env = cluster.host('c').boot()
  assert.equal((await cluster.run(verify(env, 'backup', {}))).largeValues, 2)
  await cluster.close()
})

/** A client of the member. */
async function connected(cluster: SimCluster, name: string): Promise<ClientConnection> {
  const time = new SimTime(cluster.world)
  return cluster.run(
    ClientConnection.connect(
      cluster.network.host('client', time),
      time,
      new SimRandom(cluster.world, 'client'),
      cluster.addressOf(name),
      { tls: undefined, secret: Buffer.from('a secret for simulations'), timeoutMs: 5000 },
    ),
  )
}

test('a client fetches large values with the state; an incremental backup shares them', async () => {
  const cluster = await filled(3)
  const connection = await connected(cluster, 'b')
  const { disk } = cluster.host('a')
  const state = () => new RemoteState(connection, 'strong', 5000)
  const first = await cluster.run(writeBackup(disk, state(), 'one', {}))
  await put(cluster, 'c', 'another', 900)
  const second = await cluster.run(writeBackup(disk, state(), 'two', { since: 'one' }))
  const parts = disk.paths('one/values').length
  assert.ok(parts >= 4, `${parts} parts`)
  assert.equal(first.chunksWritten, parts + disk.paths('one/chunks').length)
  assert.equal(disk.paths('two/values').length, parts + 1)
  assert.ok(second.chunksShared >= parts, JSON.stringify(second))
  assert.equal((await cluster.run(verify({ disk }, 'two', {}))).largeValues, 3)
  connection.close()
  await cluster.close()
})

test('what a backup needs is kept however long it takes, and no longer', async () => {
  const cluster = await filled(9)
  const connection = await connected(cluster, 'b')
  const { disk } = cluster.host('a')
  const state = new RemoteState(connection, 'strong', 5000)
  const source: BackupSource = {
    scan: async (visit, signal) => {
      const manifest = await state.scan(visit, signal)
      await cluster.store('a').put('long', bytesOf('other', 4000))
      await new Promise<void>((resolve) => {
        cluster.world.schedule(5 * SMALL.graceMs!, resolve)
      })
      return manifest
    },
    fetch: state.fetch,
    end: () => state.end(),
  }
  await cluster.run(writeBackup(disk, source, 'backup', {}))
  await cluster.run(verify({ disk }, 'backup', {}))
  const shards = () => cluster.store('c').status().blobs.shards
  const before = shards()
  await cluster.world.advance(60_000)
  assert.ok(shards() < before, `${shards()} of ${before} shards`)
  connection.close()
  await cluster.close()
})

test('with too few members up there is no backup, and it says which are missing', async () => {
  const cluster = await filled(4)
  await cluster.world.advance(1000)
  for (const name of ['a', 'c']) cluster.kill(name)
  const options = { consistency: 'eventual', timeoutMs: 5000 } as const
  const backup = cluster.run(cluster.store('b').backup('backup', options))
  await assert.rejects(backup, hasCode('QUORATE_BLOB_UNREADABLE'))
  await cluster.close()
})

test('large values that came after the backup are named by the restore, and can be written anew', async () => {
  const cluster = await blobCluster(5, ['a'], {
    storage: { archive: 'archive', segmentBytes: 65_536 },
  })
  await put(cluster, 'a', 'long', 7000)
  await cluster.run(cluster.store('a').backup('backup'))
  await put(cluster, 'a', 'later', 900)
  await put(cluster, 'a', 'small', 40)
  for (let i = 0; i < 400; i++) await put(cluster, 'a', `fill${i % 3}`, 290)
  await cluster.run(cluster.store('a').checkpoint())
  cluster.kill('a')
  const env = cluster.host('a').boot()
  const restored = await cluster.run(restore(env, 'backup', 'restored', { archive: 'archive' }))
  assert.deepEqual(restored.unreadable, { count: 1, keys: [Buffer.from('later')] })
  const store = await opened(cluster, 'restored')
  assert.ok((await cluster.run(store.get<Buffer>('long')))?.equals(bytesOf('long', 7000)))
  assert.equal((await cluster.run(store.get<Buffer>('small')))?.length, 40)
  const reading = cluster.run(store.get('later', { timeoutMs: 3000 }))
  await assert.rejects(reading, hasCode('QUORATE_BLOB_UNREADABLE'))
  await cluster.run(store.put('later', bytesOf('later', 900)))
  assert.equal((await cluster.run(store.get<Buffer>('later')))?.length, 900)
  await cluster.run(store.close())
  await cluster.close()
})

test('a folder alone is backed up when it has all that is needed, and says so when it has not', async () => {
  const lone = await blobCluster(6, ['a'])
  for (const [key, bytes] of Object.entries(VALUES)) await put(lone, 'a', key, bytes)
  lone.kill('a')
  const env = lone.host('a').boot()
  await lone.run(backupFolder(env, 'data', 'backup', {}))
  await lone.run(restore(env, 'backup', 'restored', {}))
  const store = await opened(lone, 'restored')
  await requireValues(lone, store)
  await lone.run(store.close())
  await lone.close()
  const cluster = await filled(7)
  cluster.kill('a')
  const backup = backupFolder(cluster.host('a').boot(), 'data', 'backup', {})
  await assert.rejects(cluster.run(backup), hasCode('QUORATE_BLOB_UNREADABLE'))
  await cluster.close()
})

test('what a survivor has alone it keeps when it becomes a cluster; of the rest it says that it lacks it', async () => {
  const cluster = await filled(8)
  for (const name of ['b', 'c']) cluster.kill(name)
  await cluster.world.advance(1000)
  cluster.kill('a')
  const founded = await cluster.run(recoverCluster(cluster.host('a').boot(), 'data', 'recovered'))
  const keys = founded.unreadable.keys.map((key) => Buffer.from(key).toString())
  assert.deepEqual([founded.unreadable.count, keys], [2, ['long', 'short']])
  const store = await opened(cluster, 'recovered')
  assert.equal((await cluster.run(store.get<Buffer>('small')))?.length, 50)
  await cluster.run(store.close())
  await cluster.close()
})
