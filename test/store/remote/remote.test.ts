/** A Store whose members are on other hosts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimCluster } from '../../../src/sim/sim-cluster.js'
import { SimHost } from '../../../src/sim/sim-host.js'
import { openStore, type Store } from '../../../src/store/store.js'
import { hasCode } from '../../member/membership-fixture.js'
import { connected, NAMES, others, three } from './remote-fixture.js'

async function keysOf(cluster: SimCluster, store: Store): Promise<string[]> {
  const keys: string[] = []
  const scan = async () => {
    for await (const [key] of store.scan()) keys.push(key)
  }
  await cluster.run(scan())
  return keys
}

test('a client reads and writes as a Store in the same process does', async () => {
  const cluster = await three(1)
  const store = await connected(cluster, ['b'])
  const { index, token } = await cluster.run(store.put('k', { n: 1 }))
  for (const consistency of ['strong', 'session', 'eventual'] as const) {
    const session = store.session(token)
    assert.deepEqual(await cluster.run(session.get('k', { consistency })), { n: 1 })
  }
  const meta = await cluster.run(store.getWithMeta('k'))
  assert.deepEqual([meta.revision, NAMES.includes(meta.servedBy)], [index, true])
  await cluster.run(
    store.batch([
      { type: 'put', key: 'l', value: 2 },
      { type: 'del', key: 'k' },
    ]),
  )
  assert.deepEqual(await cluster.run(store.getMany(['k', 'l'])), [undefined, 2])
  const compare = {
    if: [{ key: 'l', value: 2 }],
    then: [{ type: 'put', key: 'm', value: 3 }],
  } as const
  assert.equal((await cluster.run(store.txn(compare))).succeeded, true)
  assert.deepEqual(await keysOf(cluster, store), ['l', 'm'])
  for (const ack of ['leader', 'quorum', 'applied', 'all', { members: 2 }] as const) {
    await cluster.run(store.put('n', ack, { ack }))
  }
  const lease = await cluster.run(store.lease(5_000))
  await cluster.run(store.put('o', 1, { lease: lease.id }))
  await cluster.run(lease.revoke())
  assert.equal(await cluster.run(store.get('o')), undefined)
  await cluster.run(store.close())
  await cluster.close()
})

test('a client asks about the members, changes them, and learns where new ones are', async () => {
  const cluster = await three(2)
  const store = await connected(cluster, ['a'])
  const changes: number[] = []
  store.on('membership', ({ members }) => changes.push(members.length))
  const joining = cluster.join('d')
  await cluster.run(store.members.add('d', cluster.addressOf('d')))
  await cluster.run(joining)
  const { members } = await cluster.run(store.members.list())
  assert.deepEqual(members.map(({ id }) => id).toSorted(), ['a', 'b', 'c', 'd'])
  assert.equal(changes.at(-1), 4)
  for (const name of ['a', 'b']) await cluster.run(store.members.remove(name))
  for (const name of ['a', 'b']) cluster.forget(name)
  await cluster.run(store.put('k', 1, { timeoutMs: 20_000 }))
  assert.equal(await cluster.run(store.get('k')), 1)
  await cluster.run(store.close())
  await cluster.close()
})

test('what the leader refuses about members is said at once, and not asked of every member', async () => {
  const cluster = await three(12)
  const store = await connected(cluster)
  const endless = { timeoutMs: Number.POSITIVE_INFINITY }
  await cluster.run(store.members.list(endless))
  await cluster.run(store.members.add('d', cluster.addressOf('d'), { as: 'learner' }))
  const from = cluster.world.now
  await assert.rejects(cluster.run(store.members.promote('d')), hasCode('QUORATE_NOT_READY'))
  assert.ok(cluster.world.now - from < 1_000, `after ${cluster.world.now - from} ms`)
  await assert.rejects(cluster.run(store.members.remove('x')), hasCode('QUORATE_NO_MEMBER'))
  await cluster.run(store.close())
  await cluster.close()
})

test('members with small frames are asked in small frames', async () => {
  const limits = { maxValueBytes: 4_096, maxRequestBytes: 4_096 }
  const cluster = await three(13, { limits })
  const store = await connected(cluster)
  const keys = Array.from({ length: 200 }, (_, i) => `${1_000 + i}`.padEnd(2_000, 'k'))
  await cluster.run(Promise.all(keys.map((key, i) => store.put(key, i))))
  const values = await cluster.run(Promise.all(keys.map((key) => store.get(key))))
  assert.deepEqual(
    values,
    keys.map((_, i) => i),
  )
  assert.equal((await keysOf(cluster, store)).length, 200)
  await assert.rejects(cluster.run(store.getMany(keys)), hasCode('QUORATE_TOO_LARGE'))
  await cluster.run(store.close())
  await cluster.close()
})

test('status, checkpoint and backup work from far away', async () => {
  const cluster = await three(3)
  const store = await connected(cluster)
  await cluster.run(store.put('k', 1))
  const status = store.status()
  assert.match(status.words[0]!, /^a client connected with .* told/)
  assert.ok((await cluster.run(store.checkpoint())) > 0)
  const { index } = await cluster.run(
    store.backup('backup', { timeoutMs: Number.POSITIVE_INFINITY }),
  )
  assert.ok(index > 0)
  assert.equal(store.metrics().member, undefined)
  await cluster.run(store.close())
  await cluster.close()
})

test('writes in flight while leaders die are applied exactly once and in order', async () => {
  for (let seed = 30; seed < 36; seed++) {
    const cluster = await three(seed)
    const store = await connected(cluster)
    const revisions: number[] = []
    const writes: Promise<unknown>[] = []
    for (let i = 0; i < 60; i++) {
      const write = store.put(`k${i}`, i, { timeoutMs: 30_000 })
      writes.push(write.then(({ index }) => revisions.push(index)))
      await cluster.world.advance(3)
      const leader = cluster.leader()
      if (i % 20 === 10 && leader !== undefined) {
        cluster.powerCut(leader, 'torn')
        await cluster.world.advance(2)
        await cluster.restart(leader)
      }
      if (i % 20 === 15) cluster.network.break('client', others(cluster, leader ?? 'a')[0]!)
    }
    await cluster.run(Promise.all(writes))
    for (let i = 0; i < 60; i++) {
      const meta = await cluster.run(store.getWithMeta(`k${i}`))
      assert.equal(meta.value, i)
      assert.equal(meta.revision, revisions[i], `seed ${seed}: k${i} was applied twice`)
    }
    assert.deepEqual(
      revisions,
      revisions.toSorted((x, y) => x - y),
    )
    await cluster.run(store.close())
    await cluster.close()
  }
})

test('a session goes on at another member when the one that served it dies', async () => {
  for (let seed = 50; seed < 56; seed++) {
    const cluster = await three(seed)
    const store = await connected(cluster, NAMES, { balance: 'random' })
    const session = store.session()
    for (let i = 0; i < 10; i++) {
      await cluster.run(session.put('k', i, { timeoutMs: 30_000 }))
      if (i % 3 === 0) {
        const name = NAMES[(seed + i) % 3]!
        cluster.kill(name)
        assert.equal(await cluster.run(session.get('k', { timeoutMs: 30_000 })), i)
        await cluster.restart(name)
      }
      assert.equal(await cluster.run(session.get('k', { timeoutMs: 30_000 })), i)
      const { token } = session
      assert.equal(await cluster.run(store.session(token).get('k', { timeoutMs: 30_000 })), i)
    }
    await cluster.run(store.close())
    await cluster.close()
  }
})

test('one address is enough: when its member is gone for good, the others are known', async () => {
  const cluster = await three(4)
  const store = await connected(cluster, ['a'])
  await cluster.run(store.put('k', 1))
  cluster.kill('a')
  assert.equal(await cluster.run(store.get('k', { timeoutMs: 30_000 })), 1)
  await cluster.run(store.put('k', 2, { timeoutMs: 30_000 }))
  await cluster.run(store.close())
  await cluster.close()
})

test('a watch goes on at another member, with every change once and in order', async () => {
  for (let seed = 60; seed < 66; seed++) {
    const cluster = await three(seed)
    const store = await connected(cluster)
    const stop = new AbortController()
    const seen: unknown[] = []
    const watching = (async () => {
      for await (const event of store.watch({ prefix: 'w', signal: stop.signal })) {
        if (event.type !== 'changes') continue
        for (const change of event.changes) if (change.type === 'put') seen.push(change.value)
      }
    })()
    const ended = watching.catch((error: unknown) => error)
    await cluster.world.advance(200)
    const written: number[] = []
    for (let i = 0; i < 40; i++) {
      await cluster.run(store.put(`w${i % 7}`, i, { timeoutMs: 30_000 }))
      written.push(i)
      const name = NAMES[i % 3]!
      if (i % 8 === 3) cluster.kill(name)
      // The client still reaches the one that the others do not.
      if (i % 8 === 6) cluster.network.partition([[name], others(cluster, name)])
      if (i % 8 === 7) cluster.network.healAll()
      for (const down of NAMES) if (i % 8 === 5 && !cluster.isUp(down)) await cluster.restart(down)
    }
    cluster.network.healAll()
    await cluster.world.advance(10_000)
    assert.deepEqual(seen, written, `seed ${seed}`)
    stop.abort()
    assert.equal(((await cluster.run(ended)) as { code?: string }).code, 'QUORATE_ABORTED')
    await cluster.run(store.close())
    await cluster.close()
  }
})

test('a position that one member has forgotten is asked of the others; when all have, that is said', async () => {
  const cluster = await three(14)
  const store = await connected(cluster)
  // So that `b` is asked first.
  for (const far of ['a', 'c']) {
    cluster.network.setLatency('client', far, { minMs: 50, maxMs: 50 })
  }
  const { token } = await cluster.run(store.put('w', 0))
  for (let i = 1; i < 5; i++) await cluster.run(store.put('w', i))
  const revisit = async () => {
    const values: unknown[] = []
    for await (const event of store.watch({ prefix: 'w', from: token })) {
      if (event.type === 'changes') for (const c of event.changes) values.push(Object(c).value)
      if (values.length === 4) break
    }
    return values
  }
  const forget = async (name: string) => {
    await cluster.run(cluster.store(name).checkpoint())
    cluster.kill(name)
    await cluster.restart(name)
    await cluster.world.advance(5_000)
  }
  await forget('b')
  assert.deepEqual(await cluster.run(revisit()), [1, 2, 3, 4])
  for (const name of NAMES) await forget(name)
  await assert.rejects(cluster.run(revisit()), hasCode('QUORATE_COMPACTED'))
  await cluster.run(store.close())
  await cluster.close()
})

test('weak reads are spread as asked; a member that fails or stands still is left out and let in again', async () => {
  const cluster = await three(15)
  const store = await connected(cluster, NAMES, { balance: 'round-robin', consistency: 'eventual' })
  await cluster.run(store.put('k', 1, { ack: 'all' }))
  const servers = async (reads: number) => {
    const names: string[] = []
    for (let i = 0; i < reads; i++) {
      const from = cluster.world.now
      names.push((await cluster.run(store.getWithMeta('k', { timeoutMs: 30_000 }))).servedBy)
      assert.ok(
        cluster.world.now - from < 8_000,
        'no read waits for one that stands still for long',
      )
    }
    return new Set(names)
  }
  assert.deepEqual(await servers(9), new Set(NAMES))
  const [still] = others(cluster, await cluster.awaitLeader())
  cluster.host(still!).pause()
  await cluster.world.advance(4_000)
  assert.ok(!(await servers(9)).has(still!), 'it is slow to answer probes')
  cluster.host(still!).resume()
  await cluster.world.advance(15_000)
  assert.deepEqual(await servers(9), new Set(NAMES))
  await cluster.run(store.close())
  await cluster.close()
})

test('members of another cluster are not asked', async () => {
  const cluster = await three(16)
  const secret = 'a secret for simulations'
  const stray = new SimHost(cluster.world, cluster.network, 'stray')
  const options = { dir: 'data', id: 'a', listen: 'stray:7100', cluster: 'another', secret }
  const other = await cluster.run(openStore(stray.boot(), options))
  const store = await connected(cluster, ['b', 'stray'])
  const isOurs = (await cluster.run(store.members.list())).members.length === 3
  const asked = isOurs ? cluster.store('b') : other
  await cluster.run(asked.put('k', 'of the first that answered'))
  for (let i = 0; i < 20; i++) {
    await cluster.world.advance(500)
    assert.equal(await cluster.run(store.get('k')), 'of the first that answered')
  }
  await cluster.run(store.close())
  await cluster.run(other.close())
  await cluster.close()
})

test('a scan whose state is lost with its member ends with an error that says to try again', async () => {
  const cluster = await three(5)
  const store = await connected(cluster)
  const value = 'x'.repeat(2_000)
  for (let i = 0; i < 300; i++) await cluster.run(store.put(`k${1_000 + i}`, value))
  const scan = store.scan()
  await cluster.run(scan.next())
  for (const name of NAMES) cluster.network.break('client', name)
  const rest = async () => {
    for await (const _ of scan);
  }
  await assert.rejects(cluster.run(rest()), (error: unknown) => {
    const { code, retryable } = error as { code?: string; retryable?: boolean }
    return code === 'QUORATE_NETWORK' && retryable === true
  })
  assert.equal((await keysOf(cluster, store)).length, 300)
  await cluster.run(store.close())
  await cluster.close()
})

test('a write that was not sent did not happen; one that was sent and not answered is unknown', async () => {
  const cluster = await three(6)
  const store = await connected(cluster)
  await cluster.run(store.put('k', 0))
  cluster.network.partition([['client'], NAMES])
  const sent = store.put('k', 1, { timeoutMs: 2_000 })
  await assert.rejects(cluster.run(sent), { code: 'QUORATE_TIMEOUT', outcome: 'unknown' })
  await cluster.world.advance(10_000)
  const unsent = store.put('k', 2, { timeoutMs: 2_000 })
  await assert.rejects(cluster.run(unsent), { code: 'QUORATE_NO_LEADER', outcome: 'none' })
  await assert.rejects(cluster.run(store.get('k', { timeoutMs: 500 })), hasCode('QUORATE_NETWORK'))
  cluster.network.healAll()
  assert.notEqual(await cluster.run(store.get('k', { timeoutMs: 20_000 })), 2)
  await cluster.run(store.close())
  await cluster.close()
})

test('a member that is cut off from the others serves nobody who can ask one of those', async () => {
  const cluster = await three(7)
  const store = await connected(cluster)
  const leader = await cluster.awaitLeader()
  cluster.network.partition([[leader], others(cluster, leader)])
  await cluster.run(store.put('k', 1, { timeoutMs: 30_000 }))
  assert.equal(await cluster.run(store.get('k', { timeoutMs: 30_000 })), 1)
  cluster.network.healAll()
  await cluster.run(store.close())
  await cluster.close()
})

test('closing ends what is under way; nothing of the client is left at the members', async () => {
  const cluster = await three(8)
  const store = await connected(cluster)
  const watch = store.watch({ prefix: 'w' })
  const next = watch.next()
  const scan = store.scan()
  await cluster.run(store.put('k', 1))
  await cluster.run(scan.next())
  cluster.network.partition([['client'], NAMES])
  const read = store.get('k')
  const failures = [next, read].map((call) => assert.rejects(call, hasCode('QUORATE_NOT_OPEN')))
  await cluster.run(store.close())
  await cluster.run(Promise.all(failures))
  await assert.rejects(cluster.run(store.put('k', 1)), hasCode('QUORATE_NOT_OPEN'))
  cluster.network.healAll()
  await cluster.close()
})

test('connect says why it could not', async () => {
  const cluster = await three(9)
  await assert.rejects(
    connected(cluster, ['a'], { secret: 'another secret of some length' }),
    hasCode('QUORATE_UNAUTHORIZED'),
  )
  for (const name of NAMES) cluster.kill(name)
  await assert.rejects(
    connected(cluster, NAMES, { connectTimeoutMs: 3_000 }),
    hasCode('QUORATE_NETWORK'),
  )
})
