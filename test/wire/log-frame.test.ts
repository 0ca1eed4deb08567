import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Entry } from '../../src/raft/types.js'
import {
  BatchEncoder,
  batchBytes,
  decodeSegmentHeader,
  encodeSegmentHeader,
  entryFrameBytes,
  type Frame,
  type LogState,
  readFrame,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from '../../src/wire/log-frame.js'

const PLAIN = { noNullPrototype: true }
const safe = fc.maxSafeNat()
const state: fc.Arbitrary<LogState> = fc.record(
  {
    hardState: fc.record({ term: safe, vote: safe, commit: safe }, PLAIN),
    previous: fc.record({ term: safe, index: safe }, PLAIN),
    lastIndex: safe,
  },
  PLAIN,
)
/** Around the size from which on data is not copied. */
const large = fc
  .integer({ min: 16_380, max: 16_390 })
  .map((size) => Buffer.alloc(size, 'large'))
  .map((data) => Object.assign(data, { [fc.toStringMethod]: () => `${data.length} bytes` }))
const entry: fc.Arbitrary<Entry> = fc.record(
  {
    term: safe,
    index: safe,
    kind: fc.constantFrom('normal', 'confChange', 'confChangeV2'),
    data: fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      large,
    ),
  },
  PLAIN,
)
const u32 = fc.nat(0xffff_ffff)
const place = fc.record({ segment: u32, batch: u32, position: fc.nat(2 ** 40).map((n) => n * 8) })

function framesOf(bytes: Buffer, segment: number, position: number): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const frame = readFrame(bytes, at, segment, position + at)
    assert.ok(frame)
    frames.push(frame)
    at += frame.bytes
  }
  return frames
}

test('a batch is read back frame by frame, and is as long as was said', () => {
  const encoder = new BatchEncoder(100_000)
  const property = fc.property(
    place,
    fc.option(state, { nil: undefined }),
    fc.array(entry, { maxLength: 5 }),
    (where, before, list) => {
      const batch = encoder.encode(where, before, list)
      const bytes = Buffer.concat(batch.parts)
      assert.equal(bytes.length, batch.bytes)
      const entryBytes = list.reduce((sum, one) => sum + entryFrameBytes(one), 0)
      assert.equal(bytes.length, batchBytes(before, entryBytes))
      const frames = framesOf(bytes, where.segment, where.position)
      const commit = frames.pop()
      assert.ok(commit?.type === 'commit' && commit.start === where.position)
      assert.equal(commit.check, batch.check)
      if (before !== undefined) {
        const first = frames.shift()
        assert.deepEqual(first?.type === 'state' && first.state, before)
      }
      assert.equal(frames.length, list.length)
      for (const [i, frame] of frames.entries()) {
        assert.ok(frame.type === 'entry')
        const { data, ...rest } = list[i]!
        assert.deepEqual({ ...frame.entry, data: undefined }, { ...rest, data: undefined })
        assert.ok(Buffer.compare(frame.entry.data, data) === 0)
        const at = batch.positions[i]! - where.position
        assert.deepEqual(readFrame(bytes, at, where.segment, where.position + at), frame)
      }
    },
  )
  fc.assert(property, { numRuns: 200 })
})

test('a frame is none in another segment or at another position', () => {
  const { parts } = new BatchEncoder(1_000).encode(
    { segment: 3, batch: 1, position: 80 },
    undefined,
    [],
  )
  const bytes = Buffer.concat(parts)
  assert.ok(readFrame(bytes, 0, 3, 80))
  assert.equal(readFrame(bytes, 0, 4, 80), undefined)
  assert.equal(readFrame(bytes, 0, 3, 88), undefined)
})

test('a frame with any bit flipped, or cut short, is none', () => {
  const one: Entry = { index: 5, term: 2, kind: 'normal', data: Buffer.from('12345678') }
  const where = { segment: 1, batch: 1, position: 0 }
  const bytes = Buffer.concat(new BatchEncoder(1_000).encode(where, undefined, [one]).parts)
  const length = entryFrameBytes(one)
  assert.equal(length, 56)
  for (let bit = 0; bit < length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(readFrame(bytes, 0, 1, 0), undefined, `bit ${bit}`)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  for (let end = 0; end < length; end++) {
    assert.equal(readFrame(bytes.subarray(0, end), 0, 1, 0), undefined)
  }
  assert.ok(readFrame(bytes, 0, 1, 0))
})

test('large data is handed on, not copied', () => {
  const data = Buffer.alloc(20_000, 1)
  const one: Entry = { index: 1, term: 1, kind: 'normal', data }
  const where = { segment: 1, batch: 1, position: 0 }
  const { parts } = new BatchEncoder(1_000).encode(where, undefined, [one])
  assert.ok(parts.includes(data))
})

test('arbitrary bytes are no frame and no header', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const buffer = Buffer.from(bytes)
    assert.equal(readFrame(buffer, 0, 1, 0), undefined)
    assert.equal(decodeSegmentHeader(buffer), 'damaged')
  })
  fc.assert(property)
})

const header: SegmentHeader = {
  clusterId: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]),
  nodeId: 9,
  segment: 2,
  firstIndex: 100,
  capacity: 65_536,
  previousEnd: 4_000,
  previousCheck: 0x0123456789abcdefn,
}

test('a segment header is read back; damaged or newer ones are told apart', () => {
  const bytes = encodeSegmentHeader(header)
  assert.deepEqual(decodeSegmentHeader(bytes), header)
  const newer = Buffer.from(bytes)
  newer.writeUInt32LE(2, 8)
  assert.equal(decodeSegmentHeader(newer), 'version')
  const damaged = Buffer.from(bytes)
  damaged[30]! ^= 1
  assert.equal(decodeSegmentHeader(damaged), 'damaged')
})

function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ''), 'hex')
}

test('the bytes on disk are those of the example in docs/formats.md', () => {
  const expectedHeader = `
    51756f724c6f670a 0100000002000000 0102030405060708 0900000000000000 6400000000000000
    0000010000000000 a00f000000000000 efcdab8967452301 e9e88876e5a7712d`
  assert.deepEqual(encodeSegmentHeader(header), hex(expectedHeader))
  const before: LogState = {
    hardState: { term: 3, vote: 7, commit: 4 },
    previous: { term: 2, index: 1 },
    lastIndex: 4,
  }
  const one: Entry = { index: 5, term: 3, kind: 'confChange', data: Buffer.from('data') }
  const where = { segment: 2, batch: 1, position: SEGMENT_HEADER_BYTES }
  const expectedBatch = `
    02f2c2f03f136ac8 3000000002000000 0200000001000000 4800000000000000 0300000000000000
    0700000000000000 0400000000000000 0100000000000000 0200000000000000 0400000000000000
    71ec279638ab395d 1400000001010000 0200000001000000 9800000000000000 0300000000000000
    0500000000000000 6461746100000000
    19d5fb8bdacaae90 1000000003000000 0200000001000000 d000000000000000 4800000000000000
    91b18844de1e71c8`
  const { parts } = new BatchEncoder(1_000).encode(where, before, [one])
  assert.deepEqual(Buffer.concat(parts), hex(expectedBatch))
})
