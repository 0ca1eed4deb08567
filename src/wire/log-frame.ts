/**
 * The bytes of the Raft log (docs/formats.md). All integers are little-endian.
 *
 *   segment  header | batch*
 *   header   magic 8 | u32 version | u32 segment | clusterId 8 | u64 nodeId | u64 firstIndex | u64 capacity
 *            | u64 previousEnd | u64 previousCheck | u64 check of the bytes before
 *   batch    frame* | commit frame: exactly the bytes of one write
 *   frame    u64 check of the rest without padding | u32 bodyBytes | u8 type | u8 kind | u16 0 | u32 segment
 *            | u32 batch | u64 position | body | zeros up to a multiple of 8
 *   entry    u64 term | u64 index | data
 *   state    u64 term | u64 vote | u64 commit | u64 previousIndex | u64 previousTerm | u64 lastIndex
 *   commit   u64 start | u64 digest: the XXH64 of the checks of the batch's other frames, in order
 *
 * Every frame says where it belongs (segment, batch, position), under its own check: bytes that are stale,
 * misdirected or a user's copy of a log never pass for part of this one. Through the digest a commit frame
 * vouches for every byte of its write, and no byte is hashed twice.
 *
 * On disk: never change the meaning of a number here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { Entry, EntryId, EntryKind, HardState, LogIndex, NodeId } from '../raft/types.js'
import { checksum, checksumOf } from './checksum.js'

/** On disk: the version of segments. */
export const LOG_VERSION = 1
/** Bytes of a segment before its first batch. */
export const SEGMENT_HEADER_BYTES = 72
/** Bytes of a frame before its body. */
export const FRAME_HEADER_BYTES = 32
/** Bytes of a state frame. */
export const STATE_FRAME_BYTES = 80
/** Bytes of a commit frame. */
export const COMMIT_FRAME_BYTES = 48
/** The largest data of one entry, in bytes. */
export const ENTRY_DATA_BYTES_MAX = 0x4000_0000

const MAGIC = Buffer.from('QuorLog\n', 'latin1')
const ENTRY_PREFIX_BYTES = 16
const STATE_BODY_BYTES = 48
const COMMIT_BODY_BYTES = 16
/** From here on an entry's data is handed to the disk as it is; below, copying it is cheaper. */
const PART_BYTES_MIN = 16_384

const ENTRY = 1
const STATE = 2
const COMMIT = 3
const KINDS: readonly EntryKind[] = ['normal', 'confChange', 'confChangeV2']

/** What a segment says about itself. */
export interface SegmentHeader {
  readonly clusterId: Uint8Array
  readonly nodeId: NodeId
  /** Counts segments from 1. */
  readonly segment: number
  /** The index after the log's last when the segment was begun. */
  readonly firstIndex: LogIndex
  /** Planned bytes of the file. */
  readonly capacity: number
  /** Where the segment before ends and the check of its last commit frame; 0 in the first segment. */
  readonly previousEnd: number
  readonly previousCheck: bigint
}

/** The log beside its entries, at one place in it. */
export interface LogState {
  readonly hardState: HardState
  /** The last compacted entry. */
  readonly previous: EntryId
  /** The log's last index at this place: entries after it were given up (a snapshot replaced them). */
  readonly lastIndex: LogIndex
}

interface FrameBase {
  readonly batch: number
  /** With padding. */
  readonly bytes: number
  readonly check: bigint
}

/** A frame that passed its check. The data of an entry views the bytes it was read from. */
export type Frame =
  | (FrameBase & { readonly type: 'entry'; readonly entry: Entry })
  | (FrameBase & { readonly type: 'state'; readonly state: LogState })
  | (FrameBase & { readonly type: 'commit'; readonly start: number; readonly digest: bigint })

/** The bytes that `entry` takes in the log, without its share of a commit frame. */
export function entryFrameBytes(entry: Entry): number {
  return align(FRAME_HEADER_BYTES + ENTRY_PREFIX_BYTES + entry.data.length)
}

/** Encodes the header of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  bytes.set(MAGIC, 0)
  bytes.writeUInt32LE(LOG_VERSION, 8)
  bytes.writeUInt32LE(header.segment, 12)
  bytes.set(header.clusterId, 16)
  writeU64(bytes, header.nodeId, 24)
  writeU64(bytes, header.firstIndex, 32)
  writeU64(bytes, header.capacity, 40)
  writeU64(bytes, header.previousEnd, 48)
  bytes.writeBigUInt64LE(header.previousCheck, 56)
  bytes.writeBigUInt64LE(checksum(bytes.subarray(0, 64)), 64)
  return bytes
}

/**
 * Decodes the header of a segment; `damaged` when it is none, `version` when a newer version wrote it (its
 * other fields are then unknown).
 */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | 'damaged' | 'version' {
  if (bytes.length < SEGMENT_HEADER_BYTES) return 'damaged'
  if (!bytes.subarray(0, 8).equals(MAGIC)) return 'damaged'
  if (bytes.readUInt32LE(8) > LOG_VERSION) return 'version'
  if (bytes.readBigUInt64LE(64) !== checksum(bytes.subarray(0, 64))) return 'damaged'
  const nodeId = readU64(bytes, 24)
  const firstIndex = readU64(bytes, 32)
  const capacity = readU64(bytes, 40)
  const previousEnd = readU64(bytes, 48)
  if (nodeId === undefined || firstIndex === undefined) return 'damaged'
  if (capacity === undefined || previousEnd === undefined) return 'damaged'
  return {
    clusterId: new Uint8Array(bytes.subarray(16, 24)),
    nodeId,
    segment: bytes.readUInt32LE(12),
    firstIndex,
    capacity,
    previousEnd,
    previousCheck: bytes.readBigUInt64LE(56),
  }
}

/** Where a batch goes. */
export interface BatchPlace {
  readonly segment: number
  readonly batch: number
  readonly position: number
}

/** A batch in bytes: to be written at its place, in one write. Valid until the next one is encoded. */
export interface EncodedBatch {
  readonly parts: readonly Uint8Array[]
  readonly bytes: number
  /** Where each entry's frame begins in the segment. */
  readonly positions: readonly number[]
  /** The check of its commit frame. */
  readonly check: bigint
}

/** The bytes of the batch that holds `state` and entries whose frames take `entryBytes`. */
export function batchBytes(state: LogState | undefined, entryBytes: number): number {
  return (state === undefined ? 0 : STATE_FRAME_BYTES) + entryBytes + COMMIT_FRAME_BYTES
}

/**
 * Encodes one batch at a time into one buffer that is used again. Large entry data is not copied: it becomes
 * a part of its own and must not change until it is written.
 */
export class BatchEncoder {
  readonly #keepBytes: number
  #buffer: Buffer = Buffer.allocUnsafe(16_384)
  #checks: Buffer = Buffer.allocUnsafe(512)
  #place: BatchPlace = { segment: 0, batch: 0, position: 0 }
  #frameCount = 0
  /** Bytes of the batch so far; of them in the buffer; of those in a finished part. */
  #bytes = 0
  #length = 0
  #partStart = 0
  #parts: Uint8Array[] = []

  /** The buffer grows to the largest batch, but one beyond `keepBytes` is given back after it was used. */
  constructor(keepBytes: number) {
    this.#keepBytes = keepBytes
  }

  /** Encodes `state`, if there is one, then `entries`, then the commit frame. */
  encode(place: BatchPlace, state: LogState | undefined, entries: readonly Entry[]): EncodedBatch {
    this.#begin(place, entries)
    if (state !== undefined) this.#state(state)
    const positions = entries.map((entry) => this.#entry(entry))
    const check = this.#commit()
    return { parts: this.#parts, bytes: this.#bytes, positions, check }
  }

  #begin(place: BatchPlace, entries: readonly Entry[]): void {
    this.#place = place
    this.#frameCount = 0
    this.#bytes = 0
    this.#length = 0
    this.#partStart = 0
    this.#parts = []
    let needed = STATE_FRAME_BYTES + COMMIT_FRAME_BYTES
    for (const { data } of entries) {
      needed += align(FRAME_HEADER_BYTES + ENTRY_PREFIX_BYTES) + 8
      if (data.length < PART_BYTES_MIN) needed += data.length
    }
    this.#buffer = this.#resized(this.#buffer, needed)
    this.#checks = this.#resized(this.#checks, (entries.length + 1) * 8)
  }

  #resized(buffer: Buffer, needed: number): Buffer {
    if (buffer.length >= needed && buffer.length <= this.#keepBytes) return buffer
    return Buffer.allocUnsafe(Math.max(needed, Math.min(buffer.length * 2, this.#keepBytes)))
  }

  #state(state: LogState): void {
    const body = this.#frame(STATE, 0, STATE_BODY_BYTES)
    writeU64(this.#buffer, state.hardState.term, body)
    writeU64(this.#buffer, state.hardState.vote, body + 8)
    writeU64(this.#buffer, state.hardState.commit, body + 16)
    writeU64(this.#buffer, state.previous.index, body + 24)
    writeU64(this.#buffer, state.previous.term, body + 32)
    writeU64(this.#buffer, state.lastIndex, body + 40)
    this.#close(body + STATE_BODY_BYTES)
  }

  #entry(entry: Entry): number {
    const position = this.#place.position + this.#bytes
    const { data } = entry
    const kind = KINDS.indexOf(entry.kind)
    const body = this.#frame(ENTRY, kind, ENTRY_PREFIX_BYTES + data.length)
    writeU64(this.#buffer, entry.term, body)
    writeU64(this.#buffer, entry.index, body + 8)
    const dataStart = body + ENTRY_PREFIX_BYTES
    if (data.length < PART_BYTES_MIN) {
      this.#buffer.set(data, dataStart)
      this.#close(dataStart + data.length)
    } else {
      this.#closeWithPart(dataStart, data)
    }
    return position
  }

  #commit(): bigint {
    const digest = checksum(this.#checks.subarray(0, this.#frameCount * 8))
    const body = this.#frame(COMMIT, 0, COMMIT_BODY_BYTES)
    writeU64(this.#buffer, this.#place.position, body)
    this.#buffer.writeBigUInt64LE(digest, body + 8)
    const check = this.#close(body + COMMIT_BODY_BYTES)
    this.#parts.push(this.#buffer.subarray(this.#partStart, this.#length))
    return check
  }

  /** Writes the header of a frame, all but its check, and returns where its body begins. */
  #frame(type: number, kind: number, bodyBytes: number): number {
    const buffer = this.#buffer
    const start = this.#length
    buffer.writeUInt32LE(bodyBytes, start + 8)
    buffer[start + 12] = type
    buffer[start + 13] = kind
    buffer.writeUInt16LE(0, start + 14)
    buffer.writeUInt32LE(this.#place.segment, start + 16)
    buffer.writeUInt32LE(this.#place.batch, start + 20)
    writeU64(buffer, this.#place.position + this.#bytes, start + 24)
    return start + FRAME_HEADER_BYTES
  }

  /** Seals the frame that ends at `end` in the buffer, and returns its check. */
  #close(end: number): bigint {
    const start = this.#length
    const check = checksum(this.#buffer.subarray(start + 8, end))
    this.#seal(start, check)
    this.#length = this.#pad(end, end - start)
    this.#bytes += this.#length - start
    return check
  }

  /** Seals the frame whose header ends at `end` in the buffer and whose data stays where it is. */
  #closeWithPart(end: number, data: Uint8Array): void {
    const start = this.#length
    this.#seal(start, checksumOf([this.#buffer.subarray(start + 8, end), data]))
    this.#parts.push(this.#buffer.subarray(this.#partStart, end), data)
    this.#partStart = end
    this.#length = this.#pad(end, end - start + data.length)
    this.#bytes += align(end - start + data.length)
  }

  #seal(start: number, check: bigint): void {
    this.#buffer.writeBigUInt64LE(check, start)
    if (this.#buffer[start + 12] === COMMIT) return
    this.#checks.writeBigUInt64LE(check, this.#frameCount * 8)
    this.#frameCount++
  }

  /** Puts the zeros after a frame of `bytes` bytes at `end` in the buffer, and returns where they end. */
  #pad(end: number, bytes: number): number {
    const padded = end + align(bytes) - bytes
    this.#buffer.fill(0, end, padded)
    return padded
  }
}

/** The digest that a commit frame must hold for frames with these checks. */
export function digestOf(checks: readonly bigint[]): bigint {
  const bytes = Buffer.allocUnsafe(checks.length * 8)
  for (const [i, check] of checks.entries()) bytes.writeBigUInt64LE(check, i * 8)
  return checksum(bytes)
}

/**
 * The bytes, with padding, of the frame that seems to begin at `offset` and to belong at `position` of
 * `segment`; 0 when none does. Needs FRAME_HEADER_BYTES at `offset`; nothing is verified yet.
 */
export function frameBytesAt(
  source: Buffer,
  offset: number,
  segment: number,
  position: number,
): number {
  if (source.readUInt32LE(offset + 16) !== segment) return 0
  if (readU64(source, offset + 24) !== position) return 0
  return align(FRAME_HEADER_BYTES + source.readUInt32LE(offset + 8))
}

/**
 * Reads the frame at `offset` that belongs at `position` of `segment`; `undefined` when it is not all there,
 * belongs elsewhere or fails its check.
 */
export function readFrame(
  source: Buffer,
  offset: number,
  segment: number,
  position: number,
): Frame | undefined {
  if (offset + FRAME_HEADER_BYTES > source.length) return undefined
  const bytes = frameBytesAt(source, offset, segment, position)
  if (bytes === 0 || offset + bytes > source.length) return undefined
  const end = offset + FRAME_HEADER_BYTES + source.readUInt32LE(offset + 8)
  const check = source.readBigUInt64LE(offset)
  if (checksum(source.subarray(offset + 8, end)) !== check) return undefined
  const base: FrameBase = { batch: source.readUInt32LE(offset + 20), bytes, check }
  const body = source.subarray(offset + FRAME_HEADER_BYTES, end)
  switch (source[offset + 12]) {
    case ENTRY:
      return entryFrame(base, source[offset + 13]!, body)
    case STATE:
      return stateFrame(base, body)
    case COMMIT:
      return commitFrame(base, body)
    default:
      return undefined
  }
}

function entryFrame(base: FrameBase, kindNumber: number, body: Buffer): Frame | undefined {
  if (body.length < ENTRY_PREFIX_BYTES) return undefined
  const term = readU64(body, 0)
  const index = readU64(body, 8)
  const kind = KINDS[kindNumber]
  if (term === undefined || index === undefined || kind === undefined) return undefined
  const data = body.subarray(ENTRY_PREFIX_BYTES)
  return { type: 'entry', ...base, entry: { term, index, kind, data } }
}

function stateFrame(base: FrameBase, body: Buffer): Frame | undefined {
  if (body.length !== STATE_BODY_BYTES) return undefined
  const term = readU64(body, 0)
  const vote = readU64(body, 8)
  const commit = readU64(body, 16)
  const index = readU64(body, 24)
  const previousTerm = readU64(body, 32)
  const lastIndex = readU64(body, 40)
  if (term === undefined || vote === undefined || commit === undefined) return undefined
  if (index === undefined || previousTerm === undefined || lastIndex === undefined) return undefined
  const previous = { index, term: previousTerm }
  const state: LogState = { hardState: { term, vote, commit }, previous, lastIndex }
  return { type: 'state', ...base, state }
}

function commitFrame(base: FrameBase, body: Buffer): Frame | undefined {
  if (body.length !== COMMIT_BODY_BYTES) return undefined
  const start = readU64(body, 0)
  if (start === undefined) return undefined
  return { type: 'commit', ...base, start, digest: body.readBigUInt64LE(8) }
}

function align(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}
