/**
 * The bytes of commands, and how they are written; read-command.ts reads them.
 *
 *   put        u8 1 | u32 checksum | u32 keyBytes | u32 valueBytes | key | value
 *   del        u8 2 | u32 keyBytes | key
 *   batch      u8 3 | u32 count | (put | del | putTtl)*
 *   putTtl     u8 4 | u32 checksum | u32 keyBytes | u32 valueBytes | u64 ttlMs | key | value
 *   putLease   u8 5 | u32 checksum | u32 keyBytes | u32 valueBytes | 8 lease | key | value
 *   clear      u8 6 | range | u8 reverse | u32 limit (0: none)
 *   mixed      u8 7 | u32 count | operation*                       a batch with others in it
 *   txn        u8 8 | u32 compares | u32 then | u32 else | compare* | operation* | operation*
 *   grant      u8 9 | 8 lease | u64 ttlMs
 *   keepAlive  u8 10 | 8 lease
 *   revoke     u8 11 | 8 lease
 *   expire     u8 12 | u32 keys | u32 leases | u32 detached | (u32 keyBytes | u64 revision | key)*
 *              | (8 lease | u64 generation)* | (8 lease | u32 keyBytes | key)*
 *   putCoded, putCodedTtl, putCodedLease   u8 13, 14, 15 | as put, putTtl, putLease; the value is a manifest
 *   respread   u8 16 | 24 expected blobId | putCoded
 *   forget     u8 17 | u32 keys | (u32 keyBytes | key)*
 *   retain     u8 18 | u8 dataShards
 *   retained   u8 19 | u64 index | 8 root
 *
 *   range      u8 flags (1: gt, else gte; 2: lte, else lt; 4: no upper bound) | u32 lowerBytes | u32 upperBytes
 *              | lower | upper
 *   compare    u8 1 | u64 revision | u32 keyBytes | key            revision
 *              u8 2, 3 | u32 keyBytes | key                        exists, absent
 *              u8 4 | u32 keyBytes | u32 valueBytes | key | value  value
 *              u8 5 | range                                        empty
 *
 * All integers are little-endian. The checksum is CRC-32 of key and value and travels with the value from the caller to
 * whoever reads it (design D10). Commands of the kinds 1 to 4 are plain: what they do does not depend on the state, and
 * they are visited without an object of their own; the others are read as objects.
 *
 * On disk and on the wire: never change the meaning of a number here, add new ones.
 */
import { crc32 } from 'node:zlib'
import { unreachable } from '../base/assert.js'
import { EMPTY, writeU64 } from '../base/bytes.js'
import type { KeyRange } from '../env/database.js'
import {
  CLEAR_LIMIT_MAX,
  type Clear,
  type Command,
  type Compare,
  type Expire,
  LEASE_BYTES,
  type Operation,
  type Put,
  readsState,
} from './command.js'
import { BLOB_ID_BYTES, writeBlobId } from './manifest.js'

/** What a command or an operation begins with. */
export const PUT = 1
export const DEL = 2
export const BATCH = 3
export const PUT_TTL = 4
export const PUT_LEASE = 5
export const CLEAR = 6
export const MIXED = 7
export const TXN = 8
export const GRANT = 9
export const KEEP_ALIVE = 10
export const REVOKE = 11
export const EXPIRE = 12
export const PUT_CODED = 13
export const PUT_CODED_TTL = 14
export const PUT_CODED_LEASE = 15
export const RESPREAD = 16
export const FORGET = 17
export const RETAIN = 18
export const RETAINED = 19

/** A compare begins with its position here. */
export const COMPARES = [undefined, 'revision', 'exists', 'absent', 'value', 'empty'] as const

export const PUT_HEADER_BYTES = 13
/** The root of an image. */
export const ROOT_BYTES = 8
/** A time or a lease, behind the header of a put. */
export const EXPIRY_BYTES = 8
export const DEL_HEADER_BYTES = 5
export const LIST_HEADER_BYTES = 5
const RANGE_HEADER_BYTES = 9

/** The flags of a range. */
export const EXCLUSIVE_LOWER = 1
export const INCLUSIVE_UPPER = 2
export const NO_UPPER = 4

/** Whether a command that begins with `kind` is one whose effects do not depend on the state. */
export function isPlain(kind: number): boolean {
  return kind >= PUT && kind <= PUT_TTL
}

/** The bytes that `operation` takes. */
export function operationBytes(operation: Operation): number {
  switch (operation.type) {
    case 'put': {
      const { key, value, expiry } = operation
      const bytes = PUT_HEADER_BYTES + key.length + value.length
      return expiry === undefined ? bytes : bytes + EXPIRY_BYTES
    }
    case 'del':
      return DEL_HEADER_BYTES + operation.key.length
    case 'clear':
      return 1 + rangeBytes(operation.range) + 5
    default:
      return unreachable(operation)
  }
}

/** The bytes that `operations` take as one atomic command: alone as they are, several as a batch. */
export function operationsBytes(operations: readonly Operation[]): number {
  return (operations.length === 1 ? 0 : LIST_HEADER_BYTES) + sumOf(operations)
}

/** The bytes that `command` takes. */
export function commandBytes(command: Command): number {
  switch (command.type) {
    case 'write':
      return operationsBytes(command.operations)
    case 'txn': {
      let bytes = 13 + sumOf(command.then) + sumOf(command.else)
      for (const compare of command.compares) bytes += compareBytes(compare)
      return bytes
    }
    case 'grant':
      return 1 + LEASE_BYTES + 8
    case 'keepAlive':
    case 'revoke':
      return 1 + LEASE_BYTES
    case 'expire': {
      let bytes = 13 + command.leases.length * (LEASE_BYTES + 8)
      for (const { key } of command.keys) bytes += 12 + key.length
      for (const { key } of command.detached) bytes += LEASE_BYTES + 4 + key.length
      return bytes
    }
    case 'respread':
      return 1 + BLOB_ID_BYTES + operationBytes(command.put)
    case 'forget':
      return command.keys.reduce((bytes, key) => bytes + 4 + key.length, 5)
    case 'retain':
      return 2
    case 'retained':
      return 9 + ROOT_BYTES
    default:
      return unreachable(command)
  }
}

function sumOf(operations: readonly Operation[]): number {
  let bytes = 0
  for (const operation of operations) bytes += operationBytes(operation)
  return bytes
}

function rangeBytes(range: KeyRange): number {
  const { lower, upper } = boundsOf(range)
  return RANGE_HEADER_BYTES + lower.length + upper.length
}

function compareBytes(compare: Compare): number {
  switch (compare.type) {
    case 'revision':
      return 13 + compare.key.length
    case 'exists':
    case 'absent':
      return 5 + compare.key.length
    case 'value':
      return 9 + compare.key.length + compare.value.length
    case 'empty':
      return 1 + rangeBytes(compare.range)
    default:
      return unreachable(compare)
  }
}

// Each of these writes at `at` into a buffer that is large enough, and returns where it ended.

/** Writes a put without expiry. */
export function writePut(buffer: Buffer, at: number, key: Uint8Array, value: Uint8Array): number {
  const keyStart = at + PUT_HEADER_BYTES
  const end = keyStart + key.length + value.length
  buffer[at] = PUT
  buffer.writeUInt32LE(key.length, at + 5)
  buffer.writeUInt32LE(value.length, at + 9)
  buffer.set(key, keyStart)
  buffer.set(value, keyStart + key.length)
  buffer.writeUInt32LE(crc32(buffer.subarray(keyStart, end)), at + 1)
  return end
}

/** Writes a delete. */
export function writeDel(buffer: Buffer, at: number, key: Uint8Array): number {
  buffer[at] = DEL
  buffer.writeUInt32LE(key.length, at + 1)
  buffer.set(key, at + DEL_HEADER_BYTES)
  return at + DEL_HEADER_BYTES + key.length
}

/** Writes operations as one atomic command. */
export function writeBatch(
  buffer: Buffer,
  start: number,
  operations: readonly Operation[],
): number {
  if (operations.length === 1) return writeOperation(buffer, start, operations[0]!)
  buffer[start] = operations.some(readsState) ? MIXED : BATCH
  buffer.writeUInt32LE(operations.length, start + 1)
  return writeOperations(buffer, start + LIST_HEADER_BYTES, operations)
}

/** Writes a command; its arguments are checked. @throws {RangeError} for a limit, a time or a lease out of bounds */
export function writeCommand(buffer: Buffer, at: number, command: Command): number {
  switch (command.type) {
    case 'write':
      return writeBatch(buffer, at, command.operations)
    case 'txn':
      return writeTxn(buffer, at, command)
    case 'grant':
      buffer[at] = GRANT
      writeTtl(buffer, writeLease(buffer, at + 1, command.lease), command.ttlMs)
      return at + 1 + LEASE_BYTES + 8
    case 'keepAlive':
    case 'revoke':
      buffer[at] = command.type === 'revoke' ? REVOKE : KEEP_ALIVE
      return writeLease(buffer, at + 1, command.lease)
    case 'expire':
      return writeExpire(buffer, at, command)
    case 'respread':
      buffer[at] = RESPREAD
      writeBlobId(buffer, command.expected, at + 1)
      return writeOperation(buffer, at + 1 + BLOB_ID_BYTES, command.put)
    case 'forget':
      return writeForget(buffer, at, command.keys)
    case 'retain':
      buffer[at] = RETAIN
      buffer[at + 1] = command.dataShards
      return at + 2
    case 'retained':
      buffer[at] = RETAINED
      writeU64(buffer, command.index, at + 1)
      return append(buffer, at + 9, command.root)
    default:
      return unreachable(command)
  }
}

function writeOperations(buffer: Buffer, start: number, operations: readonly Operation[]): number {
  let at = start
  for (const operation of operations) at = writeOperation(buffer, at, operation)
  return at
}

function writeOperation(buffer: Buffer, at: number, operation: Operation): number {
  switch (operation.type) {
    case 'put':
      return writeAnyPut(buffer, at, operation)
    case 'del':
      return writeDel(buffer, at, operation.key)
    case 'clear':
      return writeClear(buffer, at, operation)
    default:
      return unreachable(operation)
  }
}

function writeAnyPut(buffer: Buffer, at: number, put: Put): number {
  const { key, value, expiry, coded } = put
  const end =
    expiry === undefined ? writePut(buffer, at, key, value) : writeExpiringPut(buffer, at, put)
  if (coded) buffer[at] = CODED_KINDS[buffer[at]!]!
  return end
}

/** The kind of a put of a coded value by that of one that is not. */
const CODED_KINDS: Readonly<Record<number, number>> = {
  [PUT]: PUT_CODED,
  [PUT_TTL]: PUT_CODED_TTL,
  [PUT_LEASE]: PUT_CODED_LEASE,
}

function writeExpiringPut(buffer: Buffer, at: number, { key, value, expiry }: Put): number {
  const keyStart = at + PUT_HEADER_BYTES + EXPIRY_BYTES
  const end = keyStart + key.length + value.length
  if (expiry?.type === 'ttl') {
    buffer[at] = PUT_TTL
    writeTtl(buffer, at + PUT_HEADER_BYTES, expiry.ttlMs)
  } else {
    buffer[at] = PUT_LEASE
    writeLease(buffer, at + PUT_HEADER_BYTES, expiry!.lease)
  }
  buffer.writeUInt32LE(key.length, at + 5)
  buffer.writeUInt32LE(value.length, at + 9)
  buffer.set(key, keyStart)
  buffer.set(value, keyStart + key.length)
  buffer.writeUInt32LE(crc32(buffer.subarray(keyStart, end)), at + 1)
  return end
}

function writeClear(buffer: Buffer, at: number, { range, reverse, limit }: Clear): number {
  const isSound = limit === Number.POSITIVE_INFINITY || isWhole(limit, 1, CLEAR_LIMIT_MAX)
  if (!isSound) throw new RangeError(`a clear has a limit of 1 to ${CLEAR_LIMIT_MAX}, or none`)
  buffer[at] = CLEAR
  const end = writeRange(buffer, at + 1, range)
  buffer[end] = reverse ? 1 : 0
  buffer.writeUInt32LE(limit === Number.POSITIVE_INFINITY ? 0 : limit, end + 1)
  return end + 5
}

function writeTxn(buffer: Buffer, start: number, txn: Command & { type: 'txn' }): number {
  buffer[start] = TXN
  buffer.writeUInt32LE(txn.compares.length, start + 1)
  buffer.writeUInt32LE(txn.then.length, start + 5)
  buffer.writeUInt32LE(txn.else.length, start + 9)
  let at = start + 13
  for (const compare of txn.compares) at = writeCompare(buffer, at, compare)
  return writeOperations(buffer, writeOperations(buffer, at, txn.then), txn.else)
}

function writeCompare(buffer: Buffer, start: number, compare: Compare): number {
  buffer[start] = COMPARES.indexOf(compare.type)
  let at = start + 1
  if (compare.type === 'empty') return writeRange(buffer, at, compare.range)
  if (compare.type === 'revision') {
    if (!isWhole(compare.revision, 0, Number.MAX_SAFE_INTEGER)) {
      throw new RangeError('a revision is a log index, or 0')
    }
    writeU64(buffer, compare.revision, at)
    at += 8
  }
  const { key } = compare
  buffer.writeUInt32LE(key.length, at)
  if (compare.type !== 'value') return append(buffer, at + 4, key)
  buffer.writeUInt32LE(compare.value.length, at + 4)
  return append(buffer, append(buffer, at + 8, key), compare.value)
}

function writeExpire(buffer: Buffer, start: number, { keys, leases, detached }: Expire): number {
  buffer[start] = EXPIRE
  buffer.writeUInt32LE(keys.length, start + 1)
  buffer.writeUInt32LE(leases.length, start + 5)
  buffer.writeUInt32LE(detached.length, start + 9)
  let at = start + 13
  for (const { key, revision } of keys) {
    buffer.writeUInt32LE(key.length, at)
    writeU64(buffer, revision, at + 4)
    at = append(buffer, at + 12, key)
  }
  for (const { lease, generation } of leases) {
    at = writeLease(buffer, at, lease)
    writeU64(buffer, generation, at)
    at += 8
  }
  for (const { lease, key } of detached) {
    at = writeLease(buffer, at, lease)
    buffer.writeUInt32LE(key.length, at)
    at = append(buffer, at + 4, key)
  }
  return at
}

function writeForget(buffer: Buffer, start: number, keys: readonly Uint8Array[]): number {
  buffer[start] = FORGET
  buffer.writeUInt32LE(keys.length, start + 1)
  let at = start + 5
  for (const key of keys) {
    buffer.writeUInt32LE(key.length, at)
    at = append(buffer, at + 4, key)
  }
  return at
}

function writeRange(buffer: Buffer, at: number, range: KeyRange): number {
  const { flags, lower, upper } = boundsOf(range)
  buffer[at] = flags
  buffer.writeUInt32LE(lower.length, at + 1)
  buffer.writeUInt32LE(upper.length, at + 5)
  return append(buffer, append(buffer, at + RANGE_HEADER_BYTES, lower), upper)
}

function boundsOf(range: KeyRange): { flags: number; lower: Uint8Array; upper: Uint8Array } {
  const lower = range.gt ?? range.gte ?? EMPTY
  const upper = range.lte ?? range.lt ?? EMPTY
  let flags = range.gt === undefined ? 0 : EXCLUSIVE_LOWER
  if (range.lte !== undefined) flags |= INCLUSIVE_UPPER
  else if (range.lt === undefined) flags |= NO_UPPER
  return { flags, lower, upper }
}

function writeLease(buffer: Buffer, at: number, lease: Uint8Array): number {
  if (lease.length !== LEASE_BYTES) throw new RangeError(`a lease has ${LEASE_BYTES} bytes`)
  return append(buffer, at, lease)
}

function writeTtl(buffer: Buffer, at: number, ttlMs: number): void {
  if (!isWhole(ttlMs, 1, Number.MAX_SAFE_INTEGER)) {
    throw new RangeError('a time to live is a whole number of milliseconds, at least 1')
  }
  writeU64(buffer, ttlMs, at)
}

function append(buffer: Buffer, at: number, bytes: Uint8Array): number {
  buffer.set(bytes, at)
  return at + bytes.length
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}
