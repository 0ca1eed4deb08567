/**
 * Reads that somebody else serves, and the answers: between members, when a read is forwarded to the leader, and
 * between a client and its member. A body holds any number of them, one after the other; integers little-endian.
 *
 *   call     u32 id | u8 level | u8 onBehind | u64 minIndex | u64 minTerm | f64 maxStalenessMs | f64 remainingMs
 *            | u32 keys | { u32 length | key }*
 *   answer   u32 id | u8 0 | u64 index | u64 term | u8 role | f64 stalenessMs (NaN: not known) | u8 length | servedBy
 *            | u32 values | { u8 0: there is none; or 1, 2 coded: u64 revision | u32 length | value }*
 *   failure  u32 id | u8 1 | u8 retryable | f64 retryAfterMs (NaN: not said) | u8 length | code | u16 length | message
 *
 * Time travels as what is left of it, since clocks differ. On the wire: never change the meaning of a number here.
 */
import { asBuffer, readU64, writeU64 } from '../base/bytes.js'
import { StoreError, type StoreErrorCode } from '../base/errors.js'
import type { LogIndex, Role, Term } from '../raft/types.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'

/** On the wire: reads on their way to the leader, and what it answers. */
export const FRAME_READS = 40
export const FRAME_READ_ANSWERS = 41

/** How strong a read is (design D6; docs/consistency.md). */
export type ReadLevel = 'strong' | 'session' | 'eventual'

/** What a read does at a member whose state is not as new as it asks (docs/consistency.md). */
export type OnBehind = 'wait' | 'forward' | 'fail'

/** A read as it travels. */
export interface ReadCall {
  /** Comes back with the answer. */
  readonly id: number
  readonly level: ReadLevel
  readonly onBehind: OnBehind
  /** As in ReadDemand (member/backend.ts). */
  readonly minIndex: LogIndex
  readonly minTerm: Term
  readonly maxStalenessMs: number
  /** What was left of the call's time when it was sent; may be Infinity. */
  readonly remainingMs: number
  readonly keys: readonly Uint8Array[]
}

/** A value that was read, and the log index of its last change. */
export interface ReadValue {
  /** Of a coded value its manifest. */
  readonly value: Buffer
  readonly revision: LogIndex
  /** The value lies in shards elsewhere. */
  readonly isCoded?: true
}

/** What a read found. */
export interface ReadFound {
  readonly id: number
  /** The state that served it. */
  readonly index: LogIndex
  readonly term: Term
  readonly servedBy: string
  readonly role: Role
  readonly stalenessMs: number | undefined
  /** In the order of the keys. */
  readonly values: readonly (ReadValue | undefined)[]
}

/** Why a read failed. */
export interface ReadFailure {
  readonly id: number
  readonly error: StoreError
}

/** The answer to one read. */
export type ReadAnswer = ReadFound | ReadFailure

const LEVELS: readonly ReadLevel[] = ['strong', 'session', 'eventual']
const ON_BEHIND: readonly OnBehind[] = ['wait', 'forward', 'fail']
const ROLES: readonly Role[] = ['follower', 'preCandidate', 'candidate', 'leader']

const CALL_BYTES = 42
const FOUND_BYTES = 35
const FAILURE_BYTES = 17
const FOUND = 0
const FAILED = 1
const VALUE_HEADER_BYTES = 12

/** On the wire: what a value begins with that was read. */
export const NO_VALUE = 0
export const PLAIN_VALUE = 1
export const CODED_VALUE = 2
/** Messages of failures are cut to so much. */
const MESSAGE_BYTES_MAX = 4096

/** The bytes that `call` takes. */
export function readCallBytes({ keys }: Pick<ReadCall, 'keys'>): number {
  let bytes = CALL_BYTES
  for (const key of keys) bytes += 4 + key.length
  return bytes
}

/** A body with these calls. */
export function encodeReadCalls(calls: readonly ReadCall[]): Buffer {
  let bytes = 0
  for (const call of calls) bytes += readCallBytes(call)
  const body = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const call of calls) at = writeCall(body, call, at)
  return body
}

/** The calls of a body; keys view it. @throws {DecodeError} */
export function decodeReadCalls(body: Buffer): ReadCall[] {
  const source = new Source(body)
  const calls: ReadCall[] = []
  while (source.left > 0) calls.push(readCall(source))
  return calls
}

/** The bytes that `answer` takes, nearly: what it is counted as before it is encoded. */
export function readAnswerBytes(answer: ReadAnswer): number {
  if ('error' in answer) {
    const { code, message } = answer.error
    return FAILURE_BYTES + code.length + Math.min(MESSAGE_BYTES_MAX, 3 * message.length)
  }
  let bytes = FOUND_BYTES + 3 * answer.servedBy.length
  for (const found of answer.values) {
    bytes += 1 + (found === undefined ? 0 : VALUE_HEADER_BYTES + found.value.length)
  }
  return bytes
}

/** A body with these answers. */
export function encodeReadAnswers(answers: readonly ReadAnswer[]): Buffer {
  let bytes = 0
  for (const answer of answers) bytes += readAnswerBytes(answer)
  const body = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const answer of answers) {
    at = 'error' in answer ? writeFailure(body, answer, at) : writeFound(body, answer, at)
  }
  return body.subarray(0, at)
}

/** The answers of a body; values view it. @throws {DecodeError} */
export function decodeReadAnswers(body: Buffer): ReadAnswer[] {
  const source = new Source(body)
  const answers: ReadAnswer[] = []
  while (source.left > 0) {
    const id = source.u32()
    const kind = source.u8()
    if (kind === FOUND) answers.push(readFound(id, source))
    else if (kind === FAILED) answers.push(readFailure(id, source))
    else throw new DecodeError(`answer to a read of kind ${kind}`)
  }
  return answers
}

function writeCall(body: Buffer, call: ReadCall, start: number): number {
  body.writeUInt32LE(call.id, start)
  body[start + 4] = LEVELS.indexOf(call.level)
  body[start + 5] = ON_BEHIND.indexOf(call.onBehind)
  writeU64(body, call.minIndex, start + 6)
  writeU64(body, call.minTerm, start + 14)
  body.writeDoubleLE(call.maxStalenessMs, start + 22)
  body.writeDoubleLE(call.remainingMs, start + 30)
  body.writeUInt32LE(call.keys.length, start + 38)
  let at = start + CALL_BYTES
  for (const key of call.keys) at = writeBytes(body, key, at)
  return at
}

function readCall(source: Source): ReadCall {
  const id = source.u32()
  const level = source.oneOf(LEVELS)
  const onBehind = source.oneOf(ON_BEHIND)
  const minIndex = source.u64()
  const minTerm = source.u64()
  const maxStalenessMs = source.duration()
  const remainingMs = source.duration()
  const count = source.count(5)
  const keys: Buffer[] = []
  for (let i = 0; i < count; i++) {
    const key = source.bytes(source.u32())
    if (key.length === 0 || key.length > KEY_BYTES_MAX) throw new DecodeError('key out of bounds')
    keys.push(key)
  }
  return { id, level, onBehind, minIndex, minTerm, maxStalenessMs, remainingMs, keys }
}

function writeFound(body: Buffer, found: ReadFound, start: number): number {
  body.writeUInt32LE(found.id, start)
  body[start + 4] = FOUND
  writeU64(body, found.index, start + 5)
  writeU64(body, found.term, start + 13)
  body[start + 21] = ROLES.indexOf(found.role)
  body.writeDoubleLE(found.stalenessMs ?? Number.NaN, start + 22)
  body[start + 30] = body.write(found.servedBy, start + 31, 'utf8')
  let at = start + 31 + body[start + 30]!
  body.writeUInt32LE(found.values.length, at)
  at += 4
  for (const value of found.values) {
    body[at] = kindOf(value)
    at++
    if (value === undefined) continue
    writeU64(body, value.revision, at)
    at = writeBytes(body, value.value, at + 8)
  }
  return at
}

/** What says that a value is there, and whether it is coded. */
export function kindOf(value: ReadValue | undefined): number {
  if (value === undefined) return NO_VALUE
  return value.isCoded ? CODED_VALUE : PLAIN_VALUE
}

function readFound(id: number, source: Source): ReadFound {
  const index = source.u64()
  const term = source.u64()
  const role = source.oneOf(ROLES)
  const stalenessMs = source.optionalDuration()
  const servedBy = source.bytes(source.u8()).toString('utf8')
  const count = source.count(1)
  const values: (ReadValue | undefined)[] = []
  for (let i = 0; i < count; i++) {
    values.push(readValue(source))
  }
  return { id, index, term, servedBy, role, stalenessMs, values }
}

function readValue(source: Source): ReadValue | undefined {
  const kind = source.u8()
  if (kind === NO_VALUE) return undefined
  if (kind > CODED_VALUE) throw new DecodeError('unknown kind of a value')
  const revision = source.u64()
  const value = source.bytes(source.u32())
  return kind === CODED_VALUE ? { revision, value, isCoded: true } : { revision, value }
}

function writeFailure(body: Buffer, { id, error }: ReadFailure, start: number): number {
  const message = Buffer.from(error.message).subarray(0, MESSAGE_BYTES_MAX)
  body.writeUInt32LE(id, start)
  body[start + 4] = FAILED
  body[start + 5] = error.retryable ? 1 : 0
  body.writeDoubleLE(error.retryAfterMs ?? Number.NaN, start + 6)
  body[start + 14] = body.write(error.code, start + 15, 'latin1')
  const at = start + 15 + body[start + 14]!
  body.writeUInt16LE(message.length, at)
  body.set(message, at + 2)
  return at + 2 + message.length
}

/** A code of a newer version is kept, whatever it means. */
function readFailure(id: number, source: Source): ReadFailure {
  const retryable = source.u8() === 1
  const retryAfterMs = source.optionalDuration()
  const code = source.bytes(source.u8()).toString('latin1') as StoreErrorCode
  const message = source.bytes(source.u16()).toString('utf8')
  return { id, error: new StoreError(code, message, { retryable, retryAfterMs }) }
}

function writeBytes(body: Buffer, bytes: Uint8Array, at: number): number {
  body.writeUInt32LE(bytes.length, at)
  body.set(bytes, at + 4)
  return at + 4 + bytes.length
}

/** Takes a body apart, and refuses what is beyond its end. */
class Source {
  readonly #body: Buffer
  #at = 0

  constructor(body: Uint8Array) {
    this.#body = asBuffer(body)
  }

  get left(): number {
    return this.#body.length - this.#at
  }

  u8(): number {
    return this.#body[this.#take(1)]!
  }

  u16(): number {
    return this.#body.readUInt16LE(this.#take(2))
  }

  u32(): number {
    return this.#body.readUInt32LE(this.#take(4))
  }

  u64(): number {
    const value = readU64(this.#body, this.#take(8))
    if (value === undefined) throw new DecodeError('number out of bounds')
    return value
  }

  /** Milliseconds from 0 on; may be Infinity. */
  duration(): number {
    const ms = this.#body.readDoubleLE(this.#take(8))
    if (!(ms >= 0)) throw new DecodeError('malformed duration')
    return ms
  }

  optionalDuration(): number | undefined {
    const at = this.#at
    if (Number.isNaN(this.#body.readDoubleLE(this.#take(8)))) return undefined
    this.#at = at
    return this.duration()
  }

  oneOf<T>(known: readonly T[]): T {
    const value = known[this.u8()]
    if (value === undefined) throw new DecodeError('unknown kind in a read')
    return value
  }

  /** A number of things that take at least `leastBytes` each. */
  count(leastBytes: number): number {
    const count = this.u32()
    if (count * leastBytes > this.left) throw new DecodeError('read cut short')
    return count
  }

  bytes(length: number): Buffer {
    const start = this.#take(length)
    return this.#body.subarray(start, start + length)
  }

  #take(bytes: number): number {
    const at = this.#at
    if (bytes > this.left) throw new DecodeError('read cut short')
    this.#at = at + bytes
    return at
  }
}
