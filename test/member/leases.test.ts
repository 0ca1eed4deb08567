import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { Loyalty } from '../../src/member/loyalty.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import { decodeLoyalty, encodeLoyalty } from '../../src/wire/loyalty.js'

const NAMES = ['a', 'b', 'c']
const TIMING = { tickMs: 50, electionTicks: 30 } as const

async function three(seed: number, strongReads: 'quorum' | 'lease') {
  const cluster = await SimCluster.start(seed, NAMES, { strongReads })
  const leader = await cluster.awaitLeader()
  const rest = NAMES.filter((name) => name !== leader)
  await cluster.run(cluster.store(leader).put('k', 'old'))
  await cluster.world.advance(500)
  return { cluster, leader, rest }
}

/** How long a strong read takes when every message takes 10 ms. */
async function readMs(cluster: SimCluster, name: string): Promise<number> {
  for (const from of NAMES) {
    for (const to of NAMES) cluster.network.setLatency(from, to, { minMs: 10, maxMs: 10 })
  }
  await cluster.world.advance(500)
  const since = cluster.world.now
  await cluster.run(cluster.store(name).get('k'))
  return cluster.world.now - since
}

test('a leader with a lease reads strongly without asking, a follower saves the second round trip', async () => {
  const { cluster, leader, rest } = await three(1, 'lease')
  assert.equal(await readMs(cluster, leader), 0)
  const elsewhere = await readMs(cluster, rest[0]!)
  assert.ok(elsewhere >= 20 && elsewhere < 25, `${elsewhere} ms`)
  await cluster.close()
})

test('without leases, which is the default, every strong read asks a majority', async () => {
  const { cluster, leader } = await three(2, 'quorum')
  assert.ok((await readMs(cluster, leader)) >= 20)
  await cluster.close()
})

test('T-46: a leader that stood still does not serve from a lease that ran out meanwhile', async () => {
  for (let seed = 10; seed < 12; seed++) {
    const { cluster, leader, rest } = await three(seed, 'lease')
    const host = cluster.host(leader)
    host.pause()
    cluster.network.partition([[leader], rest])
    await cluster.world.advance(8000)
    await cluster.run(cluster.store(rest[0]!).put('k', 'new', { timeoutMs: 20_000 }))
    host.resume()
    const read = cluster.store(leader).get('k', { timeoutMs: 1000 })
    await assert.rejects(cluster.run(read), (error: unknown) => error instanceof StoreError)
    cluster.network.healAll()
    assert.equal(await cluster.run(cluster.store(leader).get('k', { timeoutMs: 20_000 })), 'new')
    await cluster.close()
  }
})

test('a leader that is cut off stops reading before another one can lead', async () => {
  for (let seed = 20; seed < 23; seed++) {
    const { cluster, leader, rest } = await three(seed, 'lease')
    cluster.network.partition([[leader], rest])
    let isOther = false
    while (!isOther) {
      await cluster.world.advance(25)
      const before = rest.map((name) => cluster.store(name).status().role)
      isOther = before.includes('leader')
      const since = cluster.world.now
      const found = await cluster.run(
        cluster
          .store(leader)
          .get('k', { timeoutMs: 60 })
          .catch(() => undefined),
      )
      const isImmediate = found !== undefined && cluster.world.now === since
      assert.ok(!(isOther && isImmediate), `seed ${seed}: served beside another leader`)
    }
    await cluster.close()
  }
})

test('leases are not used while a voter does not promise its loyalty, and are when all do', async () => {
  const { cluster, leader, rest } = await three(3, 'lease')
  const [other] = rest
  const members = Object.fromEntries(NAMES.map((name) => [name, cluster.addressOf(name)]))
  const options: OpenOptions = { dir: 'data', id: other!, members }
  await cluster.run(cluster.store(other!).close())
  const since = cluster.world.now
  await cluster.reopen(other!, options)
  assert.ok(cluster.world.now - since >= 1400, 'it waits out what it promised before')
  await cluster.world.advance(1000)
  assert.equal(cluster.leader(), leader)
  assert.ok((await readMs(cluster, leader)) >= 20)
  await cluster.run(cluster.store(other!).close())
  const again = cluster.world.now
  await cluster.reopen(other!, { ...options, strongReads: 'lease' })
  assert.ok(cluster.world.now - again < 1000, 'nothing was promised')
  await cluster.world.advance(1000)
  assert.equal(await readMs(cluster, leader), 0)
  await cluster.close()
})

/** Loyalty beside clocks that are set by hand, and what the core was told. */
function alone(isPromised = true) {
  const state = { now: 0, wall: 0, due: 50, voters: [1, 2, 3], told: [] as string[], sent: 0 }
  const loyalty = new Loyalty(
    {
      time: { now: () => state.now, wall: () => state.wall } as never,
      self: 1,
      voters: () => state.voters,
      dueAt: () => state.due,
      step: (input) => state.told.push(input.type === 'lease' ? input.is : input.type),
      sendLoyalty: (_, body) => {
        state.sent = decodeLoyalty(body)
      },
    },
    { ...TIMING, isPromised },
  )
  return { state, loyalty }
}

test('a lease is trusted once every other voter has promised as much, and no longer', () => {
  const { state, loyalty } = alone()
  loyalty.onPeerUp(2)
  loyalty.beforeRead()
  loyalty.onTold(2, state.sent)
  assert.deepEqual(state.told, ['untrusted'])
  loyalty.onTold(3, state.sent + 100)
  loyalty.onTold(3, state.sent - 1)
  loyalty.onTold(3, state.sent)
  state.voters = [1, 2, 3, 4]
  loyalty.review()
  assert.deepEqual(state.told, ['untrusted', 'trusted', 'untrusted', 'trusted', 'untrusted'])
})

test('T-45: time that no tick has counted yet voids the lease before the read is asked about', () => {
  const { state, loyalty } = alone()
  loyalty.beforeRead()
  state.told = []
  Object.assign(state, { now: 99, wall: 99 })
  loyalty.beforeRead()
  assert.deepEqual(state.told, [])
  state.now = 100
  loyalty.beforeRead()
  assert.deepEqual(state.told, ['void'], 'paused: the tick of 50 is a whole tick late')
})

test('a machine that was suspended voids the lease although its clock for intervals stood still', () => {
  const { state, loyalty } = alone()
  loyalty.onTick(0)
  loyalty.beforeRead()
  state.told = []
  Object.assign(state, { now: 10, wall: 60_000 })
  loyalty.beforeRead()
  assert.deepEqual(state.told, ['void'])
})

test('a tick that was skipped voids the lease, one that is late by less does not', () => {
  const { state, loyalty } = alone()
  state.told = []
  loyalty.onTick(49)
  assert.deepEqual(state.told, [])
  loyalty.onTick(50)
  assert.deepEqual(state.told, ['void'])
})

test('a member without leases promises nothing and tells its core nothing', () => {
  const { state, loyalty } = alone(false)
  state.sent = 1
  loyalty.onPeerUp(2)
  loyalty.onTick(5000)
  loyalty.beforeRead()
  assert.deepEqual([state.sent, state.told], [0, []])
  assert.equal(decodeLoyalty(encodeLoyalty(1400)), 1400)
})
