import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { hasCode } from './membership-fixture.js'

const KIB = 1024
const MIN_FREE = 512 * KIB
const STORAGE = { segmentBytes: 64 * KIB, checkpointBytes: 256 * KIB, minFreeBytes: MIN_FREE }
const VALUE = 'x'.repeat(2000)
/** Looks at disks, reports and elections have happened. */
const SETTLE_MS = 8_000

async function start(seed: number, names: readonly string[], keepLogBytes = 256 * KIB) {
  const storage = { ...STORAGE, keepLogBytes }
  const cluster = await SimCluster.start(seed, names, {
    storage,
    limits: { maxRequestBytes: 4096 },
  })
  await cluster.awaitLeader()
  return cluster
}

/** Leaves `freeBytes` on the disk of a member. */
function fillDisk(cluster: SimCluster, name: string, freeBytes: number): void {
  const { disk } = cluster.host(name)
  disk.capacityBytes = disk.usedBytes + freeBytes
}

/** Writes `count` values through `via`; what is refused must be refused as it should be. Gives the keys written. */
async function write(cluster: SimCluster, via: string, prefix: string, count: number) {
  const written: string[] = []
  const errors: StoreError[] = []
  for (let i = 0; i < count; i++) {
    const put = cluster
      .store(via)
      .put(`${prefix}${i}`, VALUE)
      .then(
        () => written.push(`${prefix}${i}`),
        (error) => errors.push(error),
      )
    await cluster.run(put)
  }
  for (const error of errors) {
    assert.equal(error.code, 'QUORATE_NO_SPACE', error.message)
    assert.deepEqual([error.outcome, error.retryable], ['none', true])
  }
  return written
}

async function assertThere(
  cluster: SimCluster,
  via: string,
  keys: readonly string[],
  consistency: 'strong' | 'eventual' = 'strong',
) {
  const values = await cluster.run(cluster.store(via).getMany(keys, { consistency }))
  for (const [i, key] of keys.entries()) assert.equal(values[i], VALUE, key)
}

test('a leader whose disk is low hands over to a member with space, and writes go on', async () => {
  const cluster = await start(1, ['a', 'b', 'c'])
  const low = cluster.leader()!
  const via = cluster.names.find((name) => name !== low)!
  await write(cluster, via, 'before', 5)
  fillDisk(cluster, low, MIN_FREE - 1)
  await cluster.world.advance(SETTLE_MS)
  assert.notEqual(cluster.leader(), low)
  const { space, words } = cluster.store(low).status()
  assert.deepEqual([space.isLow, space.refusesWrites], [true, false])
  assert.match(words.join(' '), new RegExp(`disk of ${low} is nearly full`))
  for (const name of cluster.names) {
    assert.equal((await write(cluster, name, `from ${name}`, 5)).length, 5)
  }
  await cluster.close()
})

test('when a majority is low, every member refuses new writes as not happened, and still reads', async () => {
  const cluster = await start(2, ['a', 'b', 'c'])
  const written = await write(cluster, 'a', 'k', 5)
  for (const name of ['a', 'b']) fillDisk(cluster, name, MIN_FREE / 2 + KIB)
  await cluster.world.advance(SETTLE_MS)
  for (const name of cluster.names) {
    assert.deepEqual(await write(cluster, name, `no ${name}`, 2), [])
    await assertThere(cluster, name, written)
    assert.equal(await cluster.run(cluster.store(name).get(`no ${name}0`)), undefined)
    assert.match(cluster.store(name).status().words.join(' '), /New writes are refused/)
  }
  await cluster.close()
})

test('a cluster whose disks are all full says so, loses nothing, and goes on by itself', async () => {
  const cluster = await start(3, ['a', 'b', 'c'])
  const events: string[] = []
  cluster.store('a').on('space', ({ isLow }) => events.push(isLow ? 'low' : 'ample'))
  const written = await write(cluster, 'a', 'k', 60)
  for (const name of cluster.names) fillDisk(cluster, name, 0)
  // What is under way before anybody has looked is finished, or waits.
  const early = cluster.store('b').put('early', VALUE, { timeoutMs: 120_000 })
  await cluster.world.advance(SETTLE_MS)
  for (const name of cluster.names) {
    assert.deepEqual(await write(cluster, name, 'no', 3), [])
    // Without a free byte LevelDB takes nothing: what is not applied yet cannot be read at strong.
    await assertThere(cluster, name, written.slice(0, 3), 'eventual')
  }
  for (const name of cluster.names) fillDisk(cluster, name, 4 * MIN_FREE)
  await cluster.world.advance(SETTLE_MS)
  await cluster.run(early)
  for (const name of cluster.names) {
    assert.equal((await write(cluster, name, `again ${name}`, 30)).length, 30)
    await assertThere(cluster, name, [...written, 'early'])
  }
  assert.deepEqual(events, ['low', 'ample'])
  await cluster.close()
})

test('members that are started on full disks vote, read, and take writes once there is space', async () => {
  const cluster = await start(4, ['a', 'b', 'c'])
  const written = await write(cluster, 'a', 'k', 40)
  await cluster.world.advance(1_000)
  for (const name of cluster.names) cluster.powerCut(name, 'torn')
  for (const name of cluster.names) fillDisk(cluster, name, MIN_FREE / 4)
  for (const name of ['a', 'b']) await cluster.restart(name)
  await cluster.awaitLeader()
  await cluster.world.advance(SETTLE_MS)
  for (const name of ['a', 'b']) {
    assert.ok(cluster.store(name).status().space.isLow)
    await assertThere(cluster, name, written)
    assert.deepEqual(await write(cluster, name, 'no', 1), [])
  }
  await cluster.restart('c')
  for (const name of cluster.names) fillDisk(cluster, name, 4 * MIN_FREE)
  await cluster.world.advance(SETTLE_MS)
  for (const name of cluster.names) assert.equal((await write(cluster, name, name, 20)).length, 20)
  await cluster.close()
})

test('a lone member that is low lets go of the log that it kept for others, and goes on', async () => {
  const cluster = await start(5, ['a'], 64 * 1024 * KIB)
  await write(cluster, 'a', 'k', 400)
  const { disk } = cluster.host('a')
  const before = disk.usedBytes
  assert.ok(before > 800 * KIB)
  fillDisk(cluster, 'a', MIN_FREE - KIB)
  await cluster.world.advance(SETTLE_MS)
  assert.ok(disk.usedBytes < before / 2, `${disk.usedBytes} of ${before} bytes are used`)
  assert.equal(cluster.store('a').status().space.isLow, false)
  assert.equal((await write(cluster, 'a', 'more', 20)).length, 20)
  await cluster.close()
})

test('a follower without a free byte falls behind, and catches up when there is space', async () => {
  const cluster = await start(6, ['a', 'b', 'c'])
  const full = cluster.names.find((name) => name !== cluster.leader())!
  const via = cluster.leader()!
  fillDisk(cluster, full, 0)
  const written = await write(cluster, via, 'k', 200)
  assert.equal(written.length, 200)
  assert.equal(cluster.store(full).status().role, 'follower')
  assert.ok(cluster.store(full).status().appliedIndex < cluster.store(via).status().appliedIndex)
  fillDisk(cluster, full, 8 * MIN_FREE)
  await cluster.world.advance(2 * SETTLE_MS)
  assert.equal(cluster.store(full).status().appliedIndex, cluster.store(via).status().appliedIndex)
  await assertThere(cluster, full, written)
  await cluster.close()
})

test('a member that waits for space is closed, and what waited is not said to have happened', async () => {
  const cluster = await start(7, ['a'])
  await write(cluster, 'a', 'k', 10)
  fillDisk(cluster, 'a', 0)
  const puts = Array.from({ length: 80 }, (_, i) => cluster.store('a').put(`w${i}`, VALUE))
  const outcomes = Promise.allSettled(puts)
  await cluster.world.advance(3_000)
  await cluster.run(cluster.store('a').close())
  const failed = (await cluster.run(outcomes)).filter(({ status }) => status === 'rejected')
  for (const each of failed) {
    assert.ok(each.status === 'rejected' && hasCode('QUORATE_NOT_OPEN')(each.reason))
  }
  cluster.kill('a')
  fillDisk(cluster, 'a', 8 * MIN_FREE)
  await cluster.restart('a')
  await cluster.awaitLeader()
  const values = await cluster.run(cluster.store('a').getMany(puts.map((_, i) => `w${i}`)))
  for (const [i, each] of (await outcomes).entries()) {
    if (each.status === 'fulfilled') assert.equal(values[i], VALUE)
  }
  await cluster.close()
})

test('a disk without room for the next segment is low, too, and tried again without any write', async () => {
  const storage = { ...STORAGE, minFreeBytes: 8 * KIB, keepLogBytes: 2 ** 40 }
  const cluster = await SimCluster.start(8, ['a'], { storage, limits: { maxRequestBytes: 4096 } })
  await cluster.awaitLeader()
  await write(cluster, 'a', 'k', 3)
  fillDisk(cluster, 'a', 40 * KIB)
  await write(cluster, 'a', 'k', 18)
  await cluster.world.advance(SETTLE_MS)
  assert.deepEqual(await write(cluster, 'a', 'no', 2), [])
  fillDisk(cluster, 'a', 8 * MIN_FREE)
  await cluster.world.advance(SETTLE_MS)
  assert.equal((await write(cluster, 'a', 'again', 40)).length, 40)
  await cluster.close()
})
