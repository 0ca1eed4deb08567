import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestCluster } from '../../src/testing.js'

test('what was acknowledged survives a power cut of the whole cluster', async () => {
  await using cluster = await TestCluster.start()
  await cluster.run(cluster.store('b').put('k', 'kept'))
  for (const member of cluster.members) cluster.powerCut(member, 'torn')
  for (const member of cluster.members) await cluster.restart(member)
  assert.equal(await cluster.run(cluster.store('c').get('k')), 'kept')
})

test('a leader that is cut off is replaced, and takes part again when the network is healed', async () => {
  await using cluster = await TestCluster.start({ seed: 2 })
  const old = cluster.leader!
  const rest = cluster.members.filter((member) => member !== old)
  cluster.partition([[old], rest])
  await cluster.advance(5000)
  await cluster.run(cluster.store(rest[0]!).put('k', 1))
  cluster.heal()
  await cluster.converged()
  assert.notEqual(await cluster.elected(), undefined)
  assert.equal(await cluster.run(cluster.store(old).get('k')), 1)
})

test('ten seconds of standing still pass in no time, and cost the member its leadership', async () => {
  await using cluster = await TestCluster.start({ seed: 3 })
  const old = cluster.leader!
  cluster.pause(old)
  await cluster.advance(10_000)
  assert.notEqual(cluster.leader, undefined)
  cluster.resume(old)
  await cluster.converged()
  assert.equal(cluster.store(old).status().role, 'follower')
})

test('a full disk stops the member that has it, and nobody else', async () => {
  await using cluster = await TestCluster.start({ seed: 4 })
  const [full] = cluster.members.filter((member) => member !== cluster.leader)
  cluster.failDisk(full!, 'sync', 'ENOSPC', 'log')
  await cluster.run(cluster.store(cluster.leader!).put('k', 1))
  await cluster.advance(1000)
  assert.equal(cluster.store(full!).status().role, 'stopped')
  cluster.kill(full!)
  await cluster.restart(full!)
  await cluster.converged()
})
