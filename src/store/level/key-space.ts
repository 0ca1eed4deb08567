/**
 * Where a database of the Level kind lives in the keys of the Store: under a prefix, which may be empty. Pure.
 */
import { asBuffer, compareBytes } from '../../base/bytes.js'
import type { KeyRange } from '../../env/database.js'

/** Bounds as abstract-level hands them over: encoded, and with two of a kind the including one counts. */
export interface LevelRange {
  readonly gt?: Uint8Array | undefined
  readonly gte?: Uint8Array | undefined
  readonly lt?: Uint8Array | undefined
  readonly lte?: Uint8Array | undefined
}

/** Translates keys and ranges. */
export class LevelKeySpace {
  readonly #prefix: Buffer
  readonly #whole: KeyRange

  constructor(prefix: Uint8Array) {
    this.#prefix = Buffer.from(prefix)
    const end = endOf(this.#prefix)
    const start = this.#prefix.length === 0 ? {} : { gte: this.#prefix }
    this.#whole = end === undefined ? start : { ...start, lt: end }
  }

  /** The Store's key; without a prefix the bytes are not copied. */
  toStore(key: Uint8Array): Uint8Array {
    return this.#prefix.length === 0 ? key : Buffer.concat([this.#prefix, key])
  }

  /** The key inside the database; shares the memory of `key`. */
  fromStore(key: Uint8Array): Buffer {
    return asBuffer(key).subarray(this.#prefix.length)
  }

  /** The keys of the Store in `range`. */
  rangeToStore({ gt, gte, lt, lte }: LevelRange): KeyRange {
    return { ...this.#lower(gt, gte), ...this.#upper(lt, lte) }
  }

  #lower(gt: Uint8Array | undefined, gte: Uint8Array | undefined): KeyRange {
    if (gte !== undefined) return { gte: this.toStore(gte) }
    if (gt !== undefined) return { gt: this.toStore(gt) }
    return this.#whole.gte === undefined ? {} : { gte: this.#whole.gte }
  }

  #upper(lt: Uint8Array | undefined, lte: Uint8Array | undefined): KeyRange {
    if (lte !== undefined) return { lte: this.toStore(lte) }
    if (lt !== undefined) return { lt: this.toStore(lt) }
    return this.#whole.lt === undefined ? {} : { lt: this.#whole.lt }
  }
}

/**
 * What is left of `range` from `target` on in the direction of the iterator; undefined when `target` is outside: such
 * an iterator is at its end, and LevelDB, which ends the process on some of these, never hears of it.
 */
export function rangeFrom(
  range: KeyRange,
  target: Uint8Array,
  order: 'forward' | 'reverse',
): KeyRange | undefined {
  if (!contains(range, target)) return undefined
  const { gt, gte, lt, lte } = range
  if (order === 'forward') {
    return { gte: target, ...(lt !== undefined && { lt }), ...(lte !== undefined && { lte }) }
  }
  return { lte: target, ...(gt !== undefined && { gt }), ...(gte !== undefined && { gte }) }
}

function contains({ gt, gte, lt, lte }: KeyRange, key: Uint8Array): boolean {
  if (gt !== undefined && compareBytes(key, gt) <= 0) return false
  if (gte !== undefined && compareBytes(key, gte) < 0) return false
  if (lt !== undefined && compareBytes(key, lt) >= 0) return false
  return lte === undefined || compareBytes(key, lte) <= 0
}

/** The first key after all that begin with `prefix`; undefined when there is none. */
function endOf(prefix: Buffer): Buffer | undefined {
  for (let length = prefix.length; length > 0; length--) {
    const last = prefix[length - 1]!
    if (last === 0xff) continue
    const end = Buffer.from(prefix.subarray(0, length))
    end[length - 1] = last + 1
    return end
  }
  return undefined
}
