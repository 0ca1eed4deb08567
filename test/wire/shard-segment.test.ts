import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DecodeError } from '../../src/wire/command.js'
import type { ShardHead } from '../../src/wire/shard.js'
import {
  checkShardSegmentHeader,
  decodeTable,
  encodeShardFrame,
  encodeShardSegmentHeader,
  encodeTable,
  paddingOf,
  readShardFrame,
  readTableEnd,
  recordBytes,
  SHARD_FRAME_BYTES,
  TABLE_END_BYTES,
  type TableRow,
} from '../../src/wire/shard-segment.js'

/** Flips each bit of `bytes` in turn, and puts it back. */
function* flips(bytes: Buffer): Generator<number> {
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    yield bit
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
}

test('the header of a segment is its own, with every bit as it was written', () => {
  const header = encodeShardSegmentHeader(3)
  assert.equal(checkShardSegmentHeader(header, 3), 'sound')
  assert.equal(checkShardSegmentHeader(header, 4), 'damaged')
  assert.equal(checkShardSegmentHeader(header.subarray(1), 3), 'damaged')
  for (const bit of flips(header)) {
    assert.equal(checkShardSegmentHeader(header, 3), 'damaged', `bit ${bit}`)
  }
})

test('a frame counts at its own place, with every bit as it was written', () => {
  const frame = encodeShardFrame({ segment: 3, position: 4_096, group: 1_024, bytes: 99 })
  assert.deepEqual(readShardFrame(frame, 0, 3, 4_096), {
    segment: 3,
    position: 4_096,
    group: 1_024,
    bytes: 99,
  })
  assert.equal(readShardFrame(frame, 0, 2, 4_096), undefined)
  assert.equal(readShardFrame(frame, 0, 3, 4_104), undefined)
  assert.equal(readShardFrame(frame.subarray(0, SHARD_FRAME_BYTES - 1), 0, 3, 4_096), undefined)
  for (const bit of flips(frame)) {
    assert.equal(readShardFrame(frame, 0, 3, 4_096), undefined, `bit ${bit}`)
  }
})

test('records are aligned', () => {
  for (let bytes = 0; bytes < 40; bytes++) {
    assert.equal(recordBytes(bytes) % 8, 0)
    assert.equal(SHARD_FRAME_BYTES + bytes + paddingOf(bytes), recordBytes(bytes))
  }
})

function row(position: number, key: string): TableRow {
  const head: ShardHead = {
    clusterId: Buffer.from('cluster!'),
    id: { term: 1, proposer: 2, seq: position },
    part: 0,
    index: 1,
    dataShards: 2,
    partBytes: 100,
    unit: 512,
    key: Buffer.from(key),
  }
  return { position, digest: Buffer.alloc(16, position), head }
}

test('a table gives back its rows, and no other bytes pass for it', () => {
  const rows = [row(24, 'a'), row(400, 'a key that is longer')]
  const position = 1_000
  const bytes = Buffer.concat(encodeTable(7, position, rows))
  const size = position + bytes.length
  const read = (segment: number, fileBytes: number): readonly TableRow[] | undefined => {
    const end = readTableEnd(bytes.subarray(-TABLE_END_BYTES), segment, fileBytes)
    if (end === undefined) return undefined
    try {
      return decodeTable(bytes.subarray(0, -TABLE_END_BYTES), end)
    } catch (error) {
      if (error instanceof DecodeError) return undefined
      throw error
    }
  }
  assert.deepEqual(read(7, size), rows)
  assert.equal(read(8, size), undefined)
  assert.equal(read(7, 1_020), undefined, 'a table behind the end of its file')
  for (const bit of flips(bytes)) assert.equal(read(7, size), undefined, `bit ${bit}`)
})

test('a table does not point behind its records', () => {
  const bytes = Buffer.concat(encodeTable(7, 1_000, [row(900, 'a')]))
  const end = readTableEnd(bytes.subarray(-TABLE_END_BYTES), 7, 1_000 + bytes.length)
  assert.ok(end)
  assert.throws(() => decodeTable(bytes.subarray(0, -TABLE_END_BYTES), end), DecodeError)
})
