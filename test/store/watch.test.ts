import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { prefixRange } from '../../src/store/key-range.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import type { Store } from '../../src/store/store.js'
import type { Watch, WatchEvent } from '../../src/store/watch.js'

const NAMES = ['a', 'b', 'c']

async function three(seed: number, options: Partial<OpenOptions> = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, NAMES, options)
  await cluster.awaitLeader()
  return cluster
}

async function lone(options: Partial<OpenOptions> = {}): Promise<[SimCluster, Store]> {
  const cluster = await SimCluster.start(1, ['a'], options)
  return [cluster, cluster.store('a')]
}

/** What a watch gives, as it comes. */
class Consumer {
  readonly watch: Watch
  readonly events: WatchEvent[] = []
  error: unknown
  isDone = false

  constructor(watch: Watch) {
    this.watch = watch
    this.#consume().catch((error: unknown) => {
      this.error = error
    })
  }

  /** The changes in words: `a=1 -b` is a put and a delete in one event. */
  get words(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'changes'
        ? [
            event.changes
              .map((c) => (c.type === 'put' ? `${c.key}=${c.value}` : `-${c.key}`))
              .join(' '),
          ]
        : [],
    )
  }

  /** The keys and values that the events leave. */
  get state(): Map<string, unknown> {
    const state = new Map<string, unknown>()
    for (const event of this.events) {
      if (event.type === 'reset') state.clear()
      else if (event.type === 'state')
        for (const [key, value] of event.entries) state.set(key, value)
      else if (event.type === 'changes') {
        for (const change of event.changes) {
          if (change.type === 'put') state.set(change.key, change.value)
          else state.delete(change.key)
        }
      }
    }
    return state
  }

  async #consume(): Promise<void> {
    for await (const event of this.watch) this.events.push(event)
    this.isDone = true
  }
}

async function everything(store: Store): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  for await (const [key, value] of store.scan()) found.set(key, value)
  return found
}

test('a watch gives what is written once it was ready, by anybody, and nothing acknowledged before', async () => {
  const cluster = await three(1)
  for (const name of NAMES) {
    await cluster.run(cluster.store(name).put('k', 'before'))
    const consumers = NAMES.map((other) => new Consumer(cluster.store(other).watch()))
    for (const { watch } of consumers) await cluster.run(watch.ready())
    await cluster.run(cluster.store(name).put('k', 'after'))
    await cluster.run(
      cluster.store(name).batch([
        { type: 'put', key: 'l', value: 1 },
        { type: 'del', key: 'k' },
      ]),
    )
    await cluster.world.advance(500)
    for (const { words } of consumers) assert.deepEqual(words, ['k=after', 'l=1 -k'])
    for (const { watch } of consumers) await cluster.run(watch.return())
    assert.ok(consumers.every(({ isDone }) => isDone))
  }
  await cluster.close()
})

test('a write in the same turn as the watch is seen', async () => {
  const cluster = await three(2)
  for (const name of NAMES) {
    const store = cluster.store(name)
    const consumer = new Consumer(store.watch())
    await cluster.run(store.put('k', name))
    await cluster.world.advance(100)
    assert.deepEqual(consumer.words, [`k=${name}`])
    await cluster.run(consumer.watch.return())
  }
  await cluster.close()
})

test('a write that is called after the watch is seen, however early the two come', async () => {
  for (const names of [['a'], NAMES]) {
    for (let seed = 10; seed < 20; seed++) {
      const cluster = await SimCluster.start(seed, names, {})
      const store = cluster.store('a')
      const earlier = store.put('before', 0)
      if (seed % 2 === 0) await cluster.run(earlier)
      const consumers = [store.watch(), store.session().watch()].map((watch) => new Consumer(watch))
      const later = store.view({ consistency: 'eventual' }).put('after', seed)
      await cluster.run(Promise.all([earlier, later]))
      await cluster.world.advance(2000)
      for (const { words } of consumers) {
        const keys = words.join(' ').replaceAll(/=\d+/g, '')
        assert.match(keys, seed % 2 === 0 ? /^after$/ : /^(before )?after$/)
      }
      await cluster.close()
    }
  }
})

test('a prefix or a range is watched, and nothing beside it', async () => {
  const [cluster, store] = await lone()
  const watches = [
    store.watch({ prefix: 'b' }),
    store.watch({ gt: 'a', lte: 'b' }),
    store.watch({ gte: 'b', lt: 'c' }),
    store.watch({ prefix: '' }),
  ]
  const consumers = watches.map((watch) => new Consumer(watch))
  for (const key of ['a', 'aa', 'b', 'ba', 'b\u{10ffff}', 'c']) await cluster.run(store.put(key, 0))
  await cluster.world.advance(10)
  const keys = consumers.map(({ state }) => [...state.keys()].join(' '))
  assert.deepEqual(keys, [
    'b ba b\u{10ffff}',
    'aa b',
    'b ba b\u{10ffff}',
    'a aa b ba b\u{10ffff} c',
  ])
  await cluster.close()
})

test('the keys of a prefix range are those that begin with the prefix', () => {
  const bytes = fc.uint8Array({ maxLength: 4 }).map((b) => b.map((x) => (x > 200 ? 0xff : x % 3)))
  fc.assert(
    fc.property(bytes, bytes, (prefix, key) => {
      const { gte, lt } = prefixRange(prefix)
      const isWithin =
        Buffer.compare(key, gte!) >= 0 && (lt === undefined || Buffer.compare(key, lt) < 0)
      assert.equal(isWithin, Buffer.compare(key.subarray(0, prefix.length), prefix) === 0)
    }),
  )
})

test('with initial the whole state comes first, and then every change after it, while writes go on', async () => {
  const cluster = await three(3)
  const store = cluster.store('a')
  for (let from = 0; from < 1200; from += 400) {
    const keys = Array.from({ length: 400 }, (_, i) => `k${String(from + i).padStart(4, '0')}`)
    await cluster.run(store.batch(keys.map((key) => ({ type: 'put', key, value: 0 }))))
  }
  const writing = (async () => {
    for (let i = 0; i < 120; i++) {
      const key = `k${String((i * 37) % 1200).padStart(4, '0')}`
      if (i % 5 === 0) await cluster.store(NAMES[i % 3]!).del(key)
      else await cluster.store(NAMES[i % 3]!).put(key, i)
    }
  })()
  const consumers: Consumer[] = []
  for (let i = 0; i < 24; i++) {
    await cluster.world.advance(5)
    consumers.push(new Consumer(cluster.store(NAMES[i % 3]!).watch({ initial: true })))
  }
  await cluster.run(writing)
  await cluster.world.advance(500)
  const expected = await cluster.run(everything(store))
  for (const { events, state } of consumers) {
    assert.deepEqual(new Map([...state].toSorted()), expected)
    const pieces = events.filter((event) => event.type === 'state')
    assert.ok(pieces.length >= 3)
    assert.ok(
      pieces.every(
        ({ isLast, token }, at) =>
          isLast === (at === pieces.length - 1) && isLast === (token !== undefined),
      ),
    )
    const indexes = events.map(({ index }) => index)
    assert.deepEqual(
      indexes,
      indexes.toSorted((x, y) => x - y),
    )
    const changes = events.filter((event) => event.type === 'changes')
    assert.ok(
      changes.every(({ index }) => index > pieces[0]!.index),
      'what the state holds does not come again',
    )
  }
  assert.ok(
    consumers.some(({ words }) => words.length > 50),
    'writes went on',
  )
  await cluster.close()
})

test('a watch goes on from any token at any member, also after its own was killed', async () => {
  const cluster = await three(4)
  const all = new Consumer(cluster.store('a').watch({ initial: true }))
  for (let i = 0; i < 10; i++) await cluster.run(cluster.store('b').put(`k${i}`, i))
  await cluster.world.advance(200)
  cluster.kill('c')
  await cluster.restart('c')
  await cluster.awaitLeader()
  for (let i = 0; i < 10; i++) await cluster.run(cluster.store('c').put(`k${i}`, -i))
  await cluster.world.advance(500)
  assert.equal(all.words.length, 20)
  for (const [at, event] of all.events.entries()) {
    if (event.type !== 'changes' && event.type !== 'state') continue
    for (const from of [event.token!, event.index]) {
      // The one that was restarted remembers from where its state was flushed last.
      const name = NAMES[at % (at > 10 ? 3 : 2)]!
      const rest = new Consumer(cluster.store(name).watch({ from }))
      await cluster.world.advance(100)
      assert.deepEqual(rest.words, all.words.slice(at))
      assert.equal(rest.watch.index, all.watch.index)
      await cluster.run(rest.watch.return())
    }
  }
  await cluster.close()
})

test('a token of a member that is ahead is waited for, and one ahead of everything is an error', async () => {
  const cluster = await three(5)
  const leader = await cluster.awaitLeader()
  const [behind, other] = NAMES.filter((name) => name !== leader)
  cluster.network.partition([[leader, other!], [behind!]])
  const { token } = await cluster.run(cluster.store(leader).put('k', 1))
  const consumer = new Consumer(cluster.store(behind!).watch({ from: token }))
  await cluster.world.advance(3000)
  assert.deepEqual(consumer.events, [])
  cluster.network.healAll()
  await cluster.run(cluster.store(leader).put('k', 2))
  await cluster.world.advance(5000)
  assert.deepEqual(consumer.words, ['k=2'])
  const ahead = cluster.store(behind!).watch({ from: 1_000_000 })
  await assert.rejects(cluster.run(ahead.next()), { code: 'QUORATE_BAD_TOKEN' })
  assert.deepEqual(await ahead.next(), { done: true, value: undefined })
  await cluster.close()
})

test('a consumer that is too slow is told so, and can begin anew from a fresh state in the same watch', async () => {
  const [cluster, store] = await lone({ limits: { watchHistoryBytes: 4096 } })
  const [ending, resetting] = [store.watch(), store.watch({ onCompacted: 'reset' })]
  await cluster.run(Promise.all([ending.ready(), resetting.ready()]))
  for (let i = 0; i < 30; i++) await cluster.run(store.put(`k${i % 7}`, 'x'.repeat(300)))
  const lost = await cluster.run(ending.next().catch((error: unknown) => error))
  assert.ok(lost instanceof Error && 'oldest' in lost && 'code' in lost)
  assert.equal(lost.code, 'QUORATE_COMPACTED')
  const rest = new Consumer(store.watch({ from: lost.oldest as number }))
  await cluster.world.advance(10)
  assert.ok(rest.words.length > 3)
  const again = new Consumer(resetting)
  await cluster.run(store.put('k0', 'new'))
  await cluster.world.advance(10)
  assert.deepEqual(
    again.events.map(({ type }) => type),
    ['reset', 'state', 'changes'],
  )
  assert.ok(again.events[0]!.index < again.events[1]!.index)
  assert.deepEqual(again.state, await cluster.run(everything(store)))
  await cluster.close()
})

test('a watch ends by break, return, signal, and with its member; each frees its place', async () => {
  const [cluster, store] = await lone({ limits: { maxWatches: 1 } })
  const abort = new AbortController()
  await cluster.run(
    (async () => {
      store.put('k', 1)
      for await (const { type } of store.watch({ from: 0 })) {
        assert.equal(type, 'changes')
        break
      }
    })(),
  )
  const returned = store.watch({ from: 0 })
  await cluster.run(returned.next())
  await assert.rejects(cluster.run(store.watch({ from: 0 }).next()), { code: 'QUORATE_OVERLOADED' })
  const [pending, end] = [returned.next(), returned.return()]
  assert.deepEqual(await cluster.run(pending), { done: true, value: undefined })
  await cluster.run(end)
  const aborted = store.watch({ from: 0, signal: abort.signal })
  await cluster.run(aborted.next())
  abort.abort()
  await cluster.run(store.watch({ from: 0 }).return())
  await assert.rejects(cluster.run(aborted.next()), { code: 'QUORATE_ABORTED', name: 'AbortError' })
  const tooLate = store.watch({ signal: abort.signal })
  await assert.rejects(cluster.run(tooLate.ready()), { code: 'QUORATE_ABORTED' })
  await assert.rejects(cluster.run(tooLate.next()), { code: 'QUORATE_ABORTED' })
  const consumer = new Consumer(store.watch())
  await cluster.run(consumer.watch.ready())
  await cluster.close()
  assert.equal((consumer.error as { code?: string }).code, 'QUORATE_NOT_OPEN')
})

test('aborted in the middle of the state, a watch lets the state go though nobody asks any more', async () => {
  const [cluster, store] = await lone()
  const keys = Array.from({ length: 1500 }, (_, i) => `k${i}`)
  await cluster.run(store.batch(keys.map((key) => ({ type: 'put', key, value: 0 }))))
  const abort = new AbortController()
  const watch = store.watch({ initial: true, signal: abort.signal })
  await cluster.run(watch.next())
  assert.equal(watch.token, undefined, 'a part of the state is no place to go on from')
  abort.abort()
  await cluster.world.advance(10)
  await cluster.close()
})

test('what a session is given by its watch counts as read', async () => {
  const cluster = await three(6)
  const leader = await cluster.awaitLeader()
  const [reader, behind] = NAMES.filter((name) => name !== leader)
  const session = cluster.store(reader!).session()
  const watch = session.watch()
  await cluster.run(watch.ready())
  cluster.network.partition([[leader, reader!], [behind!]])
  const { index } = await cluster.run(cluster.store(leader).put('k', 1))
  const event = await cluster.run(watch.next())
  assert.equal(event.value?.index, index)
  const elsewhere = cluster.store(behind!).session(session.token)
  const read = elsewhere.get('k', { timeoutMs: 30_000 })
  await cluster.world.advance(1000)
  cluster.network.healAll()
  assert.equal(await cluster.run(read), 1)
  await cluster.close()
})

test('a value that is none of the encoding ends the watch aloud, and it can be gone on after it', async () => {
  const [cluster, store] = await lone()
  const watch = store.watch({ valueEncoding: 'json' })
  await cluster.run(watch.ready())
  await cluster.run(store.put('bad', Buffer.from('{'), { valueEncoding: 'binary' }))
  await cluster.run(store.put('good', 1, { valueEncoding: 'json' }))
  await assert.rejects(cluster.run(watch.next()), { code: 'QUORATE_UNDECODABLE', message: /"bad"/ })
  const rest = new Consumer(store.watch({ from: watch.token!, valueEncoding: 'json' }))
  await cluster.world.advance(10)
  assert.deepEqual(rest.words, ['good=1'])
  await cluster.close()
})

test('bytes that a watch gives belong to its consumer', async () => {
  const [cluster, store] = await lone()
  const options = { from: 0, keyEncoding: 'binary', valueEncoding: 'binary' } as const
  await cluster.run(store.put('key', Buffer.from('value'), { valueEncoding: 'binary' }))
  for (let i = 0; i < 2; i++) {
    const watch = store.watch<Buffer, Buffer>(options)
    const { value: event } = await cluster.run(watch.next())
    assert.ok(event?.type === 'changes')
    const [change] = event.changes
    assert.ok(change?.type === 'put' && change.omitted === undefined)
    assert.equal(`${change.key}=${change.value}`, 'key=value')
    change.key.fill(0)
    change.value.fill(0)
    await watch.return()
  }
  await cluster.close()
})

test('progress is told when nothing else is, as often as was asked for', async () => {
  const [cluster, store] = await lone()
  const often = new Consumer(store.watch({ prefix: 'x', progressMs: 1 }))
  const seldom = new Consumer(store.watch({ prefix: 'x', progressMs: 5000 }))
  const never = new Consumer(store.watch({ prefix: 'x' }))
  for (let i = 0; i < 20; i++) {
    const { index } = await cluster.run(store.put('k', i))
    await cluster.world.advance(1000)
    assert.ok(i < 2 || often.events.at(-1)!.index >= index - 1)
  }
  assert.ok(often.events.length >= 15 && often.events.length <= 20, `${often.events.length}`)
  assert.ok(seldom.events.length >= 2 && seldom.events.length <= 4, `${seldom.events.length}`)
  assert.equal(never.events.length, 0)
  assert.equal(never.watch.token, often.watch.token, 'how far it has come is known all the same')
  await cluster.close()
})

test('misuse is refused at the call', async () => {
  const [cluster, store] = await lone()
  const refused: readonly [object, object][] = [
    [{ prefixx: 'a' }, { name: 'TypeError', message: /no option prefixx/ }],
    [{ prefix: 'a', gte: 'a' }, { name: 'TypeError' }],
    [{ prefix: 1 }, { name: 'TypeError' }],
    [{ gt: 'a', gte: 'a' }, { name: 'TypeError' }],
    [{ from: 1, initial: true }, { name: 'TypeError' }],
    [{ from: 1.5 }, { name: 'RangeError' }],
    [{ from: -1 }, { name: 'RangeError' }],
    [{ from: {} }, { name: 'TypeError' }],
    [{ from: 'nonsense' }, { code: 'QUORATE_BAD_TOKEN' }],
    [{ onCompacted: 'ignore' }, { name: 'TypeError' }],
    [{ progressMs: 0 }, { name: 'RangeError' }],
    [{ consistency: 'weak' }, { name: 'TypeError' }],
    [{ keyEncoding: 'hex' }, { name: 'TypeError' }],
  ]
  for (const [options, error] of refused) assert.throws(() => store.watch(options), error)
  await cluster.close()
})
