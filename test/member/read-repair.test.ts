/** Values that are damaged on one member are had from another, answered, and put back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { closeMember, damageValue } from './damage-fixture.js'

const EVENTUAL = { consistency: 'eventual' } as const

interface Repairs {
  readonly cluster: SimCluster
  readonly repaired: { key: string; from: string | undefined }[]
}

/** Three members, of which c has `keys` damaged; what it repairs is noted. */
async function damaged(seed: number, keys: readonly string[]): Promise<Repairs> {
  const cluster = await SimCluster.start(seed, ['a', 'b', 'c'], {})
  await cluster.awaitLeader()
  for (let i = 0; i < 30; i++) await cluster.run(cluster.store('a').put(`k${10 + i}`, i))
  await cluster.world.advance(1000)
  await closeMember(cluster, 'c')
  for (const key of keys) damageValue(cluster, 'c', key)
  await cluster.restart('c')
  await cluster.world.advance(2000)
  const repaired: { key: string; from: string | undefined }[] = []
  cluster.store('c').on('repaired', ({ key, from }) => {
    repaired.push({ key: Buffer.from(key).toString(), from })
  })
  return { cluster, repaired }
}

/** The members that are asked from now on are none. */
function isolate(cluster: SimCluster): void {
  cluster.kill('a')
  cluster.kill('b')
}

test('a read at any level that meets a damaged value is answered with the good one, which is put back', async () => {
  for (const consistency of ['strong', 'session', 'eventual'] as const) {
    const { cluster, repaired } = await damaged(1, ['k13'])
    const store = cluster.store('c')
    const { value, revision, appliedIndex } = await cluster.run(
      store.getWithMeta('k13', { consistency }),
    )
    const elsewhere = await cluster.run(cluster.store('a').getWithMeta('k13'))
    assert.deepEqual([value, revision], [3, elsewhere.revision])
    assert.ok(appliedIndex >= revision)
    await cluster.world.advance(100)
    assert.deepEqual(
      repaired.map(({ key }) => key),
      ['k13'],
    )
    isolate(cluster)
    assert.equal(await cluster.run(store.get('k13', EVENTUAL)), 3)
    await cluster.close()
  }
})

test('what was put back is durable at the next checkpoint', async () => {
  const { cluster, repaired } = await damaged(2, ['k13'])
  assert.equal(await cluster.run(cluster.store('c').get('k13')), 3)
  await cluster.world.advance(100)
  assert.equal(repaired.length, 1)
  await cluster.run(cluster.store('a').put('x', 1))
  await cluster.world.advance(500)
  await closeMember(cluster, 'c')
  await cluster.restart('c')
  isolate(cluster)
  assert.equal(await cluster.run(cluster.store('c').get('k13', EVENTUAL)), 3)
  cluster.kill('c')
})

test('reads of many keys and scans are answered from one state, whatever of it is damaged', async () => {
  const keys = ['k11', 'k15', 'k38']
  const { cluster, repaired } = await damaged(3, keys)
  const store = cluster.store('c')
  const all = Array.from({ length: 30 }, (_, i) => `k${10 + i}`)
  assert.deepEqual(
    await cluster.run(store.getMany(all, EVENTUAL)),
    all.map((_, i) => i),
  )
  await cluster.world.advance(100)
  assert.deepEqual(repaired.map(({ key }) => key).sort(), keys)
  const again = await damaged(4, keys)
  const found: unknown[] = []
  const scanning = (async () => {
    for await (const [, value] of again.cluster.store('c').scan(EVENTUAL)) found.push(value)
  })()
  await again.cluster.run(scanning)
  assert.deepEqual(
    found,
    all.map((_, i) => i),
  )
  await again.cluster.world.advance(100)
  assert.deepEqual(again.repaired.map(({ key }) => key).sort(), keys)
  await cluster.close()
  await again.cluster.close()
})

test('a value that was overwritten meanwhile is not put back, and the read sees one of the two', async () => {
  for (let seed = 10; seed < 20; seed++) {
    const { cluster } = await damaged(seed, ['k13'])
    const write = cluster.store('a').put('k13', 'new')
    await cluster.world.advance(seed % 5)
    const value = await cluster.run(cluster.store('c').get('k13', EVENTUAL))
    assert.ok(value === 3 || value === 'new', `seed ${seed}: ${value}`)
    await cluster.run(write)
    await cluster.world.advance(500)
    isolate(cluster)
    assert.equal(await cluster.run(cluster.store('c').get('k13', EVENTUAL)), 'new')
    cluster.kill('c')
  }
})

test('when nobody can be asked the read fails naming the key, and nothing damaged is returned', async () => {
  const { cluster } = await damaged(5, ['k13'])
  isolate(cluster)
  await cluster.world.advance(2000)
  const error = {
    code: 'QUORATE_CORRUPTION',
    message: new RegExp(`0x${Buffer.from('k13').toString('hex')}.*no other member`),
  }
  await assert.rejects(cluster.run(cluster.store('c').get('k13', EVENTUAL)), error)
  assert.equal(await cluster.run(cluster.store('c').get('k14', EVENTUAL)), 4)
  cluster.kill('c')
})

test('a member that is damaged in the same place is not believed, another one is', async () => {
  const { cluster } = await damaged(6, ['k13'])
  await closeMember(cluster, 'a')
  damageValue(cluster, 'a', 'k13')
  await cluster.restart('a')
  await cluster.world.advance(3000)
  for (const name of ['c', 'a']) {
    assert.equal(await cluster.run(cluster.store(name).get('k13', EVENTUAL)), 3)
  }
  await cluster.close()
})

test('a view that is held answers reads of damaged values, each with the value of its state', async () => {
  const { cluster, repaired } = await damaged(12, ['k11', 'k15'])
  const level = cluster.store('c').level({ consistency: 'eventual', valueEncoding: 'buffer' })
  await cluster.run(level.open())
  const snapshot = level.snapshot()
  const keys = ['k10', 'k11', 'k15', 'none']
  const there = cluster.store('a').level({ consistency: 'eventual', valueEncoding: 'buffer' })
  await cluster.run(there.open())
  assert.deepEqual(
    await cluster.run(level.getMany(keys, { snapshot })),
    await cluster.run(there.getMany(keys)),
  )
  await cluster.world.advance(100)
  assert.deepEqual(repaired.map(({ key }) => key).sort(), ['k11', 'k15'])
  await cluster.run(snapshot.close())
  await cluster.close()
})
