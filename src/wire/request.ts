/**
 * The bytes of a log entry: the requests of one turn of the event loop, packed (design D4).
 *
 *   entry    u8 version = 2 | request*
 *   request  u32 bytes after this field | u64 clientId (opaque) | u64 seq | u64 floor | u64 base
 *            | u32 commandCount | u8 flags | command*      (command-bytes.ts)
 *
 * All integers are little-endian. A command is atomic; a request is the unit of exactly-once: `seq` counts the
 * client's requests from 1, everything below `floor` has been answered, `base` is a log index known to the
 * client when it began (see machine/sessions.ts). Flags: 1 what a command does depends on the state; 2 the client wants
 * to hear when the request stands in the leader's log. The client of eight zero bytes is the leader itself.
 *
 * On disk and on the wire: never change the meaning of a number here, add new ones. Version 1 had no flags and was
 * never released.
 */
import { asBuffer, readU64, writeU64 } from '../base/bytes.js'
import { type Command, DecodeError, hasResult, type Operation } from './command.js'
import {
  commandBytes,
  DEL_HEADER_BYTES,
  isPlain,
  operationsBytes,
  PUT_HEADER_BYTES,
  writeBatch,
  writeCommand,
  writeDel,
  writePut,
} from './command-bytes.js'
import {
  CommandReader,
  type CommandVisitor,
  type ReadCommand,
  visitCommand,
} from './read-command.js'

/** On disk: the format of an entry's data. */
export const ENTRY_VERSION = 2
/** Bytes of a request before its first command. */
export const REQUEST_HEADER_BYTES = 41
/** The results of one request, in bytes: they are remembered until the client has them. */
export const RESULTS_MAX = 65_535
/** The client in the leader's own requests. */
export const OWN_CLIENT: Uint8Array = new Uint8Array(8)

const FLAGS_AT = 40
const READS_STATE = 1
const ASKS_APPENDED = 2

/**
 * Collects the commands of one request. The buffer grows by doubling; `finish` returns a view of it and
 * leaves the writer unusable, so the bytes are never copied again before the entry is packed.
 */
export class RequestWriter {
  #buffer: Buffer
  #length = REQUEST_HEADER_BYTES
  #commandCount = 0
  #resultCount = 0
  #flags = 0

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

  /** How many of the commands have a result; at most RESULTS_MAX may. */
  get resultCount(): number {
    return this.#resultCount
  }

  /** Adds a put as a command of its own. */
  put(key: Uint8Array, value: Uint8Array): void {
    this.#reserve(PUT_HEADER_BYTES + key.length + value.length)
    this.#length = writePut(this.#buffer, this.#length, key, value)
    this.#commandCount++
  }

  /** Adds a delete as a command of its own. */
  del(key: Uint8Array): void {
    this.#reserve(DEL_HEADER_BYTES + key.length)
    this.#length = writeDel(this.#buffer, this.#length, key)
    this.#commandCount++
  }

  /** Adds `operations` as one atomic command. */
  batch(operations: readonly Operation[]): void {
    this.#reserve(operationsBytes(operations))
    this.#added(writeBatch(this.#buffer, this.#length, operations))
  }

  /**
   * Adds a command of any kind.
   * @throws {RangeError} for a limit, a time or a lease out of bounds, and beyond RESULTS_MAX results; nothing was
   *   added
   */
  add(command: Command): void {
    this.#reserve(commandBytes(command))
    this.#added(writeCommand(this.#buffer, this.#length, command))
  }

  /** The bytes of the command that was added between two values of `bytes`; they change with the writer. */
  view(start: number, end: number): Buffer {
    return this.#buffer.subarray(start, end)
  }

  /** Adds the bytes of one command that another writer made. */
  copy(command: Buffer): void {
    this.#reserve(command.length)
    this.#buffer.set(command, this.#length)
    this.#added(this.#length + command.length)
  }

  /** The leader answers `appended` once the request stands in its log. */
  askForAppended(): void {
    this.#flags |= ASKS_APPENDED
  }

  /** The finished request. `clientId` is 8 bytes. */
  finish(clientId: Uint8Array, seq: number, floor: number, base: number): Buffer {
    const buffer = this.#buffer
    buffer.writeUInt32LE(this.#length - 4, 0)
    writeRequestHeader(buffer, clientId, seq, floor, base)
    buffer.writeUInt32LE(this.#commandCount, 36)
    buffer[FLAGS_AT] = this.#flags
    return buffer.subarray(0, this.#length)
  }

  /** A command stands between the length so far and `end`. */
  #added(end: number): void {
    if (!isPlain(this.#buffer[this.#length]!)) {
      const command = new CommandReader(this.#buffer, this.#length, end).next()
      const results = this.#resultCount + (hasResult(command) ? 1 : 0)
      if (results > RESULTS_MAX) throw new RangeError(`a request has up to ${RESULTS_MAX} results`)
      this.#resultCount = results
      this.#flags |= READS_STATE
    }
    this.#length = end
    this.#commandCount++
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

/** Whether the client of the finished `request` wants to hear when it stands in the leader's log. */
export function asksForAppended(request: Uint8Array): boolean {
  return (request[FLAGS_AT]! & ASKS_APPENDED) !== 0
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
  /** What one of its commands does depends on the state. */
  readonly readsState: boolean
  /** Where the request ends. */
  readonly end: number
}

/**
 * Reads the header of a request that starts at `offset` and checks that it lies within `data`.
 * @throws {DecodeError} when the bytes cannot be a request.
 */
export function readRequestHeader(data: Buffer, offset: number): RequestHeader {
  if (offset + REQUEST_HEADER_BYTES > data.length) throw new DecodeError('request header cut short')
  const end = offset + 4 + data.readUInt32LE(offset)
  const seq = readU64(data, offset + 12)
  const floor = readU64(data, offset + 20)
  const base = readU64(data, offset + 28)
  const flags = data[offset + FLAGS_AT]!
  if (end > data.length || end < offset + REQUEST_HEADER_BYTES) {
    throw new DecodeError('request length out of bounds')
  }
  if (seq === undefined || floor === undefined || base === undefined) {
    throw new DecodeError('request number beyond the safe integers')
  }
  if (seq < 1 || floor < 1 || floor > seq) throw new DecodeError('request seq and floor disagree')
  if (flags > (READS_STATE | ASKS_APPENDED)) throw new DecodeError('unknown flags of a request')
  return {
    clientId: data.subarray(offset + 4, offset + 12),
    seq,
    floor,
    base,
    commandCount: data.readUInt32LE(offset + 36),
    readsState: (flags & READS_STATE) !== 0,
    end,
  }
}

/** Whether `header` is that of a request of the leader itself, which no client can send. */
export function isOwnRequest({ clientId }: RequestHeader): boolean {
  return clientId.readUInt32LE(0) === 0 && clientId.readUInt32LE(4) === 0
}

/** Whether what some command of an entry's data does depends on the state; costs a look at each header. */
export function entryReadsState(data: Uint8Array): boolean {
  const bytes = asBuffer(data)
  for (let at = 1; at + REQUEST_HEADER_BYTES <= bytes.length; at += 4 + bytes.readUInt32LE(at)) {
    if ((bytes[at + FLAGS_AT]! & READS_STATE) !== 0) return true
  }
  return false
}

/**
 * Walks the commands of the request that starts at `offset`, in order; all of them must be plain.
 * @throws {DecodeError} when the bytes cannot be plain commands; earlier ones have then been visited, so validate
 *   what comes from outside (validate-request.ts) before it is proposed.
 */
export function visitCommands(
  data: Buffer,
  offset: number,
  header: Pick<RequestHeader, 'commandCount' | 'end'>,
  visitor: CommandVisitor,
): void {
  const { commandCount, end } = header
  let at = offset + REQUEST_HEADER_BYTES
  for (let i = 0; i < commandCount; i++) at = visitCommand(data, at, end, visitor)
  if (at !== end) throw new DecodeError('bytes left over after the last command')
}

/** The commands, of any kind, of the request that starts at `offset`, one at a time. @throws {DecodeError} */
export function* readCommands(
  data: Buffer,
  offset: number,
  header: Pick<RequestHeader, 'commandCount' | 'end'>,
): Generator<ReadCommand, void, undefined> {
  const reader = new CommandReader(data, offset + REQUEST_HEADER_BYTES, header.end)
  for (let i = 0; i < header.commandCount; i++) yield reader.next()
  if (reader.position !== header.end) {
    throw new DecodeError('bytes left over after the last command')
  }
}

/** Calls `visit` for each request of an entry's data with its offset; empty data has none (a no-op entry). */
export function visitRequests(
  data: Buffer,
  visit: (header: RequestHeader, offset: number) => void,
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
