/**
 * A session in the database, under SESSION_PREFIX and the client's 8 bytes (docs/formats.md).
 *
 *   u8 version = 1 | u64 lastSeq | u64 floor | u64 touch | u64 lastActive
 *   | (u64 index | u64 term) for each request floor..lastSeq | u32 CRC-32 of the client's 8 bytes and all before
 *
 * Little-endian.
 */
import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { RequestOutcome, Session } from './sessions.js'
import { WINDOW } from './sessions.js'

const VERSION = 1
const HEADER_BYTES = 33
const RESULT_BYTES = 16

/** The largest record. */
export const SESSION_RECORD_BYTES_MAX: number = HEADER_BYTES + WINDOW * RESULT_BYTES + 4

/** Writes the record into `target`, which is large enough, and returns its length. */
export function writeSessionRecord(session: Session, target: Buffer): number {
  target[0] = VERSION
  writeU64(target, session.lastSeq, 1)
  writeU64(target, session.floor, 9)
  writeU64(target, session.touch, 17)
  writeU64(target, session.lastActive, 25)
  let at = HEADER_BYTES
  for (const result of session.results) {
    writeU64(target, result.index, at)
    writeU64(target, result.term, at + 8)
    at += RESULT_BYTES
  }
  target.writeUInt32LE(crc32(target.subarray(0, at), crcOfId(session.id)), at)
  return at + 4
}

/** @throws {StoreError} QUORATE_FORMAT for another version; QUORATE_CORRUPTION when the bytes are damaged. */
export function decodeSessionRecord(id: string, bytes: Buffer): Session {
  const end = bytes.length - 4
  if (end < HEADER_BYTES) throw corrupt()
  if (bytes.readUInt32LE(end) !== crc32(bytes.subarray(0, end), crcOfId(id))) throw corrupt()
  if (bytes[0] !== VERSION) {
    throw new StoreError('QUORATE_FORMAT', `session record of unknown version ${bytes[0]}`)
  }
  const u64 = (offset: number): number => {
    const value = readU64(bytes, offset)
    if (value === undefined) throw corrupt()
    return value
  }
  const lastSeq = u64(1)
  const floor = u64(9)
  const count = lastSeq - floor + 1
  if (count < 1 || count > WINDOW || HEADER_BYTES + count * RESULT_BYTES !== end) throw corrupt()
  const results = Array.from({ length: count }, (_, i): RequestOutcome => {
    const at = HEADER_BYTES + i * RESULT_BYTES
    return { status: 'applied', index: u64(at), term: u64(at + 8) }
  })
  return { id, lastSeq, floor, results, touch: u64(17), lastActive: u64(25) }
}

function crcOfId(id: string): number {
  return crc32(Buffer.from(id, 'latin1'))
}

function corrupt(): StoreError {
  return new StoreError('QUORATE_CORRUPTION', 'a session record is damaged')
}
