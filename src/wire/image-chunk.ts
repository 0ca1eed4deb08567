/**
 * A chunk of an image: records of the state machine's database in key order, as one piece of bytes that goes over
 * the wire and into backups (docs/formats.md).
 *
 *   chunk  4 magic "QChk" | u32 version = 1 | u32 entries | entry*
 *   entry  u32 keyBytes | u32 valueBytes | key | value
 *
 * Integers are little-endian. Where a chunk ends depends on the keys and sizes from its first entry on and on nothing
 * else. So every member cuts the same state into the same bytes, a chunk can be made again from its first key alone,
 * and a change inside one chunk leaves the chunks after the next cut as they were. The keys of a chunk begin with the
 * same byte: what changes all the time, the state record and the sessions, does not share chunks with the data. On
 * disk and on the wire: never change the rule or the meaning of a number here, add a version.
 */
import { crc32 } from 'node:zlib'
import { compareBytes } from '../base/bytes.js'
import { checksum } from './checksum.js'
import { DecodeError } from './command.js'

const MAGIC = Buffer.from('QChk')
const VERSION = 1
const HEADER_BYTES = 12
const ENTRY_HEADER_BYTES = 8

/** Below this a chunk goes on. */
const CUT_FROM_BYTES = 256 * 1024
/** From here on it ends, with the entry that reached it. */
const CUT_AT_BYTES = 2 * 1024 * 1024
/** Between the two it ends after so many bytes more on average, at an entry that its key chooses. */
const CUT_EVERY_BYTES = 768 * 1024
const FIRST_BYTES = 1024 * 1024

/** No chunk is larger: the cut, the largest key and the largest value that a store takes. */
export const CHUNK_BYTES_MAX: number = 20 * 1024 * 1024

/** What is known of a chunk without its bytes; `hash` and `bytes` together are its name. */
export interface ImageChunk {
  readonly firstKey: Uint8Array
  readonly bytes: number
  readonly entries: number
  /** XXH64 of the bytes, 16 hexadecimal digits. */
  readonly hash: string
}

/** XXH64 as 16 hexadecimal digits. */
export function hashOf(bytes: Uint8Array): string {
  return checksum(bytes).toString(16).padStart(16, '0')
}

/** Fills chunks, one after the other, in memory that is used again: at most one chunk is held. */
export class ChunkWriter {
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #length = HEADER_BYTES
  #entries = 0
  #isFull = false
  #firstByte: number | undefined

  constructor() {
    MAGIC.copy(this.#bytes)
    this.#bytes.writeUInt32LE(VERSION, 4)
  }

  get isEmpty(): boolean {
    return this.#entries === 0
  }

  /** Whether the chunk ends here: whatever comes next begins another one. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Whether the next entry, which has this key, belongs to the chunk; if not, `take` the chunk first. */
  takes(key: Uint8Array): boolean {
    return !this.#isFull && (this.isEmpty || key[0] === this.#firstByte)
  }

  /** Adds the next entry in key order, which must belong to the chunk. */
  add(key: Uint8Array, value: Uint8Array): void {
    const bytes = ENTRY_HEADER_BYTES + key.length + value.length
    const at = this.#length
    this.#reserve(at + bytes)
    this.#bytes.writeUInt32LE(key.length, at)
    this.#bytes.writeUInt32LE(value.length, at + 4)
    this.#bytes.set(key, at + ENTRY_HEADER_BYTES)
    this.#bytes.set(value, at + ENTRY_HEADER_BYTES + key.length)
    this.#length += bytes
    this.#entries++
    this.#firstByte = key[0]
    this.#isFull = endsChunk(this.#length, key, bytes)
  }

  /** The bytes of the chunk, which hold until the next `add`; the next entry begins a new one. */
  take(): Buffer {
    this.#bytes.writeUInt32LE(this.#entries, 8)
    const chunk = this.#bytes.subarray(0, this.#length)
    this.#length = HEADER_BYTES
    this.#entries = 0
    this.#isFull = false
    return chunk
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#bytes.length))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Large entries end a chunk more often, so that chunks of any data have about the same size. */
function endsChunk(length: number, key: Uint8Array, entryBytes: number): boolean {
  if (length < CUT_FROM_BYTES) return false
  if (length >= CUT_AT_BYTES) return true
  const crc = crc32(key)
  const draw = Math.imul(crc ^ (crc >>> 15), 0x9e3779b1) >>> 0
  return draw < (entryBytes / CUT_EVERY_BYTES) * 0x1_0000_0000
}

/** What `bytes`, a chunk that `ChunkWriter` made here, is called. */
export function describeChunk(bytes: Buffer): ImageChunk {
  const keyEnd = HEADER_BYTES + ENTRY_HEADER_BYTES + bytes.readUInt32LE(HEADER_BYTES)
  return {
    firstKey: Buffer.from(bytes.subarray(HEADER_BYTES + ENTRY_HEADER_BYTES, keyEnd)),
    bytes: bytes.length,
    entries: bytes.readUInt32LE(8),
    hash: hashOf(bytes),
  }
}

/**
 * Runs through the entries of a chunk, as views of `bytes`, in rising order of their keys.
 * @throws {DecodeError} while it runs
 */
export function* chunkEntries(
  bytes: Buffer,
): Generator<readonly [key: Buffer, value: Buffer], void, undefined> {
  if (bytes.length < HEADER_BYTES || compareBytes(bytes.subarray(0, 4), MAGIC) !== 0) {
    throw new DecodeError('not a chunk of an image')
  }
  const version = bytes.readUInt32LE(4)
  if (version !== VERSION) throw new DecodeError(`chunk of unknown version ${version}`)
  let at = HEADER_BYTES
  let before: Buffer | undefined
  for (let left = bytes.readUInt32LE(8); left > 0; left--) {
    const start = at + ENTRY_HEADER_BYTES
    if (start > bytes.length) throw new DecodeError('chunk cut short')
    const keyEnd = start + bytes.readUInt32LE(at)
    const end = keyEnd + bytes.readUInt32LE(at + 4)
    if (end > bytes.length) throw new DecodeError('chunk cut short')
    const key = bytes.subarray(start, keyEnd)
    if (before !== undefined && compareBytes(before, key) >= 0) {
      throw new DecodeError('the keys of a chunk are out of order')
    }
    yield [key, bytes.subarray(keyEnd, end)]
    before = key
    at = end
  }
  if (at !== bytes.length) throw new DecodeError('bytes left over after the last entry of a chunk')
}
