/**
 * A value as it lies in the database, with its own proof (design D10; docs/formats.md).
 *
 *   u8 kind | u32 checksum | u48 revision | (u64 ttlMs | 8 bytes lease, as the kind says) | value
 *
 * Little-endian. Kinds: 1 nothing before the value, 2 with a time to live, 3 with a lease; 4, 5, 6 are the same of a
 * coded value, which lies in shards: what is stored is its manifest (wire/manifest.ts). The checksum is CRC-32 over
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
  /** Of a coded value its manifest. */
  readonly value: Buffer
  readonly revision: LogIndex
  /** When it goes by itself; undefined when it does not. */
  readonly expiry?: Expiry
  /** The value lies in shards. */
  readonly isCoded?: true
}

/** What a put says about a value, with the CRC-32 of its key and value. */
export interface ValueToStore {
  readonly value: Uint8Array
  readonly checksum: number
  readonly expiry?: Expiry
  readonly coded?: true
}

/** Bytes before a value that stays. */
export const VALUE_HEADER_BYTES = 11
/** Bytes before a value that goes by itself. */
export const EXPIRING_HEADER_BYTES: number = VALUE_HEADER_BYTES + LEASE_BYTES
/** On disk: what is between the revision and the value: nothing, a time, a lease; greater by CODED of a coded value. */
const INLINE = 1
const WITH_TTL = 2
const WITH_LEASE = 3
const CODED = 3

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
  return writeHeader(target, INLINE, sealed(checksum, INLINE, revision), revision)
}

/** A value as it is to be stored, in memory of its own, and the checksum in its header. */
export function makeStoredValue(
  { value, checksum, expiry, coded }: ValueToStore,
  revision: LogIndex,
): { stored: Buffer; seal: number } {
  const start = expiry === undefined ? VALUE_HEADER_BYTES : EXPIRING_HEADER_BYTES
  const stored = Buffer.allocUnsafe(start + value.length)
  stored.set(value, start)
  const kind = kindOf(expiry) + (coded ? CODED : 0)
  if (expiry?.type === 'ttl') writeU64(stored, expiry.ttlMs, VALUE_HEADER_BYTES)
  else if (expiry !== undefined) stored.set(expiry.lease, VALUE_HEADER_BYTES)
  const seal = sealedOver(sealed(checksum, kind, revision), stored, start)
  return { stored, seal: writeHeader(stored, kind, seal, revision) }
}

function writeHeader(target: Buffer, kind: number, seal: number, revision: LogIndex): number {
  target[0] = kind
  target.writeUInt32LE(seal, 1)
  target.writeUIntLE(revision, 5, 6)
  return seal
}

/** Carries a checksum on over what is between the revision and the value, which begins at `valueStart`. */
function sealedOver(checksum: number, bytes: Buffer, valueStart: number): number {
  let crc = ~checksum
  for (let i = VALUE_HEADER_BYTES; i < valueStart; i++) crc = step(crc, bytes[i]!)
  return ~crc >>> 0
}

function kindOf(expiry: Expiry | undefined): number {
  if (expiry === undefined) return INLINE
  return expiry.type === 'ttl' ? WITH_TTL : WITH_LEASE
}

/**
 * Checks and takes apart what is stored under `key`; the value views `bytes`.
 * @throws {StoreError} QUORATE_CORRUPTION when the checksum does not fit; QUORATE_FORMAT for a kind of a newer
 *   version.
 */
export function readStoredValue(key: Uint8Array, bytes: Buffer): StoredValue {
  if (bytes.length < VALUE_HEADER_BYTES) throw corrupt(key)
  const kind = bytes[0]!
  if (kind !== INLINE) return readOther(key, bytes, kind)
  const revision = bytes.readUIntLE(5, 6)
  const value = bytes.subarray(VALUE_HEADER_BYTES)
  if (bytes.readUInt32LE(1) !== sealed(crc32(value, crc32(key)), kind, revision)) throw corrupt(key)
  return { value, revision }
}

/** Whether what is stored is a coded value, by its kind alone. */
export function isCodedRecord(bytes: Uint8Array): boolean {
  return bytes[0]! > CODED
}

function readOther(key: Uint8Array, bytes: Buffer, kind: number): StoredValue {
  const isCoded = kind > CODED && kind <= CODED + WITH_LEASE
  const rest = isCoded ? kind - CODED : kind
  const isExpiring = rest === WITH_TTL || rest === WITH_LEASE
  const start = isExpiring ? EXPIRING_HEADER_BYTES : VALUE_HEADER_BYTES
  if (bytes.length < start) throw corrupt(key)
  const revision = bytes.readUIntLE(5, 6)
  const value = bytes.subarray(start)
  const seal = sealedOver(sealed(crc32(value, crc32(key)), kind, revision), bytes, start)
  if (bytes.readUInt32LE(1) !== seal) throw corrupt(key)
  if (!isCoded && !isExpiring) {
    throw new StoreError('QUORATE_FORMAT', `value of unknown kind ${kind} under ${shown(key)}`)
  }
  const stored = isCoded ? { value, revision, isCoded } : { value, revision }
  return isExpiring ? { ...stored, expiry: readExpiry(key, bytes, rest) } : stored
}

function readExpiry(key: Uint8Array, bytes: Buffer, kind: number): Expiry {
  if (kind === WITH_LEASE) {
    return { type: 'lease', lease: bytes.subarray(VALUE_HEADER_BYTES, EXPIRING_HEADER_BYTES) }
  }
  const ttlMs = readU64(bytes, VALUE_HEADER_BYTES)
  if (ttlMs === undefined) throw corrupt(key)
  return { type: 'ttl', ttlMs }
}

function corrupt(key: Uint8Array): StoreError {
  return new StoreError('QUORATE_CORRUPTION', `checksum mismatch of the value under ${shown(key)}`)
}

function shown(key: Uint8Array): string {
  return `key 0x${Buffer.from(key.subarray(0, 64)).toString('hex')}`
}
