/** Values that have gone while they were read: a member whose first fetches find nothing any more. */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { StoreError } from '../../../src/base/errors.js'
import type { BackendEvents, Blobs } from '../../../src/member/backend.js'
import { Member } from '../../../src/member/member.js'
import { SimHost } from '../../../src/sim/sim-host.js'
import { SimNetwork } from '../../../src/sim/sim-network.js'
import { SimWorld } from '../../../src/sim/world.js'
import { resolveMemberOptions, resolveSettings } from '../../../src/store/open-options.js'
import { type Store, storeOver } from '../../../src/store/store.js'
import { BINARY, collected, content, SMALL } from './large-fixture.js'

interface Bench {
  readonly store: Store
  /** So many fetches from now on fail with `code`. */
  failNext(times: number, code?: StoreError['code']): void
  /** Fetches so far. */
  readonly fetches: number
  run<T>(promise: Promise<T>): Promise<T>
}

/** A lone member with a Store over it whose fetches fail as they are told to. */
async function bench(): Promise<Bench> {
  const world = new SimWorld(1)
  const env = new SimHost(world, new SimNetwork(world), 'a').boot()
  const erasure = { ...SMALL, cacheBytes: 0, codec: 'javascript' }
  const options = { dir: 'data', erasure }
  const run = <T>(promise: Promise<T>): Promise<T> => world.complete(promise, 60_000)
  const deaf = new Proxy({}, { get: () => () => undefined }) as BackendEvents
  const member = await run(Member.open(env, resolveMemberOptions(options), deaf, undefined))
  let failing: { left: number; code: StoreError['code'] } = { left: 0, code: 'QUORATE_BLOB_GONE' }
  let fetches = 0
  const blobs: Blobs = {
    thresholdBytes: member.blobs.thresholdBytes,
    upload: (request) => member.blobs.upload(request),
    fetch: async (request) => {
      fetches++
      if (failing.left-- > 0) throw new StoreError(failing.code, 'so it is', { retryable: true })
      return member.blobs.fetch(request)
    },
  }
  const backend = new Proxy(member, {
    get: (target, name) => {
      if (name === 'blobs') return blobs
      const property: unknown = Reflect.get(target, name, target)
      return typeof property === 'function' ? property.bind(target) : property
    },
  })
  return {
    store: storeOver(backend, resolveSettings(options), new EventEmitter()),
    failNext: (times, code = 'QUORATE_BLOB_GONE') => {
      failing = { left: times, code }
      fetches = 0
    },
    get fetches() {
      return fetches
    },
    run,
  }
}

const VALUE = content(500)

test('get, getMany, read and Level look a value up again that has gone, three times in all', async () => {
  const at = await bench()
  const { store, run } = at
  await run(store.put('k', VALUE, BINARY))
  const db = store.level<string, Buffer>({ valueEncoding: 'buffer' })
  const reads: (() => Promise<unknown>)[] = [
    () => store.get('k', BINARY),
    async () => (await store.getMany(['none', 'k'], BINARY))[1],
    async () => (await store.session().getWithMeta('k', BINARY)).value,
    async () => collected(await store.read('k')),
    () => db.get('k'),
  ]
  for (const read of reads) {
    at.failNext(2)
    assert.deepEqual(await run(read()), VALUE)
    assert.equal(at.fetches, 3)
    at.failNext(3)
    await run(assert.rejects(read(), { code: 'QUORATE_BLOB_GONE' }))
    assert.equal(at.fetches, 3)
    at.failNext(1, 'QUORATE_BLOB_UNREADABLE')
    await run(assert.rejects(read(), { code: 'QUORATE_BLOB_UNREADABLE' }))
    assert.equal(at.fetches, 1)
  }
  await run(store.close())
})

test('a fixed state cannot look again: scans and snapshots say that the value has gone', async () => {
  const at = await bench()
  const { store, run } = at
  await run(store.put('k', VALUE, BINARY))
  at.failNext(1)
  await run(assert.rejects(store.scan().next(), { code: 'QUORATE_BLOB_GONE' }))
  const db = store.level<string, Buffer>({ valueEncoding: 'buffer' })
  await run(db.open())
  const snapshot = db.snapshot()
  at.failNext(1)
  await run(assert.rejects(db.get('k', { snapshot })))
  assert.equal(at.fetches, 1)
  await run(snapshot.close())
  await run(store.close())
})

test('a watch tells of a put whose value has gone, and goes on', async () => {
  const at = await bench()
  const { store, run } = at
  const watch = store.watch<Buffer>({ from: 0, prefix: 'k', ...BINARY })
  await run(store.put('k', VALUE, BINARY))
  await run(store.put('k', content(600), BINARY))
  at.failNext(1)
  const changes: unknown[] = []
  for (let i = 0; i < 2; i++) {
    const { value: event } = await run(watch.next())
    assert.ok(event?.type === 'changes')
    changes.push(...event.changes)
  }
  assert.deepEqual(changes, [
    { type: 'put', key: 'k', value: undefined, omitted: 'gone' },
    { type: 'put', key: 'k', value: content(600) },
  ])
  await run(watch.return())
  await run(store.close())
})

test('a watch whose next value cannot be had fails, and can be gone on with from before it', async () => {
  const at = await bench()
  const { store, run } = at
  const watch = store.watch<Buffer>({ from: 0, prefix: 'k', ...BINARY })
  await run(store.put('k', 'small'))
  await run(watch.next())
  await run(store.put('k', VALUE, BINARY))
  at.failNext(1, 'QUORATE_BLOB_UNREADABLE')
  await run(assert.rejects(watch.next(), { code: 'QUORATE_BLOB_UNREADABLE' }))
  const again = store.watch<Buffer>({ from: watch.token!, prefix: 'k', ...BINARY })
  const { value: event } = await run(again.next())
  assert.ok(event?.type === 'changes')
  assert.deepEqual(event.changes, [{ type: 'put', key: 'k', value: VALUE }])
  await run(again.return())
  await run(store.close())
})

test('a state that a watch gives is asked for anew when a value of it has gone', async () => {
  const at = await bench()
  const { store, run } = at
  await run(store.put('k', VALUE, BINARY))
  at.failNext(1)
  const watch = store.watch<Buffer>({ initial: true, prefix: 'k', ...BINARY })
  const { value: event } = await run(watch.next())
  assert.ok(event?.type === 'state')
  assert.deepEqual(event.entries, [['k', VALUE]])
  assert.equal(at.fetches, 2)
  await run(watch.return())
  await run(store.close())
})
