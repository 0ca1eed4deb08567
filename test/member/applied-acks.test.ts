import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'

const NAMES = ['a', 'b', 'c']

async function three(seed: number) {
  const cluster = await SimCluster.start(seed, NAMES, {})
  const leader = await cluster.awaitLeader()
  const [follower, other] = NAMES.filter((name) => name !== leader)
  await cluster.run(cluster.store(leader).put('k', 0))
  await cluster.world.advance(500)
  return { cluster, leader, follower: follower!, other: other! }
}

function here(cluster: SimCluster, name: string): Promise<unknown> {
  return cluster.run(cluster.store(name).get('k', { consistency: 'eventual' }))
}

function isCommitted(code: string) {
  return (error: unknown) =>
    error instanceof StoreError && error.code === code && error.outcome === 'committed'
}

test('a write with ack applied is there for eventual reads of the member that made it', async () => {
  const { cluster, follower } = await three(1)
  cluster.host(follower).slow(20)
  await cluster.run(cluster.store(follower).put('k', 1, { ack: 'applied' }))
  assert.equal(await here(cluster, follower), 1)
  await cluster.close()
})

test('a write with ack all is there for eventual reads of every voter', async () => {
  const { cluster, follower, other } = await three(2)
  cluster.host(other).slow(50)
  for (const name of NAMES) {
    await cluster.run(cluster.store(name).put('k', name, { ack: 'all' }))
    for (const reader of NAMES) assert.equal(await here(cluster, reader), name)
  }
  cluster.host(other).slow(1)
  const writes = Array.from({ length: 50 }, (_, n) =>
    cluster.store(follower).put('k', n, { ack: 'all' }),
  )
  await cluster.run(Promise.all(writes))
  for (const reader of NAMES) assert.equal(await here(cluster, reader), 49)
  await cluster.close()
})

test('with one voter down two can be asked for, all cannot; the write is committed and the error says so', async () => {
  const { cluster, leader, follower, other } = await three(3)
  cluster.kill(other)
  const store = cluster.store(leader)
  await cluster.run(store.put('k', 1, { ack: { members: 2 } }))
  assert.equal(await here(cluster, follower), 1)
  const all = store.put('k', 2, { ack: 'all', timeoutMs: 1000 })
  await assert.rejects(cluster.run(all), isCommitted('QUORATE_ACK_TIMEOUT'))
  assert.equal(await cluster.run(store.get('k')), 2)
  await cluster.close()
})

test('a voter that comes back is asked again, and a wait for it ends', async () => {
  const { cluster, leader, other } = await three(4)
  cluster.powerCut(other, 'none')
  const write = cluster.store(leader).put('k', 1, { ack: 'all', timeoutMs: 30_000 })
  await cluster.world.advance(1000)
  await cluster.restart(other)
  await cluster.run(write)
  assert.equal(await here(cluster, other), 1)
  await cluster.close()
})

test('a wait goes on through a cut of the network and a change of leader', async () => {
  const { cluster, leader, follower, other } = await three(5)
  const write = cluster.store(follower).put('k', 1, { ack: 'all', timeoutMs: 50_000 })
  await cluster.world.advance(1)
  cluster.network.partition([[leader], [follower, other]])
  await cluster.world.advance(6000)
  cluster.network.healAll()
  await cluster.run(write)
  for (const reader of NAMES) assert.equal(await here(cluster, reader), 1)
  await cluster.close()
})

test('a wait that is aborted, or whose store is closed, says that the write is committed', async () => {
  const { cluster, leader, other } = await three(6)
  cluster.kill(other)
  const controller = new AbortController()
  const store = cluster.store(leader)
  const options = { ack: 'all', timeoutMs: 50_000 } as const
  const aborted = store.put('k', 1, { ...options, signal: controller.signal })
  const ended = store.put('k', 2, options)
  const outcomes = Promise.all([
    assert.rejects(aborted, isCommitted('QUORATE_ABORTED')),
    assert.rejects(ended, isCommitted('QUORATE_NOT_OPEN')),
  ])
  await cluster.world.advance(100)
  controller.abort()
  await cluster.run(store.close())
  await outcomes
})
