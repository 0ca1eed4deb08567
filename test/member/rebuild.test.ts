/** States that are damaged or lost: LevelDB is disposable, the log and the other members are not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SESSION_PREFIX } from '../../src/machine/key-space.js'
import { decodeSessionRecord, writeSessionRecord } from '../../src/machine/session-record.js'
import type { Rebuilt } from '../../src/member/open-state.js'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { closeMember, tamper } from './damage-fixture.js'
import { grow, hasCode, lone, three } from './membership-fixture.js'

const SHORT_LOG = {
  storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 0 },
}

async function fill(cluster: SimCluster, via: string, count: number): Promise<void> {
  const store = cluster.store(via)
  for (let i = 0; i < count; i++) {
    await cluster.run(store.put(`k${i}`, `${i} ${'x'.repeat(2000)}`, { timeoutMs: 30_000 }))
  }
  await cluster.world.advance(2000)
  for (const name of cluster.names) await cluster.run(cluster.store(name).checkpoint())
}

/** Restarts a member; resolves to what it says about having been rebuilt. */
async function restart(cluster: SimCluster, name: string): Promise<Rebuilt[]> {
  await cluster.restart(name)
  const events: Rebuilt[] = []
  cluster.store(name).on('rebuilt', (rebuilt) => events.push(rebuilt))
  await cluster.world.advance(10)
  return events
}

async function isWhole(cluster: SimCluster, name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i += 7) {
    const value = await cluster.run(cluster.store(name).get(`k${i}`, { timeoutMs: 20_000 }))
    assert.match(String(value), new RegExp(`^${i} `))
  }
}

test('a state that does not open is replayed from a log that holds everything, and set aside', async () => {
  const cluster = await lone(1)
  await fill(cluster, 'a', 60)
  cluster.kill('a')
  const { databases } = cluster.host('a')
  databases.damage('data/state')
  const [rebuilt] = await restart(cluster, 'a')
  assert.deepEqual(rebuilt, {
    why: 'the database in data/state is damaged',
    from: 'log',
    setAside: 'data/state.broken-1',
  })
  await isWhole(cluster, 'a', 60)
  assert.deepEqual(await databases.list('data'), ['state', 'state.broken-1'])
  await cluster.close()
})

test('a state that does not open, and is not in the log any more, is had from another member', async () => {
  const cluster = await three(2, SHORT_LOG)
  await fill(cluster, 'a', 120)
  assert.ok(cluster.store('b').status().firstIndex > 1)
  for (let round = 0; round < 3; round++) {
    cluster.kill('b')
    const { databases } = cluster.host('b')
    const [dir] = (await databases.list('data')).filter((name) => !name.includes('broken'))
    databases.damage(`data/${dir}`)
    const [rebuilt] = await restart(cluster, 'b')
    assert.ok(['a', 'c'].includes(rebuilt!.from), rebuilt!.from)
    await isWhole(cluster, 'b', 120)
    const broken = (await databases.list('data')).filter((name) => name.includes('broken'))
    assert.deepEqual(broken, [`${dir}.broken-${round + 1}`], 'the newest one is kept')
  }
  await cluster.run(cluster.store('b').put('after', 1))
  await cluster.close()
})

test('a state that is gone is had from another member', async () => {
  const cluster = await three(3, SHORT_LOG)
  await fill(cluster, 'a', 120)
  cluster.powerCut('c', 'torn')
  await cluster.host('c').databases.remove('data/state')
  const [rebuilt] = await restart(cluster, 'c')
  assert.equal(rebuilt!.why, 'the state is gone')
  assert.equal(rebuilt!.setAside, undefined)
  await isWhole(cluster, 'c', 120)
  await cluster.close()
})

test('a member that joined later is rebuilt by those whom it knows only from its lost state', async () => {
  const cluster = await lone(4, SHORT_LOG)
  await fill(cluster, 'a', 60)
  for (const name of ['b', 'c']) await grow(cluster, 'a', name)
  await cluster.world.advance(2000)
  await cluster.run(cluster.store('b').members.remove('a'))
  cluster.forget('a')
  await fill(cluster, 'b', 120)
  await grow(cluster, 'b', 'd')
  cluster.kill('c')
  cluster.host('c').databases.damage('data/state-1')
  const [rebuilt] = await restart(cluster, 'c')
  assert.ok(rebuilt !== undefined)
  await isWhole(cluster, 'c', 120)
  await cluster.close()
})

test('a lone member whose state is lost, and not in its log, refuses to start and says what can be done', async () => {
  const cluster = await lone(5, SHORT_LOG)
  await fill(cluster, 'a', 120)
  cluster.kill('a')
  cluster.host('a').databases.damage('data/state')
  for (let attempt = 0; attempt < 2; attempt++) {
    const refused = cluster.restart('a')
    await assert.rejects(refused, (error: unknown) => {
      assert.match(String(error), /data\/state.*restore a backup/)
      return hasCode('QUORATE_CORRUPTION')(error)
    })
  }
})

test('a log that ends before the state does is never made up for', async () => {
  const cluster = await three(6, SHORT_LOG)
  await fill(cluster, 'a', 120)
  cluster.kill('b')
  const { disk } = cluster.host('b').boot()
  await cluster.run(disk.removeDir('data/log'))
  await assert.rejects(cluster.restart('b'), hasCode('QUORATE_CORRUPTION'))
})

/** Makes a member that is down believe that every client's next request was applied already. */
async function applyNextRequestsUnseen(cluster: SimCluster, name: string): Promise<void> {
  await closeMember(cluster, name)
  const changed = tamper(cluster, name, (key, value) => {
    if (key[0] !== SESSION_PREFIX) return undefined
    const session = decodeSessionRecord(key.toString('latin1', 1), value)
    session.lastSeq++
    session.results.push(session.results.at(-1)!)
    const record = Buffer.alloc(value.length + 18)
    return record.subarray(0, writeSessionRecord(session, record))
  })
  assert.ok(changed > 0)
  await cluster.restart(name)
}

for (const part of ['follower', 'leader'] as const) {
  test(`a ${part} whose state went apart from the others' goes on without one, and has theirs`, async () => {
    const cluster = await three(part === 'leader' ? 11 : 12, {
      storage: { ...SHORT_LOG.storage, compareMs: 2000 },
    })
    await fill(cluster, 'a', 120)
    assert.ok(cluster.store('c').status().firstIndex > 1)
    await applyNextRequestsUnseen(cluster, 'c')
    const rebuilt: Rebuilt[] = []
    const store = cluster.store('c')
    store.on('rebuilt', (event) => rebuilt.push(event))
    await cluster.world.advance(2000)
    if (part === 'leader') await cluster.run(cluster.store('a').members.transferLeadership('c'))
    for (let i = 0; i < 60; i++) {
      await cluster.run(cluster.store('a').put(`after${i}`, i, { timeoutMs: 30_000 }))
    }
    await cluster.world.runUntil(() => rebuilt.length > 0, 60_000)
    assert.match(rebuilt[0]!.why, /not that of the majority/)
    assert.ok(['a', 'b'].includes(rebuilt[0]!.from))
    assert.match(rebuilt[0]!.setAside!, /broken-1$/)
    await isWhole(cluster, 'c', 120)
    for (let i = 0; i < 60; i++) {
      const value = await cluster.run(store.get(`after${i}`, { consistency: 'eventual' }))
      assert.equal(value, i)
    }
    await cluster.world.advance(10_000)
    assert.equal(rebuilt.length, 1, 'it is the same as the others now')
    assert.equal(store.status().snapshots.rebuilding, undefined)
    await cluster.run(store.put('last', 1))
    await cluster.close()
  })
}
