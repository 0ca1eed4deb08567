/** Checkpoints that the members of a cluster retain as shards, and clusters that are restored from them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { PartCoder } from '../../src/blob/part-coder.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'
import type { RetainedStatus } from '../../src/index.js'
import { makeStoredValue } from '../../src/machine/stored-value.js'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { SimHost } from '../../src/sim/sim-host.js'
import type { RestoredStore } from '../../src/store/maintenance.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import { restoreRetained } from '../../src/store/retained-restore.js'
import { openStore } from '../../src/store/store.js'
import { decodeShardHead } from '../../src/wire/shard.js'
import { blobCluster, bytesOf, put, SHARDS_DIR, SMALL, shardsAt } from '../member/blob-fixture.js'
import { closeMember, tamper } from '../member/damage-fixture.js'
import { grow, hasCode } from '../member/membership-fixture.js'
import { connectedFrom } from './remote/remote-fixture.js'

const NAMES = ['a', 'b', 'c']
const ERASURE = {
  ...SMALL,
  threshold: 150_000,
  shardBytes: 65_536,
  unitBytes: 4096,
  graceMs: 500,
  cacheBytes: 0,
}
const OPTIONS = { valueEncoding: 'binary', erasure: ERASURE } as const
/** Sweeps, grace and repairs have happened. */
const SETTLE_MS = 10_000
/** Makes a checkpoint take seconds. */
const SLOW = { limits: { snapshotBytesPerSecond: 100_000 } }
/** The proposer of shards that are a retained checkpoint. */
const NOBODY = 0

/** Several chunks, and two large values. */
const VALUES = {
  ...Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`k${i}`, 100_000])),
  large: 200_000,
  other: 160_000,
}

async function filled(seed: number, options: Partial<OpenOptions> = {}): Promise<SimCluster> {
  const cluster = await blobCluster(seed, NAMES, { ...OPTIONS, ...options })
  await cluster.world.advance(1_000)
  for (const [key, bytes] of Object.entries(VALUES)) await put(cluster, 'a', key, bytes)
  return cluster
}

async function retain(cluster: SimCluster, via: string): Promise<number> {
  const { index } = await cluster.run(cluster.store(via).checkpoint({ retain: true }))
  return index
}

/** Overwrites everything, and lets all go that nothing refers to. */
async function overwritten(cluster: SimCluster, via: string): Promise<void> {
  for (const key of Object.keys(VALUES)) {
    await cluster.run(cluster.store(via).put(key, Buffer.from('later')))
  }
  const [to] = cluster.names.filter((name) => cluster.isUp(name) && name !== cluster.leader())
  await cluster.run(cluster.store(to!).members.transferLeadership(to!))
  await cluster.run(cluster.store(to!).put('more', Buffer.from('later')))
  await cluster.world.advance(SETTLE_MS)
}

/** Restores from these members, on a machine of its own. */
function restored(
  cluster: SimCluster,
  on: SimHost,
  from: readonly string[],
): Promise<RestoredStore> {
  return cluster.run(
    restoreRetained(on.boot(), 'restored', {
      addresses: from.map((name) => cluster.addressOf(name)),
      protection: { secret: Buffer.from('a secret for simulations'), tls: undefined },
      timeoutMs: 1_000,
      coder: new PartCoder(() => new JavaScriptBackend(), Number.POSITIVE_INFINITY),
      id: 'n',
    }),
  )
}

function spare(cluster: SimCluster): SimHost {
  return new SimHost(cluster.world, cluster.network, 'spare')
}

async function requireValues(cluster: SimCluster, on: SimHost): Promise<void> {
  const store = await cluster.run(openStore(on.boot(), { ...OPTIONS, dir: 'restored' }))
  for (const [key, bytes] of Object.entries(VALUES)) {
    const found = await cluster.run(store.get<Buffer>(key))
    assert.ok(found?.equals(bytesOf(key, bytes)), key)
  }
  assert.equal(await cluster.run(store.get('more')), undefined)
  await cluster.world.advance(1_000)
  assert.equal(store.status().retained, undefined)
  await cluster.run(store.close())
}

function retainedAt(cluster: SimCluster, name: string): RetainedStatus | undefined {
  return cluster.store(name).status().retained
}

/** The retained checkpoints of which shards lie on the member's disk. */
function checkpointsAt(cluster: SimCluster, name: string): number[] {
  const heads = shardsAt(cluster, name).map(({ head }) => head.id)
  const found = heads.filter(({ proposer }) => proposer === NOBODY).map(({ seq }) => seq)
  return [...new Set(found)].sort((a, b) => a - b)
}

/** Damages each shard of a retained checkpoint on the member's disk. */
function rotCheckpoint(cluster: SimCluster, name: string): number {
  const { disk } = cluster.host(name)
  let count = 0
  for (const path of disk.paths(SHARDS_DIR)) {
    const bytes = disk.bytesOf(path)
    for (let at = bytes.indexOf('QSHD'); at !== -1; at = bytes.indexOf('QSHD', at + 1)) {
      if (decodeShardHead(bytes.subarray(at)).id.proposer !== NOBODY) continue
      disk.corrupt(path, at + 100, 0x10)
      count++
    }
  }
  return count
}

test('what was retained is restored from two of three members, whatever was written since', async () => {
  const cluster = await filled(1)
  const on = spare(cluster)
  const index = await retain(cluster, 'b')
  await overwritten(cluster, 'a')
  const { here, heldBy, dataShards } = retainedAt(cluster, 'c')!
  assert.deepEqual([here, heldBy, dataShards], ['whole', NAMES, 2])
  cluster.kill('a')
  await cluster.awaitLeader()
  const found = await restored(cluster, on, NAMES)
  assert.deepEqual([found.index, found.unreadable.count], [index, 0])
  await requireValues(cluster, on)
  await cluster.close()
})

test('without a wish to retain anything nothing is kept, also by what a checkpoint does', async () => {
  const cluster = await filled(2)
  const on = spare(cluster)
  await cluster.run(cluster.store('a').checkpoint())
  await overwritten(cluster, 'a')
  for (const name of NAMES) {
    assert.equal(retainedAt(cluster, name), undefined)
    assert.deepEqual(
      shardsAt(cluster, name).filter(({ head }) => head.id.proposer === NOBODY),
      [],
    )
    assert.deepEqual(cluster.host(name).disk.paths('data/retained'), [])
  }
  await assert.rejects(restored(cluster, on, NAMES), hasCode('QUORATE_NOT_READY'))
  await cluster.close()
})

test('a newer one takes the place of the older, and all that only the older one needed goes', async () => {
  const cluster = await filled(3)
  const older = await retain(cluster, 'a')
  await overwritten(cluster, 'a')
  const before = cluster.store('b').status().blobs.shards
  assert.deepEqual(checkpointsAt(cluster, 'b'), [older])
  const newer = await retain(cluster, 'c')
  assert.ok(newer > older)
  await cluster.world.advance(SETTLE_MS)
  const { shards, forgotten } = cluster.store('b').status().blobs
  // The older one, and the two large values, of which nothing else is left.
  assert.ok(forgotten >= before - 1, `${forgotten} of ${before}`)
  assert.ok(shards < before)
  assert.equal(cluster.host('b').disk.paths('data/retained').length, 1)
  await cluster.close()
})

test('a client has one retained through any member, and hears when it is not durable in time', async () => {
  const cluster = await filled(12)
  const client = await connectedFrom(cluster, 'client', ['b'], {})
  const { index, root } = await cluster.run(client.checkpoint({ retain: true }))
  await cluster.world.advance(1_000)
  for (const name of NAMES) {
    assert.deepEqual(
      [retainedAt(cluster, name)?.index, retainedAt(cluster, name)?.root],
      [index, root],
    )
  }
  for (const name of NAMES.filter((each) => each !== cluster.leader())) cluster.host(name).pause()
  const late = cluster.store(cluster.leader()!).checkpoint({ retain: true, timeoutMs: 500 })
  await assert.rejects(cluster.run(late), hasCode('QUORATE_TIMEOUT'))
  for (const name of NAMES) cluster.host(name).resume()
  for (const wrong of [{ retain: false }, {}, { retain: true, much: 1 }]) {
    const call = cluster.store('a').checkpoint(wrong as never)
    await assert.rejects(cluster.run(Promise.resolve(call)), TypeError)
  }
  await cluster.run(client.close())
  await cluster.close()
})

test('until the newer one is durable the older one stays, also over a power cut of all members', async () => {
  const cluster = await filled(4, { limits: { snapshotBytesPerSecond: 20_000 } })
  const on = spare(cluster)
  const older = await retain(cluster, 'a')
  await overwritten(cluster, 'a')
  const newer = cluster.store('a').checkpoint({ retain: true })
  newer.catch(() => undefined) // its member goes
  await put(cluster, 'a', 'k0', 100_000)
  await put(cluster, 'a', 'k1', 100_000)
  await cluster.world.advance(500)
  // What is not needed any more would be gone by now.
  await cluster.world.advance(5_000)
  for (const name of NAMES) assert.ok(retainedAt(cluster, name)?.making !== undefined)
  assert.equal((await restored(cluster, spare(cluster), ['b', 'c'])).index, older)
  for (const name of NAMES) cluster.powerCut(name, 'torn')
  for (const name of NAMES) await cluster.restart(name)
  await cluster.awaitLeader()
  await cluster.world.advance(2_000)
  for (const name of NAMES) assert.equal(retainedAt(cluster, name)?.index, older)
  const found = await restored(cluster, on, ['b', 'c'])
  assert.equal(found.index, older)
  await requireValues(cluster, on)
  await cluster.close()
})

test('a newer one of which a member still has to make its share does not take the place of the older', async () => {
  const cluster = await filled(11)
  const older = await retain(cluster, 'a')
  const [still, ...others] = NAMES.filter((name) => name !== cluster.leader())
  cluster.host(still!).pause()
  const coming = cluster.store(others[0]!).checkpoint({ retain: true })
  await cluster.world.advance(6_000)
  const { making, here } = retainedAt(cluster, others[0]!)!
  assert.ok(making! > older)
  assert.equal(here, 'whole')
  const names = NAMES.filter((name) => name !== still)
  assert.equal((await restored(cluster, spare(cluster), names)).index, older)
  cluster.host(still!).resume()
  assert.ok((await cluster.run(coming)).index >= making!)
  await cluster.close()
})

test('what is overwritten while it is being made is in it, large values with all their bytes', async () => {
  const cluster = await filled(9, SLOW)
  const on = spare(cluster)
  const coming = cluster.store('a').checkpoint({ retain: true })
  await cluster.world.advance(300)
  assert.ok(retainedAt(cluster, 'b')?.making !== undefined)
  await overwritten(cluster, 'a')
  await cluster.run(coming)
  const found = await restored(cluster, on, NAMES)
  assert.equal(found.unreadable.count, 0)
  await requireValues(cluster, on)
  await cluster.close()
})

test('k members are not enough to make one durable: what the others do not come to is begun again', async () => {
  const cluster = await filled(10, SLOW)
  const [lost, via] = NAMES.filter((name) => name !== cluster.leader())
  const coming = cluster.store(via!).checkpoint({ retain: true })
  await cluster.world.advance(300)
  const { making, dataShards } = retainedAt(cluster, via!)!
  assert.equal(dataShards, 2)
  cluster.kill(lost!)
  const { index } = await cluster.run(coming)
  assert.ok(index > making!)
  assert.equal(retainedAt(cluster, via!)?.dataShards, 1)
  await cluster.close()
})

test('what was being made when power failed is made another time', async () => {
  const cluster = await filled(5, SLOW)
  const on = spare(cluster)
  cluster
    .store('a')
    .checkpoint({ retain: true })
    .catch(() => undefined)
  await cluster.world.advance(1_000)
  const making = retainedAt(cluster, 'a')?.making ?? 0
  assert.ok(making > 0)
  for (const name of NAMES) cluster.powerCut(name, 'prefix')
  for (const name of NAMES) await cluster.restart(name)
  await cluster.awaitLeader()
  await cluster.world.advance(40_000)
  for (const name of NAMES) assert.ok((retainedAt(cluster, name)?.index ?? 0) >= making, name)
  await restored(cluster, on, ['b', 'c'])
  await requireValues(cluster, on)
  await cluster.close()
})

test('damaged shards are passed over by a restore, which fails when too few others are left', async () => {
  const cluster = await filled(6)
  const on = spare(cluster)
  await retain(cluster, 'a')
  assert.ok(rotCheckpoint(cluster, 'b') > 0)
  await restored(cluster, on, NAMES)
  await requireValues(cluster, on)
  await assert.rejects(
    restored(cluster, spare(cluster), ['a', 'b']),
    hasCode('QUORATE_BLOB_UNREADABLE'),
  )
  await assert.rejects(restored(cluster, spare(cluster), ['a']), hasCode('QUORATE_BLOB_UNREADABLE'))
  await cluster.close()
})

test('who was down, is new, or has shards that rot makes its own from those of the others', async () => {
  const cluster = await filled(7)
  const on = spare(cluster)
  cluster.kill('c')
  await cluster.awaitLeader()
  await cluster.world.advance(2_000)
  const index = await retain(cluster, 'a')
  assert.equal(retainedAt(cluster, 'a')?.dataShards, 1)
  await cluster.restart('c')
  await grow(cluster, 'a', 'd')
  rotCheckpoint(cluster, 'b')
  cluster.kill('b')
  await cluster.restart('b')
  await cluster.world.advance(90_000)
  for (const name of cluster.names) {
    const { here, heldBy } = retainedAt(cluster, name)!
    assert.deepEqual([name, here, heldBy], [name, 'whole', ['a', 'b', 'c', 'd']])
  }
  assert.equal((await restored(cluster, on, ['d'])).index, index)
  await requireValues(cluster, on)
  await cluster.close()
})

test('a member with another state is found, not asked, and makes the next one of its mended state', async () => {
  const cluster = await filled(8)
  const on = spare(cluster)
  await closeMember(cluster, 'c')
  const wrong = Buffer.alloc(100_000, 7)
  const key = Buffer.from('k1')
  const { stored } = makeStoredValue({ value: wrong, checksum: crc32(wrong, crc32(key)) }, 5)
  const changed = tamper(cluster, 'c', (record) =>
    record.equals(Buffer.concat([Buffer.of(1), key])) ? stored : undefined,
  )
  assert.equal(changed, 1)
  await cluster.restart('c')
  const events: string[] = []
  cluster.store('c').on('diverged', () => events.push('diverged'))
  cluster.store('c').on('rebuilt', () => events.push('rebuilt'))
  await cluster.world.advance(2_000)
  await retain(cluster, 'a')
  await cluster.world.advance(SETTLE_MS)
  assert.deepEqual(events, ['diverged', 'rebuilt'])
  assert.deepEqual(retainedAt(cluster, 'a')?.heldBy, ['a', 'b'])
  assert.equal(retainedAt(cluster, 'c')?.here, 'diverged')
  await assert.rejects(restored(cluster, on, ['c']), hasCode('QUORATE_NOT_READY'))
  await retain(cluster, 'b')
  await cluster.world.advance(2_000)
  assert.deepEqual(retainedAt(cluster, 'a')?.heldBy, NAMES)
  await restored(cluster, on, ['b', 'c'])
  await requireValues(cluster, on)
  await cluster.close()
})
