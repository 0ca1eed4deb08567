/**
 * What everything that calls itself a Store does: a suite for wrappers and for stores in unusual places. It throws
 * through node:assert, so it runs under any runner whose `test` takes a title and a function.
 */
import assert from 'node:assert/strict'
import type { Session } from '../../store/session.js'
import type { Store } from '../../store/store.js'
import { registerCases, type SuiteCase, type SuiteOptions } from './suite.js'

/** The part of a Store that the suite uses. */
export type TestedStore = Pick<
  Store,
  | 'put'
  | 'del'
  | 'batch'
  | 'get'
  | 'getWithMeta'
  | 'getMany'
  | 'scan'
  | 'watch'
  | 'session'
  | 'close'
>

/** A store under test. */
export interface StoreFixture {
  readonly store: TestedStore
  /** Waits for a call; on virtual time it also lets time pass. Default: awaits it. */
  run?<T>(promise: Promise<T>): Promise<T>
  /** Ends what was begun for the test besides the store. */
  end?(): Promise<void>
}

/** What a test of the suite is given. */
interface Bench {
  readonly store: TestedStore
  run<T>(promise: Promise<T>): Promise<T>
  /** Keys and values of a scan. */
  entries(options: Parameters<Store['scan']>[0]): Promise<[string, unknown][]>
}

/** Runs the suite. */
export function storeSuite(options: SuiteOptions<StoreFixture>): void {
  registerCases(options, CASES, async (fixture, check) => {
    const run = fixture.run?.bind(fixture) ?? (<T>(promise: Promise<T>) => promise)
    try {
      await check({ store: fixture.store, run, entries: entriesOf(fixture.store, run) })
    } finally {
      await run(fixture.store.close())
      await fixture.end?.()
    }
  })
}

const CASES: readonly SuiteCase<Bench>[] = [
  [
    'what was put is there, what was not is undefined',
    async ({ store, run }) => {
      await run(store.put('k', { deep: [1, 'two', null] }))
      assert.deepEqual(await run(store.get('k')), { deep: [1, 'two', null] })
      assert.equal(await run(store.get('other')), undefined)
    },
  ],
  [
    'the last put wins, and a deleted key is gone',
    async ({ store, run }) => {
      await run(store.put('k', 1))
      await run(store.put('k', 2))
      assert.equal(await run(store.get('k')), 2)
      await run(store.del('k'))
      await run(store.del('k'))
      assert.equal(await run(store.get('k')), undefined)
    },
  ],
  [
    'a batch happens in its order and at one index',
    async ({ store, run }) => {
      const { index } = await run(
        store.batch([
          { type: 'put', key: 'a', value: 1 },
          { type: 'put', key: 'b', value: 1 },
          { type: 'put', key: 'a', value: 2 },
          { type: 'del', key: 'b' },
          { type: 'put', key: 'c', value: 3 },
        ]),
      )
      assert.deepEqual(await run(store.getMany(['a', 'b', 'c'])), [2, undefined, 3])
      for (const key of ['a', 'c']) {
        assert.equal((await run(store.getWithMeta(key))).revision, index)
      }
    },
  ],
  [
    'later writes have higher indexes, and a read says how new it is',
    async ({ store, run }) => {
      const first = await run(store.put('k', 1))
      const second = await run(store.put('k', 2))
      assert.ok(second.index > first.index)
      const meta = await run(store.getWithMeta('k'))
      assert.equal(meta.revision, second.index)
      assert.ok(meta.appliedIndex >= second.index)
    },
  ],
  [
    'writes made without waiting are applied in the order of the calls',
    async ({ store, run }) => {
      const writes = Array.from({ length: 100 }, (_, i) => store.put('k', i))
      const indexes = (await run(Promise.all(writes))).map(({ index }) => index)
      assert.deepEqual(
        indexes,
        [...indexes].sort((a, b) => a - b),
      )
      assert.equal(await run(store.get('k')), 99)
    },
  ],
  [
    'a scan gives a range in the order of the bytes, either way round, and stops at its limit',
    async ({ store, run, entries }) => {
      const keys = ['a', 'b', 'b\u00e9', 'c', '\u{1f600}', '\uffee']
      for (const key of keys) await run(store.put(key, key))
      const ordered = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
      const named = async (options: Parameters<Store['scan']>[0]) =>
        (await entries(options)).map(([key]) => key)
      assert.deepEqual(await named({}), ordered)
      assert.deepEqual(await named({ reverse: true }), [...ordered].reverse())
      assert.deepEqual(await named({ gte: 'b', lt: 'c' }), ['b', 'b\u00e9'])
      assert.deepEqual(await named({ gt: 'b', lte: 'c' }), ['b\u00e9', 'c'])
      assert.deepEqual(await named({ limit: 2 }), ['a', 'b'])
    },
  ],
  [
    'a scan shows the moment in which it was begun',
    async ({ store, run }) => {
      await run(store.put('a', 1))
      await run(store.put('b', 1))
      const scan = store.scan()
      const first = await run(scan.next())
      await run(store.put('b', 2))
      const second = await run(scan.next())
      assert.deepEqual(
        [first.value, second.value],
        [
          ['a', 1],
          ['b', 1],
        ],
      )
      assert.equal((await run(scan.next())).done, true)
    },
  ],
  [
    'keys and values may be bytes',
    async ({ store, run }) => {
      const key = Uint8Array.of(0, 255, 1)
      const value = Uint8Array.of(255, 0, 254)
      await run(store.put(key, value, { valueEncoding: 'binary' }))
      const found = await run(store.get<Uint8Array>(key, { valueEncoding: 'binary' }))
      assert.deepEqual([...found!], [...value])
    },
  ],
  [
    'a value of a million bytes is a value like any other, and a stream comes back as its bytes',
    async ({ store, run, entries }) => {
      const value = Buffer.alloc(1_000_000, 'a large value ')
      async function* stream(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < value.length; at += 300_000) yield value.subarray(at, at + 300_000)
      }
      const { index } = await run(
        store.batch([
          { type: 'put', key: 'a', value: 1 },
          { type: 'put', key: 'large', value },
        ]),
      )
      assert.ok(value.equals((await run(store.get<Buffer>('large')))!))
      assert.equal((await run(store.getWithMeta('large'))).revision, index)
      await run(store.put('large', stream()))
      const [, last] = await entries({})
      assert.ok(value.equals(last![1] as Buffer))
      await run(store.put('large', 'small'))
      assert.equal(await run(store.get('large')), 'small')
    },
  ],
  [
    'a session sees its own writes, also where its token was carried',
    async ({ store, run }) => {
      const session = store.session()
      await run(session.put('k', 1))
      assert.equal(await run(session.get('k')), 1)
      const other: Session = store.session(session.token)
      assert.equal(await run(other.get('k')), 1)
    },
  ],
  [
    'a watch gives the state and every change after it, and can be gone on with from where it was',
    async ({ store, run }) => {
      await run(store.put('a', 1))
      const watch = store.watch({ initial: true })
      const { value: state } = await run(watch.next())
      assert.ok(state?.type === 'state' && state.isLast)
      assert.deepEqual(state.entries, [['a', 1]])
      const { index } = await run(
        store.batch([
          { type: 'put', key: 'b', value: 2 },
          { type: 'del', key: 'a' },
        ]),
      )
      await run(store.put('c', 3))
      const again = store.watch({ from: state.token! })
      for (const each of [watch, again]) {
        const { value: event } = await run(each.next())
        assert.ok(event?.type === 'changes')
        assert.equal(event.index, index)
        assert.deepEqual(event.changes, [
          { type: 'put', key: 'b', value: 2 },
          { type: 'del', key: 'a' },
        ])
        const { value: last } = await run(each.next())
        assert.ok(last?.type === 'changes')
        assert.deepEqual(last.changes, [{ type: 'put', key: 'c', value: 3 }])
        await run(each.return())
      }
    },
  ],
  [
    'every read level answers',
    async ({ store, run }) => {
      await run(store.put('k', 1))
      for (const consistency of ['strong', 'session', 'eventual'] as const) {
        assert.equal(await run(store.get('k', { consistency })), 1, consistency)
      }
    },
  ],
  [
    'misuse is thrown at the call',
    async ({ store }) => {
      assert.throws(() => void store.put('', 1), RangeError)
      assert.throws(() => void store.put('k', undefined), TypeError)
      assert.throws(() => void store.batch([]), RangeError)
      assert.throws(() => void store.get('k', { consistency: 'quick' as 'strong' }), TypeError)
    },
  ],
]

function entriesOf(store: TestedStore, run: Bench['run']): Bench['entries'] {
  return async (options) => {
    const found: [string, unknown][] = []
    const scan = store.scan(options)
    for (;;) {
      const next = await run(scan.next())
      if (next.done === true) return found
      found.push(next.value)
    }
  }
}
