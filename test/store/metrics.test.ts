import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { Exposition } from '../../src/store/exposition.js'
import { prometheusText } from '../../src/store/prometheus.js'
import { connected, three } from './remote/remote-fixture.js'

test('reads are counted by their level, of the call or of the view', async () => {
  const cluster = await SimCluster.start(1, ['a'], {})
  const store = cluster.store('a')
  await cluster.run(store.put('k', 1))
  const weak = store.view({ consistency: 'eventual' })
  await cluster.run(weak.get('k'))
  await cluster.run(weak.getMany(['k', 'l'], { consistency: 'session' }))
  await cluster.run(store.get('k'))
  await cluster.run(store.getWithMeta('k'))
  await cluster.run(store.scan().next())
  const { reads, views, strongReadMs } = store.metrics().calls
  assert.deepEqual(reads, { strong: 2, session: 1, eventual: 1 })
  assert.equal(views, 1)
  assert.equal(strongReadMs.count, 2)
  await cluster.close()
})

test('writes of one turn share a request and one latency; bytes wait until it is answered', async () => {
  const cluster = await SimCluster.start(2, ['a'], {})
  const store = cluster.store('a')
  const writes = [1, 2, 3].map((value) => store.put(`k${value}`, value))
  assert.ok(store.metrics().pendingWriteBytes > 0)
  await cluster.run(Promise.all(writes))
  const { calls, pendingWriteBytes, member } = store.metrics()
  assert.deepEqual([calls.writes, calls.requests, calls.writeMs.count], [3, 1, 1])
  assert.ok(calls.requestBytes > 30)
  assert.ok(calls.writeMs.max > 0)
  assert.equal(pendingWriteBytes, 0)
  assert.ok(member!.log.writeMs.count > 0 && member!.log.fsyncs >= member!.log.writeMs.count)
  assert.ok(member!.state.appliedEntries >= 1 && member!.state.applyMs.count >= 1)
  await cluster.close()
})

test('failures are counted by the code of the error, however the call ends', async () => {
  const cluster = await SimCluster.start(3, ['a', 'b', 'c'], {})
  await cluster.awaitLeader()
  cluster.kill('b')
  cluster.kill('c')
  const store = cluster.store('a')
  const aborted = AbortSignal.abort()
  const failing = [
    store.get('k', { timeoutMs: 300 }),
    store.put('k', 1, { timeoutMs: 300 }),
    store.get('k', { signal: aborted }),
    store.put('k', 1, { signal: aborted }),
    store.scan({ timeoutMs: 300 }).next(),
  ]
  const codes = await cluster.run(
    Promise.all(
      failing.map((call) =>
        call.then(
          () => 'none',
          (error) => (error as StoreError).code,
        ),
      ),
    ),
  )
  const counted = new Map<string, number>()
  for (const code of codes) counted.set(code, (counted.get(code) ?? 0) + 1)
  assert.deepEqual(store.metrics().calls.failures, Object.fromEntries(counted))
  assert.equal(counted.get('QUORATE_ABORTED'), 2)
  await cluster.close()
})

test('a full queue is an event, once a second, and a count for each call that it turned away', async () => {
  const cluster = await SimCluster.start(6, ['a'], { limits: { maxPendingBytes: 1000 } })
  const store = cluster.store('a')
  const told: string[] = []
  store.on('overloaded', ({ what }) => told.push(what))
  const value = 'x'.repeat(600)
  const writes = [1, 2, 3].map((i) => store.put(`k${i}`, value).catch((error) => error.code))
  assert.deepEqual((await cluster.run(Promise.all(writes))).slice(1), [
    'QUORATE_OVERLOADED',
    'QUORATE_OVERLOADED',
  ])
  assert.deepEqual(told, ['writes'])
  const { calls, member } = store.metrics()
  assert.equal(calls.failures.QUORATE_OVERLOADED, 2)
  assert.equal(member!.events.overloads, 1)
  await cluster.close()
})

test('the numbers of a member are those of its status, and say what went through it', async () => {
  const cluster = await SimCluster.start(4, ['a', 'b', 'c'], {})
  const leader = await cluster.awaitLeader()
  const follower = cluster.names.find((name) => name !== leader)!
  await cluster.run(cluster.store(follower).put('k', 1))
  await cluster.world.advance(2000)
  const led = cluster.store(leader).metrics().member!
  const followed = cluster.store(follower).metrics().member!
  assert.deepEqual([led.isLeader, followed.isLeader], [true, false])
  assert.deepEqual([led.voters, led.reachableVoters, led.maxLag], [3, 3, 0])
  assert.equal(followed.maxLag, undefined)
  assert.equal(followed.appliedIndex, cluster.store(follower).status().appliedIndex)
  assert.ok(followed.network.forwardedRequests >= 1)
  assert.ok(led.network.sentBytes > 0 && followed.network.receivedBytes > 0)
  assert.ok(led.events.elections >= 1 && led.events.peersUp >= 2)
  assert.ok(led.loopDelayMs.count > 10)
  await cluster.close()
})

test('what a client asks is counted in its process as calls, and at the members as served', async () => {
  const cluster = await three(7)
  const client = await connected(cluster)
  await cluster.run(client.put('k', 1))
  for (const consistency of ['strong', 'eventual', 'eventual'] as const) {
    await cluster.run(client.get('k', { consistency }))
  }
  const { calls, member } = client.metrics()
  assert.equal(member, undefined)
  assert.deepEqual([calls.writes, calls.requests, calls.writeMs.count], [1, 1, 1])
  assert.deepEqual(calls.reads, { strong: 1, session: 0, eventual: 2 })
  const served = { strong: 0, session: 0, eventual: 0 }
  for (const name of cluster.names) {
    const { reads } = cluster.store(name).metrics().member!.served
    for (const level of ['strong', 'session', 'eventual'] as const) served[level] += reads[level]
  }
  assert.deepEqual(served, calls.reads)
  assert.match(prometheusText(client.metrics()), /^quorate_writes_total 1$/m)
  await client.close()
  await cluster.close()
})

test('the text for Prometheus declares each name once, and its samples keep to the grammar', async () => {
  const cluster = await SimCluster.start(5, ['a'], {})
  const store = cluster.store('a')
  await cluster.run(store.put('k', 1))
  await cluster.run(store.get('k'))
  const text = prometheusText(store.metrics())
  const declared = new Map<string, string>()
  for (const line of text.trimEnd().split('\n')) {
    const [, name, type] = /^# TYPE (quorate_\w+) (counter|gauge|histogram)$/.exec(line) ?? []
    if (name !== undefined) {
      assert.ok(!declared.has(name), `${name} twice`)
      declared.set(name, type!)
    } else if (!line.startsWith('# HELP ')) checkSample(line, declared)
  }
  assert.ok(declared.size > 40)
  assert.match(text, /^quorate_reads_total\{member="a",level="strong"\} 1$/m)
  assert.match(text, /^quorate_write_seconds_bucket\{member="a",le="\+Inf"\} 1$/m)
  await cluster.close()
})

function checkSample(line: string, declared: ReadonlyMap<string, string>): void {
  const [, name] =
    /^(quorate_[a-z_]+)(?:\{(?:[a-z]+="[^"\n]*",?)+\})? (?:\d+(?:\.\d+)?(?:e[+-]\d+)?|\+Inf)$/.exec(
      line,
    ) ?? [undefined, undefined]
  assert.ok(name !== undefined, line)
  const family = name.replace(/_(?:bucket|sum|count)$/, '')
  const type = declared.get(family) ?? declared.get(name)
  assert.ok(type !== undefined, `${line} is not declared`)
  assert.equal(type === 'counter', name.endsWith('_total'), line)
  assert.equal(type === 'histogram', /_seconds_(?:bucket|sum|count)$/.test(name), line)
}

test('labels are escaped: no value can begin a sample of its own', () => {
  const page = new Exposition({ member: 'a"} 1\nfake 2 \\' })
  page.gauge('term', 'The term.', 7)
  assert.equal(page.text.split('\n')[2], 'quorate_term{member="a\\"} 1\\nfake 2 \\\\"} 7')
})
