/**
 * Retained checkpoints: what the replicated state says of them, and what members tell each other while they make one
 * (docs/architecture.md, "Life of a retained checkpoint"). All integers little-endian.
 *
 *   record   u8 version = 1 | u8 which (1: being made, 2: durable) | image *      in the database, under 0x00 0x02
 *   image    u64 index | u64 term | u8 dataShards | u8 members | (u64 node | u8 slot) * | 8 root: zeros while it
 *            is being made
 *
 *   wanted   u64 atLeast: the sender waits for a retained checkpoint after this index
 *   report   u64 index | u8 status | 8 root: how far the sender is with the one at this index
 *   ask      u32 id | u64 index | u32 offset: of the description of the one at this index
 *   piece    u32 id | u32 bytes of the whole, 0: not here | bytes
 *
 * Its shards are those of the blob { term, proposer: 0, seq: index }, which is no member's, under a key of its own. On
 * disk and on the wire: never change the meaning of a number here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { LogIndex, NodeId, Term } from '../raft/types.js'
import { DecodeError } from './command.js'
import { type BlobId, type ShardHolder, SLOT_MAX } from './manifest.js'

/** On the wire: what the body of a frame about retained checkpoints is. */
export const FRAME_RETAIN_WANTED = 60
export const FRAME_RETAIN_REPORT = 61
export const FRAME_RETAIN_ASK = 62
export const FRAME_RETAIN_PIECE = 63

/** Whether a frame of this kind is about retained checkpoints. */
export function isAboutRetained(kind: number): boolean {
  return kind >= FRAME_RETAIN_WANTED && kind <= FRAME_RETAIN_PIECE
}

/** No member has this number: blobs that it made are retained checkpoints. */
export const RETAINED_PROPOSER: NodeId = 0
/** The key in the heads of their shards; no value stands under it for them. */
export const RETAINED_SHARD_KEY: Buffer = Buffer.of(0)

/** The state right after the entry at `index`, as shards. */
export interface RetainedImage {
  readonly index: LogIndex
  readonly term: Term
  /** k: so many members are enough to read it. */
  readonly dataShards: number
  /** Who makes which shard of each part; ascending by slot. */
  readonly members: readonly ShardHolder[]
}

/** One that enough members have. */
export interface DurableImage extends RetainedImage {
  /** Of its image's manifest: 16 hexadecimal digits. */
  readonly root: string
}

/** What the replicated state says. */
export interface RetainedRecord {
  readonly making: RetainedImage | undefined
  readonly durable: DurableImage | undefined
}

/** `making`: on its way. `whole`: all its shards are durable. `lacking`: it can only be had from others. */
export type RetainStatus = 'making' | 'whole' | 'lacking'

/** What a member says about one of them. */
export interface RetainReport {
  readonly index: LogIndex
  readonly status: RetainStatus
  /** 16 hexadecimal digits; zeros unless it is `whole`. */
  readonly root: string
}

/** Asks for the description of a retained checkpoint. */
export interface RetainAsk {
  readonly id: number
  readonly index: LogIndex
  readonly offset: number
}

/** Some of it; `wholeBytes` is 0 when it is not here. */
export interface RetainPiece {
  readonly id: number
  readonly wholeBytes: number
  readonly bytes: Buffer
}

/** Of a state that never retained anything. */
export const NOTHING_RETAINED: RetainedRecord = { making: undefined, durable: undefined }
/** No root. */
export const NO_ROOT = '0000000000000000'

const VERSION = 1
const MAKING = 1
const DURABLE = 2
const ROOT_BYTES = 8
const ROOT = /^[0-9a-f]{16}$/
const MEMBER_BYTES = 9
const IMAGE_BYTES = 18 + ROOT_BYTES
const STATUSES: readonly RetainStatus[] = ['making', 'whole', 'lacking']
const REPORT_BYTES = 17
const ASK_BYTES = 16
const PIECE_BYTES = 8

/** The blob whose shards it is made of. */
export function retainedBlob({ index, term }: Pick<RetainedImage, 'index' | 'term'>): BlobId {
  return { term, proposer: RETAINED_PROPOSER, seq: index }
}

/** The record's bytes, in memory of their own. */
export function encodeRetained({ making, durable }: RetainedRecord): Buffer {
  const head = Buffer.of(VERSION, (making ? MAKING : 0) | (durable ? DURABLE : 0))
  const images = [
    making && encodeImage(making, NO_ROOT),
    durable && encodeImage(durable, durable.root),
  ]
  return Buffer.concat([head, ...images.filter((image) => image !== undefined)])
}

function encodeImage({ index, term, dataShards, members }: RetainedImage, root: string): Buffer {
  const bytes = Buffer.alloc(IMAGE_BYTES + members.length * MEMBER_BYTES)
  writeU64(bytes, index, 0)
  writeU64(bytes, term, 8)
  bytes[16] = dataShards
  bytes[17] = members.length
  members.forEach(({ node, slot }, i) => {
    writeU64(bytes, node, 18 + i * MEMBER_BYTES)
    bytes[26 + i * MEMBER_BYTES] = slot
  })
  bytes.write(root, bytes.length - ROOT_BYTES, 'hex')
  return bytes
}

/** @throws {DecodeError} */
export function decodeRetained(bytes: Buffer): RetainedRecord {
  if (bytes[0] !== VERSION)
    throw new DecodeError(`retained checkpoint of unknown version ${bytes[0]}`)
  const which = bytes[1] ?? 0
  if (which > (MAKING | DURABLE)) throw new DecodeError('unknown flags of a retained checkpoint')
  let at = 2
  const read = (): DurableImage => {
    const image = decodeImage(bytes.subarray(at))
    at += IMAGE_BYTES + image.members.length * MEMBER_BYTES
    return image
  }
  const making = (which & MAKING) === 0 ? undefined : withoutRoot(read())
  const durable = (which & DURABLE) === 0 ? undefined : read()
  if (at !== bytes.length) throw new DecodeError('bytes left over after a retained checkpoint')
  return { making, durable }
}

function withoutRoot({ index, term, dataShards, members }: DurableImage): RetainedImage {
  return { index, term, dataShards, members }
}

function decodeImage(bytes: Buffer): DurableImage {
  const count = bytes[17] ?? 0
  const rootAt = 18 + count * MEMBER_BYTES
  if (bytes.length < rootAt + ROOT_BYTES) throw new DecodeError('retained checkpoint cut short')
  const members = Array.from({ length: count }, (_, i) => {
    const slot = bytes[26 + i * MEMBER_BYTES]!
    if (slot > SLOT_MAX) throw new DecodeError('there is no shard of that index')
    return { node: u64(bytes, 18 + i * MEMBER_BYTES), slot }
  })
  const dataShards = bytes[16]!
  if (dataShards === 0) throw new DecodeError('a retained checkpoint without data')
  const root = bytes.toString('hex', rootAt, rootAt + ROOT_BYTES)
  return { index: u64(bytes, 0), term: u64(bytes, 8), dataShards, members, root }
}

export function encodeWanted(atLeast: LogIndex): Uint8Array {
  const body = Buffer.allocUnsafe(8)
  writeU64(body, atLeast, 0)
  return body
}

/** @throws {DecodeError} */
export function decodeWanted(body: Buffer): LogIndex {
  if (body.length !== 8) throw new DecodeError('malformed wish for a retained checkpoint')
  return u64(body, 0)
}

export function encodeRetainReport({ index, status, root }: RetainReport): Uint8Array {
  const body = Buffer.alloc(REPORT_BYTES)
  writeU64(body, index, 0)
  body[8] = STATUSES.indexOf(status)
  body.write(root, 9, 'hex')
  return body
}

/** @throws {DecodeError} */
export function decodeRetainReport(body: Buffer): RetainReport {
  const status = STATUSES[body[8] ?? -1]
  if (body.length !== REPORT_BYTES || status === undefined) {
    throw new DecodeError('malformed report about a retained checkpoint')
  }
  return { index: u64(body, 0), status, root: body.toString('hex', 9, 17) }
}

export function encodeRetainAsk({ id, index, offset }: RetainAsk): Uint8Array {
  const body = Buffer.allocUnsafe(ASK_BYTES)
  body.writeUInt32LE(id, 0)
  writeU64(body, index, 4)
  body.writeUInt32LE(offset, 12)
  return body
}

/** @throws {DecodeError} */
export function decodeRetainAsk(body: Buffer): RetainAsk {
  if (body.length !== ASK_BYTES) throw new DecodeError('malformed ask for a retained checkpoint')
  return { id: body.readUInt32LE(0), index: u64(body, 4), offset: body.readUInt32LE(12) }
}

/** The parts of the frame; the bytes are not copied and must not change afterwards. */
export function encodeRetainPiece({ id, wholeBytes, bytes }: RetainPiece): Uint8Array[] {
  const head = Buffer.allocUnsafe(PIECE_BYTES)
  head.writeUInt32LE(id, 0)
  head.writeUInt32LE(wholeBytes, 4)
  return [head, bytes]
}

/** The bytes view `body`. @throws {DecodeError} */
export function decodeRetainPiece(body: Buffer): RetainPiece {
  if (body.length < PIECE_BYTES) throw new DecodeError('malformed piece of a retained checkpoint')
  return {
    id: body.readUInt32LE(0),
    wholeBytes: body.readUInt32LE(4),
    bytes: body.subarray(PIECE_BYTES),
  }
}

/** Whether `root` can be the root of an image. */
export function isRoot(root: unknown): root is string {
  return typeof root === 'string' && ROOT.test(root)
}

function u64(bytes: Buffer, at: number): number {
  const value = readU64(bytes, at)
  if (value === undefined) throw new DecodeError('a number beyond the safe integers')
  return value
}
