/**
 * What members say to each other about images of the state on their way (docs/architecture.md, "Life of a snapshot").
 * The frame's kind says which; all integers little-endian.
 *
 *   pin        u64 index: fix the state right after this entry and keep it for those who will ask for pieces
 *   unpin      u64 index: it is not needed any more
 *   wanted     u64 atLeast: the sender has lost its state and asks for an image at this index or later
 *   offer      u64 index | u64 term of the entry there | u64 leaderTerm | u64 session | u64 root | u32 manifestBytes
 *              | u64 clusterwide number of each holder *
 *   ask        u32 id | u64 index | u32 offset | u32 maxBytes | first key of the chunk, or nothing for the manifest
 *   piece      u32 id | u8 status | u32 bytes of the whole | bytes
 *   progress   u64 index | u8 status | u64 bytes had | u64 bytes in all
 *
 * An offer with `leaderTerm` 0 answers `wanted`; any other comes from a leader whose log lacks what the receiver
 * needs, and the two numbers are those of the SnapshotMessage that the receiver gives to its core in the end.
 * On the wire: never change the meaning of a number here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { LogIndex, NodeId, Term } from '../raft/types.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'

/** On the wire: what the body of a frame about images is. */
export const FRAME_PIN = 20
export const FRAME_UNPIN = 21
export const FRAME_IMAGE_WANTED = 22
export const FRAME_OFFER = 23
export const FRAME_ASK = 24
export const FRAME_PIECE = 25
export const FRAME_PROGRESS = 26

/** A manifest beyond this is not fetched: about a million chunks. */
export const MANIFEST_BYTES_MAX: number = 64 * 1024 * 1024

/** Members that an offer names as holders, at most. */
const HOLDERS_MAX = 64
const OFFER_BYTES = 44
const ASK_BYTES = 20
const PIECE_BYTES = 9
const PROGRESS_BYTES = 25

/** An image that can be fetched from its sender, and from the holders as far as they have it. */
export interface Offer {
  readonly index: LogIndex
  /** Of the entry at `index`. */
  readonly term: Term
  /** Of the SnapshotMessage; 0 when the image was asked for to rebuild a state. */
  readonly leaderTerm: Term
  readonly session: number
  /** The manifest's, 16 hexadecimal digits. */
  readonly root: string
  readonly manifestBytes: number
  readonly holders: readonly NodeId[]
}

/** Asks for bytes of a chunk, or of the manifest when `firstKey` is empty. */
export interface Ask {
  /** Comes back with the piece. */
  readonly id: number
  readonly index: LogIndex
  readonly offset: number
  readonly maxBytes: number
  readonly firstKey: Uint8Array
}

/** `gone`: there is no such image here, or no such chunk in it. `busy`: too much is asked for at once. */
export type PieceStatus = 'ok' | 'gone' | 'busy'

/** The answer to an ask; `bytes` are empty unless it is `ok`. */
export interface Piece {
  readonly id: number
  readonly status: PieceStatus
  /** Of the whole chunk or manifest. */
  readonly wholeBytes: number
  readonly bytes: Buffer
}

/** How the fetch of an offered image goes; `failed` and `done` are the last word about it. */
export interface Progress {
  readonly index: LogIndex
  readonly status: 'fetching' | 'loading' | 'done' | 'failed'
  readonly bytes: number
  readonly totalBytes: number
}

const PIECE_STATUSES: readonly PieceStatus[] = ['ok', 'gone', 'busy']
const PROGRESS_STATUSES: readonly Progress['status'][] = ['fetching', 'loading', 'done', 'failed']

/** The body of a pin, unpin or wanted frame. */
export function encodeIndex(index: LogIndex): Uint8Array {
  const body = Buffer.allocUnsafe(8)
  writeU64(body, index, 0)
  return body
}

/** @throws {DecodeError} */
export function decodeIndex(body: Buffer): LogIndex {
  if (body.length !== 8) throw new DecodeError('malformed index')
  return number(body, 0)
}

export function encodeOffer(offer: Offer): Uint8Array {
  const holders = offer.holders.slice(0, HOLDERS_MAX)
  const body = Buffer.allocUnsafe(OFFER_BYTES + 8 * holders.length)
  writeU64(body, offer.index, 0)
  writeU64(body, offer.term, 8)
  writeU64(body, offer.leaderTerm, 16)
  writeU64(body, offer.session, 24)
  body.writeBigUInt64LE(BigInt(`0x${offer.root}`), 32)
  body.writeUInt32LE(offer.manifestBytes, 40)
  holders.forEach((node, i) => {
    writeU64(body, node, OFFER_BYTES + 8 * i)
  })
  return body
}

/** @throws {DecodeError} */
export function decodeOffer(body: Buffer): Offer {
  const holders = (body.length - OFFER_BYTES) / 8
  if (!Number.isInteger(holders) || holders < 0 || holders > HOLDERS_MAX) {
    throw new DecodeError('malformed offer')
  }
  const manifestBytes = body.readUInt32LE(40)
  if (manifestBytes > MANIFEST_BYTES_MAX) throw new DecodeError('an offer of too large a manifest')
  return {
    index: number(body, 0),
    term: number(body, 8),
    leaderTerm: number(body, 16),
    session: number(body, 24),
    root: body.readBigUInt64LE(32).toString(16).padStart(16, '0'),
    manifestBytes,
    holders: Array.from({ length: holders }, (_, i) => number(body, OFFER_BYTES + 8 * i)),
  }
}

export function encodeAsk(ask: Ask): Uint8Array {
  const body = Buffer.allocUnsafe(ASK_BYTES + ask.firstKey.length)
  body.writeUInt32LE(ask.id, 0)
  writeU64(body, ask.index, 4)
  body.writeUInt32LE(ask.offset, 12)
  body.writeUInt32LE(ask.maxBytes, 16)
  body.set(ask.firstKey, ASK_BYTES)
  return body
}

/** @throws {DecodeError} */
export function decodeAsk(body: Buffer): Ask {
  // A key of the database has a byte before the user's key.
  if (body.length < ASK_BYTES || body.length > ASK_BYTES + KEY_BYTES_MAX + 1) {
    throw new DecodeError('malformed ask')
  }
  return {
    id: body.readUInt32LE(0),
    index: number(body, 4),
    offset: body.readUInt32LE(12),
    maxBytes: body.readUInt32LE(16),
    firstKey: body.subarray(ASK_BYTES),
  }
}

/** The parts of a piece frame; `piece.bytes` are not copied and must not change afterwards. */
export function encodePiece(piece: Piece): Uint8Array[] {
  const head = Buffer.allocUnsafe(PIECE_BYTES)
  head.writeUInt32LE(piece.id, 0)
  head[4] = PIECE_STATUSES.indexOf(piece.status)
  head.writeUInt32LE(piece.wholeBytes, 5)
  return [head, piece.bytes]
}

/** The piece views `body`. @throws {DecodeError} */
export function decodePiece(body: Buffer): Piece {
  const status = PIECE_STATUSES[body[4] ?? -1]
  if (body.length < PIECE_BYTES || status === undefined) throw new DecodeError('malformed piece')
  return {
    id: body.readUInt32LE(0),
    status,
    wholeBytes: body.readUInt32LE(5),
    bytes: body.subarray(PIECE_BYTES),
  }
}

export function encodeProgress(progress: Progress): Uint8Array {
  const body = Buffer.allocUnsafe(PROGRESS_BYTES)
  writeU64(body, progress.index, 0)
  body[8] = PROGRESS_STATUSES.indexOf(progress.status)
  writeU64(body, progress.bytes, 9)
  writeU64(body, progress.totalBytes, 17)
  return body
}

/** @throws {DecodeError} */
export function decodeProgress(body: Buffer): Progress {
  const status = PROGRESS_STATUSES[body[8] ?? -1]
  if (body.length !== PROGRESS_BYTES || status === undefined) {
    throw new DecodeError('malformed progress')
  }
  return { index: number(body, 0), status, bytes: number(body, 9), totalBytes: number(body, 17) }
}

function number(body: Buffer, at: number): number {
  const value = readU64(body, at)
  if (value === undefined) throw new DecodeError('a number beyond the safe integers')
  return value
}
