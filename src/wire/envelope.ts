/**
 * msgpack for what is sent rarely and must be readable by others: calls of clients and their answers.
 *
 * The options are pinned here: plain maps (no records, which would generate code from what came in), plain
 * types (null, undefined, booleans, numbers, strings, bytes, arrays, objects). Bytes from outside are walked
 * through once before the library sees them, so that nesting, lengths and types are known to be harmless.
 *
 *   call    [id, method, params]
 *   answer  [id, ok] | [id, null, { code, message, outcome, retryable, retryAfterMs?, oldest? }]
 */
import { Packr } from 'msgpackr'
import { type Outcome, StoreError, type StoreErrorCode } from '../base/errors.js'
import { DecodeError } from './command.js'

const DEPTH_MAX = 32
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  moreTypes: false,
  structuredClone: false,
  bundleStrings: false,
  copyBuffers: true,
  int64AsType: 'number',
})

/** A client's call. */
export interface Call {
  readonly id: number
  readonly method: string
  readonly params: unknown
}

/** How a call failed. */
export interface CallError {
  readonly code: string
  readonly message: string
  /** `unknown` where it is not said. */
  readonly outcome?: Outcome
  /** `false` where it is not said. */
  readonly retryable?: boolean
  readonly retryAfterMs?: number | undefined
  /** With QUORATE_COMPACTED: where a watch can go on from. */
  readonly oldest?: number
}

/** What became of a call. */
export type CallResult = { readonly ok: unknown } | { readonly error: CallError }

export function encodeCall(call: Call): Uint8Array {
  return packr.pack([call.id, call.method, call.params])
}

/** @throws {DecodeError} */
export function decodeCall(body: Buffer): Call {
  const [id, method, params] = decodeList(body, 3)
  if (!isId(id) || typeof method !== 'string') throw new DecodeError('malformed call')
  return { id, method, params }
}

export function encodeAnswer(id: number, result: CallResult): Uint8Array {
  return packr.pack('ok' in result ? [id, result.ok] : [id, null, result.error])
}

/** @throws {DecodeError} */
export function decodeAnswer(body: Buffer): { id: number; result: CallResult } {
  const list = decodeList(body, 3)
  const [id, ok, error] = list
  if (!isId(id)) throw new DecodeError('malformed answer')
  return { id, result: list.length === 2 ? { ok } : { error: asCallError(error) } }
}

/** An operating error as plain data. */
export function callErrorOf(error: StoreError): CallError {
  const { code, message, outcome, retryable, retryAfterMs, oldest } = error
  return {
    code,
    message,
    outcome,
    retryable,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(oldest !== undefined && { oldest }),
  }
}

/** An error as the other side gave it; a code of a newer version is kept, whatever it means. */
export function storeErrorOf(error: CallError): StoreError {
  return new StoreError(error.code as StoreErrorCode, error.message, {
    outcome: error.outcome ?? 'unknown',
    retryable: error.retryable ?? false,
    retryAfterMs: error.retryAfterMs,
    ...(error.oldest !== undefined && { oldest: error.oldest }),
  })
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

type Fields = Readonly<Partial<Record<string, unknown>>>

function asCallError(value: unknown): CallError {
  if (typeof value !== 'object' || value === null) throw new DecodeError('malformed error')
  const { code, message, outcome, retryable, retryAfterMs, oldest } = value as Fields
  if (typeof code !== 'string' || typeof message !== 'string') {
    throw new DecodeError('malformed error')
  }
  return {
    code,
    message,
    outcome: outcome === 'none' || outcome === 'committed' ? outcome : 'unknown',
    retryable: retryable === true,
    ...(typeof retryAfterMs === 'number' && retryAfterMs >= 0 && { retryAfterMs }),
    ...(isId(oldest) && oldest >= 0 && { oldest }),
  }
}

function decodeList(body: Buffer, lengthMax: number): unknown[] {
  if (skip(body, 0, 0) !== body.length) throw new DecodeError('bytes left over after an envelope')
  const value: unknown = packr.unpack(body)
  if (!Array.isArray(value) || value.length < 2 || value.length > lengthMax) {
    throw new DecodeError('an envelope is not a list')
  }
  return value
}

/** Where the value that starts at `at` ends, having checked all of it. */
function skip(body: Buffer, at: number, depth: number): number {
  if (depth > DEPTH_MAX) throw new DecodeError('envelope nested too deeply')
  const type = uint(body, at, 1)
  const next = at + 1
  if (type <= 0x7f || type >= 0xe0) return next
  if (type <= 0x8f) return skipMap(body, next, type & 0x0f, depth)
  if (type <= 0x9f) return skipAll(body, next, type & 0x0f, depth)
  if (type <= 0xbf) return skipBytes(body, next, type & 0x1f)
  switch (type) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return next
    case 0xc4:
    case 0xd9:
      return skipBytes(body, next + 1, uint(body, next, 1))
    case 0xc5:
    case 0xda:
      return skipBytes(body, next + 2, uint(body, next, 2))
    case 0xc6:
    case 0xdb:
      return skipBytes(body, next + 4, uint(body, next, 4))
    case 0xcc:
    case 0xd0:
      return skipBytes(body, next, 1)
    case 0xcd:
    case 0xd1:
      return skipBytes(body, next, 2)
    case 0xca:
    case 0xce:
    case 0xd2:
      return skipBytes(body, next, 4)
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return skipBytes(body, next, 8)
    case 0xd4:
      return skipUndefined(body, next)
    case 0xdc:
      return skipAll(body, next + 2, uint(body, next, 2), depth)
    case 0xdd:
      return skipAll(body, next + 4, uint(body, next, 4), depth)
    case 0xde:
      return skipMap(body, next + 2, uint(body, next, 2), depth)
    case 0xdf:
      return skipMap(body, next + 4, uint(body, next, 4), depth)
    default:
      throw new DecodeError(`type ${type} is not for envelopes`)
  }
}

function skipAll(body: Buffer, at: number, count: number, depth: number): number {
  if (count > body.length - at) throw new DecodeError('envelope cut short')
  let end = at
  for (let i = 0; i < count; i++) end = skip(body, end, depth + 1)
  return end
}

function skipMap(body: Buffer, at: number, count: number, depth: number): number {
  if (2 * count > body.length - at) throw new DecodeError('envelope cut short')
  let end = at
  for (let i = 0; i < count; i++) {
    const type = uint(body, end, 1)
    const isText = (type >= 0xa0 && type <= 0xbf) || (type >= 0xd9 && type <= 0xdb)
    if (!isText) throw new DecodeError('a key in an envelope is not a text')
    end = skip(body, skip(body, end, depth + 1), depth + 1)
  }
  return end
}

function skipBytes(body: Buffer, at: number, bytes: number): number {
  if (bytes > body.length - at) throw new DecodeError('envelope cut short')
  return at + bytes
}

/** The library writes `undefined` as an extension of type 0 and one byte 0; no other extension is let in. */
function skipUndefined(body: Buffer, at: number): number {
  if (uint(body, at, 2) !== 0) throw new DecodeError('extension in an envelope')
  return at + 2
}

function uint(body: Buffer, at: number, bytes: number): number {
  if (bytes > body.length - at) throw new DecodeError('envelope cut short')
  return body.readUIntBE(at, bytes)
}
