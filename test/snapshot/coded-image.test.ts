/** Images as shards: parts cover every chunk, and any k shards are the chunk or it is refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PartCoder } from '../../src/blob/part-coder.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'
import { headOf, partsOf, readChunk, type ShardGiver } from '../../src/snapshot/coded-image.js'
import { hashOf, type ImageChunk } from '../../src/wire/image-chunk.js'
import { shardBytes } from '../../src/wire/manifest.js'
import { hasCode } from '../member/membership-fixture.js'

const SHARD_BYTES = 524_288
const coder = new PartCoder(() => new JavaScriptBackend(), Number.POSITIVE_INFINITY)

function chunkOf(bytes: Buffer): ImageChunk {
  return { firstKey: Buffer.of(0), bytes: bytes.length, entries: 1, hash: hashOf(bytes) }
}

/** Who holds the shards at `index` of this chunk; each but the first `gives` are lost. */
function giverOf(bytes: Buffer, index: number, gives = Number.POSITIVE_INFINITY): ShardGiver {
  let left = gives
  return {
    index,
    give: async (part) => {
      if (left-- <= 0) return undefined
      const data = Buffer.alloc(part.dataShards * shardBytes(part))
      bytes.copy(data, 0, part.start, part.start + part.bytes)
      return (await coder.shardsOf(data, part, [index]))[0]
    },
  }
}

test('parts are numbered through the chunks, cover each, and have shards of a bounded length', () => {
  for (const dataShards of [1, 2, 5]) {
    const most = SHARD_BYTES * dataShards
    const lengths = [1, most - 1, most, most + 1, 3 * most + 7]
    const all = [
      ...partsOf(
        lengths.map((bytes) => ({ bytes })),
        dataShards,
      ),
    ]
    const numbers = all.flat().map(({ number }) => number)
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => i),
    )
    for (const [i, parts] of all.entries()) {
      let end = 0
      for (const part of parts) {
        assert.equal(part.start, end)
        assert.ok(shardBytes(part) <= SHARD_BYTES)
        end += part.bytes
      }
      assert.equal(end, lengths[i])
    }
  }
})

test('a chunk is read from any k shards, those that are lost made up for, and with too few not at all', async () => {
  const bytes = Buffer.from(
    Array.from({ length: 2 * SHARD_BYTES + 9 }, (_, i) => (i * 7 + (i >> 9)) & 255),
  )
  const [parts] = partsOf([chunkOf(bytes)], 2)
  for (const indexes of [
    [0, 1],
    [1, 2],
    [4, 0],
    [3, 4],
  ]) {
    const givers = indexes.map((index) => giverOf(bytes, index))
    const read = await readChunk(chunkOf(bytes), parts!, givers, coder)
    assert.ok(read.equals(bytes), String(indexes))
  }
  const failing = [giverOf(bytes, 0, 1), giverOf(bytes, 1, 0), giverOf(bytes, 2), giverOf(bytes, 3)]
  assert.ok((await readChunk(chunkOf(bytes), parts!, failing, coder)).equals(bytes))
  const few = readChunk(chunkOf(bytes), parts!, [giverOf(bytes, 0), giverOf(bytes, 1, 1)], coder)
  await assert.rejects(few, hasCode('QUORATE_BLOB_UNREADABLE'))
})

test('shards that are sound but of another state give no chunk', async () => {
  const [bytes, others] = [Buffer.alloc(5000, 1), Buffer.alloc(5000, 2)]
  const [parts] = partsOf([chunkOf(bytes)], 2)
  for (const givers of [
    [giverOf(others, 0), giverOf(others, 1)],
    [giverOf(bytes, 0), giverOf(others, 2)],
  ]) {
    const read = readChunk(chunkOf(bytes), parts!, givers, coder)
    await assert.rejects(read, hasCode('QUORATE_CORRUPTION'))
  }
})

test("a shard of a retained checkpoint is nobody's large value, and of that checkpoint alone", () => {
  const [[part]] = [...partsOf([{ bytes: 9 }], 1)] as [[Parameters<typeof headOf>[2]]]
  const { id } = headOf({ index: 7, term: 3 }, Buffer.alloc(8), part, 2)
  assert.deepEqual(id, { term: 3, proposer: 0, seq: 7 })
})
