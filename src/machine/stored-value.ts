/**
 * A value as it lies in the database, with its own proof (design D10; docs/formats.md).
 *
 *   u8 kind | u32 checksum | u48 revision | (u64 ttlMs | 8 bytes lease, as the kind says) | value
 *
 * Little-endian. Kinds: 1 nothing before the value, 2 with a time to live, 3 with a lease. The checksum is CRC-32 over
 * key, value, kind, revision and what follows it, in this order: the caller's CRC-32 of key and value, which came with
 * the command, carried on over the header, so that the value is not read again when it is applied and still no bit of
 * it or of its header can change unseen.
 */
import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { LogIndex } from '../raft/types.js'
import { type Expiry, LEASE_BYTES } from '../wire/command.js'

/** A value and the log index of its last change. */
export interface StoredValue {
  readonly value: Buffer
  readonly revision: LogIndex
  /** When it goes by itself; undefined when it does not. */
  readonly expiry?: Expiry
}

/** Bytes before a value that stays. */
export const VALUE_HEADER_BYTES = 11
/** Bytes before a value that goes by itself. */
export const EXPIRING_HEADER_BYTES: number = VALUE_HEADER_BYTES + LEASE_BYTES
/** On disk: what is between the revision and the value: nothing, a time, a lease. */
const INLINE = 1
const WITH_TTL = 2
const WITH_LEASE = 3

/** The table of the reflected CRC-32 polynomial, for the seven bytes that are not worth a call into zlib. */
const CRC_TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/** Carries the CRC-32 of key and value on over kind and revision. */
function sealed(checksum: number, kind: number, revision: LogIndex): number {
  let crc = step(~checksum, kind)
  let rest = revision % 0x1_0000_0000
  for (let i = 0; i < 4; i++, rest >>>= 8) crc = step(crc, rest)
  rest = Math.floor(revision / 0x1_0000_0000)
  for (let i = 0; i < 2; i++, rest >>>= 8) crc = step(crc, rest)
  return ~crc >>> 0
}

function step(crc: number, byte: number): number {
  return (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!
}

/** Writes the header of an inline value and returns its checksum; `checksum` is CRC-32 of key and value. */
export function writeValueHeader(target: Buffer, checksum: number, revision: LogIndex): number {
  const seal = sealed(checksum, INLINE, revision)
  target[0] = INLINE
  target.writeUInt32LE(seal, 1)
  target.writeUIntLE(revision, 5, 6)
  return seal
}

/** A value as it is to be stored, in memory of its own; `checksum` is CRC-32 of key and value. */
export function makeStoredValue(
  value: Uint8Array,
  checksum: number,
  revision: LogIndex,
  expiry: Expiry | undefined,
): { stored: Buffer; seal: number } {
  const start = expiry === undefined ? VALUE_HEADER_BYTES : EXPIRING_HEADER_BYTES
  const stored = Buffer.allocUnsafe(start + value.length)
  stored.set(value, start)
  const seal =
    expiry === undefined
      ? writeValueHeader(stored, checksum, revision)
      : writeExpiringHeader(stored, checksum, revision, expiry)
  return { stored, seal }
}

/** Writes the header of a value that goes by itself, and returns its checksum; `checksum` as of `writeValueHeader`. */
export function writeExpiringHeader(
  target: Buffer,
  checksum: number,
  revision: LogIndex,
  expiry: Expiry,
): number {
  const kind = expiry.type === 'ttl' ? WITH_TTL : WITH_LEASE
  if (expiry.type === 'ttl') writeU64(target, expiry.ttlMs, VALUE_HEADER_BYTES)
  else target.set(expiry.lease, VALUE_HEADER_BYTES)
  let crc = ~sealed(checksum, kind, revision)
  for (let i = VALUE_HEADER_BYTES; i < EXPIRING_HEADER_BYTES; i++) crc = step(crc, target[i]!)
  const seal = ~crc >>> 0
  target[0] = kind
  target.writeUInt32LE(seal, 1)
  target.writeUIntLE(revision, 5, 6)
  return seal
}

/**
 * Checks and takes apart what is stored under `key`; the value views `bytes`.
 * @throws {StoreError} QUORATE_CORRUPTION when the checksum does not fit; QUORATE_FORMAT for a kind of a newer
 *   version.
 */
export function readStoredValue(key: Uint8Array, bytes: Buffer): StoredValue {
  if (bytes.length < VALUE_HEADER_BYTES) throw corrupt(key)
  const kind = bytes[0]!
  if (kind === WITH_TTL || kind === WITH_LEASE) return readExpiring(key, bytes, kind)
  const revision = bytes.readUIntLE(5, 6)
  const value = bytes.subarray(VALUE_HEADER_BYTES)
  if (bytes.readUInt32LE(1) !== sealed(crc32(value, crc32(key)), kind, revision)) throw corrupt(key)
  if (kind !== INLINE) {
    throw new StoreError('QUORATE_FORMAT', `value of unknown kind ${kind} under ${shown(key)}`)
  }
  return { value, revision }
}

function readExpiring(key: Uint8Array, bytes: Buffer, kind: number): StoredValue {
  if (bytes.length < EXPIRING_HEADER_BYTES) throw corrupt(key)
  const revision = bytes.readUIntLE(5, 6)
  const value = bytes.subarray(EXPIRING_HEADER_BYTES)
  let crc = ~sealed(crc32(value, crc32(key)), kind, revision)
  for (let i = VALUE_HEADER_BYTES; i < EXPIRING_HEADER_BYTES; i++) crc = step(crc, bytes[i]!)
  if (bytes.readUInt32LE(1) !== ~crc >>> 0) throw corrupt(key)
  if (kind === WITH_LEASE) {
    const lease = bytes.subarray(VALUE_HEADER_BYTES, EXPIRING_HEADER_BYTES)
    return { value, revision, expiry: { type: 'lease', lease } }
  }
  const ttlMs = readU64(bytes, VALUE_HEADER_BYTES)
  if (ttlMs === undefined) throw corrupt(key)
  return { value, revision, expiry: { type: 'ttl', ttlMs } }
}

function corrupt(key: Uint8Array): StoreError {
  return new StoreError('QUORATE_CORRUPTION', `checksum mismatch of the value under ${shown(key)}`)
}

function shown(key: Uint8Array): string {
  return `key 0x${Buffer.from(key.subarray(0, 64)).toString('hex')}`
}
