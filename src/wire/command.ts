/**
 * The bytes of a log entry: the requests of one turn of the event loop, packed (design D4).
 *
 *   entry    u8 version = 1 | request*
 *   request  u32 bytes after this field | u64 clientId (opaque) | u64 seq | u64 floor | u64 base
 *            | u32 commandCount | command*
 *   put      u8 1 | u32 checksum | u32 keyBytes | u32 valueBytes | key | value
 *   del      u8 2 | u32 keyBytes | key
 *   batch    u8 3 | u32 operationCount | (put | del)*
 *
 * All integers are little-endian. A command is atomic; a request is the unit of exactly-once: `seq` counts the
 * client's requests from 1, everything below `floor` has been answered, `base` is a log index known to the
 * client when it began (see machine/sessions.ts). The checksum is CRC-32 of key and value and travels with
 * the value from the caller to whoever reads it (design D10).
 *
 * On disk and on the wire: never change the meaning of a number here, add new ones.
 */
import { crc32 } from 'node:zlib'
import { asBuffer, readU64, writeU64 } from '../base/bytes.js'

/** On disk: the format of an entry's data. */
export const ENTRY_VERSION = 1
/** Bytes of a request before its first command. */
export const REQUEST_HEADER_BYTES = 40

const PUT = 1
const DEL = 2
const BATCH = 3
const PUT_HEADER_BYTES = 13
const DEL_HEADER_BYTES = 5
const BATCH_HEADER_BYTES = 5

/** The largest key, in bytes. */
export const KEY_BYTES_MAX = 65_536

/** One change inside a command. */
export type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

/** The bytes that `operation` takes inside a request. */
export function operationBytes(operation: Operation): number {
  return operation.type === 'put'
    ? PUT_HEADER_BYTES + operation.key.length + operation.value.length
    : DEL_HEADER_BYTES + operation.key.length
}

/** The bytes that `operations` take as one atomic command: alone as they are, several as a batch. */
export function commandBytes(operations: readonly Operation[]): number {
  let bytes = operations.length === 1 ? 0 : BATCH_HEADER_BYTES
  for (const operation of operations) bytes += operationBytes(operation)
  return bytes
}

/**
 * Collects the commands of one request. The buffer grows by doubling; `finish` returns a view of it and
 * leaves the writer unusable, so the bytes are never copied again before the entry is packed.
 */
export class RequestWriter {
  #buffer: Buffer
  #length = REQUEST_HEADER_BYTES
  #commandCount = 0

  constructor(capacityBytes: number) {
    this.#buffer = Buffer.allocUnsafe(Math.max(capacityBytes, REQUEST_HEADER_BYTES + 64))
  }

  /** Bytes of the request so far. */
  get bytes(): number {
    return this.#length
  }

  get commandCount(): number {
    return this.#commandCount
  }

  /** Adds a put as a command of its own. */
  put(key: Uint8Array, value: Uint8Array): void {
    this.#reserve(PUT_HEADER_BYTES + key.length + value.length)
    this.#writePut(key, value)
    this.#commandCount++
  }

  /** Adds a delete as a command of its own. */
  del(key: Uint8Array): void {
    this.#reserve(DEL_HEADER_BYTES + key.length)
    this.#writeDel(key)
    this.#commandCount++
  }

  /** Adds `operations` as one atomic command. */
  batch(operations: readonly Operation[]): void {
    this.#reserve(BATCH_HEADER_BYTES + commandBytes(operations))
    this.#buffer[this.#length] = BATCH
    this.#buffer.writeUInt32LE(operations.length, this.#length + 1)
    this.#length += BATCH_HEADER_BYTES
    for (const operation of operations) {
      if (operation.type === 'put') this.#writePut(operation.key, operation.value)
      else this.#writeDel(operation.key)
    }
    this.#commandCount++
  }

  /** The bytes of the command that was added between two values of `bytes`; they change with the writer. */
  view(start: number, end: number): Buffer {
    return this.#buffer.subarray(start, end)
  }

  /** Adds the bytes of one command that another writer made. */
  copy(command: Buffer): void {
    this.#reserve(command.length)
    this.#buffer.set(command, this.#length)
    this.#length += command.length
    this.#commandCount++
  }

  /** The finished request. `clientId` is 8 bytes. */
  finish(clientId: Uint8Array, seq: number, floor: number, base: number): Buffer {
    const buffer = this.#buffer
    buffer.writeUInt32LE(this.#length - 4, 0)
    writeRequestHeader(buffer, clientId, seq, floor, base)
    buffer.writeUInt32LE(this.#commandCount, 36)
    return buffer.subarray(0, this.#length)
  }

  #writePut(key: Uint8Array, value: Uint8Array): void {
    const buffer = this.#buffer
    const start = this.#length
    const keyStart = start + PUT_HEADER_BYTES
    const end = keyStart + key.length + value.length
    buffer[start] = PUT
    buffer.writeUInt32LE(key.length, start + 5)
    buffer.writeUInt32LE(value.length, start + 9)
    buffer.set(key, keyStart)
    buffer.set(value, keyStart + key.length)
    buffer.writeUInt32LE(crc32(buffer.subarray(keyStart, end)), start + 1)
    this.#length = end
  }

  #writeDel(key: Uint8Array): void {
    const buffer = this.#buffer
    const start = this.#length
    buffer[start] = DEL
    buffer.writeUInt32LE(key.length, start + 1)
    buffer.set(key, start + DEL_HEADER_BYTES)
    this.#length = start + DEL_HEADER_BYTES + key.length
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/** A copy of a finished request under another client and number. */
export function renumberRequest(
  request: Buffer,
  clientId: Uint8Array,
  seq: number,
  floor: number,
  base: number,
): Buffer {
  const copy = Buffer.from(request)
  writeRequestHeader(copy, clientId, seq, floor, base)
  return copy
}

/** Packs requests into the data of one entry. */
export function packEntry(requests: readonly Uint8Array[]): Buffer {
  let bytes = 1
  for (const request of requests) bytes += request.length
  const data = Buffer.allocUnsafe(bytes)
  data[0] = ENTRY_VERSION
  let offset = 1
  for (const request of requests) {
    data.set(request, offset)
    offset += request.length
  }
  return data
}

/** The header of a request. `clientId` views the entry's bytes. */
export interface RequestHeader {
  readonly clientId: Buffer
  readonly seq: number
  readonly floor: number
  readonly base: number
  readonly commandCount: number
}

/** What a visitor of an entry's commands is told; byte arguments view the entry's bytes. */
export interface CommandVisitor {
  put(key: Buffer, value: Buffer, checksum: number): void
  del(key: Buffer): void
}

/** Why bytes were refused by a decoder; never thrown for bytes that this version wrote. */
export class DecodeError extends Error {
  override readonly name: string = 'DecodeError'
}

/**
 * Reads the header of a request that starts at `offset` and checks that it lies within `data`.
 * @throws {DecodeError} when the bytes cannot be a request.
 */
export function readRequestHeader(data: Buffer, offset: number): RequestHeader & { end: number } {
  if (offset + REQUEST_HEADER_BYTES > data.length) throw new DecodeError('request header cut short')
  const end = offset + 4 + data.readUInt32LE(offset)
  const seq = readU64(data, offset + 12)
  const floor = readU64(data, offset + 20)
  const base = readU64(data, offset + 28)
  if (end > data.length || end < offset + REQUEST_HEADER_BYTES) {
    throw new DecodeError('request length out of bounds')
  }
  if (seq === undefined || floor === undefined || base === undefined) {
    throw new DecodeError('request number beyond the safe integers')
  }
  if (seq < 1 || floor < 1 || floor > seq) throw new DecodeError('request seq and floor disagree')
  return {
    clientId: data.subarray(offset + 4, offset + 12),
    seq,
    floor,
    base,
    commandCount: data.readUInt32LE(offset + 36),
    end,
  }
}

/**
 * Walks the commands of the request that starts at `offset`, in order.
 * @throws {DecodeError} when the bytes cannot be commands; earlier ones have then been visited, so validate
 *   what comes from outside with `validateRequest` before it is proposed.
 */
export function visitCommands(
  data: Buffer,
  offset: number,
  header: { readonly commandCount: number; readonly end: number },
  visitor: CommandVisitor,
): void {
  let at = offset + REQUEST_HEADER_BYTES
  for (let i = 0; i < header.commandCount; i++) {
    const kind = byteAt(data, at, header.end)
    if (kind === BATCH) {
      const count = u32At(data, at + 1, header.end)
      at += BATCH_HEADER_BYTES
      for (let j = 0; j < count; j++) {
        at = visitOperation(data, at, byteAt(data, at, header.end), header.end, visitor)
      }
    } else {
      at = visitOperation(data, at, kind, header.end, visitor)
    }
  }
  if (at !== header.end) throw new DecodeError('bytes left over after the last command')
}

/** Calls `visit` for each request of an entry's data with its offset; empty data has none (a no-op entry). */
export function visitRequests(
  data: Buffer,
  visit: (header: RequestHeader & { end: number }, offset: number) => void,
): void {
  if (data.length === 0) return
  if (data[0] !== ENTRY_VERSION) throw new DecodeError(`unknown entry version ${data[0]}`)
  let offset = 1
  while (offset < data.length) {
    const header = readRequestHeader(data, offset)
    visit(header, offset)
    offset = header.end
  }
}

const IGNORE: CommandVisitor = { put() {}, del() {} }

/**
 * Checks a request that came from outside: structure, key lengths, value lengths and every checksum.
 * @throws {DecodeError} saying what is wrong.
 */
export function validateRequest(bytes: Uint8Array, maxValueBytes: number): RequestHeader {
  const data = asBuffer(bytes)
  const header = readRequestHeader(data, 0)
  if (header.end !== data.length) throw new DecodeError('request length disagrees with its frame')
  visitCommands(data, 0, header, IGNORE)
  visitCommands(data, 0, header, {
    put(key, value, checksum) {
      checkKey(key)
      if (value.length > maxValueBytes) throw new DecodeError('value over the limit')
      if (crc32(value, crc32(key)) !== checksum) throw new DecodeError('value checksum mismatch')
    },
    del: checkKey,
  })
  return header
}

function writeRequestHeader(
  request: Buffer,
  clientId: Uint8Array,
  seq: number,
  floor: number,
  base: number,
): void {
  request.set(clientId, 4)
  writeU64(request, seq, 12)
  writeU64(request, floor, 20)
  writeU64(request, base, 28)
}

function checkKey(key: Buffer): void {
  if (key.length === 0 || key.length > KEY_BYTES_MAX)
    throw new DecodeError('key length out of bounds')
}

function visitOperation(
  data: Buffer,
  at: number,
  kind: number,
  end: number,
  visitor: CommandVisitor,
): number {
  if (kind === PUT) {
    const checksum = u32At(data, at + 1, end)
    const keyStart = at + PUT_HEADER_BYTES
    const keyEnd = keyStart + u32At(data, at + 5, end)
    const valueEnd = keyEnd + u32At(data, at + 9, end)
    if (valueEnd > end) throw new DecodeError('put cut short')
    visitor.put(data.subarray(keyStart, keyEnd), data.subarray(keyEnd, valueEnd), checksum)
    return valueEnd
  }
  if (kind === DEL) {
    const keyStart = at + DEL_HEADER_BYTES
    const keyEnd = keyStart + u32At(data, at + 1, end)
    if (keyEnd > end) throw new DecodeError('del cut short')
    visitor.del(data.subarray(keyStart, keyEnd))
    return keyEnd
  }
  throw new DecodeError(`unknown command kind ${kind}`)
}

function byteAt(data: Buffer, at: number, end: number): number {
  if (at >= end) throw new DecodeError('command cut short')
  return data[at]!
}

function u32At(data: Buffer, at: number, end: number): number {
  if (at + 4 > end) throw new DecodeError('command cut short')
  return data.readUInt32LE(at)
}
