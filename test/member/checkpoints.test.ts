/** When checkpoints are taken, and what one that failed is taken for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CheckpointPolicy } from '../../src/member/checkpoint-policy.js'
import type { StorageOptions } from '../../src/member/options.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { SimRandom } from '../../src/sim/sim-random.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'
import { resolveMemberOptions } from '../../src/store/open-options.js'

const BOUNDS = { checkpointBytes: 100_000, checkpointEntries: 1000, checkpointMs: 60_000 }

function storage(): StorageOptions {
  return resolveMemberOptions({ dir: 'd', storage: BOUNDS }).storage
}

function policyOf(world: SimWorld, name: string): CheckpointPolicy {
  return new CheckpointPolicy(new SimTime(world), new SimRandom(world, name), storage(), 0)
}

test('a checkpoint is due after so many bytes, so many entries or so long, a fifth less or more', async () => {
  const world = new SimWorld(1)
  const policy = policyOf(world, 'a')
  assert.ok(!policy.isDue({ bytes: 79_999, index: 799 }))
  assert.ok(policy.isDue({ bytes: 120_000, index: 799 }))
  assert.ok(policy.isDue({ bytes: 10, index: 1200 }))
  await world.advance(47_000)
  assert.ok(!policy.isDue({ bytes: 10, index: 1 }))
  await world.advance(26_000)
  assert.ok(policy.isDue({ bytes: 10, index: 1 }))
  assert.ok(!policy.isDue({ bytes: 10, index: 0 }), 'nothing was applied')
})

test('members that apply the same log do not flush at the same moment', () => {
  const world = new SimWorld(2)
  const due = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    const policy = policyOf(world, name)
    let bytes = 0
    while (!policy.isDue({ bytes, index: 1 })) bytes += 1000
    return bytes
  })
  assert.ok(new Set(due).size >= 4, due.join())
})

test('T-59: what is due stays due until a checkpoint has returned, whatever came meanwhile', () => {
  const policy = policyOf(new SimWorld(3), 'a')
  const before = { bytes: 130_000, index: 10 }
  assert.ok(policy.isDue(before))
  assert.ok(policy.isDue({ bytes: 300_000, index: 20 }))
  policy.onDone(before)
  assert.ok(!policy.isDue(before))
  assert.ok(policy.isDue({ bytes: 300_000, index: 20 }))
})

test('after a checkpoint that failed the next attempt waits, longer each time', async () => {
  const world = new SimWorld(4)
  const policy = policyOf(world, 'a')
  const progress = { bytes: 130_000, index: 10 }
  const waits: number[] = []
  for (let i = 0; i < 9; i++) {
    policy.onFailed()
    const from = world.now
    while (!policy.isDue(progress)) await world.advance(50)
    waits.push(world.now - from)
  }
  assert.ok(waits[0]! < 700 && waits[3]! > 2500 && waits[8]! > 20_000 && waits[8]! <= 36_050)
})

const SMALL = {
  storage: { segmentBytes: 65_536, checkpointBytes: 65_536, keepLogBytes: 0, compareMs: 500 },
  limits: { maxRequestBytes: 4096 },
}

test('a checkpoint that a full disk let fail shortens no log, and the member goes on by itself', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const cluster = await SimCluster.start(seed, ['a', 'b', 'c'], SMALL)
    await cluster.awaitLeader()
    const store = cluster.store('b')
    const value = 'x'.repeat(2000)
    for (let i = 0; i < 40; i++) await cluster.run(store.put(`k${i % 7}`, value + i))
    await cluster.world.advance(2000)
    const { firstIndex, checkpointIndex } = store.status()
    cluster.host('b').databases.failNextFlush()
    await cluster.run(store.put('one', 'more', { ack: 'applied' }))
    await assert.rejects(cluster.run(store.checkpoint()), {
      code: 'QUORATE_NO_SPACE',
      retryable: true,
    })
    const status = store.status()
    assert.deepEqual([status.firstIndex, status.checkpointIndex], [firstIndex, checkpointIndex])
    let seen = 0
    for (let i = 40; i < 60; i++) {
      const [, revision] = await cluster.run(
        Promise.all([
          store.put(`k${i % 7}`, value + i),
          store.getWithMeta(`k${(i - 1) % 7}`, { consistency: 'eventual' }),
        ]),
      )
      assert.ok(revision.appliedIndex >= seen, 'the state went back')
      seen = revision.appliedIndex
    }
    await cluster.world.advance(3000)
    assert.equal(await cluster.run(store.checkpoint()), store.status().appliedIndex)
    cluster.kill('b')
    await cluster.restart('b')
    assert.equal(await cluster.run(cluster.store('b').get('one')), 'more')
    assert.equal(await cluster.run(cluster.store('b').get(`k${59 % 7}`)), `${value}59`)
    await cluster.world.advance(1000)
    assert.match(cluster.store('b').status().words.join(' '), /can lose 1 more/)
    await cluster.close()
  }
})

test('a checkpoint that fails in a member that is killed then loses nothing of what was acknowledged', async () => {
  for (let seed = 20; seed < 28; seed++) {
    const cluster = await SimCluster.start(seed, ['a'], SMALL)
    const store = cluster.store('a')
    for (let i = 0; i < 40; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(2000)))
    await cluster.world.advance(500)
    await cluster.run(store.put('one', 'more'))
    cluster.host('a').databases.failNextFlush()
    await assert.rejects(cluster.run(store.checkpoint()), { code: 'QUORATE_NO_SPACE' })
    const write = store.put('late', 1)
    write.catch(() => {})
    await cluster.world.advance(seed % 5)
    cluster.kill('a')
    await cluster.restart('a')
    for (let i = 0; i < 40; i++) {
      assert.equal(await cluster.run(cluster.store('a').get(`k${i}`)), 'x'.repeat(2000))
    }
    await cluster.close()
  }
})
