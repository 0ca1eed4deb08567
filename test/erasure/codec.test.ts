import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Codec } from '../../src/erasure/codec.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'
import { emptyShards, randomShards, referenceShards } from './shards.js'

const backend = new JavaScriptBackend()
const codec = new Codec(backend, { dataShards: 3, parityShards: 2 })

test('any k shards of any code give back the value (I8)', () => {
  const arbitrary = fc
    .record({ k: fc.integer({ min: 1, max: 20 }), m: fc.integer({ min: 0, max: 12 }) })
    .chain(({ k, m }) =>
      fc.record({
        k: fc.constant(k),
        m: fc.constant(m),
        length: fc.nat(200),
        seed: fc.nat(),
        chosen: fc.shuffledSubarray([...Array(k + m).keys()], { minLength: k, maxLength: k }),
      }),
    )
  fc.assert(
    fc.property(arbitrary, ({ k, m, length, seed, chosen }) => {
      const shards = referenceShards(k, m, length, seed)
      const wanted = [...shards.keys()].filter((i) => !chosen.includes(i))
      const rebuilt = shards.map((shard, i) => (chosen.includes(i) ? shard : Buffer.alloc(length)))
      new Codec(backend, { dataShards: k, parityShards: m }).rebuildSync(rebuilt, wanted)
      assert.deepEqual(rebuilt, shards)
    }),
    { numRuns: 60 },
  )
})

test('one call codes several stripes of different lengths as one call each does', () => {
  const stripes = [100, 0, 37].map((length) => referenceShards(3, 2, length, length))
  const parity = stripes.flatMap(([shard]) => emptyShards(2, shard!.length))
  codec.encodeSync(
    stripes.flatMap((shards) => shards.slice(0, 3)),
    parity,
  )
  assert.deepEqual(
    parity,
    stripes.flatMap((shards) => shards.slice(3)),
  )
  const lossy = stripes.flatMap((shards) => [
    undefined,
    shards[1],
    Buffer.alloc(shards[0]!.length),
    ...shards.slice(3),
  ])
  codec.rebuildSync(lossy, [2])
  assert.deepEqual(
    stripes.map((_, i) => lossy[i * 5 + 2]),
    stripes.map((shards) => shards[2]),
  )
})

test('shards may be pieces of one buffer that lie side by side', () => {
  const value = randomShards(1, 300, 1)[0]!
  const room = Buffer.alloc(200)
  const data = [0, 100, 200].map((at) => value.subarray(at, at + 100))
  const parity = [room.subarray(0, 100), room.subarray(100)]
  codec.encodeSync(data, parity)
  const apart = emptyShards(2, 100)
  codec.encodeSync(data, apart)
  assert.deepEqual(room, Buffer.concat(apart))
})

test('small operations are done at the call, larger ones later, and with no bound all at the call', async () => {
  const shards = referenceShards(3, 2, 100, 1)
  const doneAtTheCall = async (inlineBytesMax: number): Promise<boolean> => {
    const parity = emptyShards(2, 100)
    const options = { dataShards: 3, parityShards: 2, inlineBytesMax }
    const done = new Codec(backend, options).encode(shards.slice(0, 3), parity)
    const isDone = parity[0]!.equals(shards[3]!)
    await done
    assert.deepEqual(parity, shards.slice(3))
    return isDone
  }
  assert.equal(await doneAtTheCall(300), true)
  assert.equal(await doneAtTheCall(299), false)
  assert.equal(await doneAtTheCall(Number.POSITIVE_INFINITY), true)
})

test('verify finds one wrong bit in any shard of any stripe', async () => {
  const shards = [...referenceShards(3, 2, 40, 1), ...referenceShards(3, 2, 9, 2)]
  assert.equal(await codec.verify(shards), true)
  for (const shard of shards) {
    shard[shard.length - 1]! ^= 4
    assert.equal(await codec.verify(shards), false)
    shard[shard.length - 1]! ^= 4
  }
  assert.equal(await codec.verify([]), true)
})

test('nothing wanted, no stripes, no parity and empty shards are nothing to do', async () => {
  await codec.rebuild(referenceShards(3, 2, 10, 1), [])
  await codec.encode([], [])
  await codec.encode(emptyShards(3, 0), emptyShards(2, 0))
  await new Codec(backend, { dataShards: 2, parityShards: 0 }).encode(randomShards(2, 9, 1), [])
})

const shared = new Uint8Array(new SharedArrayBuffer(10))
const data = randomShards(3, 10, 1)
const parity = emptyShards(2, 10)
const room = Buffer.alloc(15)
const all = [...data, ...parity]

const misuses: readonly [what: string, call: () => unknown, error: typeof TypeError][] = [
  ['two data shards of three', () => codec.encode(data.slice(1), parity), RangeError],
  ['one parity shard of two', () => codec.encode(data, parity.slice(1)), RangeError],
  ['a shorter shard', () => codec.encode([...data.slice(1), Buffer.alloc(9)], parity), RangeError],
  ['a longer parity shard', () => codec.encode(data, [parity[0]!, room]), RangeError],
  ['a target that is a source', () => codec.encode(data, [data[0]!, parity[0]!]), RangeError],
  ['one target twice', () => codec.encode(data, [parity[0]!, parity[0]!]), RangeError],
  [
    'targets that overlap',
    () => codec.encode(data, [room.subarray(0, 10), room.subarray(5)]),
    RangeError,
  ],
  ['an array', () => codec.encode([data[0]!, data[1]!, [1] as never], parity), TypeError],
  [
    'words',
    () => codec.encode([data[0]!, data[1]!, new Uint16Array(5) as never], parity),
    TypeError,
  ],
  ['shared memory', () => codec.encode([data[0]!, data[1]!, shared], parity), TypeError],
  [
    'memory that may shrink',
    () => {
      const buffer = Reflect.construct(ArrayBuffer, [10, { maxByteLength: 20 }]) as ArrayBuffer
      return codec.encode([data[0]!, data[1]!, new Uint8Array(buffer)], parity)
    },
    TypeError,
  ],
  ['four shards of five', () => codec.rebuild(all.slice(1), [0]), RangeError],
  ['too few left', () => codec.rebuild([undefined, ...all.slice(1)], [1, 2]), RangeError],
  ['a shard that no code has', () => codec.rebuild(all, [5]), RangeError],
  ['one shard twice', () => codec.rebuild(all, [1, 1]), RangeError],
  ['no room for a wanted one', () => codec.rebuild([undefined, ...all.slice(1)], [0]), RangeError],
  [
    'stripes that lack different ones',
    () => codec.rebuild([undefined, ...all.slice(1), data[0], undefined, ...all.slice(2)], [3]),
    RangeError,
  ],
  ['no whole stripe to verify', () => codec.encode(all.slice(1), []), RangeError],
]

for (const [what, call, error] of misuses) {
  test(`misuse is refused at the call: ${what}`, () => {
    assert.throws(call, error)
  })
}
