/**
 * What a member answers to the asks of a client (wire/client-ask.ts).
 *
 *   replies       reply*
 *   reply         u32 id of the ask | u8 kind | ...
 *     0 error     text code | text message | u8 outcome | u8 retryable | f64 retryAfterMs | f64 oldest
 *     1 view      u64 index | u64 term | u8 role | f64 stalenessMs | text servedBy
 *     2 values    u32 count | value*
 *     3 entries   u32 count | (u32 bytes | key | value)*          none: the end is reached
 *     4 changes   u64 index | u64 term | u32 count | entry*       up to where everything was looked at
 *     5 done
 *     6 bytes     u32 bytes | bytes                               a manifest, or bytes of a large value
 *   value         u8 0: there is none; or 1, 2 coded: u64 revision | u32 bytes | value
 *   entry         u64 index | u64 term | u32 count | change*
 *   change        u8 0 put, 2 put of a coded value | u32 bytes | key | u32 bytes | value,
 *                 or  u8 1 del | u32 bytes | key
 *   text          u16 bytes | UTF-8
 *
 * All integers are little-endian; NaN is a number that is not known. On the wire: never change the meaning of a number
 * here, add new ones.
 */
import { unreachable } from '../base/assert.js'
import { type Outcome, StoreError, type StoreErrorCode } from '../base/errors.js'
import type { LogIndex, Role, Term } from '../raft/types.js'
import { type ByteReader, type ByteWriter, ByteReader as Reader } from './byte-stream.js'
import { DecodeError } from './command.js'
import { CODED_VALUE, kindOf, NO_VALUE, type ReadFound, type ReadValue } from './read-call.js'

/** The circumstances of a read, as they travel. */
export type ReplyServed = Omit<ReadFound, 'id' | 'values'>

/** What one entry of the log changed, as it travels. */
export interface ReplyEntry {
  readonly index: LogIndex
  readonly term: Term
  readonly changes: readonly {
    readonly type: 'put' | 'del'
    readonly key: Uint8Array
    /** Undefined when it was deleted; of a coded value its manifest. */
    readonly value: Uint8Array | undefined
    readonly isCoded?: true
  }[]
}

/** One reply, without the id of its ask. */
export type Reply =
  | { readonly type: 'error'; readonly error: StoreError }
  | { readonly type: 'view'; readonly served: ReplyServed }
  | { readonly type: 'values'; readonly values: readonly (ReadValue | undefined)[] }
  | {
      readonly type: 'entries'
      readonly entries: readonly (readonly [key: Uint8Array, stored: ReadValue])[]
    }
  | {
      readonly type: 'changes'
      readonly through: { readonly index: LogIndex; readonly term: Term }
      readonly entries: readonly ReplyEntry[]
    }
  | { readonly type: 'done' }
  | { readonly type: 'bytes'; readonly bytes: Uint8Array }

/** On the wire: a kind is sent as its position here. */
const KINDS = ['error', 'view', 'values', 'entries', 'changes', 'done', 'bytes'] as const
const OUTCOMES: readonly Outcome[] = ['none', 'unknown', 'committed']
const ROLES: readonly Role[] = ['follower', 'preCandidate', 'candidate', 'leader']
const CHANGES = ['put', 'del', 'putCoded'] as const

/** Adds one reply to a body. */
export function writeReply(writer: ByteWriter, id: number, reply: Reply): void {
  writer.u32(id)
  writer.u8(KINDS.indexOf(reply.type))
  switch (reply.type) {
    case 'error':
      writeError(writer, reply.error)
      return
    case 'view':
      writeServed(writer, reply.served)
      return
    case 'values':
      writer.u32(reply.values.length)
      for (const value of reply.values) writeValue(writer, value)
      return
    case 'entries':
      writer.u32(reply.entries.length)
      for (const [key, stored] of reply.entries) {
        writer.bytes(key)
        writeValue(writer, stored)
      }
      return
    case 'changes':
      writer.u64(reply.through.index)
      writer.u64(reply.through.term)
      writer.u32(reply.entries.length)
      for (const entry of reply.entries) writeEntry(writer, entry)
      return
    case 'done':
      return
    case 'bytes':
      writer.bytes(reply.bytes)
      return
    default:
      unreachable(reply)
  }
}

/** Takes a body apart; keys and values view it. @throws {DecodeError} */
export function decodeReplies(body: Buffer): { id: number; reply: Reply }[] {
  const reader = new Reader(body)
  const replies: { id: number; reply: Reply }[] = []
  while (reader.left > 0) replies.push({ id: reader.u32(), reply: readReply(reader) })
  return replies
}

function readReply(reader: ByteReader): Reply {
  const type = reader.oneOf(KINDS)
  switch (type) {
    case 'error':
      return { type, error: readError(reader) }
    case 'view':
      return { type, served: readServed(reader) }
    case 'values':
      return { type, values: reader.list(1, () => readValue(reader)) }
    case 'entries':
      return {
        type,
        entries: reader.list(17, () => [reader.bytes(), readPresent(reader)] as const),
      }
    case 'changes': {
      const through = { index: reader.u64(), term: reader.u64() }
      return { type, through, entries: reader.list(20, () => readEntry(reader)) }
    }
    case 'done':
      return { type }
    case 'bytes':
      return { type, bytes: reader.bytes() }
    default:
      return unreachable(type)
  }
}

function writeError(writer: ByteWriter, error: StoreError): void {
  writer.text(error.code)
  writer.text(error.message)
  writer.u8(OUTCOMES.indexOf(error.outcome))
  writer.u8(error.retryable ? 1 : 0)
  writer.f64(error.retryAfterMs ?? Number.NaN)
  writer.f64(error.oldest ?? Number.NaN)
}

/** A code of a newer version is kept, whatever it means. */
function readError(reader: ByteReader): StoreError {
  const code = reader.text() as StoreErrorCode
  const message = reader.text()
  const outcome = reader.oneOf(OUTCOMES)
  const retryable = reader.u8() === 1
  const retryAfterMs = reader.optionalMs()
  const oldest = reader.optionalMs()
  const about = { outcome, retryable, retryAfterMs, ...(oldest !== undefined && { oldest }) }
  return new StoreError(code, message, about)
}

function writeServed(writer: ByteWriter, served: ReplyServed): void {
  writer.u64(served.index)
  writer.u64(served.term)
  writer.u8(ROLES.indexOf(served.role))
  writer.f64(served.stalenessMs ?? Number.NaN)
  writer.text(served.servedBy)
}

function readServed(reader: ByteReader): ReplyServed {
  return {
    index: reader.u64(),
    term: reader.u64(),
    role: reader.oneOf(ROLES),
    stalenessMs: reader.optionalMs(),
    servedBy: reader.text(),
  }
}

function writeValue(writer: ByteWriter, stored: ReadValue | undefined): void {
  writer.u8(kindOf(stored))
  if (stored === undefined) return
  writer.u64(stored.revision)
  writer.bytes(stored.value)
}

function readValue(reader: ByteReader): ReadValue | undefined {
  const kind = reader.u8()
  if (kind === NO_VALUE) return undefined
  if (kind > CODED_VALUE) throw new DecodeError('unknown kind of a value')
  const revision = reader.u64()
  const value = reader.bytes()
  return kind === CODED_VALUE ? { revision, value, isCoded: true } : { revision, value }
}

function readPresent(reader: ByteReader): ReadValue {
  const stored = readValue(reader)
  if (stored === undefined) throw new DecodeError('an entry without a value')
  return stored
}

function writeEntry(writer: ByteWriter, { index, term, changes }: ReplyEntry): void {
  writer.u64(index)
  writer.u64(term)
  writer.u32(changes.length)
  for (const { type, key, value, isCoded } of changes) {
    writer.u8(CHANGES.indexOf(isCoded ? 'putCoded' : type))
    writer.bytes(key)
    if (value !== undefined) writer.bytes(value)
  }
}

function readEntry(reader: ByteReader): ReplyEntry {
  const index = reader.u64()
  const term = reader.u64()
  const changes = reader.list(5, () => {
    const kind = reader.oneOf(CHANGES)
    const key = reader.bytes()
    if (kind === 'del') return { type: kind, key, value: undefined }
    const put = { type: 'put' as const, key, value: reader.bytes() }
    return kind === 'putCoded' ? { ...put, isCoded: true as const } : put
  })
  return { index, term, changes }
}
