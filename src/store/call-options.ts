/** The options of calls: checked at the call, and put together with the defaults of whoever is asked. */
import type { OnBehind, ReadLevel } from '../member/backend.js'
import type { Key, KeyEncoding, ValueEncoding } from './encoding.js'
import { KEY_ENCODINGS, VALUE_ENCODINGS } from './encoding.js'
import type { ByteRange } from './large-value.js'
import { READ_LEVELS, refuseUnknown, requireOneOf, requireTimeout } from './open-options.js'
import type { ExpiryOptions } from './transaction.js'
import type { UploadProgress } from './uploads.js'

/** What every waiting call takes. */
export interface CallOptions {
  /** Milliseconds until the call fails with QUORATE_TIMEOUT or the like; above 0. Default: the Store's. */
  readonly timeoutMs?: number
  /** Aborts the call with QUORATE_ABORTED; a write that was sent may happen all the same. */
  readonly signal?: AbortSignal
}

/**
 * When a write is acknowledged. `leader`: it stands in the leader's log, and is lost if that leader is. `quorum`: it is
 * fsynced on a majority of the voters and applied by the leader. `applied`: and by the member that was asked, so that
 * its `eventual` reads see it. `all`, `{ members: n }`: and by all voters, or n of them.
 */
export type Ack = 'leader' | 'quorum' | 'applied' | 'all' | { readonly members: number }

/** What every write takes. */
export interface WriteOptions extends CallOptions {
  /** Default `quorum`. */
  readonly ack?: Ack
}

/** Options of a batch or transaction. */
export interface BatchOptions extends WriteOptions {
  readonly valueEncoding?: ValueEncoding
}

/** Options of a delete. */
export interface DelOptions extends WriteOptions {
  /** Only if the key's last change was at this log index (see `getWithMeta`); 0: only if it does not exist. */
  readonly ifRevision?: number
}

/** Options of a put. */
export interface PutOptions extends BatchOptions, ExpiryOptions {
  /** Only if the key's last change was at this log index (see `getWithMeta`); 0: only if it does not exist. */
  readonly ifRevision?: number
  /** Only if the key does not exist. */
  readonly ifAbsent?: true
  /** A stream of more bytes fails with QUORATE_TOO_LARGE; a value of more bytes, encoded, is a RangeError. */
  readonly maxBytes?: number
  /** Called as the bytes of a stream or a large value are taken, some hundred KiB at a time. */
  readonly onProgress?: (progress: UploadProgress) => void
}

/** Options of `Store.read`. */
export interface ValueReadOptions extends Omit<ReadOptions, 'valueEncoding'> {
  /** The first byte; default 0. */
  readonly start?: number
  /** The byte after the last one; default, and at most, the end of the value. */
  readonly end?: number
}

/** What is to be cleared. */
export interface ClearOptions extends WriteOptions, KeyBounds {
  /** At most so many keys, 1 to 1,000; default all. */
  readonly limit?: number
  /** Begin at the end of the range. */
  readonly reverse?: boolean
}

/** Options of a read. */
export interface ReadOptions extends CallOptions {
  /** Default: the Store's, view's or session's level. */
  readonly consistency?: ReadLevel
  /**
   * For `session` and `eventual`: every write acknowledged so many milliseconds before the read is seen, proven on
   * the serving member's own clock; above 0. Default: no bound.
   */
  readonly maxStalenessMs?: number
  /**
   * What to do where the state is not as new as the session or `maxStalenessMs` asks: `wait` for it, and after half
   * of the time ask the leader (the default); `forward` to the leader at once; `fail` at once, with
   * QUORATE_BEHIND_TOKEN or QUORATE_TOO_STALE.
   */
  readonly onBehind?: OnBehind
  readonly valueEncoding?: ValueEncoding
}

/** A range of keys; everything where no bound is given. */
export interface KeyBounds {
  readonly gt?: Key
  readonly gte?: Key
  readonly lt?: Key
  readonly lte?: Key
}

/** Options of a scan: a range of keys and how to run through it. */
export interface ScanOptions extends ReadOptions, KeyBounds {
  /** From the last key to the first. */
  readonly reverse?: boolean
  /** At most so many entries; default all. */
  readonly limit?: number
  readonly keyEncoding?: KeyEncoding
}

const CALL_OPTIONS: readonly string[] = ['timeoutMs', 'signal']
const ACKS = ['leader', 'quorum', 'applied', 'all'] as const
const ACK_OPTIONS: readonly string[] = [...CALL_OPTIONS, 'ack']
const BATCH_OPTIONS: readonly string[] = [...ACK_OPTIONS, 'valueEncoding']
/** What each kind of write takes. */
const OPTIONS_OF: Readonly<Record<'put' | 'del' | 'batch' | 'txn' | 'clear', readonly string[]>> = {
  put: [...BATCH_OPTIONS, 'ifRevision', 'ifAbsent', 'ttlMs', 'lease', 'maxBytes', 'onProgress'],
  del: [...ACK_OPTIONS, 'ifRevision'],
  batch: BATCH_OPTIONS,
  txn: BATCH_OPTIONS,
  clear: [...ACK_OPTIONS, 'gt', 'gte', 'lt', 'lte', 'limit', 'reverse'],
}
/** The options of a read by name. */
export const READ_OPTIONS: readonly string[] = [
  ...CALL_OPTIONS,
  'consistency',
  'maxStalenessMs',
  'onBehind',
  'valueEncoding',
]
const VALUE_READ_OPTIONS = READ_OPTIONS.filter((name) => name !== 'valueEncoding')
/** The bounds of a range by name. */
export const RANGE_OPTIONS = ['gt', 'gte', 'lt', 'lte'] as const
const SCAN_OPTIONS: readonly string[] = [
  ...READ_OPTIONS,
  ...RANGE_OPTIONS,
  'reverse',
  'limit',
  'keyEncoding',
]
const ON_BEHIND: readonly OnBehind[] = ['wait', 'forward', 'fail']

/** The options of a read, complete; built once per call, or once for all calls that have none. */
export interface ReadSpec {
  readonly level: ReadLevel
  /** Infinity: no bound. */
  readonly maxStalenessMs: number
  readonly onBehind: OnBehind
  readonly valueEncoding: ValueEncoding
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** The options of a scan beside those of its reads, complete. */
export interface ScanSpec {
  readonly limit: number
  readonly order: 'forward' | 'reverse'
  readonly keyEncoding: KeyEncoding
}

/** The options of a write, complete. */
export interface WriteSpec {
  readonly ack: Ack
  readonly valueEncoding: ValueEncoding
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  readonly onProgress: PutOptions['onProgress'] | undefined
}

/** @throws {TypeError | RangeError} */
export function resolveRead(options: ReadOptions | undefined, defaults: ReadSpec): ReadSpec {
  if (options === undefined) return defaults
  refuseUnknown('the read', options, READ_OPTIONS)
  return readSpec(options, defaults)
}

/** @throws {TypeError | RangeError} */
export function resolveScan(
  options: ScanOptions | undefined,
  defaults: ReadSpec,
  keyEncoding: KeyEncoding,
): { read: ReadSpec; scan: ScanSpec } {
  if (options === undefined) {
    const scan = { limit: Number.POSITIVE_INFINITY, order: 'forward', keyEncoding } as const
    return { read: defaults, scan }
  }
  refuseUnknown('the scan', options, SCAN_OPTIONS)
  const { limit = Number.POSITIVE_INFINITY, reverse = false } = options
  if (limit !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(limit) || limit < 0)) {
    throw new RangeError(`limit is a whole number from 0 on, not ${limit}`)
  }
  if (typeof reverse !== 'boolean') throw new TypeError('reverse is true or false')
  const scan: ScanSpec = {
    limit,
    order: reverse ? 'reverse' : 'forward',
    keyEncoding: requireOneOf('keyEncoding', options.keyEncoding ?? keyEncoding, KEY_ENCODINGS),
  }
  return { read: readSpec(options, defaults), scan }
}

/** @throws {TypeError | RangeError} */
export function resolveWrite(
  kind: keyof typeof OPTIONS_OF,
  options: (BatchOptions & Pick<PutOptions, 'onProgress'>) | undefined,
  defaults: WriteSpec,
): WriteSpec {
  if (options === undefined) return defaults
  refuseUnknown(kind, options, OPTIONS_OF[kind])
  return {
    ack: options.ack === undefined ? defaults.ack : requireAck(options.ack),
    valueEncoding: valueEncodingOf(options, defaults.valueEncoding),
    ...callSpec(options, defaults.timeoutMs),
    onProgress: requireListener(options.onProgress),
  }
}

/** @throws {TypeError | RangeError} */
export function resolveValueRead(
  options: ValueReadOptions,
  defaults: ReadSpec,
): { read: ReadSpec; range: ByteRange } {
  const { start = 0, end = Number.POSITIVE_INFINITY, ...read } = options
  refuseUnknown('the read', read, VALUE_READ_OPTIONS)
  requirePosition('start', start)
  if (end !== Number.POSITIVE_INFINITY) requirePosition('end', end)
  if (start > end) throw new RangeError(`start, ${start}, is not after end, ${end}`)
  return { read: readSpec(read, defaults), range: { start, end } }
}

/** The bound that a caller has set for a value; Infinity: none. @throws {TypeError | RangeError} */
export function requireMaxBytes(maxBytes: unknown = Number.POSITIVE_INFINITY): number {
  if (maxBytes !== Number.POSITIVE_INFINITY) requirePosition('maxBytes', maxBytes)
  return maxBytes as number
}

function requirePosition(name: string, value: unknown): void {
  if (typeof value !== 'number') throw new TypeError(`${name} is a number`)
  if (Number.isSafeInteger(value) && value >= 0) return
  throw new RangeError(`${name} is a whole number from 0, not ${value}`)
}

function requireListener(listener: PutOptions['onProgress']): PutOptions['onProgress'] {
  if (listener === undefined || typeof listener === 'function') return listener
  throw new TypeError('onProgress is a function')
}

/** Throws unless `ack` is one. */
export function requireAck(ack: Ack): Ack {
  if (typeof ack !== 'object' || ack === null) return requireOneOf('ack', ack, ACKS)
  refuseUnknown('ack', ack, ['members'])
  const { members } = ack
  if (typeof members !== 'number') throw new TypeError('ack.members is a number')
  if (!Number.isSafeInteger(members) || members < 1) {
    throw new RangeError(`ack.members is a whole number from 1 on, not ${members}`)
  }
  return { members }
}

function readSpec(options: ReadOptions, defaults: ReadSpec): ReadSpec {
  const { consistency = defaults.level, onBehind = defaults.onBehind } = options
  const level = requireOneOf('consistency', consistency, READ_LEVELS)
  const {
    maxStalenessMs = level === 'strong' ? Number.POSITIVE_INFINITY : defaults.maxStalenessMs,
  } = options
  return {
    level,
    maxStalenessMs: requireStaleness(maxStalenessMs, level),
    onBehind: requireOneOf('onBehind', onBehind, ON_BEHIND),
    valueEncoding: valueEncodingOf(options, defaults.valueEncoding),
    ...callSpec(options, defaults.timeoutMs),
  }
}

function requireStaleness(ms: unknown, level: ReadLevel): number {
  if (typeof ms !== 'number') throw new TypeError('maxStalenessMs is a number')
  if (!(ms > 0)) throw new RangeError(`maxStalenessMs is above 0, not ${ms}`)
  if (level === 'strong' && ms !== Number.POSITIVE_INFINITY) {
    throw new TypeError('maxStalenessMs is for session and eventual: a strong read is never stale')
  }
  return ms
}

function valueEncodingOf(
  { valueEncoding }: { readonly valueEncoding?: ValueEncoding },
  fallback: ValueEncoding,
): ValueEncoding {
  if (valueEncoding === undefined) return fallback
  return requireOneOf('valueEncoding', valueEncoding, VALUE_ENCODINGS)
}

/** The options that every waiting call has. */
export function callSpec(
  { timeoutMs, signal }: CallOptions,
  fallbackMs: number,
): { timeoutMs: number; signal: AbortSignal | undefined } {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError('signal is an AbortSignal')
  }
  return { timeoutMs: timeoutMs === undefined ? fallbackMs : requireTimeout(timeoutMs), signal }
}
