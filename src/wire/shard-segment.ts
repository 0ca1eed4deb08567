/**
 * The bytes of the files that shards lie in (docs/formats.md, "Shards"). All integers are little-endian.
 *
 *   segment  header | record* | table, when the segment is sealed
 *   header   magic 8 | u32 version | u32 segment | u64 check of the bytes before
 *   record   frame | shard (wire/shard.ts) | zeros up to a multiple of 8
 *   frame    u64 check of the rest | u32 segment | u32 bytes of the shard | u64 position | u64 group
 *   table    row* | u64 position of the table | u32 rows | u32 segment | u64 XXH64 of the rows | magic 8
 *            | u64 check of the 32 bytes before: the end of the file
 *   row      u64 position | 16 digest of the shard | head of the shard
 *
 * `group` is the position of the first record of the same write: of a file that is not sealed, what lies before the
 * last group was durable, and the last group may be anything. Frame and table say where they belong, so that bytes of
 * other files, and copies of them in somebody's value, never pass for part of this one.
 *
 * On disk: never change the meaning of a number here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import { checksum } from './checksum.js'
import { DecodeError } from './command.js'
import { SHARD_DIGEST_BYTES } from './manifest.js'
import {
  decodeShardHead,
  encodeHead,
  SHARD_BYTES_MAX,
  SHARD_HEAD_BYTES,
  type ShardHead,
  shardLayout,
} from './shard.js'

/** On disk: the version of segments of shards. */
export const SHARD_SEGMENT_VERSION = 1
/** Bytes of a segment before its first record. */
export const SHARD_SEGMENT_HEADER_BYTES = 24
/** Bytes of a record before its shard. */
export const SHARD_FRAME_BYTES = 32
/** Bytes of a table after its rows. */
export const TABLE_END_BYTES = 40
/** Records begin at multiples of it. */
export const RECORD_ALIGNMENT = 8

const SEGMENT_MAGIC = Buffer.from('QuorShd\n', 'latin1')
const TABLE_MAGIC = Buffer.from('QuorTbl\n', 'latin1')
const ROW_PREFIX_BYTES = 8 + SHARD_DIGEST_BYTES

/** Where a record lies. */
export interface ShardFrame {
  readonly segment: number
  readonly position: number
  /** The position of the first record of the same write. */
  readonly group: number
  /** Of the shard. */
  readonly bytes: number
}

/** A record as the table of its segment has it. */
export interface TableRow {
  readonly position: number
  readonly digest: Uint8Array
  readonly head: ShardHead
}

/** Where a table lies and what it should be, as the end of a file says. */
export interface TableEnd {
  readonly position: number
  readonly rows: number
  readonly check: bigint
}

/** The bytes that the record of a shard of so many bytes takes in a segment. */
export function recordBytes(shard: number): number {
  return SHARD_FRAME_BYTES + shard + paddingOf(shard)
}

/** The zeros after a shard of so many bytes. */
export function paddingOf(shard: number): number {
  return -shard & (RECORD_ALIGNMENT - 1)
}

/** The header of a segment. */
export function encodeShardSegmentHeader(segment: number): Buffer {
  const bytes = Buffer.alloc(SHARD_SEGMENT_HEADER_BYTES)
  bytes.set(SEGMENT_MAGIC, 0)
  bytes.writeUInt32LE(SHARD_SEGMENT_VERSION, 8)
  bytes.writeUInt32LE(segment, 12)
  bytes.writeBigUInt64LE(checksum(bytes.subarray(0, 16)), 16)
  return bytes
}

/** Whether `bytes` begin with the header of this segment; `version`: a newer version wrote it. */
export function checkShardSegmentHeader(
  bytes: Buffer,
  segment: number,
): 'sound' | 'damaged' | 'version' {
  if (bytes.length < SHARD_SEGMENT_HEADER_BYTES) return 'damaged'
  if (!bytes.subarray(0, 8).equals(SEGMENT_MAGIC)) return 'damaged'
  if (bytes.readBigUInt64LE(16) !== checksum(bytes.subarray(0, 16))) return 'damaged'
  if (bytes.readUInt32LE(8) > SHARD_SEGMENT_VERSION) return 'version'
  return bytes.readUInt32LE(12) === segment ? 'sound' : 'damaged'
}

/** The frame of a record. */
export function encodeShardFrame({ segment, position, group, bytes }: ShardFrame): Buffer {
  const frame = Buffer.alloc(SHARD_FRAME_BYTES)
  frame.writeUInt32LE(segment, 8)
  frame.writeUInt32LE(bytes, 12)
  writeU64(frame, position, 16)
  writeU64(frame, group, 24)
  frame.writeBigUInt64LE(checksum(frame.subarray(8)), 0)
  return frame
}

/** The frame at `offset` of `bytes`, if it is that of the record at `position` of this segment. */
export function readShardFrame(
  bytes: Buffer,
  offset: number,
  segment: number,
  position: number,
): ShardFrame | undefined {
  if (offset + SHARD_FRAME_BYTES > bytes.length) return undefined
  // The cheap tests come first: a search for the next record asks at every multiple of eight.
  if (bytes.readUInt32LE(offset + 8) !== segment) return undefined
  if (readU64(bytes, offset + 16) !== position) return undefined
  const frame = bytes.subarray(offset, offset + SHARD_FRAME_BYTES)
  const group = readU64(frame, 24)
  const length = frame.readUInt32LE(12)
  if (group === undefined || group > position || length > SHARD_BYTES_MAX) return undefined
  if (frame.readBigUInt64LE(0) !== checksum(frame.subarray(8))) return undefined
  return { segment, position, group, bytes: length }
}

/** The table of a segment, to be written at `position`, the end of its last record. */
export function encodeTable(
  segment: number,
  position: number,
  rows: readonly TableRow[],
): Buffer[] {
  const parts = rows.map(({ position: place, digest, head }) => {
    const prefix = Buffer.alloc(ROW_PREFIX_BYTES)
    writeU64(prefix, place, 0)
    prefix.set(digest, 8)
    return Buffer.concat([prefix, encodeHead(head)])
  })
  const body = Buffer.concat(parts)
  const end = Buffer.alloc(TABLE_END_BYTES)
  writeU64(end, position, 0)
  end.writeUInt32LE(rows.length, 8)
  end.writeUInt32LE(segment, 12)
  end.writeBigUInt64LE(checksum(body), 16)
  end.set(TABLE_MAGIC, 24)
  end.writeBigUInt64LE(checksum(end.subarray(0, 32)), 32)
  return [body, end]
}

/** What the last TABLE_END_BYTES of a segment of `size` bytes say; undefined when they end no table. */
export function readTableEnd(bytes: Buffer, segment: number, size: number): TableEnd | undefined {
  if (bytes.length !== TABLE_END_BYTES) return undefined
  if (!bytes.subarray(24, 32).equals(TABLE_MAGIC)) return undefined
  if (bytes.readBigUInt64LE(32) !== checksum(bytes.subarray(0, 32))) return undefined
  const position = readU64(bytes, 0)
  if (position === undefined || bytes.readUInt32LE(12) !== segment) return undefined
  if (position < SHARD_SEGMENT_HEADER_BYTES || position > size - TABLE_END_BYTES) return undefined
  return { position, rows: bytes.readUInt32LE(8), check: bytes.readBigUInt64LE(16) }
}

/**
 * The rows of a table, whose bytes before its end are `bytes`; their heads view it.
 * @throws {DecodeError} when they are not those that its end speaks of
 */
export function decodeTable(bytes: Buffer, end: TableEnd): TableRow[] {
  if (checksum(bytes) !== end.check) throw new DecodeError('a table of shards fails its check')
  const rows: TableRow[] = []
  let at = 0
  while (at < bytes.length) {
    if (at + ROW_PREFIX_BYTES + SHARD_HEAD_BYTES > bytes.length) {
      throw new DecodeError('a row of a table of shards is cut short')
    }
    const position = readU64(bytes, at) ?? Number.POSITIVE_INFINITY
    const digest = bytes.subarray(at + 8, at + ROW_PREFIX_BYTES)
    const head = decodeShardHead(bytes.subarray(at + ROW_PREFIX_BYTES))
    const { bytes: length, headBytes } = shardLayout(head)
    if (position + recordBytes(length) > end.position) {
      throw new DecodeError('a table of shards points behind its records')
    }
    rows.push({ position, digest, head })
    at += ROW_PREFIX_BYTES + headBytes
  }
  if (rows.length !== end.rows)
    throw new DecodeError('a table of shards has other rows than it says')
  return rows
}
