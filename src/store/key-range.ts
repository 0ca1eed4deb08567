/** Ranges of keys, from what callers say to bytes. */
import type { KeyRange } from '../env/database.js'
import { type KeyBounds, RANGE_OPTIONS } from './call-options.js'
import { encodeBound } from './encoding.js'

/** The range that bounds mean. @throws {TypeError} */
export function encodeRange(bounds: KeyBounds): KeyRange {
  const range: Partial<Record<keyof KeyRange, Uint8Array>> = {}
  for (const name of RANGE_OPTIONS) {
    const bound = bounds[name]
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

/** The keys that begin with `prefix`. */
export function prefixRange(prefix: Uint8Array): KeyRange {
  const gte = prefix
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return { gte }
  const lt = Buffer.from(prefix.subarray(0, length))
  lt[length - 1]!++
  return { gte, lt }
}
