/** Streams into the Store and out of it. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { BINARY, collected, content, inPieces, SMALL, startLarge } from './large-fixture.js'

function webStream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => {
      controller.enqueue(bytes)
      controller.close()
    },
  })
}

test('every kind of stream comes back as its bytes, however short, whatever the encoding', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  const streams: [number, (bytes: Buffer) => AsyncIterable<Uint8Array>][] = [
    [0, (bytes) => inPieces(bytes, 10)],
    [1, (bytes) => inPieces(bytes, 10)],
    [10_000, (bytes) => inPieces(bytes, 333)],
    [5000, (bytes) => Readable.from(inPieces(bytes, 2048))],
    [5001, (bytes) => webStream(bytes)],
  ]
  for (const [length, streamOf] of streams) {
    const bytes = content(length)
    await cluster.run(store.put('k', streamOf(bytes)))
    for (const member of cluster.members) {
      const found = await cluster.run(cluster.store(member).get<Buffer>('k'))
      assert.ok(Buffer.isBuffer(found) && found.equals(bytes), `${length} bytes at ${member}`)
    }
    const scan = cluster.store('b').scan()
    assert.deepEqual((await cluster.run(scan.next())).value, ['k', bytes])
    await cluster.run(scan.return!())
  }
})

test('progress is told as bytes are taken', async () => {
  await using cluster = await startLarge()
  const told: number[] = []
  const onProgress = ({ bytes }: { bytes: number }) => told.push(bytes)
  await cluster.run(cluster.store('a').put('k', inPieces(content(5000), 2000), { onProgress }))
  assert.deepEqual(told, [2000, 4000, 5000])
})

test('a stream that fails, is too long or gives something else changes nothing, and is ended', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  await cluster.run(store.put('k', 'before'))
  let ended = 0
  async function* failing(last: () => unknown): AsyncGenerator<Uint8Array> {
    try {
      for (let i = 0; i < 10; i++) yield content(1000, i)
      yield last() as Uint8Array
    } finally {
      ended++
    }
  }
  const failure = new Error('the source is broken')
  const thrown = () => {
    throw failure
  }
  await cluster.run(assert.rejects(store.put('k', failing(thrown)), failure))
  await cluster.run(
    assert.rejects(
      store.put(
        'k',
        failing(() => 'text'),
      ),
      TypeError,
    ),
  )
  const tooLong = { code: 'QUORATE_TOO_LARGE', outcome: 'none' }
  await cluster.run(assert.rejects(store.put('k', failing(thrown), { maxBytes: 9999 }), tooLong))
  assert.equal(ended, 3)
  assert.equal(await cluster.run(store.get('k')), 'before')
})

test('a stream that stands still or is aborted fails with the outcome none, and is destroyed', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  const still = new Readable({ read: () => undefined })
  const late = { code: 'QUORATE_TIMEOUT', outcome: 'none', retryable: true }
  await cluster.run(assert.rejects(store.put('k', still, { timeoutMs: 700 }), late))
  assert.equal(still.destroyed, true)

  const aborted = new Readable({ read: () => undefined })
  const controller = new AbortController()
  const put = store.put('k', aborted, { signal: controller.signal })
  const rejected = assert.rejects(put, { code: 'QUORATE_ABORTED', outcome: 'none' })
  await cluster.advance(100)
  controller.abort()
  await cluster.run(rejected)
  assert.equal(aborted.destroyed, true)
  assert.equal(await cluster.run(store.get('k')), undefined)
})

test('a stream may take longer than timeoutMs as long as bytes come', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  let passes = (): void => undefined
  const slow = (async function* () {
    for (let i = 0; i < 6; i++) {
      await new Promise<void>((resolve) => {
        passes = resolve
      })
      yield content(100, i)
    }
  })()
  const put = store.put('k', slow, { timeoutMs: 1000 })
  for (let i = 0; i < 6; i++) {
    await cluster.advance(600)
    passes()
  }
  await cluster.run(put)
  assert.equal((await cluster.run(store.get<Buffer>('k')))?.length, 600)
})

test('misuse of streams is thrown at the call', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  const stream = () => inPieces(content(10), 5)
  assert.throws(() => void store.put('k', stream(), BINARY), /valueEncoding/)
  assert.throws(() => void store.put('k', stream(), { maxBytes: -1 }), RangeError)
  assert.throws(() => void store.put('k', 'long', { maxBytes: 2 }), RangeError)
  assert.throws(() => void store.put('k', 1, { onProgress: 1 as never }), TypeError)
  assert.throws(() => void store.batch([{ type: 'put', key: 'k', value: stream() }]), TypeError)
})

test('read gives any range of a large value and of a small one, from any member', async () => {
  await using cluster = await startLarge()
  const store = cluster.store('a')
  const values = { small: content(100), large: content(20_000) }
  for (const [key, value] of Object.entries(values))
    await cluster.run(store.put(key, value, BINARY))
  await cluster.converged()
  const property = fc.asyncProperty(
    fc.constantFrom('small' as const, 'large' as const),
    fc.constantFrom(...cluster.members),
    fc.nat(21_000),
    fc.nat(21_000),
    async (key, member, one, other) => {
      const [start, end] = [Math.min(one, other), Math.max(one, other)]
      const stream = await cluster.run(cluster.store(member).read(key, { start, end }))
      const { length } = values[key]
      assert.deepEqual(
        [stream!.valueBytes, stream!.start, stream!.end],
        [length, Math.min(start, length), Math.min(end, length)],
      )
      const bytes = await cluster.run(collected(stream))
      assert.ok(bytes.equals(values[key].subarray(start, end)))
    },
  )
  await fc.assert(property, { numRuns: 60, seed: 7 })
  assert.ok(
    values.large.equals(await cluster.run(collected(await cluster.run(store.read('large'))))),
  )
  assert.equal(await cluster.run(store.read('absent')), undefined)
  for (const range of [{ start: -1 }, { end: 1.5 }, { start: 3, end: 2 }]) {
    assert.throws(() => void store.read('large', range), RangeError)
  }
  assert.throws(() => void store.read('large', BINARY as object), TypeError)
})

test('a read stays with the value it began with, and ends when it is aborted', async () => {
  await using cluster = await startLarge({ store: { erasure: { ...SMALL, graceMs: 60_000 } } })
  const store = cluster.store('a')
  const bytes = content(30_000)
  await cluster.run(store.put('k', bytes, BINARY))
  const stream = await cluster.run(store.read('k'))
  await cluster.run(store.put('k', 'other'))
  await cluster.advance(1000)
  assert.ok(bytes.equals(await cluster.run(collected(stream))))
  const controller = new AbortController()
  await cluster.run(store.put('k', bytes, BINARY))
  const aborted = (await cluster.run(store.read('k', { signal: controller.signal })))!
  controller.abort()
  await cluster.run(assert.rejects(collected(aborted), { code: 'QUORATE_ABORTED' }))
})

test('what was replaced longer ago than readers are waited for is gone, and get finds the new value', async () => {
  await using cluster = await startLarge({
    store: { erasure: { ...SMALL, graceMs: 0, cacheBytes: 0 } },
  })
  const store = cluster.store('a')
  // More than one block of a scan.
  const before = Array.from(
    { length: 512 },
    (_, i) => ({ type: 'put', key: `a${i}`, value: 1 }) as const,
  )
  await cluster.run(store.batch(before))
  await cluster.run(store.put('k', content(5000), BINARY))
  const scan = store.scan()
  for (const _ of before) await cluster.run(scan.next())
  await cluster.run(store.put('k', content(1000), BINARY))
  await cluster.run(store.put('l', content(1000), BINARY))
  await cluster.advance(120_000)
  await cluster.run(assert.rejects(scan.next(), { code: 'QUORATE_BLOB_GONE', retryable: true }))
  assert.deepEqual(await cluster.run(store.get('k', BINARY)), content(1000))
})
