/**
 * Reads and writes at a default level, with or without a session: what Store and Session have in common.
 *
 * A session is a position: every read and committed write raises it, and later reads are served only from a
 * state that has reached it. That gives read-your-writes, monotonic reads, monotonic writes and
 * writes-follow-reads (docs/consistency.md), since one log orders everything.
 */
import { StoreError } from '../base/errors.js'
import type { KeyRange } from '../env/database.js'
import type {
  Backend,
  PendingRead,
  ReadLevel,
  ReadPosition,
  ScanCursor,
  StoredValue,
} from '../member/backend.js'
import type { Operation } from '../wire/command.js'
import {
  decodeKey,
  decodeValue,
  encodeBound,
  encodeKey,
  encodeValue,
  KEY_ENCODINGS,
  type Key,
  type KeyEncoding,
  VALUE_ENCODINGS,
  type ValueEncoding,
} from './encoding.js'
import {
  READ_LEVELS,
  refuseUnknown,
  requireOneOf,
  requireTimeout,
  type StoreSettings,
} from './open-options.js'
import type { Position } from './token.js'
import type { WritePipeline, WriteResult } from './write-pipeline.js'

/** What every waiting call takes. */
export interface CallOptions {
  /** Milliseconds until the call fails with QUORATE_TIMEOUT or the like; above 0. Default: the Store's. */
  readonly timeoutMs?: number
  /** Aborts the call with QUORATE_ABORTED; a write that was sent may happen all the same. */
  readonly signal?: AbortSignal
}

/** Options of a write. */
export interface WriteOptions extends CallOptions {
  readonly valueEncoding?: ValueEncoding
}

/** Options of a read. */
export interface ReadOptions extends CallOptions {
  /** Default: the Store's or session's level. */
  readonly consistency?: ReadLevel
  readonly valueEncoding?: ValueEncoding
}

/** Options of a scan: a range of keys and how to run through it. */
export interface ScanOptions extends ReadOptions {
  readonly gt?: Key
  readonly gte?: Key
  readonly lt?: Key
  readonly lte?: Key
  /** From the last key to the first. */
  readonly reverse?: boolean
  /** At most so many entries; default all. */
  readonly limit?: number
  readonly keyEncoding?: KeyEncoding
}

/** One change of a batch. */
export type BatchOperation =
  | { readonly type: 'put'; readonly key: Key; readonly value: unknown }
  | { readonly type: 'del'; readonly key: Key }

/** A value with its circumstances. */
export interface ValueWithMeta<T> {
  /** Undefined when there is none. */
  readonly value: T | undefined
  /** The log index of the key's last change; 0 when there is no value. */
  readonly revision: number
  /** The log index of the state that served the read. */
  readonly appliedIndex: number
}

/** What a session remembers. */
export interface SessionState {
  position: Position
}

const CALL_OPTIONS = ['timeoutMs', 'signal'] as const
const WRITE_OPTIONS: readonly string[] = [...CALL_OPTIONS, 'valueEncoding']
const READ_OPTIONS: readonly string[] = [...CALL_OPTIONS, 'consistency', 'valueEncoding']
const RANGE_OPTIONS = ['gt', 'gte', 'lt', 'lte'] as const
const SCAN_OPTIONS: readonly string[] = [
  ...READ_OPTIONS,
  ...RANGE_OPTIONS,
  'reverse',
  'limit',
  'keyEncoding',
]

/** A scan fetches blocks of about this many entries and bytes. */
const SCAN_ENTRIES = 512
const SCAN_BYTES = 256 * 1024

/** Options after defaults; built once per call, or once per access when a call has none. */
interface ReadSpec {
  readonly level: ReadLevel
  readonly valueEncoding: ValueEncoding
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** Where reads and writes enter; see the file's comment. */
export class Access {
  readonly #backend: Backend
  readonly #pipeline: WritePipeline
  readonly #settings: StoreSettings
  readonly #session: SessionState | undefined
  readonly #defaults: ReadSpec

  constructor(
    backend: Backend,
    pipeline: WritePipeline,
    settings: StoreSettings,
    level: ReadLevel,
    session: SessionState | undefined,
  ) {
    this.#backend = backend
    this.#pipeline = pipeline
    this.#settings = settings
    this.#session = session
    this.#defaults = {
      level,
      valueEncoding: settings.valueEncoding,
      timeoutMs: settings.timeoutMs,
      signal: undefined,
    }
  }

  put(key: Key, value: unknown, options: WriteOptions | undefined): Promise<WriteResult> {
    const encoding = this.#valueEncodingOf(options, WRITE_OPTIONS)
    const operation: Operation = {
      type: 'put',
      key: encodeKey(key),
      value: encodeValue(value, encoding, this.#settings.maxValueBytes),
    }
    return this.#write([operation], options)
  }

  del(key: Key, options: CallOptions | undefined): Promise<WriteResult> {
    if (options !== undefined) refuseUnknown('del', options, CALL_OPTIONS)
    return this.#write([{ type: 'del', key: encodeKey(key) }], options)
  }

  batch(
    operations: readonly BatchOperation[],
    options: WriteOptions | undefined,
  ): Promise<WriteResult> {
    const encoding = this.#valueEncodingOf(options, WRITE_OPTIONS)
    if (!Array.isArray(operations)) throw new TypeError('batch takes an array of operations')
    if (operations.length === 0) throw new RangeError('a batch has at least one operation')
    const maxBytes = this.#settings.maxValueBytes
    return this.#write(
      operations.map((operation) => encodeOperation(operation, encoding, maxBytes)),
      options,
    )
  }

  get<T>(key: Key, options: ReadOptions | undefined): Promise<T | undefined> {
    const spec = this.#readSpec(options, READ_OPTIONS)
    return this.#read([encodeKey(key)], spec, ([stored]) => decodeStored<T>(stored, spec))
  }

  getWithMeta<T>(key: Key, options: ReadOptions | undefined): Promise<ValueWithMeta<T>> {
    const spec = this.#readSpec(options, READ_OPTIONS)
    return this.#read([encodeKey(key)], spec, ([stored], position) => ({
      value: decodeStored<T>(stored, spec),
      revision: stored?.revision ?? 0,
      appliedIndex: position.index,
    }))
  }

  getMany<T>(keys: readonly Key[], options: ReadOptions | undefined): Promise<(T | undefined)[]> {
    const spec = this.#readSpec(options, READ_OPTIONS)
    if (!Array.isArray(keys)) throw new TypeError('getMany takes an array of keys')
    return this.#read(keys.map(encodeKey), spec, (values) =>
      values.map((stored) => decodeStored<T>(stored, spec)),
    )
  }

  scan<K extends string | Uint8Array, T>(
    options: ScanOptions | undefined,
  ): AsyncIterableIterator<[key: K, value: T]> {
    const spec = this.#readSpec(options, SCAN_OPTIONS)
    const { limit = Number.POSITIVE_INFINITY, reverse = false } = options ?? {}
    if (limit !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(limit) || limit < 0)) {
      throw new RangeError(`limit is a whole number from 0 on, not ${limit}`)
    }
    if (typeof reverse !== 'boolean') throw new TypeError('reverse is true or false')
    const keyEncoding = requireOneOf(
      'keyEncoding',
      options?.keyEncoding ?? this.#settings.keyEncoding,
      KEY_ENCODINGS,
    )
    const range = encodeRange(options ?? {})
    const open = () => this.#openScan(range, reverse, spec)
    return scanEntries<K, T>(open, limit, keyEncoding, spec)
  }

  #write(operations: readonly Operation[], options: CallOptions | undefined): Promise<WriteResult> {
    const timeoutMs =
      options?.timeoutMs === undefined
        ? this.#settings.timeoutMs
        : requireTimeout(options.timeoutMs)
    const deadline = this.#backend.now() + timeoutMs
    const written = this.#pipeline.write(operations, deadline, requireSignal(options?.signal))
    const session = this.#session
    if (session === undefined) return written
    return written.then((result) => {
      raise(session, result)
      return result
    })
  }

  #valueEncodingOf(options: WriteOptions | undefined, known: readonly string[]): ValueEncoding {
    if (options === undefined) return this.#settings.valueEncoding
    refuseUnknown('the call', options, known)
    if (options.valueEncoding === undefined) return this.#settings.valueEncoding
    return requireOneOf('valueEncoding', options.valueEncoding, VALUE_ENCODINGS)
  }

  #readSpec(options: ReadOptions | undefined, known: readonly string[]): ReadSpec {
    if (options === undefined) return this.#defaults
    const valueEncoding = this.#valueEncodingOf(options, known)
    const { consistency, timeoutMs, signal } = options
    return {
      level:
        consistency === undefined
          ? this.#defaults.level
          : requireOneOf('consistency', consistency, READ_LEVELS),
      valueEncoding,
      timeoutMs: timeoutMs === undefined ? this.#settings.timeoutMs : requireTimeout(timeoutMs),
      signal: requireSignal(signal),
    }
  }

  #read<R>(
    keys: readonly Uint8Array[],
    spec: ReadSpec,
    decode: (values: readonly (StoredValue | undefined)[], position: ReadPosition) => R,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      const read = new Reading(
        keys,
        spec.level,
        this.#minIndex(spec),
        this.#backend.now() + spec.timeoutMs,
        (values, position) => {
          if (this.#session !== undefined) raise(this.#session, position)
          try {
            resolve(decode(values, position))
          } catch (error) {
            reject(error)
          }
        },
        reject,
      )
      if (spec.signal !== undefined && !read.watch(spec.signal)) return
      this.#backend.read(read)
    })
  }

  async #openScan(range: KeyRange, reverse: boolean, spec: ReadSpec): Promise<ScanCursor> {
    const cursor = await this.#backend.scan({
      range,
      reverse,
      level: spec.level,
      minIndex: this.#minIndex(spec),
      deadline: this.#backend.now() + spec.timeoutMs,
      signal: spec.signal,
    })
    if (this.#session !== undefined) raise(this.#session, cursor.position)
    return cursor
  }

  /** An eventual read asks for nothing; a strong one is newer than any session by itself. */
  #minIndex(spec: ReadSpec): number {
    return spec.level === 'session' ? (this.#session?.position.index ?? 0) : 0
  }
}

/** A read of the Store's own: completes its promise, and lets a signal abandon it. */
class Reading implements PendingRead {
  readonly keys: readonly Uint8Array[]
  readonly level: ReadLevel
  readonly minIndex: number
  readonly deadline: number
  abandoned = false
  readonly #onComplete: PendingRead['complete']
  readonly #onFail: (error: unknown) => void
  #unwatch: (() => void) | undefined

  constructor(
    keys: readonly Uint8Array[],
    level: ReadLevel,
    minIndex: number,
    deadline: number,
    onComplete: PendingRead['complete'],
    onFail: (error: unknown) => void,
  ) {
    this.keys = keys
    this.level = level
    this.minIndex = minIndex
    this.deadline = deadline
    this.#onComplete = onComplete
    this.#onFail = onFail
  }

  complete(values: readonly (StoredValue | undefined)[], position: ReadPosition): void {
    this.#unwatch?.()
    this.#onComplete(values, position)
  }

  fail(error: unknown): void {
    this.#unwatch?.()
    this.#onFail(error)
  }

  /** Abandons the read when `signal` aborts; false when it has aborted already. */
  watch(signal: AbortSignal): boolean {
    const onAbort = () => {
      this.abandoned = true
      this.#onFail(readAborted(signal))
    }
    if (signal.aborted) {
      onAbort()
      return false
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#unwatch = () => signal.removeEventListener('abort', onAbort)
    return true
  }
}

async function* scanEntries<K extends string | Uint8Array, T>(
  open: () => Promise<ScanCursor>,
  limit: number,
  keyEncoding: KeyEncoding,
  spec: ReadSpec,
): AsyncIterableIterator<[key: K, value: T]> {
  if (limit === 0) return
  const cursor = await open()
  let left = limit
  try {
    while (left > 0) {
      if (spec.signal?.aborted) throw readAborted(spec.signal)
      const entries = await cursor.next(Math.min(SCAN_ENTRIES, left), SCAN_BYTES)
      if (entries.length === 0) return
      left -= entries.length
      for (const [key, stored] of entries) {
        yield [decodeKey(key, keyEncoding) as K, decodeStored<T>(stored, spec) as T]
      }
    }
  } finally {
    await cursor.close()
  }
}

function raise(session: SessionState, position: Position): void {
  if (position.index > session.position.index) {
    session.position = { index: position.index, term: position.term }
  }
}

function decodeStored<T>(stored: StoredValue | undefined, spec: ReadSpec): T | undefined {
  if (stored === undefined) return undefined
  return decodeValue(stored.value, spec.valueEncoding) as T
}

function encodeOperation(
  operation: BatchOperation,
  encoding: ValueEncoding,
  maxBytes: number,
): Operation {
  if (typeof operation !== 'object' || operation === null) {
    throw new TypeError('an operation of a batch is an object')
  }
  switch (operation.type) {
    case 'put':
      return {
        type: 'put',
        key: encodeKey(operation.key),
        value: encodeValue(operation.value, encoding, maxBytes),
      }
    case 'del':
      return { type: 'del', key: encodeKey(operation.key) }
    default:
      throw new TypeError('the type of an operation is put or del')
  }
}

function encodeRange(options: ScanOptions): KeyRange {
  const range: Partial<Record<keyof KeyRange, Uint8Array>> = {}
  for (const name of RANGE_OPTIONS) {
    const bound = options[name]
    if (bound !== undefined) range[name] = encodeBound(bound)
  }
  if (range.gt !== undefined && range.gte !== undefined) {
    throw new TypeError('a range has gt or gte, not both')
  }
  if (range.lt !== undefined && range.lte !== undefined) {
    throw new TypeError('a range has lt or lte, not both')
  }
  return range
}

function requireSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new TypeError('signal is an AbortSignal')
}

function readAborted(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the read was aborted by its caller', {
    cause: signal.reason,
  })
}
