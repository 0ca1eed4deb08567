/**
 * What members say to each other to find and mend damage (docs/architecture.md, "Damage"). The frame's kind says which;
 * all integers little-endian.
 *
 *   compare   u64 index: the leader asks for the digest of the state after this entry
 *   digest    u64 index | 8 bytes: the answer
 *   agreed    u64 index | 8 bytes: a majority of the voters has this digest
 *   disputed  u64 index: digests differ, and no majority has the same
 *   need      u32 id | u64 atLeast | key: asks for what is stored under a key at this index or later
 *   stored    u32 id | u8 status | u64 index of the state | the stored bytes, with their header
 *
 * On the wire: never change the meaning of a number here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { LogIndex } from '../raft/types.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'

/** On the wire: what the body of a frame about damage is. */
export const FRAME_COMPARE = 30
export const FRAME_DIGEST = 31
export const FRAME_AGREED = 32
export const FRAME_DISPUTED = 33
export const FRAME_NEED = 34
export const FRAME_STORED = 35

/** Whether a frame of this kind is one of these. */
export function isAboutDamage(kind: number): boolean {
  return kind >= FRAME_COMPARE && kind <= FRAME_STORED
}

const DIGEST_BYTES = 8
const NEED_BYTES = 12
const STORED_BYTES = 13

/** The digest of a member's state after an entry. */
export interface DigestAt {
  readonly index: LogIndex
  /** 16 hexadecimal digits. */
  readonly digest: string
}

/** Asks for what is stored under `key`. */
export interface Need {
  /** Comes back with the answer. */
  readonly id: number
  readonly atLeast: LogIndex
  readonly key: Buffer
}

/**
 * `found`: the bytes follow. `absent`: there is nothing under the key. `behind`: the state is older than was asked for.
 * `damaged`: it cannot be read here, either.
 */
export type StoredStatus = 'found' | 'absent' | 'behind' | 'damaged'

/** The answer to a need. */
export interface Stored {
  readonly id: number
  readonly status: StoredStatus
  /** Of the state that was asked. */
  readonly index: LogIndex
  /** Empty unless found. */
  readonly bytes: Uint8Array
}

/** On the wire: a status is sent as its position here. */
const STATUSES: readonly StoredStatus[] = ['found', 'absent', 'behind', 'damaged']

/** The body of a compare or disputed frame. */
export function encodeCompare(index: LogIndex): Uint8Array {
  const body = Buffer.allocUnsafe(8)
  writeU64(body, index, 0)
  return body
}

/** @throws {DecodeError} */
export function decodeCompare(body: Buffer): LogIndex {
  if (body.length !== 8) throw new DecodeError('malformed comparison')
  return indexAt(body, 0)
}

/** The body of a digest or agreed frame. */
export function encodeDigest({ index, digest }: DigestAt): Uint8Array {
  const body = Buffer.allocUnsafe(8 + DIGEST_BYTES)
  writeU64(body, index, 0)
  body.write(digest, 8, DIGEST_BYTES, 'hex')
  return body
}

/** @throws {DecodeError} */
export function decodeDigest(body: Buffer): DigestAt {
  if (body.length !== 8 + DIGEST_BYTES) throw new DecodeError('malformed digest')
  return { index: indexAt(body, 0), digest: body.toString('hex', 8) }
}

export function encodeNeed({ id, atLeast, key }: Need): Uint8Array {
  const body = Buffer.allocUnsafe(NEED_BYTES + key.length)
  body.writeUInt32LE(id, 0)
  writeU64(body, atLeast, 4)
  body.set(key, NEED_BYTES)
  return body
}

/** The key views `body`. @throws {DecodeError} */
export function decodeNeed(body: Buffer): Need {
  const keyBytes = body.length - NEED_BYTES
  if (keyBytes < 1 || keyBytes > KEY_BYTES_MAX) throw new DecodeError('malformed need')
  return { id: body.readUInt32LE(0), atLeast: indexAt(body, 4), key: body.subarray(NEED_BYTES) }
}

/** The parts of a stored frame; the bytes are not copied. */
export function encodeStored({ id, status, index, bytes }: Stored): Uint8Array[] {
  const head = Buffer.allocUnsafe(STORED_BYTES)
  head.writeUInt32LE(id, 0)
  head[4] = STATUSES.indexOf(status)
  writeU64(head, index, 5)
  return [head, bytes]
}

/** The bytes view `body`. @throws {DecodeError} */
export function decodeStored(body: Buffer): Stored {
  if (body.length < STORED_BYTES) throw new DecodeError('malformed stored value')
  const status = STATUSES[body[4]!]
  if (status === undefined) throw new DecodeError('stored value of unknown status')
  return {
    id: body.readUInt32LE(0),
    status,
    index: indexAt(body, 5),
    bytes: body.subarray(STORED_BYTES),
  }
}

function indexAt(body: Buffer, offset: number): LogIndex {
  const index = readU64(body, offset)
  if (index === undefined) throw new DecodeError('index out of bounds')
  return index
}
