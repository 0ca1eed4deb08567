import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { StoreError } from '../../src/base/errors.js'
import { Code } from '../../src/erasure/code.js'
import {
  BINDING_PATHS,
  type Binding,
  loadBinding,
  NativeBackend,
} from '../../src/erasure/native.js'
import { emptyShards, randomShards, referenceShards } from './shards.js'

/** The addon, or why these tests are skipped. */
function addon(): Binding | string {
  try {
    return loadBinding(BINDING_PATHS)
  } catch (error) {
    return `no addon: ${(error as Error).message}`
  }
}

const found = addon()
const skip = typeof found === 'string' ? found : false
const binding = found as Binding

const row = Uint8Array.of(3, 2)
const good: readonly unknown[] = [0, row, 2, randomShards(2, 10, 1), emptyShards(1, 10)]
const resizable = (bytes: number): Uint8Array =>
  new Uint8Array(Reflect.construct(ArrayBuffer, [bytes, { maxByteLength: 4096 }]) as ArrayBuffer)

/** What is put in the place of a good argument; of the same length where that matters. */
const BAD: readonly (readonly [place: number, bad: unknown])[] = [
  ...[-1, 99, 0.5, Number.NaN, Infinity, '0', null, undefined, 1n].map((bad) => [0, bad] as const),
  ...[[3, 2], 'ab', null, new Uint16Array(2), new Uint8Array(3), new DataView(row.buffer)].map(
    (bad) => [1, bad] as const,
  ),
  [1, new Uint8Array(new SharedArrayBuffer(2))],
  [1, new Uint8Array(512)],
  ...[0, 256, 2.5, -2, '2', {}].map((bad) => [2, bad] as const),
  ...[null, {}, 'xy', new Uint8Array(2), [], randomShards(3, 10, 1)].map(
    (bad) => [3, bad] as const,
  ),
  [3, { length: 2, 0: row, 1: row }],
  [3, [Buffer.alloc(10), Buffer.alloc(11)]],
  [3, [Buffer.alloc(10), undefined]],
  [3, [Buffer.alloc(10), new Int8Array(10)]],
  [3, [Buffer.alloc(10), new Uint8Array(new SharedArrayBuffer(10))]],
  ...[null, [], emptyShards(2, 10), emptyShards(1, 9), [7]].map((bad) => [4, bad] as const),
  [4, [(good[3] as Buffer[])[1]]],
]

test('the addon refuses every wrong argument and writes nothing', { skip }, async () => {
  for (const call of [binding.run, binding.runLater]) {
    for (const [place, bad] of BAD) {
      const target = Buffer.alloc(10, 7)
      const given = good.map((each, i) => (i === place ? bad : i === 4 ? [target] : each))
      const what = `argument ${place}: ${String(bad)}`
      assert.throws(() => Reflect.apply(call, undefined, given), /TypeError|RangeError/, what)
      assert.deepEqual(target, Buffer.alloc(10, 7), what)
    }
    assert.throws(() => Reflect.apply(call, undefined, []), TypeError)
    assert.throws(() => Reflect.apply(call, undefined, good.slice(0, 4)), TypeError)
  }
})

test('memory that can shrink is taken at once only', { skip }, async () => {
  const sources = [resizable(10), Buffer.alloc(10)]
  binding.run(0, row, 2, sources, emptyShards(1, 10))
  assert.throws(() => binding.runLater(0, row, 2, sources, emptyShards(1, 10)), TypeError)
})

test('an array that changes while it is read does the addon no harm', { skip }, () => {
  const sources = randomShards(2, 10, 1)
  Object.defineProperty(sources, '0', {
    get: () => {
      sources.length = 1
      return Buffer.alloc(10)
    },
  })
  assert.throws(() => binding.run(0, row, 2, sources, emptyShards(1, 10)), TypeError)
})

test('the addon computes nothing from nothing', { skip }, async () => {
  binding.run(0, row, 2, [], [])
  await binding.runLater(0, row, 2, [], [])
  binding.run(0, new Uint8Array(0), 2, randomShards(2, 10, 1), [])
  await binding.runLater(0, row, 2, emptyShards(2, 0), emptyShards(1, 0))
})

test('buffers that nobody else holds live until the operation is done', { skip }, async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const bytes = 1 << 20
  const operations = Array.from({ length: 16 }, (_, i) => {
    const shard = () => new Uint8Array(new ArrayBuffer(bytes)).fill(i)
    const target = new Uint8Array(bytes)
    return { target, done: binding.runLater(0, row, 2, [shard(), shard()], [target]) }
  })
  for (let i = 0; i < 4; i++) {
    collect()
    randomShards(4, 1000, i)
  }
  await Promise.all(operations.map(({ done }) => done))
  // 3x + 2x = x
  for (const [i, { target }] of operations.entries()) {
    assert.ok(target.every((byte) => byte === i))
  }
})

test('a worker may end while its operations run', { skip }, async () => {
  const path = BINDING_PATHS.map((each) => JSON.stringify(each)).join()
  const worker = new Worker(
    `const { existsSync } = require('node:fs')
     const addon = require([${path}].find((each) => existsSync(each)))
     const buffers = () => [new Uint8Array(4 << 20), new Uint8Array(4 << 20)]
     for (let i = 0; i < 8; i++) {
       addon.runLater(0, Uint8Array.of(3, 2), 2, buffers(), [new Uint8Array(4 << 20)])
     }
     require('node:worker_threads').parentPort.postMessage('started')`,
    { eval: true },
  )
  await once(worker, 'message')
  await worker.terminate()
  const [a, b, expected] = referenceShards(2, 1, 100, 1)
  const target = Buffer.alloc(100)
  await binding.runLater(0, row, 2, [a!, b!], [target])
  assert.deepEqual(target, expected)
})

test('operations beyond the bound are refused, and the others are done in their turn', {
  skip,
}, async () => {
  const backend = new NativeBackend(binding, 0)
  const [a, b, expected] = referenceShards(2, 1, 64, 1)
  const { encoding } = new Code(2, 1)
  const targets = Array.from({ length: 1200 }, () => Buffer.alloc(64))
  const settled = await Promise.allSettled(
    targets.map((target) =>
      backend.runLater({ plan: encoding, sources: [a!, b!], targets: [target] }),
    ),
  )
  const refused = settled.filter(({ status }) => status === 'rejected')
  assert.equal(refused.length, 1200 - 1024 - 2)
  for (const each of refused as PromiseRejectedResult[]) {
    assert.ok(each.reason instanceof StoreError && each.reason.code === 'QUORATE_OVERLOADED')
  }
  targets.forEach((target, i) => {
    if (settled[i]!.status === 'fulfilled') assert.deepEqual(target, expected)
  })
})

test('node-gyp builds all sources of the addon', () => {
  const folder = join(import.meta.dirname, '../../../native')
  const listed = readFileSync(join(folder, 'binding.gyp'), 'utf8').match(/[\w-]+\.cpp/g)
  assert.deepEqual(
    listed,
    readdirSync(folder).filter((name) => name.endsWith('.cpp')),
  )
})

test('without a compiler the build says so in one line and does not fail', () => {
  const script = join(import.meta.dirname, '../../../native/build.mjs')
  const env = { ...process.env, CXX: 'no-such-compiler' }
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], {
    env,
    encoding: 'utf8',
  })
  assert.equal(status, 0)
  assert.equal(stderr, '')
  assert.match(stdout, /^quorate: the native erasure codec is not built.*\n$/)
})
