import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'

const NAMES = ['a', 'b', 'c']
const LEVELS = ['strong', 'session', 'eventual'] as const

async function three(seed: number): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, NAMES, {
    storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 1024 * 1024 },
  })
  await cluster.awaitLeader()
  return cluster
}

function others(cluster: SimCluster, name: string): string[] {
  return cluster.names.filter((other) => other !== name)
}

test('three members elect a leader soon after they have met, and each says who it is', async () => {
  const cluster = await three(1)
  assert.ok(cluster.world.now < 2000, `${cluster.world.now} ms`)
  await cluster.world.advance(500)
  const leader = cluster.leader()
  for (const name of NAMES) assert.equal(cluster.store(name).status().leader, leader)
  await cluster.world.advance(1000)
  assert.match(cluster.store('a').status().words.join(' '), /can lose 1 more/)
  await cluster.close()
})

test('a write through any member is read through every member at every level', async () => {
  const cluster = await three(2)
  for (const writer of NAMES) {
    const { token } = await cluster.run(cluster.store(writer).put('k', `by ${writer}`))
    for (const reader of NAMES) {
      const store = cluster.store(reader)
      assert.equal(await cluster.run(store.get('k')), `by ${writer}`)
      assert.equal(await cluster.run(store.session(token).get('k')), `by ${writer}`)
    }
    await cluster.world.advance(500)
    for (const consistency of LEVELS) {
      assert.equal(await cluster.run(cluster.store('b').get('k', { consistency })), `by ${writer}`)
    }
  }
  await cluster.close()
})

test('when the leader is killed, writes go on within a second and nothing acknowledged is lost', async () => {
  for (let seed = 10; seed < 30; seed++) {
    const cluster = await three(seed)
    const leader = await cluster.awaitLeader()
    const [writer] = others(cluster, leader)
    const store = cluster.store(writer!)
    for (let i = 0; i < 20; i++) await cluster.run(store.put(`k${i}`, i))
    cluster.kill(leader)
    const from = cluster.world.now
    await cluster.run(store.put('after', 1))
    const gap = cluster.world.now - from
    assert.ok(gap < 1000, `seed ${seed}: ${gap} ms without a leader`)
    await cluster.restart(leader)
    for (let i = 0; i < 20; i++) {
      assert.equal(await cluster.run(cluster.store(leader).get(`k${i}`)), i)
    }
    await cluster.close()
  }
})

test('T-67: writes in flight while leaders die are applied exactly once and in order', async () => {
  for (let seed = 30; seed < 40; seed++) {
    const cluster = await three(seed)
    await cluster.awaitLeader()
    const store = cluster.store('a')
    const revisions: number[] = []
    const writes: Promise<unknown>[] = []
    for (let i = 0; i < 60; i++) {
      writes.push(
        store.put(`k${i}`, i, { timeoutMs: 30_000 }).then(({ index }) => revisions.push(index)),
      )
      await cluster.world.advance(3)
      const leader = cluster.leader()
      if (i % 20 === 10 && leader !== undefined && leader !== 'a') {
        cluster.powerCut(leader, 'torn')
        await cluster.world.advance(2)
        await cluster.restart(leader)
      }
    }
    await cluster.run(Promise.all(writes))
    for (let i = 0; i < 60; i++) {
      const meta = await cluster.run(store.getWithMeta(`k${i}`))
      assert.equal(meta.value, i)
      assert.equal(meta.revision, revisions[i], `seed ${seed}: k${i} was applied twice`)
    }
    assert.deepEqual(
      [...revisions],
      revisions.toSorted((x, y) => x - y),
    )
    await cluster.close()
  }
})

test('a minority neither writes nor reads strongly, serves eventual reads, and says so', async () => {
  const cluster = await three(3)
  const leader = await cluster.awaitLeader()
  await cluster.run(cluster.store(leader).put('k', 'old'))
  await cluster.world.advance(300)
  const rest = others(cluster, leader)
  cluster.network.partition([[leader], rest])
  await cluster.world.advance(5000)
  const cutOff = cluster.store(leader)
  await cluster.run(cluster.store(rest[0]!).put('k', 'new'))
  const lost = cutOff.put('k', 'lost', { timeoutMs: 1000 })
  await assert.rejects(cluster.run(lost), (error: unknown) => {
    return (
      error instanceof StoreError && error.code === 'QUORATE_NO_LEADER' && error.outcome === 'none'
    )
  })
  await assert.rejects(cluster.run(cutOff.get('k', { timeoutMs: 1000 })), {
    code: 'QUORATE_NO_LEADER',
  })
  assert.equal(await cluster.run(cutOff.get('k', { consistency: 'eventual' })), 'old')
  assert.match(cutOff.status().words.join(' '), /knows no leader.*1 of 3 members reachable/)
  cluster.network.healAll()
  await cluster.world.advance(5000)
  assert.equal(await cluster.run(cutOff.get('k')), 'new')
  await cluster.close()
})

test('T-48: a session carried to a member that is behind waits for it, or says that it is behind', async () => {
  const cluster = await three(4)
  const leader = await cluster.awaitLeader()
  const [behind, other] = others(cluster, leader)
  cluster.network.partition([[leader, other!], [behind!]])
  const { token } = await cluster.run(cluster.store(leader).put('k', 1))
  const session = cluster.store(behind!).session(token)
  await assert.rejects(cluster.run(session.get('k', { timeoutMs: 500 })), {
    code: 'QUORATE_BEHIND_TOKEN',
  })
  const waiting = session.get('k', { timeoutMs: 20_000 })
  cluster.network.healAll()
  assert.equal(await cluster.run(waiting), 1)
  await cluster.close()
})

test('T-44: a strong read on a cut-off leader is not answered from its own state', async () => {
  const cluster = await three(5)
  const leader = await cluster.awaitLeader()
  const rest = others(cluster, leader)
  await cluster.run(cluster.store(leader).put('k', 'old'))
  cluster.network.partition([[leader], rest])
  const read = cluster.store(leader).get('k', { timeoutMs: 10_000 })
  const settled = read.catch((error: unknown) => error)
  await cluster.world.advance(4000)
  await cluster.run(cluster.store(rest[0]!).put('k', 'new'))
  cluster.network.healAll()
  const result = await cluster.run(settled)
  assert.notEqual(result, 'old')
  await cluster.close()
})

test('a follower that was down for long catches up from the log, and the log is kept for it until then', async () => {
  const cluster = await three(6)
  const leader = await cluster.awaitLeader()
  const [down] = others(cluster, leader)
  cluster.powerCut(down!, 'none')
  const store = cluster.store(leader)
  for (let i = 0; i < 300; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(1000)))
  await cluster.run(store.checkpoint())
  assert.equal(store.status().firstIndex, 1)
  await cluster.restart(down!)
  assert.equal(await cluster.run(cluster.store(down!).get('k299')), 'x'.repeat(1000))
  await cluster.world.advance(3000)
  await cluster.run(store.checkpoint())
  assert.ok(store.status().firstIndex > 100, 'the log goes once everybody has it')
  await cluster.close()
})

test('T-69: a member of another cluster on the same address is refused and disturbs nobody', async () => {
  const cluster = await three(7)
  const other = await SimCluster.start(7, ['a'], { cluster: 'another' })
  await other.close()
  await cluster.run(cluster.store('a').put('k', 1))
  await cluster.close()
})

test('the whole cluster loses power in the middle of writes, again and again, and keeps its promises', async () => {
  for (let seed = 50; seed < 60; seed++) {
    const cluster = await three(seed)
    const acknowledged = new Map<string, number>()
    for (let round = 0; round < 4; round++) {
      await cluster.awaitLeader()
      for (const name of NAMES) {
        for (let i = 0; i < 10; i++) {
          const key = `${name}${i}`
          cluster
            .store(name)
            .put(key, round)
            .then(
              () => acknowledged.set(key, round),
              () => undefined,
            )
        }
      }
      await cluster.world.advance(cluster.world.below(12, 'cut', round))
      const mode = (['none', 'prefix', 'torn', 'arbitrary'] as const)[
        cluster.world.below(4, 'mode', round)
      ]!
      for (const name of NAMES) cluster.powerCut(name, mode)
      for (const name of NAMES) await cluster.restart(name)
      await cluster.awaitLeader()
      for (const [key, atLeast] of acknowledged) {
        const value = await cluster.run(cluster.store('b').get<number>(key))
        assert.ok(value !== undefined && value >= atLeast, `seed ${seed}: ${key} is ${value}`)
      }
    }
    await cluster.close()
  }
})
