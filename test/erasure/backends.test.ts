import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Codec } from '../../src/erasure/codec.js'
import { loadWasmBackend } from '../../src/erasure/wasm.js'
import { mixedRounds } from './rounds.js'
import { backends, emptyShards, Guarded, randomShards, referenceShards, subsets } from './shards.js'

/** Each shard begins somewhere else, and each length meets each misalignment in some shard. */
function misalignment(shard: number, length: number): number {
  return (shard * 13 + length * 7) % 64
}

for (const [name, backend] of backends) {
  test(`${name} gives the reference's parity for all lengths 0 to 300, and writes nowhere else`, () => {
    for (const [k, m] of [
      [1, 1],
      [2, 1],
      [3, 2],
      [4, 3],
      [10, 4],
      [3, 13],
    ] as const) {
      const codec = new Codec(backend, { dataShards: k, parityShards: m })
      const longest = referenceShards(k, m, 300, k)
      for (let length = 0; length <= 300; length++) {
        const shards = longest.map((_, i) => new Guarded(length, misalignment(i, length)))
        const data = shards.slice(0, k)
        data.forEach(({ bytes }, i) => {
          bytes.set(longest[i]!.subarray(0, length))
        })
        codec.encodeSync(
          data.map(({ bytes }) => bytes),
          shards.slice(k).map(({ bytes }) => bytes),
        )
        shards.forEach((shard, i) => {
          const where = `${k}+${m}, ${length} bytes, shard ${i}`
          assert.ok(longest[i]!.subarray(0, length).equals(shard.bytes), `wrong bytes: ${where}`)
          shard.check(where)
        })
      }
    }
  })

  test(`${name} gives the same bytes at each of 64 misalignments of source and target`, () => {
    const codec = new Codec(backend, { dataShards: 2, parityShards: 1 })
    const [a, b, expected] = referenceShards(2, 1, 200, 1)
    for (let at = 0; at < 64; at++) {
      for (const to of [0, 1, 31, at]) {
        const source = new Guarded(200, at)
        const target = new Guarded(200, to)
        source.bytes.set(a!)
        codec.encodeSync([source.bytes, b!], [target.bytes])
        assert.ok(expected!.equals(target.bytes), `${at} to ${to}`)
        target.check(`${at} to ${to}`)
      }
    }
  })

  test(`${name} rebuilds every pattern of loss that every code up to n = 9 can bear`, () => {
    for (let n = 2; n <= 9; n++) {
      for (let k = 1; k < n; k++) {
        const codec = new Codec(backend, { dataShards: k, parityShards: n - k })
        const shards = referenceShards(k, n - k, 67, n * 10 + k)
        for (const lost of subsets(n).filter(({ length }) => length <= n - k)) {
          const rebuilt = shards.map((shard, i) => (lost.includes(i) ? Buffer.alloc(67) : shard))
          codec.rebuildSync(rebuilt, lost)
          assert.deepEqual(rebuilt, shards, `${k} of ${n} without ${lost.join()}`)
        }
      }
    }
  })

  test(`${name} codes many shards, and shards longer than its slices and blocks`, () => {
    for (const [k, m, length] of [
      [200, 55, 333],
      [20, 10, 5000],
      [5, 9, 70_001],
      [4, 2, 200_003],
    ] as const) {
      const shards = referenceShards(k, m, length, length)
      const codec = new Codec(backend, { dataShards: k, parityShards: m })
      const lost = Array.from({ length: m }, (_, i) => Math.floor((i * (k + m)) / m))
      const rebuilt = shards.map((shard, i) => (lost.includes(i) ? Buffer.alloc(length, 1) : shard))
      codec.rebuildSync(rebuilt, lost)
      assert.deepEqual(rebuilt, shards, `${k}+${m}`)
    }
  })

  test(`${name} gives the same bytes later as at once, for many operations at a time`, async () => {
    const options = { dataShards: 3, parityShards: 2 }
    const codec = new Codec(backend, { ...options, inlineBytesMax: 0 })
    const stripes = Array.from({ length: 20 }, (_, i) => referenceShards(3, 2, 1000 + i * 7000, i))
    await Promise.all(
      stripes.map(async (shards) => {
        const length = shards[0]!.length
        const parity = emptyShards(2, length)
        await codec.encode(shards.slice(0, 3), parity)
        const rebuilt = [Buffer.alloc(length), undefined, shards[2], ...parity]
        await codec.rebuild(rebuilt, [0])
        assert.deepEqual([rebuilt[0], ...parity], [shards[0], ...shards.slice(3)])
      }),
    )
  })
}

test('the wasm codec bears rounds of mixed codes, lengths and losses, in bounded memory', () => {
  const backend = loadWasmBackend()
  assert.equal(mixedRounds(backend, 500, 1), undefined)
  const { memoryBytes } = backend
  assert.equal(mixedRounds(backend, 2500, 2), undefined)
  assert.equal(backend.memoryBytes, memoryBytes)
})

test('the wasm codec keeps to the same memory however long the shards are', () => {
  const backend = loadWasmBackend()
  const codec = new Codec(backend, { dataShards: 2, parityShards: 1 })
  for (const length of [1 << 16, 1 << 20, 3 << 20]) {
    codec.encodeSync(randomShards(2, length, 1), emptyShards(1, length))
  }
  assert.ok(backend.memoryBytes < 4 << 20, `${backend.memoryBytes}`)
})
