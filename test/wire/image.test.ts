import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  decodeManifest,
  encodeManifest,
  type ImageHeader,
  type ImageManifest,
  isSealed,
  sealManifest,
} from '../../src/wire/image.js'
import {
  CHUNK_BYTES_MAX,
  ChunkWriter,
  chunkEntries,
  describeChunk,
  type ImageChunk,
} from '../../src/wire/image-chunk.js'

const HEADER: ImageHeader = {
  clusterId: '0102030405060708',
  index: 300,
  term: 3,
  conf: { voters: [1, 2], votersOutgoing: [], learners: [9], learnersNext: [], autoLeave: false },
  members: Buffer.from('members'),
  digest: '00112233445566ff',
  sessions: 2,
}

type Pair = readonly [key: Buffer, value: Buffer]

/** Cuts `pairs` into chunks, copied out of the writer. */
function cut(pairs: readonly Pair[]): Buffer[] {
  const writer = new ChunkWriter()
  const chunks: Buffer[] = []
  for (const [key, value] of pairs) {
    if (!writer.takes(key)) chunks.push(Buffer.from(writer.take()))
    writer.add(key, value)
  }
  if (!writer.isEmpty) chunks.push(Buffer.from(writer.take()))
  return chunks
}

function pair(key: string, value: string): Pair {
  return [Buffer.from(key), Buffer.from(value)]
}

/** `count` pairs in order; the size of each is a function of its number. */
function pairs(count: number, bytesOf: (i: number) => number): Pair[] {
  return Array.from({ length: count }, (_, i) => [
    Buffer.from(`key${String(i).padStart(6, '0')}`),
    Buffer.alloc(bytesOf(i), i),
  ])
}

/** All damages of one bit, one byte missing at an end, and one byte more. */
function* damages(bytes: Buffer): Generator<Buffer> {
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    yield damaged
  }
  yield bytes.subarray(1)
  yield bytes.subarray(0, -1)
  yield Buffer.concat([bytes, Buffer.of(0)])
  yield Buffer.alloc(0)
}

function manifestOf(chunks: readonly Buffer[]): ImageManifest {
  return sealManifest(HEADER, chunks.map(describeChunk))
}

test('a chunk read back is the entries that were written', () => {
  const keys = fc.uniqueArray(fc.uint8Array({ minLength: 1, maxLength: 40 }), {
    selector: (key) => Buffer.from(key).toString('hex'),
    maxLength: 20,
  })
  fc.assert(
    fc.property(keys, fc.uint8Array({ maxLength: 200 }), (found, value) => {
      const sorted = found.map((key) => Buffer.from(key)).sort(Buffer.compare)
      const written = sorted.map((key, i): Pair => [key, Buffer.from(value.subarray(i))])
      const read = cut(written).flatMap((chunk) => [...chunkEntries(chunk)])
      assert.deepEqual(read, written)
    }),
  )
})

test('where chunks end depends on the entries from their beginning on alone', () => {
  const all = pairs(3_000, (i) => (i * 7919) % 5_000)
  const chunks = cut(all)
  assert.ok(chunks.length > 5)
  let from = 0
  for (const chunk of chunks) {
    assert.deepEqual(cut(all.slice(from))[0], chunk)
    from += [...chunkEntries(chunk)].length
  }
})

test('chunks of small, large and mixed entries are about 1 MiB and never far beyond 2', () => {
  const largest = Math.max(...cut(pairs(40, () => 1_500_000)).map(({ length }) => length))
  assert.ok(largest <= 2 * 1024 * 1024)
  const mixed = (i: number) => (i % 9) ** 5
  for (const [count, bytesOf] of [
    [60_000, () => 100],
    [1_200, () => 10_000],
    [120, () => 120_000],
    [2_500, mixed],
  ] as const) {
    const sizes = cut(pairs(count, bytesOf)).map(({ length }) => length)
    const inner = sizes.slice(0, -1)
    assert.ok(inner.every((size) => size >= 256 * 1024 && size <= 2.2 * 1024 * 1024))
    const mean = inner.reduce((sum, size) => sum + size, 0) / inner.length
    assert.ok(mean > 500_000 && mean < 1_600_000, `${mean}`)
  }
  const [one] = cut([[Buffer.alloc(65_537), Buffer.alloc(16 * 1024 * 1024 + 11)]])
  assert.ok(one!.length <= CHUNK_BYTES_MAX)
})

test('what begins with another byte begins another chunk', () => {
  const words = ['\x00', '\x00\x01', '\x01a', '\x01b', '\x02a']
  const chunks = cut(words.map((word) => pair(word, 'value')))
  assert.deepEqual(
    chunks.map((chunk) => [...chunkEntries(chunk)].map(([key]) => key.toString())),
    [words.slice(0, 2), words.slice(2, 4), words.slice(4)],
  )
})

test('a change in one entry leaves most chunks as they were, also when it makes the entry longer', () => {
  const before = pairs(20_000, () => 500)
  for (const replaced of [() => Buffer.alloc(500, 255), () => Buffer.alloc(90_000)]) {
    const after = before.map((entry, i): Pair => (i === 7_000 ? [entry[0], replaced()] : entry))
    const known = new Set(cut(before).map((chunk) => describeChunk(chunk).hash))
    const hashes = cut(after).map((chunk) => describeChunk(chunk).hash)
    const fresh = hashes.filter((hash) => !known.has(hash))
    assert.ok(hashes.length >= 8 && fresh.length >= 1 && fresh.length <= 3, `${fresh.length}`)
  }
})

test('a chunk with any bit flipped has another hash, and cut short it is a DecodeError', () => {
  const [chunk] = cut([pair('a', 'hello'), pair('b', ''), pair('c', 'x')])
  const { hash } = describeChunk(chunk!)
  for (const damaged of damages(chunk!)) {
    if (damaged.length === chunk!.length) assert.notEqual(describeChunk(damaged).hash, hash)
    else assert.throws(() => [...chunkEntries(damaged)], DecodeError)
  }
})

test('a chunk whose keys do not rise, or which is of another version, is a DecodeError', () => {
  const [repeated] = cut([pair('a', '1'), pair('a', '2')])
  assert.throws(() => [...chunkEntries(repeated!)], DecodeError)
  const [newer] = cut([pair('a', '1')])
  newer![4] = 2
  assert.throws(() => [...chunkEntries(newer!)], /unknown version 2/)
})

test('a manifest read back is what was written, and its root is that of everything else', () => {
  const manifest = manifestOf(cut(pairs(900, () => 3_000)))
  const read = decodeManifest(encodeManifest(manifest))
  assert.deepEqual(read, manifest)
  assert.ok(isSealed(read) && read.chunks.length > 1)
  assert.equal(
    read.bytes,
    manifest.chunks.reduce((sum, { bytes }) => sum + bytes, 0),
  )
  for (const other of [
    { ...manifest, index: 301 },
    { ...manifest, members: Buffer.from('membersx') },
    { ...manifest, chunks: manifest.chunks.slice(1) },
    { ...manifest, conf: { ...manifest.conf, voters: [1, 2, 3] } },
  ]) {
    assert.ok(!isSealed(other))
  }
})

test('a manifest with any bit flipped, cut short or lengthened is a DecodeError', () => {
  for (const damaged of damages(encodeManifest(manifestOf(cut([pair('a', 'hello')]))))) {
    assert.throws(() => decodeManifest(damaged), DecodeError)
  }
})

test('a manifest sealed with chunks out of order or lengths out of bounds is a DecodeError', () => {
  const chunk = (firstKey: string, bytes: number): ImageChunk => ({
    firstKey: Buffer.from(firstKey),
    bytes,
    entries: 1,
    hash: '00112233445566ff',
  })
  const sealed = (chunks: readonly ImageChunk[]) => encodeManifest(sealManifest(HEADER, chunks))
  assert.equal(decodeManifest(sealed([chunk('a', 9), chunk('b', 9)])).entries, 2)
  assert.throws(() => decodeManifest(sealed([chunk('b', 9), chunk('a', 9)])), DecodeError)
  assert.throws(() => decodeManifest(sealed([chunk('a', CHUNK_BYTES_MAX + 1)])), DecodeError)
  assert.throws(() => decodeManifest(sealed([chunk('a'.repeat(65_538), 9)])), DecodeError)
})

test('the bytes are those of docs/formats.md', () => {
  const [chunk] = cut([pair('\x01a', 'hello'), pair('\x01b', '')])
  assert.equal(
    chunk!.toString('hex'),
    '5143686b0100000002000000' + '0200000005000000016168656c6c6f' + '02000000000000000162',
  )
  assert.equal(describeChunk(chunk!).hash, 'ebd25dc0e7f00aed')
  assert.equal(encodeManifest(manifestOf([chunk!])).toString('hex'), GOLDEN_MANIFEST)
})

const GOLDEN_MANIFEST =
  '51756f72496d670a0100000001020304050607082c01000000000000030000000000000000112233445566ff' +
  '0200000000000000250000000000000002000000000002000000010000000100000000000000020000000000' +
  '00000900000000000000070000006d656d62657273010000002500000002000000ed0af0e7c05dd2eb020000' +
  '00016122eea1a7fe61c8cf'
