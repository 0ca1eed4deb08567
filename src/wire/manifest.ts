/**
 * What stands in the replicated state in place of a large value: which parts it has, and where the shards of each lie
 * (docs/formats.md, "Large values").
 *
 *   manifest  u8 version = 1 | u8 flags (1: stream) | blobId | u64 bytes | u8 members | u32 parts | member* | part*
 *   blobId    u64 term | u64 proposer | u64 seq
 *   member    u64 node | u8 slot
 *   part      u32 number | u32 bytes | u8 dataShards | 8 digest of the data | 1 bit per member: holders, whole bytes
 *             | 16 digest of the shard of each member
 *
 * Integers are little-endian. A part is coded on its own; its data shards are consecutive pieces of it, the last one
 * filled up with zeros. The shard of a member is the one at the index of its slot. On disk and on the wire: never
 * change the meaning of a number here, add new ones.
 */
import { asBuffer, readU64, writeU64 } from '../base/bytes.js'
import type { NodeId, Term } from '../raft/types.js'
import { checksum } from './checksum.js'
import { DecodeError } from './command.js'

/**
 * Names a blob: the shards of one large value, however many parts it has. `term` binds it: only an entry of that term
 * may put it into force, so that a shard which nothing refers to may go as soon as a later term's entry is applied.
 */
export interface BlobId {
  readonly term: Term
  /** The member that made the shards. */
  readonly proposer: NodeId
  /** Never the same twice for one member and term. */
  readonly seq: number
}

/** A member that was sent shards, and at which index its shards are. */
export interface ShardHolder {
  readonly node: NodeId
  readonly slot: number
}

/** A piece of a value that is coded on its own: one codeword, of one attempt to store it. */
export interface BlobPart {
  /** Unique in its blob; not without gaps, because an attempt that failed uses one up. */
  readonly number: number
  /** The length of its data, at least 1. */
  readonly bytes: number
  /** k: so many shards are enough to read it. */
  readonly dataShards: number
  /** PART_DIGEST_BYTES: XXH64 of the data. */
  readonly digest: Uint8Array
  /** By position in `members`: whether the shard was durable there before the manifest was proposed. */
  readonly durable: readonly boolean[]
  /** By position in `members`: SHARD_DIGEST_BYTES of its shard. */
  readonly digests: readonly Uint8Array[]
}

/** A large value. */
export interface Manifest {
  readonly id: BlobId
  /** Of the value: those of its parts together. */
  readonly bytes: number
  /** Whether it came as a stream of bytes, which no value encoding is applied to. */
  readonly isStream: boolean
  /** Ascending by slot; distinct slots and nodes. */
  readonly members: readonly ShardHolder[]
  /** In the order of the value; none for no bytes. */
  readonly parts: readonly BlobPart[]
}

/** On disk: the bytes of a blob's name. */
export const BLOB_ID_BYTES = 24
export const PART_DIGEST_BYTES = 8
export const SHARD_DIGEST_BYTES = 16
/** The largest shard index: the code has 255 shards at most. */
export const SLOT_MAX = 254

const VERSION = 1
const STREAM = 1
const HEADER_BYTES = 2 + BLOB_ID_BYTES + 8 + 1 + 4
const MEMBER_BYTES = 9
const PART_HEADER_BYTES = 9 + PART_DIGEST_BYTES

/** The bytes of a part in a manifest with so many members. */
export function partBytes(members: number): number {
  return PART_HEADER_BYTES + Math.ceil(members / 8) + members * SHARD_DIGEST_BYTES
}

/** Writes a blob's name at `at`. */
export function writeBlobId(target: Buffer, { term, proposer, seq }: BlobId, at: number): void {
  writeU64(target, term, at)
  writeU64(target, proposer, at + 8)
  writeU64(target, seq, at + 16)
}

/** The blob's name at `at`. @throws {DecodeError} */
export function readBlobId(bytes: Buffer, at: number): BlobId {
  if (at + BLOB_ID_BYTES > bytes.length) throw new DecodeError('the name of a blob is cut short')
  const [term, proposer, seq] = [
    readU64(bytes, at),
    readU64(bytes, at + 8),
    readU64(bytes, at + 16),
  ]
  if (term === undefined || proposer === undefined || seq === undefined) {
    throw new DecodeError('a number in the name of a blob beyond the safe integers')
  }
  return { term, proposer, seq }
}

/** Whether both name the same blob. */
export function isSameBlob(a: BlobId, b: BlobId): boolean {
  return a.term === b.term && a.seq === b.seq && a.proposer === b.proposer
}

/** A blob's name in words, also for maps: `term-proposer-seq`. */
export function blobName({ term, proposer, seq }: BlobId): string {
  return `${term}-${proposer}-${seq}`
}

/** The digest of a part's data: its XXH64, little-endian. */
export function partDigest(data: Uint8Array): Buffer {
  const digest = Buffer.allocUnsafe(PART_DIGEST_BYTES)
  digest.writeBigUInt64LE(checksum(data))
  return digest
}

/** The length of each shard of a part: its data cut into `dataShards` pieces, the last filled up. */
export function shardBytes({ bytes, dataShards }: Pick<BlobPart, 'bytes' | 'dataShards'>): number {
  return Math.ceil(bytes / dataShards)
}

/** The parts that bytes from `start` up to and without `end` lie in, and where in the value they are. */
export function* spansOf(
  parts: readonly BlobPart[],
  { start, end }: { readonly start: number; readonly end: number },
): Generator<{ readonly part: BlobPart; readonly from: number; readonly to: number }, undefined> {
  let from = 0
  for (const part of parts) {
    const to = from + part.bytes
    if (from >= end) return
    if (to > start && start < end) yield { part, from, to }
    from = to
  }
}

/** The manifest's bytes, in memory of their own. */
export function encodeManifest({ id, bytes, isStream, members, parts }: Manifest): Buffer {
  const size =
    HEADER_BYTES + members.length * MEMBER_BYTES + parts.length * partBytes(members.length)
  const target = Buffer.alloc(size)
  target[0] = VERSION
  target[1] = isStream ? STREAM : 0
  writeBlobId(target, id, 2)
  writeU64(target, bytes, 2 + BLOB_ID_BYTES)
  target[10 + BLOB_ID_BYTES] = members.length
  target.writeUInt32LE(parts.length, 11 + BLOB_ID_BYTES)
  let at = HEADER_BYTES
  for (const { node, slot } of members) {
    writeU64(target, node, at)
    target[at + 8] = slot
    at += MEMBER_BYTES
  }
  for (const part of parts) at = writePart(target, part, at)
  return target
}

function writePart(target: Buffer, part: BlobPart, start: number): number {
  target.writeUInt32LE(part.number, start)
  target.writeUInt32LE(part.bytes, start + 4)
  target[start + 8] = part.dataShards
  target.set(part.digest, start + 9)
  let at = start + PART_HEADER_BYTES
  part.durable.forEach((isDurable, i) => {
    if (isDurable) target[at + (i >> 3)]! |= 1 << (i & 7)
  })
  at += Math.ceil(part.durable.length / 8)
  for (const digest of part.digests) {
    target.set(digest, at)
    at += SHARD_DIGEST_BYTES
  }
  return at
}

/** @throws {DecodeError} for what is no manifest; digests view `bytes` */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const body = asBuffer(bytes)
  if (body.length < HEADER_BYTES)
    throw new DecodeError('the manifest of a large value is cut short')
  if (body[0] !== VERSION) throw new DecodeError(`manifest of unknown version ${body[0]}`)
  if (body[1]! > STREAM) throw new DecodeError('unknown flags of a manifest')
  const total = readU64(body, 2 + BLOB_ID_BYTES)
  const memberCount = body[10 + BLOB_ID_BYTES]!
  const partCount = body.readUInt32LE(11 + BLOB_ID_BYTES)
  const partsAt = HEADER_BYTES + memberCount * MEMBER_BYTES
  if (body.length !== partsAt + partCount * partBytes(memberCount)) {
    throw new DecodeError('the manifest of a large value has another length than it says')
  }
  const manifest: Manifest = {
    id: readBlobId(body, 2),
    bytes: total ?? Number.NaN,
    isStream: body[1] === STREAM,
    members: Array.from({ length: memberCount }, (_, i) => readMember(body, i)),
    parts: Array.from({ length: partCount }, (_, i) =>
      readPart(body, partsAt + i * partBytes(memberCount), memberCount),
    ),
  }
  const sum = manifest.parts.reduce((all, part) => all + part.bytes, 0)
  if (manifest.bytes !== sum) throw new DecodeError('the parts of a manifest are not its value')
  requireDistinct(manifest)
  return manifest
}

/** One number for two codewords, or two shards for one member, would make shards of them be taken for each other. */
function requireDistinct({ members, parts }: Manifest): void {
  const nodes = new Set(members.map(({ node }) => node))
  const numbers = new Set(parts.map(({ number }) => number))
  if (nodes.size !== members.length || numbers.size !== parts.length) {
    throw new DecodeError('a manifest names a member or a part twice')
  }
}

function readMember(body: Buffer, position: number): ShardHolder {
  const at = HEADER_BYTES + position * MEMBER_BYTES
  const node = readU64(body, at)
  const slot = body[at + 8]!
  const before = position === 0 ? -1 : body[at - 1]!
  if (node === undefined || slot > SLOT_MAX || slot <= before) {
    throw new DecodeError('the members of a manifest are out of order')
  }
  return { node, slot }
}

function readPart(body: Buffer, at: number, members: number): BlobPart {
  const bytes = body.readUInt32LE(at + 4)
  const dataShards = body[at + 8]!
  if (bytes === 0 || dataShards === 0) throw new DecodeError('a part of a manifest is empty')
  const bitsAt = at + PART_HEADER_BYTES
  const digestsAt = bitsAt + Math.ceil(members / 8)
  return {
    number: body.readUInt32LE(at),
    bytes,
    dataShards,
    digest: body.subarray(at + 9, at + 9 + PART_DIGEST_BYTES),
    durable: Array.from(
      { length: members },
      (_, i) => ((body[bitsAt + (i >> 3)]! >> (i & 7)) & 1) === 1,
    ),
    digests: Array.from({ length: members }, (_, i) =>
      body.subarray(digestsAt + i * SHARD_DIGEST_BYTES, digestsAt + (i + 1) * SHARD_DIGEST_BYTES),
    ),
  }
}
