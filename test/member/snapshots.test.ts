/** Snapshots between members: followers that lack more than the log holds, and newcomers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { grow, lone, three } from './membership-fixture.js'

const SHORT_LOG = {
  storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 0 },
}

async function fill(cluster: SimCluster, via: string, from: number, to: number): Promise<void> {
  const store = cluster.store(via)
  for (let i = from; i < to; i++) {
    await cluster.run(store.put(`k${i}`, `${i} ${'x'.repeat(2000)}`, { timeoutMs: 30_000 }))
  }
}

test('T-18: a newcomer joins a cluster whose log begins late', async () => {
  const cluster = await lone(1, SHORT_LOG)
  await fill(cluster, 'a', 0, 150)
  await cluster.world.advance(2000)
  await cluster.run(cluster.store('a').checkpoint())
  assert.ok(cluster.store('a').status().firstIndex > 1)
  await grow(cluster, 'a', 'b')
  assert.equal(cluster.store('b').status().snapshots.installed, 1)
  const value = await cluster.run(cluster.store('b').get('k3', { consistency: 'eventual' }))
  assert.match(String(value), /^3 /)
  await cluster.close()
})

test('a follower that was away for longer than the log is kept is sent the state', async () => {
  const cluster = await three(2, SHORT_LOG)
  const leader = await cluster.awaitLeader()
  const [away] = cluster.names.filter((name) => name !== leader)
  cluster.kill(away!)
  await fill(cluster, leader, 0, 150)
  await cluster.world.advance(2000)
  await cluster.run(cluster.store(leader).checkpoint())
  assert.ok(cluster.store(leader).status().firstIndex > 1)
  await cluster.restart(away!)
  const value = await cluster.run(cluster.store(away!).get('k149', { timeoutMs: 20_000 }))
  assert.match(String(value), /^149 /)
  assert.equal(cluster.store(away!).status().snapshots.installed, 1)
  await fill(cluster, leader, 150, 160)
  await cluster.close()
})
