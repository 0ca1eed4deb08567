/** Beside abstract-level's own suite (test/conformance/level): what that does not ask, or cannot. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreLevel } from '../../../src/level.js'
import { TestCluster } from '../../../src/testing.js'

function lone(): Promise<TestCluster> {
  return TestCluster.start({ members: ['a'] })
}

function followerOf(cluster: TestCluster): string {
  return cluster.members.find((member) => member !== cluster.leader)!
}

async function fill(db: StoreLevel, count: number): Promise<void> {
  const keys = Array.from({ length: count }, (_, i) => `k${String(i).padStart(5, '0')}`)
  await db.batch(keys.map((key) => ({ type: 'put', key, value: 'v' })))
}

test('databases with different prefixes see neither each other nor the rest of the Store', async () => {
  await using cluster = await lone()
  const store = cluster.store('a')
  const users = store.level({ prefix: 'user:' })
  const orders = store.level<string, { n: number }>({ prefix: 'order:', valueEncoding: 'json' })
  await cluster.run(
    Promise.all([users.put('ada', 'Ada'), users.put('', 'nobody'), orders.put('1', { n: 1 })]),
  )
  await cluster.run(store.put('user;', 'beside'))
  assert.deepEqual(await cluster.run(users.iterator().all()), [
    ['', 'nobody'],
    ['ada', 'Ada'],
  ])
  await cluster.run(users.clear())
  assert.deepEqual(await cluster.run(users.keys().all()), [])
  assert.deepEqual(await cluster.run(orders.get('1')), { n: 1 })
  assert.equal(await cluster.run(store.get('user;')), 'beside')
})

test('without a prefix a database is the whole Store', async () => {
  await using cluster = await lone()
  const store = cluster.store('a')
  const db = store.level()
  await cluster.run(db.put('k', 'v'))
  assert.equal(await cluster.run(store.get('k', { valueEncoding: 'utf8' })), 'v')
  await cluster.run(store.put('other', 'text', { valueEncoding: 'utf8' }))
  assert.deepEqual(await cluster.run(db.iterator({ reverse: true }).all()), [
    ['other', 'text'],
    ['k', 'v'],
  ])
  await assert.rejects(cluster.run(db.put('', 'v')), RangeError)
})

const READS: readonly ((db: StoreLevel) => Promise<string | undefined>)[] = [
  (db) => db.get('k'),
  async (db) => (await db.values().all())[0],
]

test('a strong read sees nothing that its database writes after it, on any member', async () => {
  await using cluster = await TestCluster.start()
  for (const member of cluster.members) {
    const db = cluster.store(member).level({ consistency: 'strong', timeoutMs: 60_000 })
    cluster.slowDisk(member, 50)
    for (const read of READS) {
      await cluster.run(db.put('k', '0'))
      const reads: Promise<string | undefined>[] = []
      const writes: Promise<void>[] = []
      for (let i = 1; i <= 20; i++) {
        reads.push(read(db))
        writes.push(db.put('k', String(i)))
        await cluster.advance(1)
      }
      for (const [i, value] of (await cluster.run(Promise.all(reads))).entries()) {
        assert.ok(Number(value) <= i, `read ${i + 1} saw write ${value}`)
      }
      await cluster.run(Promise.all(writes))
      assert.equal(await cluster.run(db.get('k')), '20')
    }
    cluster.slowDisk(member, 1)
  }
})

test('a snapshot at strong is that of its call, and later writes keep their order', async () => {
  await using cluster = await TestCluster.start()
  for (const member of cluster.members) {
    const db = cluster.store(member).level({ consistency: 'strong', prefix: `${member}:` })
    await cluster.run(db.put('k', 'before'))
    const snapshot = db.snapshot()
    const writes = [db.put('k', 'after'), db.clear(), db.put('k', 'last')]
    assert.equal(await cluster.run(db.get('k', { snapshot })), 'before')
    await cluster.run(Promise.all(writes))
    assert.equal(await cluster.run(db.get('k', { snapshot })), 'before')
    assert.equal(await cluster.run(db.get('k')), 'last')
    await cluster.run(snapshot.close())
  }
})

test('on a member that lags, a session read shows just what the session had seen at its call', async () => {
  await using cluster = await TestCluster.start()
  const writer = cluster.store(cluster.leader!).level()
  const lagging = followerOf(cluster)
  const reader = cluster.store(lagging).level({ timeoutMs: 60_000 })
  await cluster.run(Promise.all([reader.open(), writer.put('k', '0')]))
  cluster.slowDisk(lagging, 50)
  const seen: string[] = []
  const reads: Promise<unknown>[] = []
  for (let i = 1; i <= 30; i++) {
    await cluster.run(writer.put('k', String(i)))
    reader.observe(writer.token)
    seen.push(String(i))
    reads.push(READS[i % 2]!(reader))
  }
  assert.deepEqual(await cluster.run(Promise.all(reads)), seen)
})

test('the session goes on elsewhere with its token', async () => {
  await using cluster = await TestCluster.start()
  for (let i = 0; i < 9; i++) {
    const [from, to] = [cluster.members[i % 3]!, cluster.members[(i + 1) % 3]!]
    const writer = cluster.store(from).level()
    await cluster.run(writer.put('k', String(i)))
    const reader = cluster.store(to).level()
    reader.observe(writer.token)
    assert.equal(await cluster.run(reader.get('k')), String(i))
    const session = cluster.store(to).session(writer.token)
    assert.equal(await cluster.run(session.get('k', { valueEncoding: 'utf8' })), String(i))
  }
  assert.throws(() => cluster.store('a').level().observe('s1.nothing'), {
    code: 'QUORATE_BAD_TOKEN',
  })
})

test('getSync reads at once, from a snapshot too, where the level is eventual and nowhere else', async () => {
  await using cluster = await lone()
  const db = cluster.store('a').level({ consistency: 'eventual' })
  await cluster.run(db.put('k', 'v'))
  const snapshot = db.snapshot()
  assert.equal(db.getSync('k', { snapshot }), 'v')
  await cluster.run(db.put('k', 'w'))
  assert.deepEqual(
    [db.getSync('k'), db.getSync('k', { snapshot }), db.getSync('none')],
    ['w', 'v', undefined],
  )
  await cluster.run(snapshot.close())
  for (const consistency of ['session', 'strong'] as const) {
    const other = cluster.store('a').level({ consistency })
    await cluster.run(other.open())
    assert.throws(() => other.getSync('k'), { code: 'LEVEL_NOT_SUPPORTED' })
  }
})

test('clear removes as many entries as it is told to, from either end', async () => {
  await using cluster = await lone()
  const db = cluster.store('a').level({ prefix: 'db' })
  await cluster.run(fill(db, 2500))
  await cluster.run(db.clear({ limit: 2100, reverse: true }))
  assert.equal((await cluster.run(db.keys().all())).at(-1), 'k00399')
  await cluster.run(db.clear({ gte: 'k00100', lt: 'k00300', limit: 3 }))
  assert.equal((await cluster.run(db.keys().all())).length, 397)
  await cluster.run(db.clear())
  assert.deepEqual(await cluster.run(db.keys().all()), [])
})

test('clear with a snapshot removes what that shows, and within its range and limit only', async () => {
  await using cluster = await lone()
  const db = cluster.store('a').level()
  await cluster.run(fill(db, 1500))
  const snapshot = db.snapshot()
  await cluster.run(db.put('k00100+', 'later'))
  await cluster.run(db.clear({ snapshot, gt: 'k00099', limit: 1300 }))
  assert.equal((await cluster.run(db.keys().all())).length, 201)
  await cluster.run(db.clear({ snapshot }))
  assert.deepEqual(await cluster.run(db.keys().all()), ['k00100+'])
})

test('close waits for the writes under way, and for no state that nobody can have', async () => {
  await using cluster = await TestCluster.start()
  const member = followerOf(cluster)
  const db = cluster.store(member).level()
  await cluster.run(db.open())
  const write = db.put('k', 'v')
  let isWritten = false
  const closed = db.close().then(() => assert.equal(isWritten, true))
  await cluster.run(
    write.then(() => {
      isWritten = true
    }),
  )
  await cluster.run(closed)
  cluster.partition([[member], cluster.members.filter((other) => other !== member)])
  const strong = cluster.store(member).level({ consistency: 'strong', timeoutMs: 3_600_000 })
  await cluster.run(strong.open())
  strong.iterator()
  strong.snapshot()
  const before = cluster.now
  await cluster.run(strong.close())
  assert.ok(cluster.now - before < 1000)
})

test('a read that fails says why in the codes of the Store, and the database can be read again', async () => {
  await using cluster = await TestCluster.start()
  const member = followerOf(cluster)
  const db = cluster.store(member).level({ consistency: 'strong', timeoutMs: 300 })
  await cluster.run(db.put('k', 'v'))
  cluster.partition([[member], cluster.members.filter((other) => other !== member)])
  const reads = [db.get('k'), db.iterator().all(), db.get('k', { snapshot: db.snapshot() })]
  for (const read of await cluster.run(Promise.allSettled<unknown>(reads))) {
    assert.ok(read.status === 'rejected')
    assert.match(read.reason.code, /^QUORATE_(NO_LEADER|TIMEOUT)$/)
  }
  cluster.heal()
  await cluster.elected()
  await cluster.advance(1000)
  assert.equal(await cluster.run(db.get('k')), 'v')
})

test('beyond limits.maxViews an iterator says so when it is read, and others go on', async () => {
  await using cluster = await TestCluster.start({
    members: ['a'],
    store: { limits: { maxViews: 2 } },
  })
  for (const consistency of ['eventual', 'session', 'strong'] as const) {
    const db = cluster.store('a').level({ consistency })
    await cluster.run(db.put('k', 'v'))
    const held = [db.iterator(), db.iterator(), db.iterator()]
    const reads = await cluster.run(Promise.allSettled(held.map((iterator) => iterator.next())))
    assert.deepEqual(reads.slice(0, 2), Array(2).fill({ status: 'fulfilled', value: ['k', 'v'] }))
    assert.ok(reads[2]!.status === 'rejected')
    assert.equal(reads[2]!.reason.code, 'QUORATE_OVERLOADED')
    await cluster.run(Promise.all(held.map((iterator) => iterator.close())))
    assert.deepEqual(await cluster.run(db.keys().all()), ['k'])
  }
})

test('an aborted iterator ends with an AbortError, also while its state is waited for', async () => {
  await using cluster = await TestCluster.start()
  const member = followerOf(cluster)
  const db = cluster.store(member).level({ consistency: 'strong' })
  await cluster.run(db.open())
  cluster.partition([[member], cluster.members.filter((other) => other !== member)])
  const abort = new AbortController()
  const iterator = db.iterator({ signal: abort.signal })
  const read = iterator.next()
  abort.abort()
  await assert.rejects(read, { name: 'AbortError', code: 'LEVEL_ABORTED' })
  await cluster.run(iterator.close())
})

test('a handful of entries does not cost reading a thousand, and all of them come in order', async () => {
  await using cluster = await lone()
  const db = cluster.store('a').level()
  await cluster.run(fill(db, 3000))
  for (const reverse of [false, true]) {
    const keys: string[] = []
    const iterator = db.iterator({ reverse, limit: 2990 })
    for (;;) {
      const entry = await cluster.run(iterator.next())
      if (entry === undefined) break
      keys.push(entry[0])
      keys.push(...(await cluster.run(iterator.nextv(7))).map(([key]) => key))
    }
    await cluster.run(iterator.close())
    const all = await cluster.run(db.keys({ reverse, limit: 2990 }).all())
    assert.deepEqual(keys, all)
    assert.equal(all.length, 2990)
  }
})

test('what is not an option is refused', async () => {
  await using cluster = await lone()
  const store = cluster.store('a')
  const wrong = [
    { consistancy: 'strong' },
    { consistency: 'weak' },
    { prefix: 1 },
    { timeoutMs: 0 },
  ]
  for (const options of wrong) {
    assert.throws(() => store.level(options as object), /TypeError|RangeError/)
  }
  assert.throws(() => store.level({ prefix: 'x'.repeat(40_000) }), RangeError)
})
