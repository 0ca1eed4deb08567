import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { Store } from '../../src/store/store.js'

/** Small enough for segments to rotate and checkpoints to happen in a short test. */
const SMALL = {
  storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 64 * 1024 },
  limits: { maxRequestBytes: 4096 },
  erasure: false,
} as const

function lone(seed: number): Promise<SimCluster> {
  return SimCluster.start(seed, ['a'], SMALL)
}

async function everything(cluster: SimCluster, store: Store): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  const scan = store.scan()
  for (;;) {
    const next = await cluster.run(scan.next())
    if (next.done) return found
    found.set(next.value[0], next.value[1])
  }
}

function hasCode(code: string, outcome?: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError, String(error))
    assert.equal(error.code, code)
    if (outcome !== undefined) assert.equal(error.outcome, outcome)
    return true
  }
}

test('a lone member accepts writes within milliseconds of being opened', async () => {
  const cluster = await lone(1)
  const opened = cluster.world.now
  await cluster.run(cluster.store('a').put('k', 1))
  assert.ok(
    cluster.world.now < 60,
    `${opened} ms to open, ${cluster.world.now} ms to the first write`,
  )
  await cluster.close()
})

test('writes are read back at every level, scans are in order of bytes, deleted keys are gone', async () => {
  const cluster = await lone(2)
  const store = cluster.store('a')
  await cluster.run(store.put('b', { name: 'Ada' }))
  await cluster.run(
    store.batch([
      { type: 'put', key: 'ä', value: 1 },
      { type: 'put', key: 'a', value: [2] },
      { type: 'put', key: 'z', value: 'last' },
      { type: 'del', key: 'z' },
    ]),
  )
  for (const consistency of ['strong', 'session', 'eventual'] as const) {
    assert.deepEqual(await cluster.run(store.get('b', { consistency })), { name: 'Ada' })
    assert.equal(await cluster.run(store.get('z', { consistency })), undefined)
  }
  assert.deepEqual(await cluster.run(store.getMany(['a', 'nothing', 'ä'])), [[2], undefined, 1])
  assert.deepEqual([...(await everything(cluster, store)).keys()], ['a', 'b', 'ä'])
  const reversed = store.scan({ lt: 'ä', reverse: true, limit: 1 })
  assert.deepEqual((await cluster.run(reversed.next())).value, ['b', { name: 'Ada' }])
  assert.equal((await cluster.run(reversed.next())).done, true)
  await cluster.close()
})

test('a revision is the log index of the last change, and results carry index and token', async () => {
  const cluster = await lone(3)
  const store = cluster.store('a')
  const first = await cluster.run(store.put('k', 1))
  const second = await cluster.run(store.put('k', 2))
  assert.ok(second.index > first.index)
  const meta = await cluster.run(store.getWithMeta('k'))
  assert.equal(meta.value, 2)
  assert.equal(meta.revision, second.index)
  assert.ok(meta.appliedIndex >= second.index)
  const session = store.session(second.token)
  assert.equal(await cluster.run(session.get('k')), 2)
  await cluster.close()
})

test('what was acknowledged is there after kill -9 and after every kind of power cut', async () => {
  for (const mode of ['kill', 'none', 'prefix', 'torn', 'arbitrary'] as const) {
    const cluster = await lone(4)
    const expected = new Map<string, unknown>()
    for (let round = 0; round < 6; round++) {
      const store = cluster.store('a')
      const writes: Promise<unknown>[] = []
      for (let i = 0; i < 40; i++) {
        const key = `k${(round * 17 + i) % 60}`
        const value = `${round}/${i}/${'x'.repeat(i * 20)}`
        expected.set(key, value)
        writes.push(store.put(key, value))
      }
      await cluster.run(Promise.all(writes))
      if (mode === 'kill') cluster.kill('a')
      else cluster.powerCut('a', mode)
      await cluster.restart('a')
      const store2 = cluster.store('a')
      await cluster.run(store2.get('settle'))
      const found = await everything(cluster, store2)
      assert.deepEqual(new Map([...found].sort()), new Map([...expected].sort()), mode)
    }
    await cluster.close()
  }
})

test('checkpoints let old segments of the log go, and a restart replays only what is behind them', async () => {
  const cluster = await lone(5)
  const value = 'x'.repeat(3000)
  for (let i = 0; i < 200; i++) await cluster.run(cluster.store('a').put(`k${i % 10}`, value + i))
  await cluster.world.advance(3000)
  const index = await cluster.run(cluster.store('a').checkpoint())
  const status = cluster.store('a').status()
  assert.equal(index, status.appliedIndex)
  assert.ok(status.firstIndex > 1, `the log still begins at ${status.firstIndex}`)
  assert.ok(status.log.bytes < 200 * 3000, `${status.log.bytes} bytes of log are left`)
  cluster.powerCut('a', 'none')
  await cluster.restart('a')
  assert.equal(await cluster.run(cluster.store('a').get('k9')), `${value}199`)
  await cluster.close()
})

test('T-31: after a failed fsync nothing more is acknowledged, and a restart has what was', async () => {
  const cluster = await lone(6)
  const store = cluster.store('a')
  let fatal: Error | undefined
  store.on('fatal', (error) => {
    fatal = error
  })
  await cluster.run(store.put('before', 1))
  cluster.host('a').disk.failNext('sync', 'EIO', 'log')
  await assert.rejects(cluster.run(store.put('during', 1)), hasCode('QUORATE_STOPPED', 'unknown'))
  await assert.rejects(cluster.run(store.put('after', 1)), hasCode('QUORATE_STOPPED'))
  await assert.rejects(cluster.run(store.get('before')), hasCode('QUORATE_STOPPED'))
  assert.ok(fatal !== undefined)
  assert.equal(store.status().role, 'stopped')
  assert.match(store.status().words[0]!, /has stopped/)
  cluster.powerCut('a', 'none')
  await cluster.restart('a')
  assert.equal(await cluster.run(cluster.store('a').get('before')), 1)
  await cluster.close()
})

test('a full disk stops the member with QUORATE_NO_SPACE as cause; with space it has everything again', async () => {
  const cluster = await lone(7)
  const store = cluster.store('a')
  await cluster.run(store.put('before', 1))
  cluster.host('a').disk.failNext('sync', 'ENOSPC', 'log')
  await assert.rejects(cluster.run(store.put('during', 1)), (error: unknown) => {
    assert.ok(error instanceof StoreError)
    assert.match(store.status().words.join(' '), /space|ENOSPC|full/i)
    return true
  })
  cluster.kill('a')
  await cluster.restart('a')
  assert.equal(await cluster.run(cluster.store('a').get('before')), 1)
  await cluster.run(cluster.store('a').put('again', 2))
  await cluster.close()
})

test('two opens of one folder: the second is refused with QUORATE_LOCKED', async () => {
  const cluster = await lone(8)
  await assert.rejects(cluster.restart('a'), hasCode('QUORATE_LOCKED'))
  await cluster.run(cluster.store('a').put('k', 1))
})

test('calls after close are refused with QUORATE_NOT_OPEN, and closing twice is the same as once', async () => {
  const cluster = await lone(9)
  const store = cluster.store('a')
  const pending = store.put('k', 1).catch((error: unknown) => error)
  await cluster.run(Promise.all([store.close(), store.close()]))
  assert.ok(hasCode('QUORATE_NOT_OPEN', 'none')(await pending), 'it was never sent')
  await assert.rejects(cluster.run(store.put('k', 1)), hasCode('QUORATE_NOT_OPEN', 'none'))
  await assert.rejects(cluster.run(store.get('k')), hasCode('QUORATE_NOT_OPEN'))
})

test('an aborted call ends with an AbortError; a write that was not sent never happens', async () => {
  const cluster = await lone(10)
  const store = cluster.store('a')
  const early = new AbortController()
  early.abort()
  const late = new AbortController()
  await assert.rejects(
    store.put('k', 1, { signal: early.signal }),
    hasCode('QUORATE_ABORTED', 'none'),
  )
  await assert.rejects(store.get('k', { signal: early.signal }), { name: 'AbortError' })
  const put = store.put('k', 1, { signal: late.signal })
  const get = store.get('k', { signal: late.signal })
  late.abort()
  await assert.rejects(put, hasCode('QUORATE_ABORTED', 'none'))
  await assert.rejects(get, hasCode('QUORATE_ABORTED'))
  assert.equal(await cluster.run(store.get('k')), undefined)
  await cluster.close()
})

test('misuse is thrown at the call and nothing is written', async () => {
  const cluster = await lone(11)
  const store = cluster.store('a')
  await cluster.run(store.put('settle', 1))
  const { lastIndex } = store.status()
  assert.throws(() => store.put('', 1), RangeError)
  assert.throws(() => store.put('k', undefined), TypeError)
  assert.throws(() => store.put('k', 'x'.repeat(1 << 21)), RangeError)
  assert.throws(() => store.get('k', { consistency: 'strnog' as 'strong' }), TypeError)
  assert.throws(() => store.get('k', { levle: 1 } as object), TypeError)
  assert.throws(() => store.put('k', 1, { timeoutMs: -1 }), RangeError)
  assert.throws(() => store.batch([]), RangeError)
  assert.throws(() => store.batch([{ type: 'inc', key: 'k' } as never]), TypeError)
  assert.throws(() => store.scan({ gt: 'a', gte: 'a' }), TypeError)
  assert.throws(() => store.session('nonsense'), hasCode('QUORATE_BAD_TOKEN'))
  await cluster.world.advance(100)
  assert.equal(store.status().lastIndex, lastIndex)
  await cluster.close()
})

test('a store agrees with a Map through puts, deletes, batches, kills and power cuts', async () => {
  const key = fc.integer({ min: 0, max: 9 }).map((n) => `k${n}`)
  const put = fc.record({ type: fc.constant('put' as const), key, value: fc.integer() })
  const del = fc.record({ type: fc.constant('del' as const), key })
  const step = fc.oneof(
    { weight: 6, arbitrary: put },
    { weight: 2, arbitrary: del },
    { weight: 2, arbitrary: fc.array(fc.oneof(put, del), { minLength: 1, maxLength: 5 }) },
    { weight: 1, arbitrary: fc.constantFrom('kill', 'none', 'torn', 'arbitrary', 'reopen') },
    { weight: 1, arbitrary: fc.constant('checkpoint') },
  )
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 25 }), async (seed, steps) => {
      const cluster = await lone(seed)
      const model = new Map<string, unknown>()
      for (const action of steps) await act(cluster, model, action)
      await cluster.run(cluster.store('a').get('settle'))
      const found = await everything(cluster, cluster.store('a'))
      assert.deepEqual([...found].sort(), [...model].sort())
      await cluster.close()
    }),
    { numRuns: 60 },
  )
})

type Change = { type: 'put'; key: string; value: number } | { type: 'del'; key: string }

async function act(
  cluster: SimCluster,
  model: Map<string, unknown>,
  action: Change | Change[] | string,
): Promise<void> {
  if (typeof action === 'string') {
    await disturb(cluster, action)
    return
  }
  const changes = Array.isArray(action) ? action : [action]
  const store = cluster.store('a')
  if (Array.isArray(action)) await cluster.run(store.batch(action))
  else if (action.type === 'put') await cluster.run(store.put(action.key, action.value))
  else await cluster.run(store.del(action.key))
  for (const change of changes) {
    if (change.type === 'put') model.set(change.key, change.value)
    else model.delete(change.key)
  }
}

async function disturb(cluster: SimCluster, how: string): Promise<void> {
  if (how === 'checkpoint') {
    await cluster.run(cluster.store('a').checkpoint())
    return
  }
  if (how === 'kill') cluster.kill('a')
  else if (how === 'reopen') await cluster.close()
  else cluster.powerCut('a', how as 'none')
  await cluster.restart('a')
}
