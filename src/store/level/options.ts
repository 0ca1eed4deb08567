/** The options of `store.level`, checked and complete. */
import type { AbstractDatabaseOptions, Transcoder } from 'abstract-level'
import type { ReadLevel } from '../../member/backend.js'
import { KEY_BYTES_MAX } from '../../wire/command.js'
import { encodeBound, type Key } from '../encoding.js'
import { READ_LEVELS, refuseUnknown, requireOneOf, requireTimeout } from '../open-options.js'

/** An encoding of keys or values: the name of one that abstract-level has, or one's own. */
export type LevelEncoding<T> = string | Transcoder.PartialEncoding<T>

/** Options of `store.level`. */
export interface LevelOptions<K = string, V = string> {
  /** How strong its reads are; default `session`. */
  readonly consistency?: ReadLevel
  /**
   * Its keys stand in the Store behind this; default: none, then it is the whole Store, and `clear()` empties that.
   * Text is UTF-8. No prefix of one database should begin with another's.
   */
  readonly prefix?: Key
  /** Milliseconds until a read or write fails; above 0. Default: the Store's. */
  readonly timeoutMs?: number
  /** Default `utf8`. */
  readonly keyEncoding?: LevelEncoding<K>
  /** Default `utf8`. */
  readonly valueEncoding?: LevelEncoding<V>
  /** What `open` is called with when the database opens by itself, as it does at first: hooks get it. */
  readonly open?: Readonly<Record<string, unknown>>
}

const LEVEL_OPTIONS: readonly string[] = [
  'consistency',
  'prefix',
  'timeoutMs',
  'keyEncoding',
  'valueEncoding',
  'open',
]
const PREFIX_BYTES_MAX = KEY_BYTES_MAX / 2

/** The options, complete. */
export interface LevelSettings<K, V> {
  readonly level: ReadLevel
  readonly prefix: Uint8Array
  readonly timeoutMs: number
  /** For abstract-level to check. */
  readonly base: AbstractDatabaseOptions<K, V>
}

/** @throws {TypeError | RangeError} */
export function resolveLevelOptions<K, V>(
  options: LevelOptions<K, V>,
  timeoutMs: number,
): LevelSettings<K, V> {
  refuseUnknown('level', options, LEVEL_OPTIONS)
  const prefix = encodeBound(options.prefix ?? '')
  if (prefix.length > PREFIX_BYTES_MAX) {
    throw new RangeError(`a prefix has at most ${PREFIX_BYTES_MAX} bytes, not ${prefix.length}`)
  }
  return {
    level: requireOneOf('consistency', options.consistency ?? 'session', READ_LEVELS),
    prefix,
    timeoutMs: options.timeoutMs === undefined ? timeoutMs : requireTimeout(options.timeoutMs),
    base: {
      ...options.open,
      keyEncoding: options.keyEncoding,
      valueEncoding: options.valueEncoding,
    },
  }
}
