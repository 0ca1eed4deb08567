/**
 * Leases and times to live in the database (docs/formats.md). Little-endian; each checksum is CRC-32 over the record's
 * key without its prefix and the bytes before it.
 *
 *   lease, under LEASE_PREFIX and its 8 bytes        u8 version = 1 | u8 isEnding | u64 ttlMs | u64 granted
 *                                                    | u64 generation | u32 checksum
 *   attachment, under ATTACHMENT_PREFIX, the lease's  u8 version = 1
 *   8 bytes and the key
 *   ttl, under TTL_PREFIX and the key                u8 version = 1 | u64 ttlMs | u64 revision | u32 checksum
 *
 * Attachments and ttl records only say where to look: whether a value goes is decided by its own header, because a
 * plain put replaces the value and does not read what it replaces. One that is left over is removed when the lease
 * ends, or the time has come, or the leader finds it.
 */
import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { LogIndex } from '../raft/types.js'
import { LEASE_BYTES } from '../wire/command.js'
import { ATTACHMENT_PREFIX, LEASE_PREFIX, prefixed, TTL_PREFIX } from './key-space.js'

/** What is known of a lease. */
export interface Lease {
  readonly ttlMs: number
  /** The entry that granted it. */
  readonly granted: LogIndex
  /** The entry that granted it or kept it alive last. */
  readonly generation: LogIndex
  /** It is not alive any more, and goes when its last key has gone. */
  readonly isEnding: boolean
}

/** When the value that an entry put under a key is to go. */
export interface TimeToLive {
  readonly ttlMs: number
  readonly revision: LogIndex
}

const VERSION = 1
const LEASE_RECORD_BYTES = 30
const TTL_RECORD_BYTES = 21

/** The value of every attachment. */
export const ATTACHMENT: Buffer = Buffer.of(VERSION)

/** Where the lease's record lies. */
export function leaseKey(lease: Uint8Array): Buffer {
  return prefixed(LEASE_PREFIX, lease)
}

/** Where the time to live of the value under `key` lies. */
export function ttlKey(key: Uint8Array): Buffer {
  return prefixed(TTL_PREFIX, key)
}

/** Where it says that `key` was written with `lease`. */
export function attachmentKey(lease: Uint8Array, key: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + LEASE_BYTES + key.length)
  bytes[0] = ATTACHMENT_PREFIX
  bytes.set(lease, 1)
  bytes.set(key, 1 + LEASE_BYTES)
  return bytes
}

/** The lease and the key of an attachment. */
export function attachmentOf(databaseKey: Buffer): { lease: Buffer; key: Buffer } {
  const keyStart = 1 + LEASE_BYTES
  return { lease: databaseKey.subarray(1, keyStart), key: databaseKey.subarray(keyStart) }
}

/** The lease's record, in memory of its own. */
export function encodeLease(id: Uint8Array, lease: Lease): Buffer {
  const bytes = Buffer.allocUnsafe(LEASE_RECORD_BYTES)
  bytes[0] = VERSION
  bytes[1] = lease.isEnding ? 1 : 0
  writeU64(bytes, lease.ttlMs, 2)
  writeU64(bytes, lease.granted, 10)
  writeU64(bytes, lease.generation, 18)
  return seal(id, bytes)
}

/** @throws {StoreError} QUORATE_FORMAT for another version; QUORATE_CORRUPTION when the bytes are damaged. */
export function decodeLease(id: Uint8Array, bytes: Buffer): Lease {
  prove(id, bytes, LEASE_RECORD_BYTES)
  return {
    isEnding: bytes[1] === 1,
    ttlMs: u64At(bytes, 2),
    granted: u64At(bytes, 10),
    generation: u64At(bytes, 18),
  }
}

/** The record of a time to live, in memory of its own. */
export function encodeTtl(key: Uint8Array, { ttlMs, revision }: TimeToLive): Buffer {
  const bytes = Buffer.allocUnsafe(TTL_RECORD_BYTES)
  bytes[0] = VERSION
  writeU64(bytes, ttlMs, 1)
  writeU64(bytes, revision, 9)
  return seal(key, bytes)
}

/** @throws {StoreError} QUORATE_FORMAT for another version; QUORATE_CORRUPTION when the bytes are damaged. */
export function decodeTtl(key: Uint8Array, bytes: Buffer): TimeToLive {
  prove(key, bytes, TTL_RECORD_BYTES)
  return { ttlMs: u64At(bytes, 1), revision: u64At(bytes, 9) }
}

function seal(id: Uint8Array, bytes: Buffer): Buffer {
  const end = bytes.length - 4
  bytes.writeUInt32LE(crc32(bytes.subarray(0, end), crc32(id)), end)
  return bytes
}

function prove(id: Uint8Array, bytes: Buffer, length: number): void {
  const end = length - 4
  if (bytes.length !== length) throw corrupt()
  if (bytes.readUInt32LE(end) !== crc32(bytes.subarray(0, end), crc32(id))) throw corrupt()
  if (bytes[0] !== VERSION) {
    throw new StoreError('QUORATE_FORMAT', `record of a lease of unknown version ${bytes[0]}`)
  }
}

function u64At(bytes: Buffer, at: number): number {
  const value = readU64(bytes, at)
  if (value === undefined) throw corrupt()
  return value
}

function corrupt(): StoreError {
  return new StoreError('QUORATE_CORRUPTION', 'the record of a lease or time to live is damaged')
}
