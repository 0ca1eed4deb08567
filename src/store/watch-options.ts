/** The options of a watch: checked at the call. */
import type { KeyRange } from '../env/database.js'
import {
  type KeyBounds,
  RANGE_OPTIONS,
  READ_OPTIONS,
  type ReadOptions,
  type ReadSpec,
  resolveRead,
} from './call-options.js'
import { encodeBound, KEY_ENCODINGS, type Key, type KeyEncoding } from './encoding.js'
import { encodeRange, prefixRange } from './key-range.js'
import { refuseUnknown, requireOneOf } from './open-options.js'
import type { Position } from './token.js'
import type { WatchSpec } from './watch.js'

/** Options of a watch: a range of keys, where to begin, and how to go on. */
export interface WatchOptions extends ReadOptions, KeyBounds {
  /** All keys that begin so; instead of bounds. */
  readonly prefix?: Key
  /**
   * Begin after this position: the `index` or `token` of an event or of a write, or a session's token. One that is not
   * reached here yet is waited for. Default: changes from now on.
   */
  readonly from?: number | string
  /** Begin with the whole state of the range, read as `consistency` says. Default false. */
  readonly initial?: boolean
  /**
   * What to do when the changes after the position are not remembered any more: `end` with QUORATE_COMPACTED (the
   * default), or `reset`: say so, and begin anew with the whole state. A state that cannot be given to its end, because
   * the member that gives it to a client is gone, is treated the same.
   */
  readonly onCompacted?: 'end' | 'reset'
  /** Say how far the watch has come after so long without another event, about to the second. Default: never. */
  readonly progressMs?: number
  readonly keyEncoding?: KeyEncoding
  /** How long finding the beginning may take; the watch itself goes on until it is ended. Default: the Store's. */
  readonly timeoutMs?: number
}

const ON_COMPACTED = ['end', 'reset'] as const
const WATCH_OPTIONS: readonly string[] = [
  ...READ_OPTIONS,
  ...RANGE_OPTIONS,
  'prefix',
  'from',
  'initial',
  'onCompacted',
  'progressMs',
  'keyEncoding',
]

/**
 * @throws {TypeError | RangeError}
 * @throws {StoreError} QUORATE_BAD_TOKEN
 */
export function resolveWatch(
  options: WatchOptions,
  defaults: ReadSpec,
  keyEncoding: KeyEncoding,
  decodeToken: (token: string) => Position,
): WatchSpec {
  refuseUnknown('the watch', options, WATCH_OPTIONS)
  const { onCompacted = 'end', progressMs = Number.POSITIVE_INFINITY } = options
  if (typeof progressMs !== 'number') throw new TypeError('progressMs is a number')
  if (!(progressMs > 0)) throw new RangeError(`progressMs is above 0, not ${progressMs}`)
  return {
    range: rangeOf(options),
    start: startOf(options, decodeToken),
    onCompacted: requireOneOf('onCompacted', onCompacted, ON_COMPACTED),
    progressMs,
    keyEncoding: requireOneOf('keyEncoding', options.keyEncoding ?? keyEncoding, KEY_ENCODINGS),
    read: resolveRead(readOptionsOf(options), defaults),
  }
}

/** Bounds are copied: a watch lives longer than its call. */
function rangeOf(options: WatchOptions): KeyRange {
  const { prefix } = options
  if (prefix === undefined) {
    const bounds = Object.entries(encodeRange(options))
    return Object.fromEntries(bounds.map(([name, bound]) => [name, Buffer.from(bound)]))
  }
  if (RANGE_OPTIONS.some((name) => options[name] !== undefined)) {
    throw new TypeError('a watch has a prefix or bounds, not both')
  }
  return prefixRange(Buffer.from(encodeBound(prefix)))
}

function startOf(
  { from, initial = false }: WatchOptions,
  decodeToken: (token: string) => Position,
): WatchSpec['start'] {
  if (typeof initial !== 'boolean') throw new TypeError('initial is true or false')
  if (from === undefined) return initial ? 'state' : 'now'
  if (initial) throw new TypeError('a watch begins with the state or from a position, not both')
  if (typeof from === 'string') return decodeToken(from)
  if (typeof from !== 'number') throw new TypeError('from is an index or a token')
  if (!Number.isSafeInteger(from) || from < 0) {
    throw new RangeError(`from is a whole number from 0 on, not ${from}`)
  }
  return { index: from, term: 0 }
}

function readOptionsOf(options: WatchOptions): ReadOptions {
  const { consistency, maxStalenessMs, onBehind, valueEncoding, timeoutMs, signal } = options
  return {
    ...(consistency !== undefined && { consistency }),
    ...(maxStalenessMs !== undefined && { maxStalenessMs }),
    ...(onBehind !== undefined && { onBehind }),
    ...(valueEncoding !== undefined && { valueEncoding }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(signal !== undefined && { signal }),
  }
}
