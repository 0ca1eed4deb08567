/** Large values whose every byte follows from their identity, so that a wrong one is told wherever it is. */
import { keyedU32 } from '../../../src/base/prng.js'

const KIB = 1024
const BYTES_MIN = 300 * KIB
const BYTES_MAX = 3 * KIB * KIB
const WORD_BYTES = 4
/** The identity, in text, before the noise. */
const HEAD_BYTES = 64

/** What a value says of itself. */
export type Found =
  /** It is the one that its key got in `round`. */
  | { readonly type: 'round'; readonly round: number }
  | { readonly type: 'nothing' }
  /** Nobody ever wrote these bytes. */
  | { readonly type: 'foreign'; readonly text: string }

/** The value that `key` gets in `round`: 300 KiB to 3 MiB. */
export function largeValue(seed: number, key: string, round: number): Buffer {
  const span = BYTES_MAX - BYTES_MIN
  const value = Buffer.alloc(BYTES_MIN + (keyedU32(seed, key, round, 'length') % span))
  value.write(`${key}@${round};`.padEnd(HEAD_BYTES))
  let word = keyedU32(seed, key, round, 'noise') | 1
  for (let at = HEAD_BYTES; at + WORD_BYTES <= value.length; at += WORD_BYTES) {
    word ^= word << 13
    word ^= word >>> 17
    word ^= word << 5
    value.writeInt32LE(word, at)
  }
  return value
}

/** Which value of `key` these bytes are. */
export function identify(seed: number, key: string, bytes: Uint8Array | undefined): Found {
  if (bytes === undefined) return { type: 'nothing' }
  const text = Buffer.from(bytes.subarray(0, HEAD_BYTES)).toString('latin1')
  const [name, number] = text.split(';')[0]!.split('@')
  const round = Number(number)
  const isKnown = name === key && Number.isSafeInteger(round)
  if (isKnown && largeValue(seed, key, round).equals(bytes)) return { type: 'round', round }
  return { type: 'foreign', text: `${bytes.length} bytes beginning with ${text.trim()}` }
}
