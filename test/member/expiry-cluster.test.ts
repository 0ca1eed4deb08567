/** Keys and leases in a whole cluster on virtual time, whose leaders die. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimCluster } from '../../src/sim/sim-cluster.js'

const NAMES = ['a', 'b', 'c']
/** Until a new leader is there, has read what there is, and its proposal is applied. */
const SLACK_MS = 5000

async function three(seed: number): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, NAMES, {
    storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 64 * 1024 },
  })
  await cluster.awaitLeader()
  return cluster
}

test('leaders that die never shorten a time to live, and it ends all the same, at all members', async () => {
  for (let seed = 70; seed < 73; seed++) {
    const cluster = await three(seed)
    const ttlMs = 4000
    await cluster.run(cluster.store('a').put('k', 1, { ttlMs }))
    let from = cluster.world.now
    for (let round = 0; round < 3; round++) {
      await cluster.world.advance(ttlMs - 1500)
      const leader = await cluster.awaitLeader()
      cluster.powerCut(leader, 'torn')
      from = cluster.world.now
      await cluster.restart(leader)
      await cluster.awaitLeader()
    }
    while (cluster.world.now < from + ttlMs - 100) {
      assert.equal(await cluster.run(cluster.store('b').get('k')), 1, `seed ${seed}`)
      await cluster.world.advance(200)
    }
    await cluster.world.advance(SLACK_MS + ttlMs)
    assert.equal(await cluster.run(cluster.store('b').get('k')), undefined)
    await cluster.world.advance(1000)
    for (const name of NAMES) {
      const read = cluster.store(name).get('k', { consistency: 'eventual' })
      assert.equal(await cluster.run(read), undefined, `seed ${seed}, ${name}`)
    }
    await cluster.close()
  }
})

test('without a leader nothing expires, on no member', async () => {
  const cluster = await three(80)
  await cluster.run(cluster.store('a').put('k', 1, { ttlMs: 1000 }))
  await cluster.world.advance(300)
  cluster.network.partition(NAMES.map((name) => [name]))
  await cluster.world.advance(60_000)
  for (const name of NAMES) {
    const read = cluster.store(name).get('k', { consistency: 'eventual' })
    assert.equal(await cluster.run(read), 1, name)
  }
  cluster.network.healAll()
  await cluster.world.advance(20_000)
  assert.equal(await cluster.run(cluster.store('c').get('k')), undefined)
  await cluster.close()
})

test('a lease that is kept alive survives its leaders, and its keys go with it', async () => {
  const cluster = await three(90)
  const writer = cluster.names.find((name) => name !== cluster.leader())!
  const store = cluster.store(writer)
  const lease = await cluster.run(store.lease(10_000))
  await cluster.run(store.put('k', 1, { lease: lease.id }))
  for (let round = 0; round < 3; round++) {
    await cluster.world.advance(8000)
    const leader = await cluster.awaitLeader()
    if (leader === writer) continue
    cluster.powerCut(leader, 'none')
    await cluster.restart(leader)
  }
  assert.equal(await cluster.run(store.get('k')), 1)
  await cluster.run(lease.revoke())
  assert.equal(await cluster.run(store.get('k')), undefined)
  await cluster.close()
})

test('a member that gets a snapshot, and then leads, knows what expires', async () => {
  const cluster = await three(100)
  const leader = await cluster.awaitLeader()
  const [behind, other] = cluster.names.filter((name) => name !== leader)
  cluster.powerCut(behind!, 'none')
  const store = cluster.store(leader)
  await cluster.run(store.put('k', 1, { ttlMs: 60_000 }))
  for (let i = 0; i < 300; i++) await cluster.run(store.put(`x${i}`, 'x'.repeat(1000)))
  await cluster.run(store.checkpoint())
  await cluster.restart(behind!)
  await cluster.world.advance(3000)
  assert.ok(cluster.store(behind!).status().snapshots.installed > 0)
  await cluster.run(store.members.transferLeadership(behind!))
  cluster.powerCut(leader, 'none')
  await cluster.world.advance(50_000)
  assert.equal(await cluster.run(cluster.store(other!).get('k')), 1)
  await cluster.world.advance(15_000)
  assert.equal(await cluster.run(cluster.store(other!).get('k')), undefined)
  await cluster.restart(leader)
  await cluster.close()
})
