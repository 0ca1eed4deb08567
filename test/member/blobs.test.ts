import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import {
  assertReadable,
  blobCluster,
  blobsAt,
  bytesOf,
  put,
  rotShards,
  SHARDS_DIR,
  SMALL,
  shardsAt,
} from './blob-fixture.js'
import { hasCode } from './membership-fixture.js'

const THREE = ['a', 'b', 'c']
const FIVE = ['a', 'b', 'c', 'd', 'e']
/** Sweeps, grace, walks and repairs have happened. */
const SETTLE_MS = 12_000
/** So has a second walk through all values. */
const WALK_MS = 75_000

function others(cluster: SimCluster, ...names: readonly (string | undefined)[]): string[] {
  return cluster.names.filter((name) => !names.includes(name))
}

/** Makes another term begin, and lets an entry of it be applied. */
async function newTerm(cluster: SimCluster): Promise<void> {
  const leader = cluster.leader()!
  const [to] = others(cluster, leader)
  await cluster.run(cluster.store(to!).members.transferLeadership(to!))
  await cluster.run(cluster.store(to!).put('small', Buffer.from('x')))
}

test('a large value lies as k data shards and parity on the members, and is read through any of them', async () => {
  for (const [names, dataShards] of [
    [['a'], 1],
    [['a', 'b'], 1],
    [THREE, 2],
    [FIVE, 2],
  ] as const) {
    const cluster = await blobCluster(1, names)
    await cluster.world.advance(1_000)
    await put(cluster, names[0], 'k', 5000)
    await cluster.world.advance(500)
    for (const name of names) {
      const shards = shardsAt(cluster, name)
      assert.equal(shards.length, Math.ceil(5000 / 1024 / dataShards), `${names} ${name}`)
      for (const { head } of shards) assert.equal(head.dataShards, dataShards)
      assert.equal(new Set(shards.map(({ head }) => head.index)).size, 1)
    }
    await assertReadable(cluster, names, { k: 5000 })
    await cluster.close()
  }
})

test('what was written is read with f members down, by members that start without anything in memory', async () => {
  const cluster = await blobCluster(2, FIVE)
  await cluster.world.advance(1_000)
  for (const key of ['p', 'q']) await put(cluster, 'a', key, 9_000)
  for (const pair of [
    ['a', 'b'],
    ['c', 'd'],
    ['b', 'e'],
  ]) {
    for (const name of pair) cluster.kill(name)
    await cluster.world.advance(4_000)
    const left = others(cluster, ...pair)
    for (const name of left) {
      cluster.kill(name)
      await cluster.restart(name)
    }
    await cluster.awaitLeader()
    await cluster.world.advance(1_000)
    await assertReadable(cluster, left, { p: 9_000, q: 9_000 })
    for (const name of pair) await cluster.restart(name)
    await cluster.world.advance(4_000)
  }
  await cluster.close()
})

test('with a member down values are written with fewer data shards, and coded anew when it is back', async () => {
  const cluster = await blobCluster(3, THREE)
  await cluster.world.advance(1_000)
  const [down] = others(cluster, cluster.leader())
  cluster.kill(down!)
  await cluster.world.advance(200)
  const [via] = others(cluster, down)
  await put(cluster, via!, 'k', 5000)
  assert.ok(shardsAt(cluster, via!).every(({ head }) => head.dataShards === 1))
  await cluster.restart(down!)
  await cluster.world.advance(WALK_MS)
  for (const name of THREE) {
    const shards = shardsAt(cluster, name)
    assert.ok(
      shards.some(({ head }) => head.dataShards === 2),
      name,
    )
    assert.equal(blobsAt(cluster, name).missing, 0)
    assert.equal(blobsAt(cluster, name).shards, 3)
  }
  await assertReadable(cluster, THREE, { k: 5000 })
  await cluster.close()
})

test('a member that dies in the middle of a write costs a second attempt, and nothing is lost', async () => {
  const cluster = await blobCluster(4, THREE)
  await cluster.world.advance(1_000)
  const leader = cluster.leader()!
  const [victim] = others(cluster, leader)
  cluster.network.cut(leader, victim!)
  await put(cluster, leader, 'k', 5000)
  const kinds = new Set(shardsAt(cluster, leader).map(({ head }) => head.dataShards))
  assert.deepEqual([...kinds].sort(), [1, 2])
  await cluster.world.advance(100)
  cluster.network.heal(leader, victim!)
  await cluster.world.advance(WALK_MS)
  await assertReadable(cluster, THREE, { k: 5000 })
  await cluster.close()
})

test('without a majority nothing is written, and the error says that nothing happened', async () => {
  const cluster = await blobCluster(5, THREE)
  await cluster.world.advance(1_000)
  const leader = cluster.leader()!
  for (const name of others(cluster, leader)) cluster.network.cut(leader, name)
  const work = cluster.store(leader).put('k', bytesOf('k', 5000), { timeoutMs: 4000 })
  await assert.rejects(cluster.run(work), (error: { code: string; outcome: string }) => {
    assert.equal(error.outcome, 'none')
    return ['QUORATE_UNDERCOVERED', 'QUORATE_TIMEOUT', 'QUORATE_NO_LEADER'].includes(error.code)
  })
  for (const name of others(cluster, leader)) cluster.network.heal(leader, name)
  await cluster.awaitLeader()
  await cluster.world.advance(3_000)
  assert.equal(await cluster.run(cluster.store(leader).get('k')), undefined)
  await cluster.close()
})

test('damaged shards are found when they are read, made anew, and never given out', async () => {
  const cluster = await blobCluster(6, THREE)
  await cluster.world.advance(1_000)
  await put(cluster, 'a', 'k', 5000)
  await cluster.world.advance(1_000)
  for (const name of THREE) {
    cluster.kill(name)
    await cluster.restart(name)
  }
  await cluster.awaitLeader()
  rotShards(cluster, 'b')
  await assertReadable(cluster, THREE, { k: 5000 })
  await cluster.world.advance(SETTLE_MS)
  const { quarantined, missing, repaired } = blobsAt(cluster, 'b')
  assert.deepEqual([quarantined, missing, repaired], [0, 0, 1])
  cluster.kill('a')
  await cluster.awaitLeader()
  await assertReadable(cluster, ['b', 'c'], { k: 5000 })
  await cluster.close()
})

test('a member whose shards are gone makes all of them anew, and only then says that it lacks nothing', async () => {
  const cluster = await blobCluster(7, THREE)
  await cluster.world.advance(1_000)
  for (let i = 0; i < 20; i++) await put(cluster, 'a', `k${i}`, 2500)
  await cluster.world.advance(1_000)
  const before = shardsAt(cluster, 'c').map(({ digest }) => digest.toString('hex'))
  cluster.kill('c')
  const { disk } = cluster.host('c')
  disk.lose(SHARDS_DIR)
  await cluster.restart('c')
  const saysFull = () =>
    blobsAt(cluster, 'a').members.some(({ id, isFull }) => id === 'c' && isFull)
  assert.ok(await cluster.world.runUntil(saysFull, SETTLE_MS))
  assert.equal(blobsAt(cluster, 'c').repaired, before.length)
  const after = shardsAt(cluster, 'c').map(({ digest }) => digest.toString('hex'))
  assert.deepEqual(after.sort(), before.sort())
  await cluster.close()
})

test('a newcomer fills its slot by itself', async () => {
  const cluster = await blobCluster(8, THREE)
  await cluster.world.advance(1_000)
  for (let i = 0; i < 5; i++) await put(cluster, 'a', `k${i}`, 2500)
  const added = cluster.store('a').members.add('d', cluster.addressOf('d'))
  await cluster.run(Promise.all([added, cluster.join('d')]))
  await cluster.world.advance(SETTLE_MS)
  const shards = shardsAt(cluster, 'd')
  assert.equal(shards.length, 10)
  assert.ok(shards.every(({ head }) => head.index === 3))
  const { missing, members } = blobsAt(cluster, 'd')
  assert.equal(missing, 0)
  assert.deepEqual(members.map(({ id, isFull }) => [id, isFull]).sort(), [
    ['a', true],
    ['b', true],
    ['c', true],
    ['d', true],
  ])
  await cluster.close()
})

test('what was replaced goes after the grace, what is referred to stays', async () => {
  const cluster = await blobCluster(9, THREE)
  await cluster.world.advance(1_000)
  for (const key of ['kept', 'over', 'gone', 'plain']) await put(cluster, 'a', key, 2500)
  await cluster.run(cluster.store('a').put('over', bytesOf('over', 3000)))
  await cluster.run(cluster.store('a').del('gone'))
  await cluster.run(cluster.store('a').put('plain', Buffer.from('x')))
  await cluster.world.advance(1_000)
  for (const name of THREE) assert.equal(blobsAt(cluster, name).shards, 10, name)
  await cluster.world.advance(SETTLE_MS)
  for (const name of THREE) assert.equal(blobsAt(cluster, name).shards, 4, name)
  await cluster.world.advance(WALK_MS)
  for (const name of THREE) assert.equal(blobsAt(cluster, name).values, 2, name)
  await assertReadable(cluster, THREE, { kept: 2500, over: 3000 })
  await cluster.close()
})

test('G1: what was never put into force stays while its term lasts, and goes in the next one', async () => {
  const cluster = await blobCluster(10, THREE)
  await cluster.world.advance(1_000)
  await put(cluster, 'a', 'kept', 2500)
  const leader = cluster.leader()!
  const [via] = others(cluster, leader)
  const abandoned = bytesOf('k', 5000)
  // The shards are on the members, and the member that made them dies before it proposes anything.
  const put1 = cluster.store(via!).put('k', abandoned)
  put1.catch(() => {})
  const isStored = () => THREE.every((name) => shardsAt(cluster, name).length === 5)
  assert.ok(await cluster.world.runUntil(isStored, 1_000))
  cluster.kill(via!)
  const [rest] = others(cluster, via, leader)
  await cluster.world.advance(SETTLE_MS)
  const isIntroduced = (await cluster.run(cluster.store(leader).get('k'))) !== undefined
  assert.ok(!isIntroduced, 'the test wants the member to die before the manifest is proposed')
  for (const name of [leader, rest!]) assert.equal(blobsAt(cluster, name).shards, 5, name)
  await cluster.restart(via!)
  await cluster.world.advance(1_000)
  await newTerm(cluster)
  await cluster.world.advance(SETTLE_MS)
  for (const name of THREE) assert.equal(blobsAt(cluster, name).shards, 2, name)
  await assertReadable(cluster, THREE, { kept: 2500 })
  await cluster.close()
})

test('who has an older manifest of a value that was coded anew reads it all the same', async () => {
  const cluster = await blobCluster(18, THREE)
  await cluster.world.advance(1_000)
  const [down, via] = others(cluster, cluster.leader())
  const leader = cluster.leader()!
  const watch = cluster.store(via!).watch({ consistency: 'eventual' })
  await cluster.run(watch.ready())
  cluster.kill(down!)
  await cluster.world.advance(200)
  await cluster.run(
    cluster.store(leader).batch([
      { type: 'put', key: 'k', value: bytesOf('first', 5000) },
      { type: 'put', key: 'k', value: bytesOf('k', 5000) },
    ]),
  )
  await cluster.restart(down!)
  await cluster.world.advance(WALK_MS)
  assert.ok(blobsAt(cluster, leader).respread > 0)
  assert.equal(
    shardsAt(cluster, via!).some(({ head }) => head.dataShards === 2),
    true,
  )
  const { value: event } = await cluster.run(watch.next())
  assert.ok(event?.type === 'changes')
  assert.deepEqual(
    event.changes.map((change) => {
      assert.ok(change.type === 'put')
      const { value, omitted } = change
      return [Buffer.isBuffer(value) && value.equals(bytesOf('k', 5000)), omitted]
    }),
    [
      [false, 'gone'],
      [true, undefined],
    ],
  )
  await cluster.close()
})

test('a stream that fails leaves nothing behind', async () => {
  const cluster = await blobCluster(11, THREE)
  await cluster.world.advance(1_000)
  async function* broken(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 5; i++) yield bytesOf('k', 2000)
    throw new Error('the source broke')
  }
  await assert.rejects(cluster.run(cluster.store('a').put('k', broken())), /the source broke/)
  await cluster.world.advance(1_000)
  for (const name of THREE) assert.equal(blobsAt(cluster, name).shards, 0, name)
  assert.equal(blobsAt(cluster, 'a').uploads, 0)
  await cluster.close()
})

test('a member that is removed safely is one that nobody needs for any value', async () => {
  const cluster = await blobCluster(13, FIVE)
  await cluster.world.advance(1_000)
  await put(cluster, 'a', 'k', 5000)
  const leader = cluster.leader()!
  const [gone, lost] = others(cluster, leader)
  await cluster.world.advance(SETTLE_MS)
  await cluster.run(cluster.store(leader).members.remove(gone!, { timeoutMs: 30_000 }))
  await cluster.world.advance(SETTLE_MS)
  cluster.kill(lost!)
  await cluster.awaitLeader()
  await cluster.world.advance(1_000)
  await assertReadable(cluster, others(cluster, gone, lost), { k: 5000 })
  await cluster.close()
})

test('uploads and reads under way end with the member, with errors that say so', async () => {
  const cluster = await blobCluster(14, THREE)
  await cluster.world.advance(1_000)
  await put(cluster, 'a', 'k', 5000)
  cluster.kill('b')
  cluster.kill('c')
  const store = cluster.store('a')
  const write = assert.rejects(store.put('l', bytesOf('l', 5000)), (error: { code: string }) =>
    ['QUORATE_NOT_OPEN', 'QUORATE_UNDERCOVERED', 'QUORATE_NO_LEADER'].includes(error.code),
  )
  await cluster.world.advance(50)
  await cluster.run(store.close())
  await cluster.run(write)
})

test('an upload with no time left, or given up by its caller, writes nothing', async () => {
  const cluster = await blobCluster(15, THREE)
  await cluster.world.advance(1_000)
  const store = cluster.store('a')
  const controller = new AbortController()
  const { signal } = controller
  const work = store.put('k', bytesOf('k', 50_000), { signal })
  controller.abort()
  await assert.rejects(cluster.run(work), hasCode('QUORATE_ABORTED'))
  await cluster.world.advance(1_000)
  assert.equal(await cluster.run(store.get('k')), undefined)
  for (const name of THREE) assert.equal(blobsAt(cluster, name).shards, 0, name)
  await cluster.close()
})

test('with erasure off values are written whole, and shards that are there are served', async () => {
  const cluster = await blobCluster(16, THREE)
  await cluster.world.advance(1_000)
  await put(cluster, 'a', 'k', 5000)
  for (const name of THREE) {
    cluster.kill(name)
    await cluster.reopen(name, {
      dir: 'data',
      id: name,
      members: Object.fromEntries(THREE.map((other) => [other, cluster.addressOf(other)])),
      valueEncoding: 'binary',
      erasure: false,
    })
  }
  await cluster.awaitLeader()
  await put(cluster, 'a', 'l', 5000)
  await assertReadable(cluster, THREE, { k: 5000, l: 5000 })
  for (const name of THREE) assert.equal(blobsAt(cluster, name).values, 1)
  await cluster.close()
})

test('units and sizes of one member are no business of the others', async () => {
  const cluster = await blobCluster(17, THREE)
  await cluster.world.advance(1_000)
  await put(cluster, 'a', 'k', 5000)
  cluster.kill('b')
  const { disk } = cluster.host('b')
  disk.lose(SHARDS_DIR)
  await cluster.reopen('b', {
    dir: 'data',
    id: 'b',
    members: Object.fromEntries(THREE.map((other) => [other, cluster.addressOf(other)])),
    valueEncoding: 'binary',
    erasure: { ...SMALL, unitBytes: 2048, shardBytes: 4096 },
  })
  await put(cluster, 'b', 'l', 9_000)
  await cluster.world.advance(SETTLE_MS)
  assert.equal(blobsAt(cluster, 'b').missing, 0)
  await assertReadable(cluster, THREE, { k: 5000, l: 9_000 })
  await cluster.close()
})
