/** Conditional writes, transactions, updates and acknowledgements, through the Store of simulated members. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { Transaction } from '../../src/store/transaction.js'

const NAMES = ['a', 'b', 'c']

function hasCode(code: string, outcome = 'none'): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError, String(error))
    assert.deepEqual([error.code, error.outcome], [code, outcome])
    return true
  }
}

async function three(
  seed: number,
): Promise<{ cluster: SimCluster; leader: string; follower: string }> {
  const cluster = await SimCluster.start(seed, NAMES, {})
  const leader = await cluster.awaitLeader()
  return { cluster, leader, follower: NAMES.find((name) => name !== leader)! }
}

test('a write with ifRevision happens only when nobody has written since', async () => {
  const { cluster, follower } = await three(1)
  const store = cluster.store(follower)
  await cluster.run(store.put('k', 1, { ifRevision: 0 }))
  const { revision } = await cluster.run(store.getWithMeta('k'))
  await cluster.run(store.put('k', 2, { ifRevision: revision }))
  await assert.rejects(
    cluster.run(store.put('k', 3, { ifRevision: revision })),
    hasCode('QUORATE_CONFLICT'),
  )
  await assert.rejects(
    cluster.run(store.del('k', { ifRevision: revision })),
    hasCode('QUORATE_CONFLICT'),
  )
  assert.equal(await cluster.run(store.get('k')), 2)
  await cluster.close()
})

test('of many that put the same key ifAbsent at once exactly one succeeds, and its value stays', async () => {
  const { cluster } = await three(2)
  const attempts = NAMES.flatMap((name) =>
    Array.from({ length: 5 }, (_, i) =>
      cluster
        .store(name)
        .put('lock', `${name}${i}`, { ifAbsent: true })
        .then(
          () => `${name}${i}`,
          () => undefined,
        ),
    ),
  )
  const winners = (await cluster.run(Promise.all(attempts))).filter((one) => one !== undefined)
  assert.equal(winners.length, 1)
  assert.equal(await cluster.run(cluster.store('a').get('lock')), winners[0])
  await cluster.close()
})

test('conditional writes of one turn are told apart: each caller hears of its own', async () => {
  const { cluster, leader } = await three(3)
  const store = cluster.store(leader)
  const outcomes = await cluster.run(
    Promise.allSettled([
      store.put('x', 1, { ifRevision: 7 }),
      store.put('plain', 1),
      store.txn({ if: [{ key: 'x', exists: true }], then: [], else: [] }),
      store.put('x', 2, { ifAbsent: true }),
      store.txn({ if: [{ key: 'x', value: 2 }], then: [{ type: 'put', key: 'y', value: 'then' }] }),
      store.put('x', 3, { ifAbsent: true }),
    ]),
  )
  const [refused, plain, missing, first, found, second] = outcomes
  assert.equal(refused.status, 'rejected')
  assert.equal(plain.status, 'fulfilled')
  assert.equal(missing.status === 'fulfilled' && missing.value.succeeded, false)
  assert.equal(first.status, 'fulfilled')
  assert.equal(found.status === 'fulfilled' && found.value.succeeded, true)
  assert.equal(second.status, 'rejected')
  assert.deepEqual(await cluster.run(store.getMany(['x', 'y'])), [2, 'then'])
  await cluster.close()
})

test('a transaction looks at values, absence and emptiness, and does one side as a whole', async () => {
  const { cluster, follower } = await three(4)
  const store = cluster.store(follower)
  const transfer: Transaction = {
    if: [
      { key: 'from', value: 10 },
      { key: 'to', exists: false },
      { empty: true, gte: 'note:', lt: 'note;' },
    ],
    then: [
      { type: 'del', key: 'from' },
      { type: 'put', key: 'to', value: 10 },
      { type: 'put', key: 'note:1', value: 'moved' },
    ],
    else: [{ type: 'put', key: 'note:2', value: 'not moved' }],
  }
  await cluster.run(store.put('from', 10))
  assert.equal((await cluster.run(store.txn(transfer))).succeeded, true)
  assert.equal((await cluster.run(store.txn(transfer))).succeeded, false)
  const keys = ['from', 'to', 'note:1', 'note:2']
  assert.deepEqual(await cluster.run(store.getMany(keys)), [undefined, 10, 'moved', 'not moved'])
  await cluster.close()
})

test('updates of one counter from all members at once lose nothing', async () => {
  const { cluster } = await three(5)
  const increments = NAMES.flatMap((name) =>
    Array.from({ length: 5 }, () =>
      cluster.store(name).update<number>('counter', (value = 0) => value + 1),
    ),
  )
  await cluster.run(Promise.all(increments))
  assert.equal(await cluster.run(cluster.store('b').get('counter')), NAMES.length * 5)
  const removed = await cluster.run(cluster.store('c').update('counter', () => undefined))
  assert.equal(removed.value, undefined)
  assert.equal(await cluster.run(cluster.store('a').get('counter')), undefined)
  await cluster.close()
})

test('clear removes the range and nothing else', async () => {
  const { cluster, follower } = await three(6)
  const store = cluster.store(follower)
  await cluster.run(
    store.batch(['a', 'b1', 'b2', 'b3', 'c'].map((key) => ({ type: 'put', key, value: key }))),
  )
  await cluster.run(store.clear({ gte: 'b', lt: 'c', limit: 1, reverse: true }))
  assert.equal(await cluster.run(store.get('b3')), undefined)
  assert.equal(await cluster.run(store.get('b2')), 'b2')
  await cluster.run(store.clear({ gte: 'b', lt: 'c' }))
  assert.deepEqual(await cluster.run(store.getMany(['a', 'b1', 'b2', 'c'])), [
    'a',
    undefined,
    undefined,
    'c',
  ])
  await cluster.close()
})

test('a transaction that is sent again after a change of leader has the answer of the first time', async () => {
  for (let seed = 10; seed < 30; seed++) {
    const { cluster, leader, follower } = await three(seed)
    const store = cluster.store(follower)
    const at = (ms: number) => new Promise<void>((resolve) => cluster.world.schedule(ms, resolve))
    const writes = Array.from({ length: 20 }, async (_, i) => {
      await at(i)
      return store.put(`once:${i}`, i, { ifAbsent: true, timeoutMs: 30_000 })
    })
    const killed = at(3 + (seed % 12)).then(() => cluster.kill(leader))
    await cluster.run(killed)
    // Were one of them decided anew, it would find its own key and be refused.
    await cluster.run(Promise.all(writes))
    await cluster.close()
  }
})

test("ack 'leader' resolves before the write is committed, and does not move a session", async () => {
  const { cluster, leader } = await three(7)
  const session = cluster.store(leader).session()
  const before = session.token
  for (const name of NAMES) if (name !== leader) cluster.kill(name)
  const { index, committed } = await cluster.run(session.put('k', 1, { ack: 'leader' }))
  assert.ok(index > 0)
  assert.equal(session.token, before, 'what is not committed is no position')
  for (const name of NAMES) if (name !== leader) await cluster.restart(name)
  const written = await cluster.run(committed)
  assert.equal(written.index, index)
  assert.equal(session.token, written.token)
  await cluster.close()
})

test('misuse of conditions, transactions and acknowledgements is thrown at the call', async () => {
  const cluster = await SimCluster.start(8, ['a'], {})
  const store = cluster.store('a')
  const put = (options: object) => () => store.put('k', 1, options)
  assert.throws(put({ ifRevision: 1, ifAbsent: true }), TypeError)
  assert.throws(put({ ifRevision: -1 }), RangeError)
  assert.throws(put({ ifAbsent: false }), TypeError)
  assert.throws(put({ ack: 'some' }), TypeError)
  assert.throws(put({ ack: { members: 0 } }), RangeError)
  assert.throws(put({ ttlMs: 0 }), RangeError)
  assert.throws(put({ ttlMs: 5, lease: '0011223344556677' }), TypeError)
  assert.throws(put({ lease: 'mine' }), TypeError)
  assert.throws(put({ ifAbsent: true, ack: 'leader' }), TypeError)
  const txn = (transaction: object) => () => store.txn(transaction as Transaction)
  assert.throws(txn({ if: [{ key: 'k' }] }), TypeError)
  assert.throws(txn({ if: [{ key: 'k', revision: 1, exists: true }] }), TypeError)
  assert.throws(txn({ if: [], then: [{ type: 'get', key: 'k' }] }), TypeError)
  assert.throws(txn({ then: [] }), TypeError)
  assert.throws(() => store.clear({ limit: 100_000 }), RangeError)
  assert.throws(() => store.view({ ack: 'leader' } as object), TypeError)
  assert.equal(await cluster.run(store.get('k')), undefined)
  await cluster.close()
})
