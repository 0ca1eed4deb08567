/** Large values through the Store: whatever writes and reads, they behave like other values. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../../src/base/errors.js'
import type { WatchEvent } from '../../../src/store/watch.js'
import { BINARY, content, inPieces, startLarge, THRESHOLD } from './large-fixture.js'

const LEVELS = ['strong', 'session', 'eventual'] as const

test('values around the threshold and far above it come back from every member at every level', async () => {
  await using cluster = await startLarge()
  for (const length of [THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 2048, 2049, 50_000]) {
    const value = content(length)
    const { index } = await cluster.run(cluster.store('a').put(`k${length}`, value, BINARY))
    await cluster.converged()
    for (const member of cluster.members) {
      for (const consistency of LEVELS) {
        const options = { ...BINARY, consistency }
        const found = await cluster.run(
          cluster.store(member).getWithMeta<Buffer>(`k${length}`, options),
        )
        assert.ok(value.equals(found.value!), `${length} bytes at ${member}, ${consistency}`)
        assert.equal(found.revision, index)
      }
    }
  }
})

test('structured values are encoded before they are cut into shards', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('b')
  const value = { list: Array.from({ length: 500 }, (_, i) => ({ i, text: `entry ${i}` })) }
  await cluster.run(store.put('k', value))
  assert.deepEqual(await cluster.run(store.get('k')), value)
  const { value: updated } = await cluster.run(
    store.update<typeof value>('k', (old) => ({ list: old!.list.slice(0, 400) })),
  )
  assert.deepEqual(await cluster.run(store.get('k')), updated)
})

test('a value belongs to the Store from the call on, as its key does', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  const [key, value] = [Buffer.from('key'), content(5000)]
  const kept = Buffer.from(value)
  const written = store.batch(
    [
      { type: 'put', key, value },
      { type: 'put', key: 'small', value: kept.subarray(0, 9) },
    ],
    BINARY,
  )
  key.fill(0)
  value.fill(0)
  await cluster.run(written)
  assert.ok(kept.equals((await cluster.run(store.get<Buffer>('key', BINARY)))!))
})

test('a batch and a transaction store their large values with the rest in one step', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('c')
  const [one, two, three] = [content(4000, 1), content(9000, 2), content(400, 3)]
  const { index } = await cluster.run(
    store.batch(
      [
        { type: 'put', key: 'x', value: one },
        { type: 'put', key: 'y', value: content(3, 9) },
        { type: 'put', key: 'z', value: two },
        { type: 'put', key: 'x', value: three },
      ],
      BINARY,
    ),
  )
  const all = await cluster.run(store.getMany<Buffer>(['x', 'y', 'z', 'none'], BINARY))
  assert.deepEqual(all, [three, content(3, 9), two, undefined])
  const transaction = {
    if: [{ key: 'x', revision: index }],
    then: [{ type: 'put', key: 'x', value: one }],
    else: [{ type: 'put', key: 'x', value: two }],
  } as const
  const first = await cluster.run(store.txn(transaction, BINARY))
  assert.equal(first.succeeded, true)
  assert.deepEqual(await cluster.run(store.get('x', BINARY)), one)
  const second = await cluster.run(store.txn(transaction, BINARY))
  assert.equal(second.succeeded, false)
  assert.deepEqual(await cluster.run(store.get('x', BINARY)), two)
})

test('conditions hold for large values, and a conflict changes nothing', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  const first = content(1000, 1)
  const { index } = await cluster.run(store.put('k', first, { ...BINARY, ifAbsent: true }))
  for (const options of [{ ifAbsent: true } as const, { ifRevision: index + 1 }]) {
    const failure = await cluster.run(
      store.put('k', content(1000, 2), { ...BINARY, ...options }).catch((error: unknown) => error),
    )
    assert.ok(failure instanceof StoreError)
    assert.deepEqual([failure.code, failure.outcome], ['QUORATE_CONFLICT', 'none'])
  }
  assert.deepEqual(await cluster.run(store.get('k', BINARY)), first)
  await cluster.run(store.put('k', content(1000, 3), { ...BINARY, ifRevision: index }))
  assert.deepEqual(await cluster.run(store.get('k', BINARY)), content(1000, 3))
})

test('every acknowledgement and both kinds of expiry work as for other values', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  for (const ack of ['quorum', 'applied', 'all', { members: 2 }] as const) {
    await cluster.run(store.put('k', content(2000), { ...BINARY, ack }))
  }
  const appended = await cluster.run(store.put('k', content(2001), { ...BINARY, ack: 'leader' }))
  assert.equal((await cluster.run(appended.committed)).index, appended.index)
  assert.deepEqual(await cluster.run(store.get('k', BINARY)), content(2001))

  const lease = await cluster.run(store.lease(60_000))
  await cluster.run(store.put('leased', content(2002), { ...BINARY, lease: lease.id }))
  await cluster.run(store.put('timed', content(2003), { ...BINARY, ttlMs: 2000 }))
  assert.deepEqual(await cluster.run(store.get('leased', BINARY)), content(2002))
  await cluster.run(lease.revoke())
  await cluster.advance(10_000)
  assert.deepEqual(await cluster.run(store.getMany(['leased', 'timed'])), [undefined, undefined])
})

test('a scan and a session give large values among small ones, in order', async () => {
  await using cluster = await startLarge()
  const session = cluster.store('b').session()
  const lengths = [10, 5000, 20, 301, 300, 12_000]
  for (const [i, length] of lengths.entries()) {
    await cluster.run(session.put(`k${i}`, content(length, i), BINARY))
  }
  const entries = async (reverse: boolean) => {
    const found: [string, Buffer][] = []
    for await (const entry of session.scan<Buffer>({ ...BINARY, reverse })) found.push(entry)
    return found
  }
  const expected = lengths.map((length, i) => [`k${i}`, content(length, i)])
  assert.deepEqual(await cluster.run(entries(false)), expected)
  assert.deepEqual(await cluster.run(entries(true)), [...expected].reverse())
})

test('a watch gives large values in its state and in its changes', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  await cluster.run(store.put('k1', content(3000, 1), BINARY))
  await cluster.run(store.put('k2', inPieces(content(3000, 2), 700)))
  const watch = cluster.store('b').watch<Buffer>({ initial: true, prefix: 'k', ...BINARY })
  const next = async (): Promise<WatchEvent<Buffer>> => (await cluster.run(watch.next())).value!
  const state = await next()
  assert.ok(state.type === 'state' && state.isLast)
  assert.deepEqual(state.entries, [
    ['k1', content(3000, 1)],
    ['k2', content(3000, 2)],
  ])
  await cluster.run(
    store.batch(
      [
        { type: 'put', key: 'k1', value: content(400, 3) },
        { type: 'put', key: 'k3', value: content(4, 4) },
      ],
      BINARY,
    ),
  )
  const event = await next()
  assert.ok(event.type === 'changes')
  assert.deepEqual(event.changes, [
    { type: 'put', key: 'k1', value: content(400, 3) },
    { type: 'put', key: 'k3', value: content(4, 4) },
  ])
  await watch.return()
})

test('values are read while a member is down, and by one that was down when they were written', async () => {
  await using cluster = await startLarge()
  const [away, ...here] = cluster.members.filter((name) => name !== cluster.leader)
  cluster.kill(away!)
  await cluster.run(cluster.store(here[0]!).put('k', content(9000), BINARY))
  assert.deepEqual(await cluster.run(cluster.store(here[0]!).get('k', BINARY)), content(9000))
  await cluster.restart(away!)
  await cluster.converged()
  assert.deepEqual(await cluster.run(cluster.store(away!).get('k', BINARY)), content(9000))
  cluster.kill(cluster.leader!)
  await cluster.elected()
  for (const name of [away!, here[0]!].filter((each) => each === cluster.leader)) {
    assert.deepEqual(await cluster.run(cluster.store(name).get('k', BINARY)), content(9000))
  }
})

test('a put goes on over a change of leader', async () => {
  await using cluster = await startLarge()
  const follower = cluster.members.find((name) => name !== cluster.leader)!
  const leader = cluster.leader!
  const values = Array.from({ length: 8 }, (_, i) => content(20_000, i))
  const puts = values.map((value, i) =>
    cluster.store(follower).put(`k${i}`, value, { ...BINARY, timeoutMs: 30_000 }),
  )
  const all = Promise.all(puts)
  await cluster.advance(3)
  cluster.kill(leader)
  await cluster.run(all)
  const keys = values.map((_, i) => `k${i}`)
  assert.deepEqual(await cluster.run(cluster.store(follower).getMany(keys, BINARY)), values)
})

test('without a majority a large put fails in its time, with the outcome none', async () => {
  await using cluster = await startLarge()
  const [survivor, ...lost] = cluster.members
  for (const name of lost) cluster.kill(name)
  await cluster.advance(5000)
  const from = cluster.now
  const store = cluster.store(survivor!)
  const put = store.put('k', content(5000), { ...BINARY, timeoutMs: 3000 })
  const failed = { code: 'QUORATE_NO_LEADER', outcome: 'none', retryable: true }
  await cluster.run(assert.rejects(put, failed))
  assert.ok(cluster.now - from < 4000, `after ${cluster.now - from} ms`)
})

test('values that wait to be stored are bounded', async () => {
  await using cluster = await startLarge({ store: { limits: { maxPendingBytes: 10_000 } } })
  const store = cluster.store('a')
  const alone = store.put('larger', content(20_000), BINARY)
  const more = store.put('more', content(400), BINARY)
  await cluster.run(assert.rejects(more, { code: 'QUORATE_OVERLOADED', retryable: true }))
  await cluster.run(alone)
  assert.equal(store.metrics().pendingWriteBytes, 0)
  await cluster.run(store.put('more', content(400), BINARY))
})

test('small writes are not held up by a large one, and awaited ones keep their order', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  let isLargeThere = false
  const large = store.put('k', content(200_000), BINARY).then(() => {
    isLargeThere = true
  })
  await cluster.run(store.put('small', 1))
  assert.equal(isLargeThere, false)
  await cluster.run(large)
  await cluster.run(store.put('k', 'last'))
  assert.equal(await cluster.run(store.get('k')), 'last')
})

test('what is more than one get brings into memory is told to be read as a stream', async () => {
  await using cluster = await startLarge({ store: { limits: { maxGetBytes: 5000 } } })
  const store = cluster.store('a')
  await cluster.run(store.put('a', content(4000), BINARY))
  await cluster.run(store.put('b', content(4001), BINARY))
  assert.deepEqual(await cluster.run(store.get('a', BINARY)), content(4000))
  await cluster.run(
    assert.rejects(store.getMany(['a', 'b'], BINARY), { code: 'QUORATE_TOO_LARGE' }),
  )
  await cluster.run(store.put('c', content(6000), BINARY))
  await cluster.run(assert.rejects(store.get('c', BINARY), { code: 'QUORATE_TOO_LARGE' }))
  const watch = store.watch<Buffer>({ from: 0, prefix: 'c', ...BINARY })
  const { value: event } = await cluster.run(watch.next())
  assert.ok(event?.type === 'changes')
  assert.deepEqual(event.changes, [
    { type: 'put', key: 'c', value: undefined, omitted: 'too-large' },
  ])
  await watch.return()
})

test('without erasure values are bounded as before, and streams refused', async () => {
  await using cluster = await startLarge({ store: { erasure: false } })
  const store = cluster.store('a')
  assert.throws(() => void store.put('k', content(2 ** 20 + 1), BINARY), RangeError)
  assert.throws(() => void store.put('k', inPieces(content(10), 5)), /erasure: false/)
  await cluster.run(store.put('k', content(5000), BINARY))
  assert.deepEqual(await cluster.run(store.get('k', BINARY)), content(5000))
})

test('a Level database stores and finds large values', async () => {
  await using cluster = await startLarge()
  const db = cluster.store('b').level<string, Buffer>({ valueEncoding: 'buffer' })
  await cluster.run(db.put('a', content(3000, 1)))
  await cluster.run(
    db.batch([
      { type: 'put', key: 'b', value: content(5, 2) },
      { type: 'put', key: 'c', value: content(7000, 3) },
    ]),
  )
  const values = [content(3000, 1), content(5, 2), content(7000, 3)]
  assert.deepEqual(await cluster.run(db.getMany(['a', 'b', 'c'])), values)
  assert.deepEqual(await cluster.run(db.get('c')), content(7000, 3))
  assert.equal(await cluster.run(db.has('a')), true)
  assert.deepEqual(await cluster.run(db.values().all()), values)
  assert.deepEqual(await cluster.run(db.keys().all()), ['a', 'b', 'c'])
  const iterator = db.iterator()
  assert.deepEqual(await cluster.run(iterator.next()), ['a', content(3000, 1)])
  await cluster.run(iterator.close())
  const eventual = cluster.store('b').level<string, Buffer>({ consistency: 'eventual' })
  await cluster.run(eventual.open())
  assert.throws(() => eventual.getSync('a'), { code: 'LEVEL_NOT_SUPPORTED' })
})
