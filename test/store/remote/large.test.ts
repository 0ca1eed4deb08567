/** Large values of clients: through one member, and from any. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimCluster } from '../../../src/sim/sim-cluster.js'
import type { Store } from '../../../src/store/store.js'
import { BINARY, collected, content, inPieces, SMALL } from '../large/large-fixture.js'
import { connected, others, three } from './remote-fixture.js'

async function started(seed: number): Promise<{ cluster: SimCluster; store: Store }> {
  const cluster = await three(seed, { erasure: SMALL })
  return { cluster, store: await connected(cluster) }
}

async function ended(cluster: SimCluster, store: Store): Promise<void> {
  await cluster.run(store.close())
  await cluster.close()
}

/** Large values that anybody is writing at the members. */
const uploadsAt = (cluster: SimCluster): number =>
  cluster.names
    .filter((name) => cluster.isUp(name))
    .reduce((sum, name) => sum + cluster.store(name).status().blobs.uploads, 0)

test('a client stores large values and streams, and reads them in every way', async () => {
  const { cluster, store } = await started(1)
  const [first, second] = [content(20_000, 1), content(90_000, 2)]
  await cluster.run(store.put('a', first, BINARY))
  await cluster.run(store.put('b', inPieces(second, 20_000)))
  await cluster.run(store.put('c', 3))
  for (const consistency of ['strong', 'session', 'eventual'] as const) {
    const options = { ...BINARY, consistency }
    assert.deepEqual(await cluster.run(store.getMany(['a', 'b'], options)), [first, second])
  }
  const scanned: unknown[] = []
  const scan = async () => {
    for await (const [, value] of store.scan({ lt: 'c', ...BINARY })) scanned.push(value)
  }
  await cluster.run(scan())
  assert.deepEqual(scanned, [first, second])
  const stream = await cluster.run(store.read('b', { start: 1234, end: 85_000 }))
  assert.ok(second.subarray(1234, 85_000).equals(await cluster.run(collected(stream))))
  const watch = store.watch<Buffer>({ from: 0, prefix: 'a', ...BINARY })
  const { value: event } = await cluster.run(watch.next())
  assert.ok(event?.type === 'changes')
  assert.deepEqual(event.changes, [{ type: 'put', key: 'a', value: first }])
  await watch.return()
  const db = store.level<string, Buffer>({ valueEncoding: 'buffer' })
  assert.deepEqual(await cluster.run(db.get('a')), first)
  await ended(cluster, store)
})

test('values in memory are sent again when the member that takes them dies', async () => {
  const { cluster, store } = await started(2)
  const value = content(100_000)
  const put = store.put('k', value, { ...BINARY, timeoutMs: 30_000 })
  await cluster.world.runUntil(() => uploadsAt(cluster) > 0, 10_000)
  cluster.kill(cluster.leader()!)
  await cluster.run(put)
  assert.ok(value.equals((await cluster.run(store.get<Buffer>('k', BINARY)))!))
  await ended(cluster, store)
})

test('a stream fails with the outcome none when the member that takes it dies', async () => {
  const { cluster, store } = await started(3)
  let isEnded = false
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        await cluster.world.advance(0)
        yield content(1000)
      }
    } finally {
      isEnded = true
    }
  }
  const put = store.put('k', endless(), { timeoutMs: 30_000 })
  const failed = assert.rejects(put, { code: 'QUORATE_NETWORK', outcome: 'none', retryable: true })
  await cluster.world.runUntil(() => uploadsAt(cluster) > 0, 10_000)
  cluster.kill(cluster.leader()!)
  await cluster.run(failed)
  assert.equal(isEnded, true)
  assert.equal(await cluster.run(store.get('k')), undefined)
  await ended(cluster, store)
})

test('what a client has not finished is dropped when it goes away', async () => {
  const { cluster, store } = await started(4)
  const still = (async function* () {
    yield content(50_000)
    await new Promise<never>(() => undefined)
  })()
  const put = store.put('k', still).catch((error: unknown) => error)
  await cluster.world.runUntil(() => uploadsAt(cluster) > 0, 10_000)
  assert.equal(uploadsAt(cluster), 1)
  await cluster.run(store.close())
  await cluster.run(put)
  await cluster.world.runUntil(() => uploadsAt(cluster) === 0, 10_000)
  assert.equal(uploadsAt(cluster), 0)
  await cluster.close()
})

test('many large values at once wait for their turn', async () => {
  const { cluster, store } = await started(5)
  const values = Array.from({ length: 120 }, (_, i) => content(1500, i))
  const streams = values.map((value, i) => store.put(`s${i}`, inPieces(value, 400)))
  const puts = values.map((value, i) => store.put(`k${i}`, value, BINARY))
  await cluster.run(Promise.all([...streams, ...puts]))
  const keys = values.map((_, i) => `k${i}`)
  assert.deepEqual(await cluster.run(store.getMany(keys, BINARY)), values)
  await ended(cluster, store)
})

test('a value is read on when the member that served it dies', async () => {
  const { cluster, store } = await started(6)
  const value = content(100_000)
  await cluster.run(store.put('k', value, { ...BINARY, timeoutMs: 30_000 }))
  const stream = (await cluster.run(store.read('k', { timeoutMs: 20_000 })))!
  const reading = collected(stream)
  cluster.kill(others(cluster, cluster.leader()!)[0]!)
  assert.ok(value.equals(await cluster.run(reading)))
  await ended(cluster, store)
})
