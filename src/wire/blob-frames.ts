/**
 * What members say to each other about the shards of large values (docs/architecture.md, "Life of a large value").
 * The frame's kind says which; all integers little-endian.
 *
 *   putShard    u32 id | a shard as it is stored (wire/shard.ts): store it, and say when it is durable
 *   shardAck    u32 id | u8 status
 *   dropShards  blobId | key: nothing refers to this blob, nor ever will
 *   askShard    u32 id | blobId | u32 part | u8 index | u32 from | u32 to: which bytes of its body
 *   shardPiece  u32 id | u8 status | u32 firstBlock | u32 headBytes | u32 footerBytes | head | footer | the blocks
 *               that have these bytes
 *   hold        u32 ms: let go of nothing for so long
 *   blobStatus  u64 fullIndex | u64 missing | u64 shards | u64 bytes | u64 quarantined
 *
 * `blobId` as in wire/manifest.ts. On the wire: never change the meaning of a number here, add new ones.
 */
import { asBuffer, EMPTY, readU64, writeU64 } from '../base/bytes.js'
import type { LogIndex } from '../raft/types.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'
import { BLOB_ID_BYTES, type BlobId, readBlobId, SLOT_MAX, writeBlobId } from './manifest.js'

/** On the wire: what the body of a frame about shards is. */
export const FRAME_PUT_SHARD = 50
export const FRAME_SHARD_ACK = 51
export const FRAME_DROP_SHARDS = 52
export const FRAME_ASK_SHARD = 53
export const FRAME_SHARD_PIECE = 54
export const FRAME_HOLD = 55
export const FRAME_BLOB_STATUS = 56

/** Whether a frame of this kind is about shards. */
export function isAboutBlobs(kind: number): boolean {
  return kind >= FRAME_PUT_SHARD && kind <= FRAME_BLOB_STATUS
}

/** A shard to be stored; `id` comes back with the answer. */
export interface PutShard {
  readonly id: number
  readonly shard: Buffer
}

/**
 * What became of a shard that was sent. `busy`: too much is on its way to that disk. `noSpace`: the disk is low.
 * `refused`: it is not the receiver's, or its term has passed.
 */
export type StoreStatus = 'stored' | 'busy' | 'noSpace' | 'refused'

/** The answer to a shard that was sent. */
export interface ShardAck {
  readonly id: number
  readonly status: StoreStatus
}

/** A blob that came to nothing. */
export interface DropShards {
  readonly blob: BlobId
  readonly key: Buffer
}

/** Which bytes of which shard are asked for. */
export interface AskShard {
  /** Comes back with the answer. */
  readonly id: number
  readonly blob: BlobId
  readonly part: number
  readonly index: number
  /** In its body, `[from, to)`: what comes are the blocks that they lie in. */
  readonly from: number
  readonly to: number
}

/** `missing`: there is no such shard, or it is damaged. `busy`: too much is asked for at once. */
export type PieceStatus = 'ok' | 'missing' | 'busy'

/** The answer to an ask; everything is empty unless it is `ok`. */
export interface AskedPiece {
  readonly id: number
  readonly status: PieceStatus
  readonly firstBlock: number
  readonly head: Uint8Array
  readonly footer: Uint8Array
  readonly blocks: Uint8Array
}

/** What a member says about the shards it has. */
export interface BlobReport {
  /** Of the large values in the state at this index it lacks no shard of its own; 0: not known yet. */
  readonly fullIndex: LogIndex
  /** Parts whose own shard it is known to lack. */
  readonly missing: number
  readonly shards: number
  readonly bytes: number
  /** Shards that were found damaged and are not made anew yet. */
  readonly quarantined: number
}

/** The longest time that a hold asks for. */
export const HOLD_MS_MAX = 60_000

const STORE_STATUSES: readonly StoreStatus[] = ['stored', 'busy', 'noSpace', 'refused']
const PIECE_STATUSES: readonly PieceStatus[] = ['ok', 'missing', 'busy']
const ACK_BYTES = 5
const ASK_BYTES = 4 + BLOB_ID_BYTES + 13
const PIECE_BYTES = 17
const REPORT_BYTES = 40

/** The parts of the frame; those of the shard are not copied and must not change afterwards. */
export function encodePutShard(id: number, shard: readonly Uint8Array[]): Uint8Array[] {
  const head = Buffer.allocUnsafe(4)
  head.writeUInt32LE(id)
  return [head, ...shard]
}

/** The shard views `body` and is not looked at. @throws {DecodeError} */
export function decodePutShard(body: Buffer): PutShard {
  if (body.length < 4) throw new DecodeError('malformed shard')
  return { id: body.readUInt32LE(0), shard: body.subarray(4) }
}

export function encodeShardAck({ id, status }: ShardAck): Uint8Array {
  const body = Buffer.allocUnsafe(ACK_BYTES)
  body.writeUInt32LE(id)
  body[4] = STORE_STATUSES.indexOf(status)
  return body
}

/** @throws {DecodeError} */
export function decodeShardAck(body: Buffer): ShardAck {
  const status = STORE_STATUSES[body[4] ?? -1]
  if (body.length !== ACK_BYTES || status === undefined) {
    throw new DecodeError('malformed answer about a shard')
  }
  return { id: body.readUInt32LE(0), status }
}

export function encodeDropShards({ blob, key }: { blob: BlobId; key: Uint8Array }): Uint8Array {
  const body = Buffer.allocUnsafe(BLOB_ID_BYTES + key.length)
  writeBlobId(body, blob, 0)
  body.set(key, BLOB_ID_BYTES)
  return body
}

/** The key views `body`. @throws {DecodeError} */
export function decodeDropShards(body: Buffer): DropShards {
  if (body.length > BLOB_ID_BYTES + KEY_BYTES_MAX) throw new DecodeError('a key is too long')
  return { blob: readBlobId(body, 0), key: body.subarray(BLOB_ID_BYTES) }
}

export function encodeAskShard(ask: AskShard): Uint8Array {
  const body = Buffer.allocUnsafe(ASK_BYTES)
  body.writeUInt32LE(ask.id, 0)
  writeBlobId(body, ask.blob, 4)
  const at = 4 + BLOB_ID_BYTES
  body.writeUInt32LE(ask.part, at)
  body[at + 4] = ask.index
  body.writeUInt32LE(ask.from, at + 5)
  body.writeUInt32LE(ask.to, at + 9)
  return body
}

/** @throws {DecodeError} */
export function decodeAskShard(body: Buffer): AskShard {
  if (body.length !== ASK_BYTES) throw new DecodeError('malformed ask for a shard')
  const at = 4 + BLOB_ID_BYTES
  const index = body[at + 4]!
  if (index > SLOT_MAX) throw new DecodeError('there is no shard of that index')
  return {
    id: body.readUInt32LE(0),
    blob: readBlobId(body, 4),
    part: body.readUInt32LE(at),
    index,
    from: body.readUInt32LE(at + 5),
    to: body.readUInt32LE(at + 9),
  }
}

/** The parts of the frame; those of the shard are not copied and must not change afterwards. */
export function encodeAskedPiece(piece: AskedPiece): Uint8Array[] {
  const { id, status, firstBlock, head, footer, blocks } = piece
  const body = Buffer.allocUnsafe(PIECE_BYTES)
  body.writeUInt32LE(id, 0)
  body[4] = PIECE_STATUSES.indexOf(status)
  body.writeUInt32LE(firstBlock, 5)
  body.writeUInt32LE(head.length, 9)
  body.writeUInt32LE(footer.length, 13)
  return [body, head, footer, blocks]
}

/** The answer of who does not give the shard. */
export function encodeNoPiece(id: number, status: Exclude<PieceStatus, 'ok'>): Uint8Array[] {
  const nothing = { firstBlock: 0, head: EMPTY, footer: EMPTY, blocks: EMPTY }
  return encodeAskedPiece({ id, status, ...nothing })
}

/** The piece views `body`; its bytes are not verified. @throws {DecodeError} */
export function decodeAskedPiece(body: Buffer): AskedPiece {
  const status = PIECE_STATUSES[body[4] ?? -1]
  if (body.length < PIECE_BYTES || status === undefined) throw new DecodeError('malformed piece')
  const footerAt = PIECE_BYTES + body.readUInt32LE(9)
  const blocksAt = footerAt + body.readUInt32LE(13)
  if (blocksAt > body.length) throw new DecodeError('a piece of a shard is cut short')
  return {
    id: body.readUInt32LE(0),
    status,
    firstBlock: body.readUInt32LE(5),
    head: body.subarray(PIECE_BYTES, footerAt),
    footer: body.subarray(footerAt, blocksAt),
    blocks: body.subarray(blocksAt),
  }
}

export function encodeHold(ms: number): Uint8Array {
  const body = Buffer.allocUnsafe(4)
  body.writeUInt32LE(ms)
  return body
}

/** At most HOLD_MS_MAX. @throws {DecodeError} */
export function decodeHold(body: Buffer): number {
  if (body.length !== 4) throw new DecodeError('malformed hold')
  return Math.min(HOLD_MS_MAX, body.readUInt32LE(0))
}

export function encodeBlobReport(report: BlobReport): Uint8Array {
  const body = Buffer.allocUnsafe(REPORT_BYTES)
  const { fullIndex, missing, shards, bytes, quarantined } = report
  for (const [i, value] of [fullIndex, missing, shards, bytes, quarantined].entries()) {
    writeU64(body, value, 8 * i)
  }
  return body
}

/** @throws {DecodeError} */
export function decodeBlobReport(bytes: Uint8Array): BlobReport {
  const body = asBuffer(bytes)
  if (body.length !== REPORT_BYTES) throw new DecodeError('malformed report about shards')
  return {
    fullIndex: number(body, 0),
    missing: number(body, 8),
    shards: number(body, 16),
    bytes: number(body, 24),
    quarantined: number(body, 32),
  }
}

function number(body: Buffer, at: number): number {
  const value = readU64(body, at)
  if (value === undefined) throw new DecodeError('a number beyond the safe integers')
  return value
}
