/**
 * A session in the database, under SESSION_PREFIX and the client's 8 bytes (docs/formats.md).
 *
 *   u8 version = 2 | u64 lastSeq | u64 floor | u64 touch | u64 lastActive
 *   | (u64 index | u64 term | u16 results | a byte for each) for each request floor..lastSeq
 *   | u32 CRC-32 of the client's 8 bytes and all before
 *
 * Little-endian. Version 1 had no results and was never released.
 */
import { crc32 } from 'node:zlib'
import { EMPTY, readU64, writeU64 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { RequestOutcome, Session } from './sessions.js'
import { WINDOW } from './sessions.js'

const VERSION = 2
const HEADER_BYTES = 33
/** Of a request without results. */
const REQUEST_BYTES = 18

/** The bytes of the session's record. */
export function sessionRecordBytes({ results, resultBytes }: Session): number {
  return HEADER_BYTES + results.length * REQUEST_BYTES + resultBytes + 4
}

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
    const { length } = result.results
    target.writeUInt16LE(length, at + 16)
    if (length > 0) target.set(result.results, at + REQUEST_BYTES)
    at += REQUEST_BYTES + length
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
  const lastSeq = u64At(bytes, 1)
  const floor = u64At(bytes, 9)
  const count = lastSeq - floor + 1
  if (count < 1 || count > WINDOW) throw corrupt()
  const results = readResults(bytes, count, end)
  return {
    id,
    lastSeq,
    floor,
    results,
    resultBytes: end - HEADER_BYTES - count * REQUEST_BYTES,
    touch: u64At(bytes, 17),
    lastActive: u64At(bytes, 25),
  }
}

function readResults(bytes: Buffer, count: number, end: number): RequestOutcome[] {
  const outcomes: RequestOutcome[] = []
  let at = HEADER_BYTES
  for (let i = 0; i < count; i++) {
    const start = at + REQUEST_BYTES
    if (start > end) throw corrupt()
    const resultsEnd = start + bytes.readUInt16LE(at + 16)
    if (resultsEnd > end) throw corrupt()
    const [index, term] = [u64At(bytes, at), u64At(bytes, at + 8)]
    const results =
      start === resultsEnd ? EMPTY : Uint8Array.from(bytes.subarray(start, resultsEnd))
    outcomes.push({ status: 'applied', index, term, results })
    at = resultsEnd
  }
  if (at !== end) throw corrupt()
  return outcomes
}

function u64At(bytes: Buffer, offset: number): number {
  const value = readU64(bytes, offset)
  if (value === undefined) throw corrupt()
  return value
}

function crcOfId(id: string): number {
  return crc32(Buffer.from(id, 'latin1'))
}

function corrupt(): StoreError {
  return new StoreError('QUORATE_CORRUPTION', 'a session record is damaged')
}
