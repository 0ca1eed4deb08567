/** Checks requests that come from outside: what passes can be applied on every member. */
import { crc32 } from 'node:zlib'
import { asBuffer } from '../base/bytes.js'
import type { KeyRange } from '../env/database.js'
import { type Compare, DecodeError, hasResult, isOwnCommand, KEY_BYTES_MAX } from './command.js'
import { isPlain } from './command-bytes.js'
import { decodeManifest } from './manifest.js'
import {
  CommandReader,
  type CommandVisitor,
  type ReadCommand,
  type ReadOperation,
  type ReadPut,
} from './read-command.js'
import {
  isOwnRequest,
  REQUEST_HEADER_BYTES,
  RESULTS_MAX,
  type RequestHeader,
  readRequestHeader,
  visitCommands,
} from './request.js'

/**
 * Checks a request that came from outside: structure, lengths of keys and values, every checksum, flags, and that it
 * asks for nothing that only the leader may. How large a coded value is does not matter, but its manifest is bounded.
 * @throws {DecodeError} saying what is wrong.
 */
export function validateRequest(
  bytes: Uint8Array,
  maxValueBytes: number,
  maxManifestBytes: number,
): RequestHeader {
  const data = asBuffer(bytes)
  const header = readRequestHeader(data, 0)
  if (header.end !== data.length) throw new DecodeError('request length disagrees with its frame')
  if (isOwnRequest(header)) throw new DecodeError('the client id of eight zero bytes is reserved')
  const check = new Check(maxValueBytes, maxManifestBytes)
  if (header.readsState) {
    check.commands(data, header)
  } else {
    visitCommands(data, 0, header, IGNORE)
    visitCommands(data, 0, header, check)
  }
  return header
}

const IGNORE: CommandVisitor = { put() {}, del() {} }

/** Checks what commands say. */
class Check implements CommandVisitor {
  readonly #maxValueBytes: number
  readonly #maxManifestBytes: number

  constructor(maxValueBytes: number, maxManifestBytes: number) {
    this.#maxValueBytes = maxValueBytes
    this.#maxManifestBytes = maxManifestBytes
  }

  commands(data: Buffer, header: RequestHeader): void {
    let [results, reading] = [0, 0]
    let start = REQUEST_HEADER_BYTES
    const reader = new CommandReader(data, start, header.end)
    for (let i = 0; i < header.commandCount; i++) {
      const command = reader.next()
      this.#command(command)
      if (!isPlain(data[start]!)) reading++
      if (hasResult(command)) results++
      start = reader.position
    }
    if (start !== header.end) throw new DecodeError('bytes left over after the last command')
    if (reading === 0) throw new DecodeError('a request that reads nothing says that it does')
    if (results > RESULTS_MAX) throw new DecodeError('too many results')
  }

  put(key: Uint8Array, value: Uint8Array, checksum: number): void {
    this.#value(value)
    this.#bytes(key, value, checksum)
  }

  del(key: Uint8Array): void {
    if (key.length === 0 || key.length > KEY_BYTES_MAX)
      throw new DecodeError('key length out of bounds')
  }

  #command(command: ReadCommand): void {
    switch (command.type) {
      case 'write':
        this.#operations(command.operations)
        return
      case 'txn':
        for (const compare of command.compares) this.#compare(compare)
        this.#operations(command.then)
        this.#operations(command.else)
        return
      default:
        if (isOwnCommand(command)) throw new DecodeError(`only the leader asks for ${command.type}`)
    }
  }

  #operations(operations: readonly ReadOperation[]): void {
    for (const operation of operations) {
      if (operation.type === 'put') this.#put(operation)
      else if (operation.type === 'del') this.del(operation.key)
      else this.#range(operation.range)
    }
  }

  #put({ key, value, checksum, coded }: ReadPut): void {
    if (coded) this.#manifest(value)
    else this.#value(value)
    this.#bytes(key, value, checksum)
  }

  #bytes(key: Uint8Array, value: Uint8Array, checksum: number): void {
    this.del(key)
    if (crc32(value, crc32(key)) !== checksum) throw new DecodeError('value checksum mismatch')
  }

  #manifest(value: Uint8Array): void {
    if (value.length > this.#maxManifestBytes) throw new DecodeError('manifest over the limit')
    decodeManifest(value)
  }

  #compare(compare: Compare): void {
    if (compare.type === 'empty') {
      this.#range(compare.range)
      return
    }
    this.del(compare.key)
    if (compare.type === 'value') this.#value(compare.value)
  }

  #value(value: Uint8Array): void {
    if (value.length > this.#maxValueBytes) throw new DecodeError('value over the limit')
  }

  #range({ gt, gte, lt, lte }: KeyRange): void {
    for (const bound of [gt, gte, lt, lte]) {
      if (bound !== undefined && bound.length > KEY_BYTES_MAX) {
        throw new DecodeError('bound of a range out of bounds')
      }
    }
  }
}
