/**
 * Reads commands (layout: command-bytes.ts). Plain ones are visited, without an object for each: the hot path of
 * applying. The others are read as objects. Nothing is copied: keys and values view the entry's bytes.
 */
import { readU64 } from '../base/bytes.js'
import type { KeyRange } from '../env/database.js'
import {
  type Attachment,
  type Clear,
  type Command,
  type Compare,
  DecodeError,
  type Del,
  type DueKey,
  type DueLease,
  type Expiry,
  LEASE_BYTES,
  type Put,
} from './command.js'
import {
  BATCH,
  CLEAR,
  COMPARES,
  DEL,
  DEL_HEADER_BYTES,
  EXCLUSIVE_LOWER,
  EXPIRE,
  EXPIRY_BYTES,
  FORGET,
  GRANT,
  INCLUSIVE_UPPER,
  KEEP_ALIVE,
  LIST_HEADER_BYTES,
  MIXED,
  NO_UPPER,
  PUT,
  PUT_CODED,
  PUT_CODED_LEASE,
  PUT_CODED_TTL,
  PUT_HEADER_BYTES,
  PUT_LEASE,
  PUT_TTL,
  RESPREAD,
  RETAIN,
  RETAINED,
  REVOKE,
  ROOT_BYTES,
  TXN,
} from './command-bytes.js'
import { BLOB_ID_BYTES, readBlobId } from './manifest.js'

/** A put as it was read, with the checksum that its caller computed. */
export type ReadPut = Put & { readonly checksum: number }
/** One change as it was read. */
export type ReadOperation = ReadPut | Del | Clear
/** A command as it was read. */
export type ReadCommand = Command<ReadOperation>

/** What a visitor of plain commands is told; byte arguments view the entry's bytes. */
export interface CommandVisitor {
  /** `ttlMs` is 0 for a value that stays. */
  put(key: Buffer, value: Buffer, checksum: number, ttlMs: number): void
  del(key: Buffer): void
}

/** Visits the plain command that begins at `start`, and returns where it ends. @throws {DecodeError} */
export function visitCommand(
  data: Buffer,
  start: number,
  end: number,
  visitor: CommandVisitor,
): number {
  const kind = byteAt(data, start, end)
  if (kind !== BATCH) return visitOperation(data, start, kind, end, visitor)
  const count = u32At(data, start + 1, end)
  let at = start + LIST_HEADER_BYTES
  for (let i = 0; i < count; i++) {
    at = visitOperation(data, at, byteAt(data, at, end), end, visitor)
  }
  return at
}

function visitOperation(
  data: Buffer,
  at: number,
  kind: number,
  end: number,
  visitor: CommandVisitor,
): number {
  if (kind === DEL) return visitDel(data, at, end, visitor)
  if (kind !== PUT && kind !== PUT_TTL) throw new DecodeError(`unknown command kind ${kind}`)
  const checksum = u32At(data, at + 1, end)
  const keyStart = at + PUT_HEADER_BYTES + (kind === PUT ? 0 : EXPIRY_BYTES)
  const keyEnd = keyStart + u32At(data, at + 5, end)
  const valueEnd = keyEnd + u32At(data, at + 9, end)
  if (valueEnd > end) throw new DecodeError('put cut short')
  const ttlMs = kind === PUT ? 0 : ttlAt(data, at + PUT_HEADER_BYTES)
  visitor.put(data.subarray(keyStart, keyEnd), data.subarray(keyEnd, valueEnd), checksum, ttlMs)
  return valueEnd
}

function visitDel(data: Buffer, at: number, end: number, visitor: CommandVisitor): number {
  const keyStart = at + DEL_HEADER_BYTES
  const keyEnd = keyStart + u32At(data, at + 1, end)
  if (keyEnd > end) throw new DecodeError('del cut short')
  visitor.del(data.subarray(keyStart, keyEnd))
  return keyEnd
}

function ttlAt(data: Buffer, at: number): number {
  const ttlMs = readU64(data, at)
  if (ttlMs === undefined || ttlMs === 0) throw new DecodeError('time to live out of bounds')
  return ttlMs
}

function byteAt(data: Buffer, at: number, end: number): number {
  if (at >= end) throw new DecodeError('command cut short')
  return data[at]!
}

function u32At(data: Buffer, at: number, end: number): number {
  if (at + 4 > end) throw new DecodeError('command cut short')
  return data.readUInt32LE(at)
}

/** Reads commands one after the other. Each method throws DecodeError for what cannot be one. */
export class CommandReader {
  readonly #data: Buffer
  readonly #end: number
  #at: number

  /** Reads the bytes from `start` to `end`. */
  constructor(data: Buffer, start: number, end: number) {
    this.#data = data
    this.#at = start
    this.#end = end
  }

  /** Where the next command begins. */
  get position(): number {
    return this.#at
  }

  /** The next command of any kind. */
  next(): ReadCommand {
    const kind = this.#u8()
    switch (kind) {
      case BATCH:
      case MIXED:
        return { type: 'write', operations: this.#operations(this.#u32()) }
      case TXN:
        return this.#txn()
      case GRANT:
        return { type: 'grant', lease: this.#bytes(LEASE_BYTES), ttlMs: this.#ttl() }
      case KEEP_ALIVE:
        return { type: 'keepAlive', lease: this.#bytes(LEASE_BYTES) }
      case REVOKE:
        return { type: 'revoke', lease: this.#bytes(LEASE_BYTES) }
      case EXPIRE:
        return this.#expire()
      case RESPREAD:
        return this.#respread()
      case FORGET:
        return { type: 'forget', keys: this.#list(this.#u32(), () => this.#key()) }
      case RETAIN:
        return { type: 'retain', dataShards: this.#u8() }
      case RETAINED:
        return { type: 'retained', index: this.#u64(), root: this.#bytes(ROOT_BYTES) }
      default:
        return { type: 'write', operations: [this.#operation(kind)] }
    }
  }

  #txn(): ReadCommand {
    const [compares, then, otherwise] = [this.#u32(), this.#u32(), this.#u32()]
    return {
      type: 'txn',
      compares: this.#list(compares, () => this.#compare()),
      then: this.#operations(then),
      else: this.#operations(otherwise),
    }
  }

  #expire(): ReadCommand {
    const [keys, leases, detached] = [this.#u32(), this.#u32(), this.#u32()]
    return {
      type: 'expire',
      keys: this.#list(keys, (): DueKey => {
        const length = this.#u32()
        return { revision: this.#u64(), key: this.#bytes(length) }
      }),
      leases: this.#list(leases, (): DueLease => {
        return { lease: this.#bytes(LEASE_BYTES), generation: this.#u64() }
      }),
      detached: this.#list(detached, (): Attachment => {
        return { lease: this.#bytes(LEASE_BYTES), key: this.#key() }
      }),
    }
  }

  #respread(): ReadCommand {
    const expected = readBlobId(this.#bytes(BLOB_ID_BYTES), 0)
    if (this.#u8() !== PUT_CODED) throw new DecodeError('a respread puts a coded value')
    return { type: 'respread', expected, put: this.#put(PUT_CODED) }
  }

  #operations(count: number): ReadOperation[] {
    return this.#list(count, () => this.#operation(this.#u8()))
  }

  #operation(kind: number): ReadOperation {
    switch (kind) {
      case PUT:
      case PUT_TTL:
      case PUT_LEASE:
      case PUT_CODED:
      case PUT_CODED_TTL:
      case PUT_CODED_LEASE:
        return this.#put(kind)
      case DEL:
        return { type: 'del', key: this.#key() }
      case CLEAR:
        return this.#clear()
      default:
        throw new DecodeError(`unknown command kind ${kind}`)
    }
  }

  #put(kind: number): ReadPut {
    const [checksum, keyBytes, valueBytes] = [this.#u32(), this.#u32(), this.#u32()]
    const expiry = this.#expiry(kind)
    const [key, value] = [this.#bytes(keyBytes), this.#bytes(valueBytes)]
    const put = { type: 'put' as const, key, value, checksum, ...(expiry && { expiry }) }
    return kind >= PUT_CODED ? { ...put, coded: true } : put
  }

  #expiry(kind: number): Expiry | undefined {
    if (kind === PUT || kind === PUT_CODED) return undefined
    if (kind === PUT_TTL || kind === PUT_CODED_TTL) return { type: 'ttl', ttlMs: this.#ttl() }
    return { type: 'lease', lease: this.#bytes(LEASE_BYTES) }
  }

  #clear(): Clear {
    const range = this.#range()
    const order = this.#u8()
    if (order > 1) throw new DecodeError('unknown order of a clear')
    const limit = this.#u32()
    return {
      type: 'clear',
      range,
      reverse: order === 1,
      limit: limit === 0 ? Number.POSITIVE_INFINITY : limit,
    }
  }

  #compare(): Compare {
    const type = COMPARES[this.#u8()]
    switch (type) {
      case 'revision': {
        const revision = this.#u64()
        return { type, revision, key: this.#key() }
      }
      case 'exists':
      case 'absent':
        return { type, key: this.#key() }
      case 'value': {
        const [keyBytes, valueBytes] = [this.#u32(), this.#u32()]
        return { type, key: this.#bytes(keyBytes), value: this.#bytes(valueBytes) }
      }
      case 'empty':
        return { type, range: this.#range() }
      default:
        throw new DecodeError('unknown compare')
    }
  }

  #range(): KeyRange {
    const flags = this.#u8()
    const hasNoUpper = (flags & NO_UPPER) !== 0
    const [lowerBytes, upperBytes] = [this.#u32(), this.#u32()]
    const isSound = flags < NO_UPPER || (flags & INCLUSIVE_UPPER) === 0
    if (flags > 7 || !isSound || (hasNoUpper && upperBytes > 0)) {
      throw new DecodeError('malformed range')
    }
    const [lower, upper] = [this.#bytes(lowerBytes), this.#bytes(upperBytes)]
    return {
      ...((flags & EXCLUSIVE_LOWER) === 0 ? { gte: lower } : { gt: lower }),
      ...(hasNoUpper ? {} : (flags & INCLUSIVE_UPPER) === 0 ? { lt: upper } : { lte: upper }),
    }
  }

  /** A count costs nothing before its items are there: each takes at least a byte. */
  #list<T>(count: number, read: () => T): T[] {
    const items: T[] = []
    for (let i = 0; i < count; i++) items.push(read())
    return items
  }

  #key(): Buffer {
    return this.#bytes(this.#u32())
  }

  #ttl(): number {
    const at = this.#skip(8)
    return ttlAt(this.#data, at)
  }

  #u8(): number {
    return this.#data[this.#skip(1)]!
  }

  #u32(): number {
    return this.#data.readUInt32LE(this.#skip(4))
  }

  #u64(): number {
    const value = readU64(this.#data, this.#skip(8))
    if (value === undefined) throw new DecodeError('number beyond the safe integers')
    return value
  }

  #bytes(length: number): Buffer {
    const at = this.#skip(length)
    return this.#data.subarray(at, at + length)
  }

  #skip(bytes: number): number {
    const at = this.#at
    if (bytes > this.#end - at) throw new DecodeError('command cut short')
    this.#at = at + bytes
    return at
  }
}
