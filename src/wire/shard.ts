/**
 * A shard: one of the pieces that a part of a large value was coded into. The same bytes travel between members and lie
 * on disk (docs/formats.md, "Shards").
 *
 *   shard   head | body | footer
 *   head    magic 4 | u8 version = 1 | u8 codec = 1 | u8 dataShards | u8 index | u32 unit | u32 part | u32 partBytes
 *           | u32 keyBytes | clusterId 8 | blobId 24 | u64 check: XXH64 of the rest of the head | key
 *   body    the shard's bytes, in blocks of `unit`; the last one may be shorter
 *   footer  u64 sum * blocks | digest 16: of SHA-256 of head and sums | u64 bytes of the shard | u32 blocks | magic 4
 *
 * Integers are little-endian. Codec 1 is the systematic Vandermonde code over GF(2^8) modulo 0x11D (docs/erasure.md).
 *
 * Invariants:
 *   1. the sum of block i is its XXH64 with the seed b + i (modulo 2^64), where b is the first u64 of the head's
 *      SHA-256: a block of another cluster, blob, part, key, index, code or position fails like a rotten one (I5)
 *   2. no byte of a shard is outside all checks: the digest covers head and sums, the sums cover the body, and the
 *      rest of the footer follows from the head
 *
 * Not a proof against forgers: whoever can write to a member's disk can write a shard that is in order.
 *
 * On disk and on the wire: never change the meaning of a number here, add new ones.
 */
import { createHash } from 'node:crypto'
import { asBuffer, readU64, writeU64 } from '../base/bytes.js'
import { checksumOf, seededChecksum } from './checksum.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'
import {
  BLOB_ID_BYTES,
  type BlobId,
  readBlobId,
  SHARD_DIGEST_BYTES,
  SLOT_MAX,
  shardBytes,
  writeBlobId,
} from './manifest.js'

/** Which shard it is, and of what. */
export interface ShardHead {
  /** 8 bytes: the cluster that it was made in. A restored cluster keeps those of the old one. */
  readonly clusterId: Uint8Array
  readonly id: BlobId
  /** The number of the part in its blob. */
  readonly part: number
  /** 0 to SLOT_MAX. */
  readonly index: number
  /** k: so many shards are enough to read the part. */
  readonly dataShards: number
  /** The length of the part's data; that of the shard follows from it. */
  readonly partBytes: number
  /** Bytes of a block, the smallest piece that can be read and verified on its own. */
  readonly unit: number
  /** 1 to KEY_BYTES_MAX bytes: under which the blob's manifest is put. */
  readonly key: Uint8Array
}

/** Where the pieces of a shard lie in it; they follow from its head. */
export interface ShardLayout {
  readonly headBytes: number
  readonly bodyBytes: number
  readonly blocks: number
  readonly footerAt: number
  /** All of it. */
  readonly bytes: number
}

/** What proves the blocks of a shard; itself proven by `digest`, which the blob's manifest names. */
export interface ShardProof {
  readonly head: ShardHead
  readonly layout: ShardLayout
  /** SHARD_DIGEST_BYTES. */
  readonly digest: Buffer
  /** b of invariant 1. */
  readonly seed: bigint
  /** u64 per block. */
  readonly sums: Buffer
}

/** A shard that was made here, or has passed all its checks. */
export interface Shard extends ShardProof {
  readonly body: Buffer
  /** Head, body and footer: its bytes on disk and wire. */
  readonly parts: readonly [Buffer, Buffer, Buffer]
}

/** Some blocks of a shard with what proves them, as they were read or received: not verified. */
export interface ShardPiece {
  readonly head: Uint8Array
  readonly footer: Uint8Array
  readonly firstBlock: number
  readonly blocks: Uint8Array
}

/** A unit is a power of two from here on … */
export const UNIT_BYTES_MIN = 512
/** … up to here. */
export const UNIT_BYTES_MAX = 1_048_576
/** What a unit is unless somebody says otherwise. */
export const DEFAULT_UNIT_BYTES = 65_536
/** The longest body of a shard. */
export const SHARD_BODY_BYTES_MAX = 16_777_216

const HEAD_MAGIC = Buffer.from('QSHD', 'latin1')
const FOOTER_MAGIC = Buffer.from('QSHE', 'latin1')
const VERSION = 1
const CODEC = 1
const CLUSTER_AT = 24
const BLOB_AT = 32
const CHECK_AT = BLOB_AT + BLOB_ID_BYTES
const KEY_AT = CHECK_AT + 8
const SUM_BYTES = 8
const FOOTER_END_BYTES = SHARD_DIGEST_BYTES + 16

/** Bytes of a head without its key. */
export const SHARD_HEAD_BYTES: number = KEY_AT
/** The longest shard: that of the smallest unit and the largest key. */
export const SHARD_BYTES_MAX: number =
  KEY_AT +
  KEY_BYTES_MAX +
  SHARD_BODY_BYTES_MAX +
  (SHARD_BODY_BYTES_MAX / UNIT_BYTES_MIN) * SUM_BYTES +
  FOOTER_END_BYTES

/** Where the pieces of the shard with this head lie. */
export function shardLayout(
  head: Pick<ShardHead, 'partBytes' | 'dataShards' | 'unit'> & {
    readonly key: Pick<Uint8Array, 'length'>
  },
): ShardLayout {
  const headBytes = KEY_AT + head.key.length
  const bodyBytes = shardBytes({ bytes: head.partBytes, dataShards: head.dataShards })
  const blocks = Math.ceil(bodyBytes / head.unit)
  const footerAt = headBytes + bodyBytes
  return {
    headBytes,
    bodyBytes,
    blocks,
    footerAt,
    bytes: footerAt + blocks * SUM_BYTES + FOOTER_END_BYTES,
  }
}

/** The place in a shard of its blocks `[from, to)`, which it must have. */
export function blockPlace(
  { headBytes, footerAt }: ShardLayout,
  unit: number,
  from: number,
  to: number,
): { readonly start: number; readonly end: number } {
  return { start: headBytes + from * unit, end: Math.min(headBytes + to * unit, footerAt) }
}

/**
 * Completes the shard with this head and body. Costs one XXH64 of the body and two short SHA-256. `body` is not copied:
 * it must not change any more.
 * @throws {RangeError} for a head that no shard can have, or a body of another length than it says
 */
export function sealShard(head: ShardHead, body: Uint8Array): Shard {
  const fault = faultOf(head)
  if (fault !== undefined) throw new RangeError(fault)
  const layout = shardLayout(head)
  if (body.length !== layout.bodyBytes) {
    throw new RangeError(`the body of this shard has ${layout.bodyBytes} bytes, not ${body.length}`)
  }
  const headBytes = encodeHead(head)
  const seed = seedOf(headBytes)
  const footer = Buffer.alloc(layout.bytes - layout.footerAt)
  const sums = footer.subarray(0, layout.blocks * SUM_BYTES)
  const content = asBuffer(body)
  for (let block = 0; block < layout.blocks; block++) {
    sums.writeBigUInt64LE(sumOf(seed, block, blockOf(content, head.unit, block)), block * SUM_BYTES)
  }
  const digest = digestOf(headBytes, sums)
  let at = sums.length
  footer.set(digest, at)
  at += SHARD_DIGEST_BYTES
  writeU64(footer, layout.bytes, at)
  footer.writeUInt32LE(layout.blocks, at + 8)
  footer.set(FOOTER_MAGIC, at + 12)
  return { head, layout, digest, seed, sums, body: content, parts: [headBytes, content, footer] }
}

/**
 * The shard that `bytes` are, all of it verified; views `bytes`.
 * @throws {DecodeError} for anything else
 */
export function openShard(bytes: Uint8Array): Shard {
  const all = asBuffer(bytes)
  const head = decodeShardHead(all)
  const { headBytes, footerAt, bytes: length } = shardLayout(head)
  if (all.length !== length) throw new DecodeError('a shard has another length than it says')
  const headPart = all.subarray(0, headBytes)
  const body = all.subarray(headBytes, footerAt)
  const footer = all.subarray(footerAt)
  const proof = proofOf(head, headPart, footer)
  if (!areBlocks(proof, 0, body)) throw new DecodeError('the body of a shard fails its sums')
  return { ...proof, body, parts: [headPart, body, footer] }
}

/**
 * What proves the blocks of the shard with these bytes as head and footer; views them. Whether it is the shard that was
 * asked for is for the caller to see: by `digest`, or else by `head`.
 * @throws {DecodeError} for what is no head and footer of one shard
 */
export function openProof(headBytes: Uint8Array, footer: Uint8Array): ShardProof {
  const head = decodeShardHead(headBytes)
  if (headBytes.length !== KEY_AT + head.key.length) {
    throw new DecodeError('the head of a shard has another length than it says')
  }
  return proofOf(head, asBuffer(headBytes), asBuffer(footer))
}

/**
 * As `openProof`, for a piece whose blocks pass their sums too.
 * @throws {DecodeError} for a piece that is damaged, or of which some block is not whole
 */
export function openPiece({ head, footer, firstBlock, blocks }: ShardPiece): ShardProof {
  const proof = openProof(head, footer)
  if (!areBlocks(proof, firstBlock, blocks)) {
    throw new DecodeError('blocks of a shard fail their sums')
  }
  return proof
}

/** Whether `bytes` are the whole blocks of the shard from `firstBlock` on, one or more. */
export function areBlocks(proof: ShardProof, firstBlock: number, bytes: Uint8Array): boolean {
  const { seed, sums, layout } = proof
  const { unit } = proof.head
  const count = Math.ceil(bytes.length / unit)
  if (count === 0 || firstBlock < 0 || firstBlock + count > layout.blocks) return false
  const { start, end } = blockPlace(layout, unit, firstBlock, firstBlock + count)
  if (bytes.length !== end - start) return false
  const content = asBuffer(bytes)
  for (let i = 0; i < count; i++) {
    const sum = sumOf(seed, firstBlock + i, blockOf(content, unit, i))
    if (sum !== sums.readBigUInt64LE((firstBlock + i) * SUM_BYTES)) return false
  }
  return true
}

/** The head that `bytes` begin with; its check is verified. @throws {DecodeError} */
export function decodeShardHead(bytes: Uint8Array): ShardHead {
  const all = asBuffer(bytes)
  if (all.length < KEY_AT) throw new DecodeError('the head of a shard is cut short')
  if (!all.subarray(0, 4).equals(HEAD_MAGIC)) throw new DecodeError('this is no shard')
  if (all[4] !== VERSION) throw new DecodeError(`shard of unknown version ${all[4]}`)
  if (all[5] !== CODEC) throw new DecodeError(`shard of unknown codec ${all[5]}`)
  const keyBytes = all.readUInt32LE(20)
  if (keyBytes > KEY_BYTES_MAX || KEY_AT + keyBytes > all.length) {
    throw new DecodeError('the key of a shard is cut short')
  }
  const key = all.subarray(KEY_AT, KEY_AT + keyBytes)
  if (checksumOf([all.subarray(0, CHECK_AT), key]) !== all.readBigUInt64LE(CHECK_AT)) {
    throw new DecodeError('the head of a shard fails its check')
  }
  const head: ShardHead = {
    clusterId: all.subarray(CLUSTER_AT, BLOB_AT),
    id: readBlobId(all, BLOB_AT),
    part: all.readUInt32LE(12),
    index: all[7]!,
    dataShards: all[6]!,
    partBytes: all.readUInt32LE(16),
    unit: all.readUInt32LE(8),
    key,
  }
  const fault = faultOf(head)
  if (fault !== undefined) throw new DecodeError(fault)
  return head
}

/** The bytes of a head, in memory of their own. */
export function encodeHead(head: ShardHead): Buffer {
  const { key } = head
  const bytes = Buffer.alloc(KEY_AT + key.length)
  bytes.set(HEAD_MAGIC, 0)
  bytes[4] = VERSION
  bytes[5] = CODEC
  bytes[6] = head.dataShards
  bytes[7] = head.index
  bytes.writeUInt32LE(head.unit, 8)
  bytes.writeUInt32LE(head.part, 12)
  bytes.writeUInt32LE(head.partBytes, 16)
  bytes.writeUInt32LE(key.length, 20)
  bytes.set(head.clusterId, CLUSTER_AT)
  writeBlobId(bytes, head.id, BLOB_AT)
  bytes.set(key, KEY_AT)
  bytes.writeBigUInt64LE(checksumOf([bytes.subarray(0, CHECK_AT), key]), CHECK_AT)
  return bytes
}

/** Why no shard can have this head; undefined when one can. */
function faultOf({
  clusterId,
  part,
  index,
  dataShards,
  partBytes,
  unit,
  key,
}: ShardHead): string | undefined {
  if (clusterId.length !== 8) return 'the cluster of a shard has 8 bytes'
  if (key.length === 0 || key.length > KEY_BYTES_MAX)
    return 'the key of a shard is too long or empty'
  if (!isWhole(part, 0, 0xffff_ffff)) return 'the part of a shard is a u32'
  if (!isWhole(index, 0, SLOT_MAX)) return 'the index of a shard is beyond the code'
  if (!isWhole(dataShards, 1, SLOT_MAX + 1)) return 'a part has 1 to 255 data shards'
  if (!isWhole(partBytes, 1, 0xffff_ffff)) return 'a part has 1 to 2^32 - 1 bytes'
  if (!isUnit(unit)) return `the unit of a shard is a power of two, not ${unit}`
  if (shardBytes({ bytes: partBytes, dataShards }) > SHARD_BODY_BYTES_MAX) {
    return `a shard has ${SHARD_BODY_BYTES_MAX} bytes at most`
  }
  return undefined
}

/** Whether blocks may have this length. */
export function isUnit(unit: number): boolean {
  return isWhole(unit, UNIT_BYTES_MIN, UNIT_BYTES_MAX) && (unit & (unit - 1)) === 0
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

function proofOf(head: ShardHead, headBytes: Buffer, footer: Buffer): ShardProof {
  const layout = shardLayout(head)
  if (footer.length !== layout.bytes - layout.footerAt) {
    throw new DecodeError('the footer of a shard has another length than its head says')
  }
  const sums = footer.subarray(0, layout.blocks * SUM_BYTES)
  const digest = footer.subarray(sums.length, sums.length + SHARD_DIGEST_BYTES)
  const at = sums.length + SHARD_DIGEST_BYTES
  const isWholeShard =
    readU64(footer, at) === layout.bytes &&
    footer.readUInt32LE(at + 8) === layout.blocks &&
    footer.subarray(at + 12).equals(FOOTER_MAGIC)
  if (!isWholeShard) throw new DecodeError('the footer of a shard is not that of its head')
  if (!digest.equals(digestOf(headBytes, sums))) {
    throw new DecodeError('head and footer of a shard fail their digest')
  }
  return { head, layout, digest, seed: seedOf(headBytes), sums }
}

function digestOf(headBytes: Buffer, sums: Buffer): Buffer {
  const hash = createHash('sha256').update(headBytes).update(sums).digest()
  return hash.subarray(0, SHARD_DIGEST_BYTES)
}

function seedOf(headBytes: Buffer): bigint {
  return createHash('sha256').update(headBytes).digest().readBigUInt64LE(0)
}

function sumOf(seed: bigint, block: number, bytes: Buffer): bigint {
  return seededChecksum(bytes, BigInt.asUintN(64, seed + BigInt(block)))
}

function blockOf(content: Buffer, unit: number, block: number): Buffer {
  return content.subarray(block * unit, (block + 1) * unit)
}
