import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { Lease } from '../../src/store/lease.js'

const NAMES = ['a', 'b', 'c']

async function three(seed: number): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, NAMES, {})
  await cluster.awaitLeader()
  return cluster
}

/** Why a lease was lost; undefined while it is not. */
function lossOf(lease: Lease): { readonly code: string | undefined } {
  const loss = { code: undefined as string | undefined }
  lease.lost.then((why) => {
    loss.code = why instanceof StoreError ? why.code : String(why)
  })
  return loss
}

test('a lease lives as long as its holder does, and goes with its keys a little after it', async () => {
  const cluster = await three(1)
  const leader = await cluster.awaitLeader()
  const [holder, other] = NAMES.filter((name) => name !== leader)
  const lease = await cluster.run(cluster.store(holder!).lease(3000))
  assert.match(lease.id, /^[0-9a-f]{16}$/)
  await cluster.run(cluster.store(holder!).put('lock', 1, { lease: lease.id }))
  await cluster.run(cluster.store(other!).put('too', 2, { lease: lease.id }))
  for (let i = 0; i < 20; i++) {
    await cluster.world.advance(1000)
    assert.ok(lease.remainingMs > 1500, `${lease.remainingMs} ms left`)
    assert.equal(await cluster.run(cluster.store(other!).get('lock')), 1)
  }
  cluster.kill(holder!)
  const killedAt = cluster.world.now
  const store = cluster.store(other!)
  while ((await cluster.run(store.get('lock'))) !== undefined) await cluster.world.advance(50)
  const gap = cluster.world.now - killedAt
  assert.ok(gap >= 2000 && gap < 4500, `${gap} ms after the holder`)
  assert.equal(await cluster.run(store.get('too')), undefined)
  await cluster.restart(holder!)
  await cluster.close()
})

test('revoked, a lease takes its keys along at once, and nothing can be attached to it any more', async () => {
  const cluster = await three(2)
  const store = cluster.store('a')
  const lease = await cluster.run(store.lease(60_000))
  const loss = lossOf(lease)
  await cluster.run(
    store.batch([
      { type: 'put', key: 'x', value: 1, lease: lease.id },
      { type: 'put', key: 'y', value: 2 },
    ]),
  )
  assert.equal(await cluster.run(lease.revoke()), true)
  assert.equal(loss.code, 'QUORATE_NO_LEASE')
  assert.equal(lease.remainingMs, 0)
  assert.deepEqual(await cluster.run(store.getMany(['x', 'y'])), [undefined, 2])
  await assert.rejects(cluster.run(store.put('x', 1, { lease: lease.id })), {
    code: 'QUORATE_NO_LEASE',
  })
  await assert.rejects(cluster.run(lease.keepAlive()), { code: 'QUORATE_NO_LEASE' })
  assert.equal(await cluster.run(lease.revoke()), false)
  await cluster.close()
})

test('kept alive by hand, it lives when it is, and says so when it was not', async () => {
  const cluster = await three(3)
  const store = cluster.store('b')
  const lease = await cluster.run(store.lease(2000, { keepAlive: 'manual' }))
  const loss = lossOf(lease)
  await cluster.run(store.put('k', 1, { lease: lease.id }))
  for (let i = 0; i < 5; i++) {
    await cluster.world.advance(1500)
    await cluster.run(lease.keepAlive())
  }
  assert.equal(await cluster.run(store.get('k')), 1)
  await cluster.world.advance(2100)
  assert.equal(lease.remainingMs, 0)
  await cluster.world.advance(1000)
  assert.equal(await cluster.run(store.get('k')), undefined)
  assert.equal(loss.code, undefined, 'nobody has asked')
  await assert.rejects(cluster.run(lease.keepAlive()), { code: 'QUORATE_NO_LEASE' })
  assert.equal(loss.code, 'QUORATE_NO_LEASE')
  await cluster.close()
})

test('as long as time is left by its own count, the keys are there, whoever leads and is cut off', async () => {
  for (let seed = 10; seed < 16; seed++) {
    const cluster = await three(seed)
    const lease = await cluster.run(cluster.store('a').lease(4000))
    await cluster.run(cluster.store('a').put('k', seed, { lease: lease.id, ack: 'all' }))
    let alive = 0
    for (let i = 0; i < 150; i++) {
      const { world, network } = cluster
      const leader = cluster.leader()
      if (i % 30 === 5 && leader !== undefined && leader !== 'a') {
        cluster.powerCut(leader, 'torn')
        await cluster.restart(leader)
      }
      if (i % 30 === 20) network.partition([['a'], ['b', 'c']])
      if (i % 30 === 20 + world.below(10, 'heal', i)) network.healAll()
      await world.advance(world.below(200, 'step', i))
      if (lease.remainingMs === 0) continue
      alive++
      for (const name of NAMES) {
        const found = await cluster.run(cluster.store(name).get('k', { consistency: 'eventual' }))
        assert.equal(found, seed, `seed ${seed}, ${lease.remainingMs} ms left at ${name}`)
      }
    }
    assert.ok(alive > 30)
    cluster.network.healAll()
    await cluster.close()
  }
})

test('a late answer does not prolong what is left of a lease: its time counts from the question', async () => {
  const cluster = await three(6)
  const leader = await cluster.awaitLeader()
  const [holder, other] = NAMES.filter((name) => name !== leader)
  const lease = await cluster.run(cluster.store(holder!).lease(1000, { keepAlive: 'manual' }))
  await cluster.world.advance(500)
  const before = cluster.store(leader).status().appliedIndex
  const kept = lease.keepAlive()
  const isApplied = () => cluster.store(leader).status().appliedIndex > before
  assert.ok(await cluster.world.runUntil(isApplied, 100))
  cluster.network.partition([[holder!], [leader, other!]])
  await cluster.world.advance(2500)
  cluster.network.healAll()
  await cluster.run(kept)
  assert.equal(lease.remainingMs, 0)
  await cluster.close()
})

test('a store that is closed keeps no lease any more, and says so', async () => {
  const cluster = await SimCluster.start(4, ['a'], {})
  const lease = await cluster.run(cluster.store('a').lease(5000))
  const loss = lossOf(lease)
  await cluster.close()
  assert.equal(loss.code, 'QUORATE_NOT_OPEN')
  assert.equal(lease.remainingMs, 0)
})

test('misuse is refused at the call', async () => {
  const cluster = await SimCluster.start(5, ['a'], {})
  const store = cluster.store('a')
  const mode = { keepAlive: 'often' } as unknown as { keepAlive: 'auto' }
  assert.throws(() => store.lease(0), RangeError)
  assert.throws(() => store.lease(1.5), RangeError)
  assert.throws(() => store.lease(1000, mode), TypeError)
  assert.throws(() => store.lease(1000, { ttl: 1 } as object), TypeError)
  await cluster.close()
})
