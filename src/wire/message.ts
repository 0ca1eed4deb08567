/**
 * The core's messages as bytes: the hot path between members, written by hand (design D4).
 *
 *   message           u8 type | u8 flags | u64 from | u64 to | u64 term | fields of the type
 *   vote, preVote     u64 lastIndex | u64 lastTerm                               flag 1: transfer
 *   …Response         nothing                                                    flag 1: reject
 *   append            u64 prevIndex | u64 prevTerm | u64 commit | u64 session | u32 count | entry*
 *     entry           u64 term | u8 kind | u32 bytes | data
 *   appendResponse    u64 index | u64 hintIndex | u64 hintTerm | u64 session     flag 1: reject
 *   heartbeat         u64 commit | u64 context
 *   heartbeatResponse u64 context
 *   snapshot          u64 index | u64 term | u64 session | 4 × (u32 count | u64 node*)   flag 1: autoLeave
 *   propose           u32 count | (u8 kind | u32 bytes | data)*
 *   readIndex         u64 context
 *   readIndexResponse u64 index | u64 context
 *   timeoutNow, transferLeader, forgetLeader   nothing
 *
 * All integers are little-endian and, in memory, safe integers. Entries have no index of their own: they
 * follow `prevIndex` one by one, so a gap cannot even be written down. What a decoder lets through is
 * well-formed (trap T-70): counts fit their bytes before anything is allocated, terms of entries never fall
 * and are not beyond the message's, and only messages that may be local have term 0.
 *
 * On the wire: never change the meaning of a number here, add new ones.
 */
import { assert, unreachable } from '../base/assert.js'
import { readU64, writeU64 } from '../base/bytes.js'
import type {
  AppendMessage,
  ConfState,
  Entry,
  EntryKind,
  Message,
  ProposedEntry,
  ProposeMessage,
  SnapshotMessage,
} from '../raft/types.js'
import { DecodeError } from './command.js'

/** Data from this size on travels as a part of its own instead of being copied beside its neighbours. */
const OWN_PART_BYTES = 4_096
const HEAD_BYTES = 26
const APPEND_BYTES = 36
const ENTRY_HEADER_BYTES = 13
const PROPOSED_HEADER_BYTES = 5

/** On the wire: a type is sent as its position here, from 1. */
const TYPES: readonly Message['type'][] = [
  'vote',
  'preVote',
  'voteResponse',
  'preVoteResponse',
  'append',
  'appendResponse',
  'heartbeat',
  'heartbeatResponse',
  'snapshot',
  'timeoutNow',
  'transferLeader',
  'forgetLeader',
  'propose',
  'readIndex',
  'readIndexResponse',
]
const TYPE_CODES: ReadonlyMap<Message['type'], number> = new Map(TYPES.map((t, i) => [t, i + 1]))

/** On the wire: a kind is sent as its position here. */
const ENTRY_KINDS: readonly EntryKind[] = ['normal', 'confChange', 'confChangeV2']

/**
 * The bytes of `message`, in parts to be sent one after the other. Large entry data is not copied and must
 * not change before it is sent.
 */
export function encodeMessage(message: Message): Uint8Array[] {
  const writer = new MessageWriter(fixedBytes(message))
  writer.u8(TYPE_CODES.get(message.type)!)
  writer.u8(flagOf(message) ? 1 : 0)
  writer.u64(message.from)
  writer.u64(message.to)
  writer.u64(message.term)
  encodeFields(writer, message)
  return writer.finish()
}

/** Bytes of everything but the entry data that travels as own parts. */
function fixedBytes(message: Message): number {
  if (message.type === 'append') {
    return HEAD_BYTES + APPEND_BYTES + packedBytes(message.entries, ENTRY_HEADER_BYTES)
  }
  if (message.type === 'propose') {
    return HEAD_BYTES + 4 + packedBytes(message.entries, PROPOSED_HEADER_BYTES)
  }
  if (message.type === 'snapshot') {
    let nodes = 0
    for (const list of nodeLists(message.snapshot.conf)) nodes += list.length
    return HEAD_BYTES + 24 + 16 + 8 * nodes
  }
  return HEAD_BYTES + 32
}

function packedBytes(entries: readonly ProposedEntry[], headerBytes: number): number {
  let bytes = entries.length * headerBytes
  for (const { data } of entries) if (data.length < OWN_PART_BYTES) bytes += data.length
  return bytes
}

function flagOf(message: Message): boolean {
  switch (message.type) {
    case 'vote':
    case 'preVote':
      return message.transfer
    case 'voteResponse':
    case 'preVoteResponse':
    case 'appendResponse':
      return message.reject
    case 'snapshot':
      return message.snapshot.conf.autoLeave
    default:
      return false
  }
}

function encodeFields(writer: MessageWriter, message: Message): void {
  switch (message.type) {
    case 'vote':
    case 'preVote':
      writer.u64(message.lastIndex)
      writer.u64(message.lastTerm)
      break
    case 'append':
      encodeAppend(writer, message)
      break
    case 'appendResponse':
      writer.u64(message.index)
      writer.u64(message.hintIndex)
      writer.u64(message.hintTerm)
      writer.u64(message.session)
      break
    case 'heartbeat':
      writer.u64(message.commit)
      writer.u64(message.context)
      break
    case 'heartbeatResponse':
    case 'readIndex':
      writer.u64(message.context)
      break
    case 'readIndexResponse':
      writer.u64(message.index)
      writer.u64(message.context)
      break
    case 'snapshot':
      encodeSnapshot(writer, message)
      break
    case 'propose':
      encodePropose(writer, message)
      break
    case 'voteResponse':
    case 'preVoteResponse':
    case 'timeoutNow':
    case 'transferLeader':
    case 'forgetLeader':
      break
    default:
      unreachable(message)
  }
}

function encodeAppend(writer: MessageWriter, message: AppendMessage): void {
  writer.u64(message.prevIndex)
  writer.u64(message.prevTerm)
  writer.u64(message.commit)
  writer.u64(message.session)
  writer.u32(message.entries.length)
  let index = message.prevIndex
  for (const entry of message.entries) {
    index++
    assert(entry.index === index, 'entries of an append are not contiguous')
    writer.u64(entry.term)
    encodeProposed(writer, entry)
  }
}

function encodePropose(writer: MessageWriter, message: ProposeMessage): void {
  writer.u32(message.entries.length)
  for (const entry of message.entries) encodeProposed(writer, entry)
}

function encodeProposed(writer: MessageWriter, entry: ProposedEntry): void {
  writer.u8(ENTRY_KINDS.indexOf(entry.kind))
  writer.u32(entry.data.length)
  writer.bytes(entry.data)
}

function encodeSnapshot(writer: MessageWriter, message: SnapshotMessage): void {
  const { snapshot } = message
  writer.u64(snapshot.index)
  writer.u64(snapshot.term)
  writer.u64(message.session)
  for (const list of nodeLists(snapshot.conf)) {
    writer.u32(list.length)
    for (const node of list) writer.u64(node)
  }
}

/** On the wire: the lists of a configuration in this order. */
function nodeLists(conf: ConfState): readonly (readonly number[])[] {
  return [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext]
}

/** Writes into one buffer of known size, cut where large data goes between its halves. */
class MessageWriter {
  readonly #buffer: Buffer
  readonly #parts: Uint8Array[] = []
  #cut = 0
  #at = 0

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes)
  }

  u8(value: number): void {
    this.#buffer[this.#at++] = value
  }

  u32(value: number): void {
    this.#at = this.#buffer.writeUInt32LE(value, this.#at)
  }

  u64(value: number): void {
    writeU64(this.#buffer, value, this.#at)
    this.#at += 8
  }

  bytes(data: Uint8Array): void {
    if (data.length < OWN_PART_BYTES) {
      this.#buffer.set(data, this.#at)
      this.#at += data.length
      return
    }
    this.#parts.push(this.#buffer.subarray(this.#cut, this.#at), data)
    this.#cut = this.#at
  }

  finish(): Uint8Array[] {
    if (this.#at > this.#cut) this.#parts.push(this.#buffer.subarray(this.#cut, this.#at))
    return this.#parts
  }
}

/**
 * Reads a message; the data of its entries views `body`.
 * @throws {DecodeError} when the bytes cannot be a message.
 */
export function decodeMessage(body: Buffer): Message {
  const reader = new MessageReader(body)
  const type = TYPES[reader.u8() - 1]
  if (type === undefined) throw new DecodeError('unknown message type')
  const flags = reader.u8()
  const from = reader.positive()
  const to = reader.positive()
  const term = reader.u64()
  if (term === 0 && !mayBeLocal(type)) throw new DecodeError(`${type} without a term`)
  const message = decodeFields(reader, type, { from, to, term }, flags === 1)
  // Written anew, a message has the flag that was read, unless its type knows no flag or the byte is none.
  if (flags !== (flagOf(message) ? 1 : 0)) throw new DecodeError('unknown message flags')
  reader.end()
  return message
}

/** Term 0 marks what a node tells itself; only these may come in with it (etcd: MsgProp, MsgReadIndex, …). */
function mayBeLocal(type: Message['type']): boolean {
  switch (type) {
    case 'propose':
    case 'readIndex':
    case 'readIndexResponse':
    case 'transferLeader':
    case 'forgetLeader':
      return true
    default:
      return false
  }
}

interface Head {
  readonly from: number
  readonly to: number
  readonly term: number
}

function decodeFields(
  reader: MessageReader,
  type: Message['type'],
  head: Head,
  flag: boolean,
): Message {
  switch (type) {
    case 'vote':
    case 'preVote':
      return { type, ...head, lastIndex: reader.u64(), lastTerm: reader.u64(), transfer: flag }
    case 'voteResponse':
    case 'preVoteResponse':
      return { type, ...head, reject: flag }
    case 'append':
      return decodeAppend(reader, head)
    case 'appendResponse': {
      const index = reader.u64()
      const hintIndex = reader.u64()
      const hintTerm = reader.u64()
      return { type, ...head, index, reject: flag, hintIndex, hintTerm, session: reader.u64() }
    }
    case 'heartbeat':
      return { type, ...head, commit: reader.u64(), context: reader.u64() }
    case 'heartbeatResponse':
    case 'readIndex':
      return { type, ...head, context: reader.u64() }
    case 'readIndexResponse':
      return { type, ...head, index: reader.u64(), context: reader.u64() }
    case 'snapshot':
      return decodeSnapshot(reader, head, flag)
    case 'propose':
      return { type, ...head, entries: decodeProposed(reader) }
    case 'timeoutNow':
    case 'transferLeader':
    case 'forgetLeader':
      return { type, ...head }
    default:
      return unreachable(type)
  }
}

function decodeAppend(reader: MessageReader, head: Head): AppendMessage {
  const prevIndex = reader.u64()
  const prevTerm = reader.u64()
  const commit = reader.u64()
  const session = reader.u64()
  const count = reader.count(ENTRY_HEADER_BYTES)
  if (!Number.isSafeInteger(prevIndex + count)) throw new DecodeError('index out of bounds')
  const entries: Entry[] = []
  let last = prevTerm
  for (let i = 1; i <= count; i++) {
    const term = reader.positive()
    if (term < last) throw new DecodeError('terms of entries fall')
    last = term
    entries.push({ term, index: prevIndex + i, kind: reader.entryKind(), data: reader.bytes() })
  }
  if (last > head.term) throw new DecodeError('entry of a later term than its message')
  return { type: 'append', ...head, prevIndex, prevTerm, entries, commit, session }
}

function decodeProposed(reader: MessageReader): ProposedEntry[] {
  const count = reader.count(PROPOSED_HEADER_BYTES)
  if (count === 0) throw new DecodeError('proposal without entries')
  const entries: ProposedEntry[] = []
  for (let i = 0; i < count; i++) entries.push({ kind: reader.entryKind(), data: reader.bytes() })
  return entries
}

function decodeSnapshot(reader: MessageReader, head: Head, autoLeave: boolean): SnapshotMessage {
  const index = reader.positive()
  const term = reader.positive()
  const session = reader.u64()
  const conf: ConfState = {
    voters: reader.nodes(),
    votersOutgoing: reader.nodes(),
    learners: reader.nodes(),
    learnersNext: reader.nodes(),
    autoLeave,
  }
  return { type: 'snapshot', ...head, snapshot: { index, term, conf }, session }
}

/** Reads fields one after the other; every read is checked against the end first. */
class MessageReader {
  readonly #body: Buffer
  #at = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  u8(): number {
    return this.#body[this.#take(1)]!
  }

  u64(): number {
    const value = readU64(this.#body, this.#take(8))
    if (value === undefined) throw new DecodeError('number beyond the safe integers')
    return value
  }

  positive(): number {
    const value = this.u64()
    if (value === 0) throw new DecodeError('zero where a position or node is due')
    return value
  }

  /** A count of things that take at least `bytesEach`, checked against the bytes that are left. */
  count(bytesEach: number): number {
    const count = this.#u32()
    if (count * bytesEach > this.#body.length - this.#at) {
      throw new DecodeError('count beyond the end of the message')
    }
    return count
  }

  bytes(): Buffer {
    const length = this.#u32()
    const start = this.#take(length)
    return this.#body.subarray(start, start + length)
  }

  entryKind(): EntryKind {
    const kind = ENTRY_KINDS[this.u8()]
    if (kind === undefined) throw new DecodeError('unknown kind of entry')
    return kind
  }

  nodes(): number[] {
    const count = this.count(8)
    const nodes: number[] = []
    for (let i = 0; i < count; i++) nodes.push(this.positive())
    return nodes
  }

  end(): void {
    if (this.#at !== this.#body.length) throw new DecodeError('bytes left over after the message')
  }

  #u32(): number {
    return this.#body.readUInt32LE(this.#take(4))
  }

  #take(bytes: number): number {
    const start = this.#at
    if (bytes > this.#body.length - start) throw new DecodeError('message cut short')
    this.#at = start + bytes
    return start
  }
}
