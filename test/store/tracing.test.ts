import assert from 'node:assert/strict'
import { type TracingChannelSubscribers, tracingChannel } from 'node:diagnostics_channel'
import { test } from 'node:test'
import type { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { TraceContext, TracedOperation } from '../../src/store/tracing.js'

/** Listens while `work` runs; returns what was published, as `operation event`, and the last context. */
async function traced(
  operations: readonly TracedOperation[],
  work: () => Promise<void>,
): Promise<{ events: string[]; last: TraceContext | undefined }> {
  const events: string[] = []
  let last: TraceContext | undefined
  const note = (event: string) => (context: TraceContext) => {
    events.push(`${context.operation} ${event}`)
    last = context
  }
  const subscribers: TracingChannelSubscribers<TraceContext> = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  }
  const channels = operations.map((name) => tracingChannel<string, TraceContext>(`quorate:${name}`))
  for (const channel of channels) channel.subscribe(subscribers)
  try {
    await work()
  } finally {
    for (const channel of channels) channel.unsubscribe(subscribers)
  }
  return { events, last }
}

const WHOLE = ['start', 'end', 'asyncStart', 'asyncEnd']

test('each operation has its channel, and a context that says what it was and what came of it', async () => {
  const cluster = await SimCluster.start(1, ['a'], {})
  const store = cluster.store('a')
  const session = store.session()
  const cases: [TracedOperation, () => Promise<unknown>, Partial<TraceContext>][] = [
    ['put', () => store.put('k', 1, { ack: 'applied' }), { keys: 1, ack: 'applied' }],
    ['batch', () => store.batch([{ type: 'del', key: 'l' }]), { keys: 1 }],
    ['del', () => store.del('l'), { keys: 1 }],
    ['txn', () => store.txn({ if: [], then: [] }), { keys: 0 }],
    ['get', () => session.get('k'), { keys: 1, level: 'session', result: 1 }],
    ['getWithMeta', () => store.getWithMeta('k'), { level: 'strong' }],
    ['getMany', () => store.getMany(['k', 'l'], { consistency: 'eventual' }), { keys: 2 }],
    ['clear', () => store.clear({ gte: 'x' }), { keys: 0 }],
  ]
  for (const [operation, call, wanted] of cases) {
    const { events, last } = await traced([operation], async () => {
      await cluster.run(call())
    })
    assert.deepEqual(
      events,
      WHOLE.map((event) => `${operation} ${event}`),
    )
    for (const [name, value] of Object.entries(wanted)) {
      assert.equal(last?.[name as keyof TraceContext], value, `${operation}: ${name}`)
    }
    const hasIndex = operation !== 'get' && operation !== 'getMany'
    assert.equal(typeof last?.index, hasIndex ? 'number' : 'undefined', operation)
  }
  await cluster.close()
})

test('a call that fails publishes its error, with code and outcome, and fails as ever', async () => {
  const cluster = await SimCluster.start(2, ['a', 'b', 'c'], {})
  cluster.kill('b')
  cluster.kill('c')
  let thrown: unknown
  const { events, last } = await traced(['put'], async () => {
    await cluster.run(cluster.store('a').put('k', 1, { timeoutMs: 100 })).catch((error) => {
      thrown = error
    })
  })
  assert.deepEqual(
    events,
    ['start', 'end', 'error', 'asyncStart', 'asyncEnd'].map((event) => `put ${event}`),
  )
  assert.equal(last?.error, thrown)
  assert.deepEqual([last?.code, last?.outcome], [(thrown as StoreError).code, 'none'])
  await cluster.close()
})

test('misuse is thrown at the call also while somebody listens', async () => {
  const cluster = await SimCluster.start(3, ['a'], {})
  await traced(['put', 'get'], async () => {
    assert.throws(() => cluster.store('a').put('', 1), RangeError)
    assert.throws(() => cluster.store('a').get('k', { consistency: 'weak' as never }), TypeError)
  })
  await cluster.close()
})

test('a scan is one call from its first entry to its end, also when it is left early', async () => {
  const cluster = await SimCluster.start(4, ['a'], {})
  const store = cluster.store('a')
  for (const key of ['a', 'b', 'c']) await cluster.run(store.put(key, 1))
  const all = await traced(['scan'], async () => {
    const scan = store.scan()
    while (!(await cluster.run(scan.next())).done);
  })
  assert.equal(all.last?.keys, 3)
  assert.equal(all.events.at(-1), 'scan asyncEnd')
  const some = await traced(['scan'], async () => {
    const scan = store.scan()
    await cluster.run(scan.next())
    await cluster.run(scan.return!())
  })
  assert.equal(some.last?.keys, 1)
  assert.equal(some.events.at(-1), 'scan asyncEnd')
  await cluster.close()
})

test('each event of a watch is published with its index', async () => {
  const cluster = await SimCluster.start(5, ['a'], {})
  const store = cluster.store('a')
  const watch = store.watch()
  await cluster.run(watch.ready())
  const { index } = await cluster.run(store.put('k', 1))
  const { last } = await traced(['watch'], async () => {
    await cluster.run(watch.next())
  })
  assert.equal(last?.index, index)
  await cluster.run(watch.return())
  await cluster.close()
})
