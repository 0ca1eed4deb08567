/**
 * Who the members are and where they listen, as it is replicated: the directory that every member keeps beside its
 * state, and the records by which a configuration change adds to it (the change's `context`).
 *
 *   directory  u8 version = 2 | u64 confIndex | u16 members | u32 removed | (record | u8 slot)* | (u64 node | text id)*
 *              | u32 CRC-32 of all before
 *   records    u8 version = 1 | u16 count | record*           (no bytes at all: no records)
 *   record     u64 node | text id | text address | 8 incarnation
 *   text       u16 bytes | UTF-8
 *
 * Integers are little-endian. An empty address and an incarnation of zeros are not known. On disk and on the wire:
 * never change the meaning of a number here, add new ones. Version 1 of the directory had no slots and was never
 * released.
 */
import { crc32 } from 'node:zlib'
import { asBuffer, EMPTY, readU64, writeU64 } from '../base/bytes.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import { DecodeError } from './command.js'
import { SLOT_MAX } from './manifest.js'

/** What a configuration change says about a member. */
export interface MemberFacts {
  readonly nodeId: NodeId
  readonly id: string
  /** Where the others reach it; undefined for a lone member that nobody needed to reach yet. */
  readonly address: string | undefined
  /** Hexadecimal: which of the folders that ever had this name is the member (trap T-14); undefined until seen. */
  readonly incarnation: string | undefined
}

/** A member as the cluster knows it. */
export interface MemberRecord extends MemberFacts {
  /** Which shard it holds of every part of a large value: 0 to SLOT_MAX, that of no other member. */
  readonly slot: number
}

/** A member that was: neither its number nor its name is ever given to another. */
export interface RemovedMember {
  readonly nodeId: NodeId
  readonly id: string
}

/** All members, present and past. */
export interface Directory {
  /** The entry that last changed who is a member, in which part, or where one listens; 0 at the beginning. */
  readonly confIndex: LogIndex
  /** Ascending by number. */
  readonly members: readonly MemberRecord[]
  readonly removed: readonly RemovedMember[]
}

/** The longest text here, in bytes. */
export const ADDRESS_BYTES_MAX = 512
export const INCARNATION_BYTES = 8

const VERSION = 1
const DIRECTORY_VERSION = 2
const DIRECTORY_HEADER_BYTES = 15
const RECORDS_HEADER_BYTES = 3
const UNKNOWN_INCARNATION = '00'.repeat(INCARNATION_BYTES)

/** The directory's bytes, in memory of their own. */
export function encodeDirectory({ confIndex, members, removed }: Directory): Buffer {
  const head = Buffer.alloc(DIRECTORY_HEADER_BYTES)
  head[0] = DIRECTORY_VERSION
  writeU64(head, confIndex, 1)
  head.writeUInt16LE(members.length, 9)
  head.writeUInt32LE(removed.length, 11)
  const gone = removed.flatMap(({ nodeId, id }) => [u64(nodeId), ...text(id)])
  const present = members.flatMap((member) => [...recordParts(member), Buffer.of(member.slot)])
  const body = Buffer.concat([head, ...present, ...gone, Buffer.alloc(4)])
  body.writeUInt32LE(crc32(body.subarray(0, -4)), body.length - 4)
  return body
}

/** @throws {DecodeError} */
export function decodeDirectory(bytes: Uint8Array): Directory {
  const body = asBuffer(bytes)
  if (body.length < DIRECTORY_HEADER_BYTES + 4) throw new DecodeError('directory cut short')
  if (body.readUInt32LE(body.length - 4) !== crc32(body.subarray(0, -4))) {
    throw new DecodeError('the directory fails its checksum')
  }
  const reader = new Reader(body.subarray(0, -4))
  reader.version('directory', DIRECTORY_VERSION)
  const confIndex = reader.u64()
  const memberCount = reader.u16()
  const removedCount = reader.u32()
  const members = reader.list(memberCount, () => ({ ...reader.record(), slot: reader.slot() }))
  const removed = reader.list(removedCount, () => ({ nodeId: reader.u64(), id: reader.text() }))
  reader.end()
  return { confIndex, members, removed }
}

/** The context of a configuration change that carries `records`. */
export function encodeRecords(records: readonly MemberFacts[]): Uint8Array {
  if (records.length === 0) return EMPTY
  const head = Buffer.alloc(RECORDS_HEADER_BYTES)
  head[0] = VERSION
  head.writeUInt16LE(records.length, 1)
  return Buffer.concat([head, ...records.flatMap(recordParts)])
}

/** The records of a change's context. @throws {DecodeError} */
export function decodeRecords(context: Uint8Array): MemberFacts[] {
  if (context.length === 0) return []
  const reader = new Reader(asBuffer(context))
  reader.version('records', VERSION)
  const records = reader.list(reader.u16(), () => reader.record())
  reader.end()
  return records
}

function recordParts({ nodeId, id, address, incarnation }: MemberFacts): Buffer[] {
  return [
    u64(nodeId),
    ...text(id),
    ...text(address ?? ''),
    Buffer.from(incarnation ?? UNKNOWN_INCARNATION, 'hex'),
  ]
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  writeU64(bytes, value, 0)
  return bytes
}

function text(value: string): Buffer[] {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(2)
  length.writeUInt16LE(bytes.length)
  return [length, bytes]
}

/** Reads fields one after the other; past the end of the bytes is a DecodeError. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  version(what: string, known: number): void {
    const version = this.#take(1)[0]
    if (version !== known) throw new DecodeError(`${what} of unknown version ${version}`)
  }

  u16(): number {
    return this.#take(2).readUInt16LE()
  }

  u32(): number {
    return this.#take(4).readUInt32LE()
  }

  u64(): number {
    const value = readU64(this.#take(8), 0)
    if (value === undefined) throw new DecodeError('a number beyond the safe integers')
    return value
  }

  text(): string {
    const length = this.u16()
    if (length > ADDRESS_BYTES_MAX) throw new DecodeError('a text is too long')
    return this.#take(length).toString('utf8')
  }

  slot(): number {
    const slot = this.#take(1)[0]!
    if (slot > SLOT_MAX) throw new DecodeError('a slot out of bounds')
    return slot
  }

  record(): MemberFacts {
    const nodeId = this.u64()
    const id = this.text()
    const address = this.text()
    const incarnation = this.#take(INCARNATION_BYTES).toString('hex')
    return {
      nodeId,
      id,
      address: address === '' ? undefined : address,
      incarnation: incarnation === UNKNOWN_INCARNATION ? undefined : incarnation,
    }
  }

  /** Every item takes bytes, so a count that lies ends at the end of the bytes. */
  list<T>(count: number, item: () => T): T[] {
    const items: T[] = []
    for (let i = 0; i < count; i++) items.push(item())
    return items
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new DecodeError('bytes left over after a list')
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new DecodeError('a record is cut short')
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }
}
