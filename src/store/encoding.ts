/** Keys and values on their way between the caller and bytes; misuse is refused here, before anything else. */
import { Packr } from 'msgpackr'
import { KEY_BYTES_MAX } from '../wire/command.js'

/** A key: text (stored as UTF-8) or bytes; 1 to 65,536 bytes, ordered byte by byte. */
export type Key = string | Uint8Array

/** How values become bytes. `msgpack` takes what structured data needs, Map, Set and Date included. */
export type ValueEncoding = 'msgpack' | 'json' | 'utf8' | 'binary'

/** How keys are given back by scans. */
export type KeyEncoding = 'utf8' | 'binary'

/** The value encodings by name. */
export const VALUE_ENCODINGS: readonly ValueEncoding[] = ['msgpack', 'json', 'utf8', 'binary']
/** The key encodings by name. */
export const KEY_ENCODINGS: readonly KeyEncoding[] = ['utf8', 'binary']

// Plain objects are records, defined inside each value: that tells them from a Map, and every value can still be
// decoded alone, in any order and by any member. It costs about 1 us more than writing objects as maps.
const packr = new Packr({ useRecords: true, moreTypes: true, copyBuffers: true })

/** The bytes of a key; a byte key is not copied. */
export function encodeKey(key: Key): Uint8Array {
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : key
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(`a key is a string or a Uint8Array, not ${describe(key)}`)
  }
  if (bytes.length === 0) throw new RangeError('a key has at least one byte')
  if (bytes.length > KEY_BYTES_MAX) {
    throw new RangeError(`a key has at most ${KEY_BYTES_MAX} bytes, not ${bytes.length}`)
  }
  return bytes
}

/** The bytes of a bound of a range: like a key, but it may be empty or longer than any key. */
export function encodeBound(bound: Key): Uint8Array {
  if (typeof bound === 'string') return Buffer.from(bound, 'utf8')
  if (bound instanceof Uint8Array) return bound
  throw new TypeError(`a bound is a string or a Uint8Array, not ${describe(bound)}`)
}

/** A key as the caller wants it. */
export function decodeKey(key: Uint8Array, encoding: KeyEncoding): string | Buffer {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  return encoding === 'utf8' ? bytes.toString('utf8') : bytes
}

/** Whether `value` is a stream: a Readable, or whatever else gives its bytes piece by piece. */
export function isByteStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/** The bytes of a value. */
export function encodeValue(value: unknown, encoding: ValueEncoding, maxBytes: number): Uint8Array {
  if (value === undefined) {
    throw new TypeError('undefined stands for "not found" and cannot be stored')
  }
  const bytes = toBytes(value, encoding)
  if (bytes.length > maxBytes) {
    throw new RangeError(`a value has at most ${maxBytes} bytes, not ${bytes.length}`)
  }
  return bytes
}

/** The value in `bytes`. */
export function decodeValue(bytes: Buffer, encoding: ValueEncoding): unknown {
  switch (encoding) {
    case 'msgpack':
      return packr.unpack(bytes)
    case 'json':
      return JSON.parse(bytes.toString('utf8'))
    case 'utf8':
      return bytes.toString('utf8')
    case 'binary':
      return bytes
  }
}

function toBytes(value: unknown, encoding: ValueEncoding): Uint8Array {
  switch (encoding) {
    case 'msgpack':
      return pack(value)
    case 'json': {
      const text: string | undefined = JSON.stringify(value)
      if (text === undefined) throw new TypeError(`JSON has no form for ${describe(value)}`)
      return Buffer.from(text, 'utf8')
    }
    case 'utf8':
      if (typeof value === 'string') return Buffer.from(value, 'utf8')
      throw new TypeError(`with the encoding utf8 a value is a string, not ${describe(value)}`)
    case 'binary':
      if (value instanceof Uint8Array) return value
      throw new TypeError(
        `with the encoding binary a value is a Uint8Array, not ${describe(value)}`,
      )
  }
}

function pack(value: unknown): Uint8Array {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw new TypeError(`msgpack has no form for ${describe(value)}`)
  }
  try {
    return packr.pack(value)
  } catch (error) {
    throw new TypeError(`msgpack has no form for the value: ${String(error)}`, { cause: error })
  }
}

function describe(value: unknown): string {
  return value === null ? 'null' : typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
