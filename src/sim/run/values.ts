/**
 * The values that simulated clients write: a short text that tells each from all others, and what only makes it long.
 * What is long enough to be stored as shards is noise that follows from the short text, so that a byte of another
 * value, part or position is told.
 */
import { keyedBelow, keyedU32 } from '../../base/prng.js'
import type { Knobs } from '../schedule/schedule.js'

/** What a run says about the length of values. */
export type ValueKnobs = Pick<Knobs, 'valueBytes' | 'largeValues'>

/** Longer ones are stored as shards, in runs with large values. */
export const THRESHOLD_BYTES = 300
/** So much data is in one shard at most, in such runs. */
export const SHARD_BYTES = 1024

const LARGE_SHARE: Readonly<Record<Knobs['largeValues'], number>> = { none: 0, some: 25, most: 75 }
/** Around the threshold, around the ends of parts, and of many parts. */
const LARGE_BYTES: readonly number[] = [
  THRESHOLD_BYTES - 1,
  THRESHOLD_BYTES,
  THRESHOLD_BYTES + 1,
  700,
  SHARD_BYTES,
  SHARD_BYTES + 1,
  2 * SHARD_BYTES,
  2 * SHARD_BYTES + 1,
  3500,
  3 * SHARD_BYTES,
  7 * SHARD_BYTES + 5,
]
/** Of so many large values one is written as a stream … */
const STREAM_EVERY = 4
/** … of pieces of this size. */
const PIECE_BYTES = 600
const END = ':'
const FILLING = 'x'
const ALPHABET = 'abcdefghijklmnopqrstuvw0123456789'
const NOISE: string = Array.from(
  { length: 16_384 },
  (_, at) => ALPHABET[keyedBelow(1, ALPHABET.length, 'noise', at)]!,
).join('')

/** What is stored for the value that `short` names. */
export function storedText(short: string, { valueBytes, largeValues }: ValueKnobs): string {
  if (!isLarge(short, largeValues)) return short + END + FILLING.repeat(valueBytes)
  return largeText(short, LARGE_BYTES[keyedBelow(0, LARGE_BYTES.length, short, 'bytes')]!)
}

/** The same for a client that has it piece by piece; undefined when it has it at once. */
export function streamedText(
  short: string,
  knobs: ValueKnobs,
): AsyncIterable<Uint8Array> | undefined {
  const isStream = keyedBelow(0, STREAM_EVERY, short, 'stream') === 0
  if (!isStream || !isLarge(short, knobs.largeValues)) return undefined
  return piecesOf(Buffer.from(storedText(short, knobs)))
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield bytes.subarray(at, at + PIECE_BYTES)
  }
}

/** The name of the value that was stored as `given`, or words that are nobody's name. */
export function shortText(given: string | Uint8Array): string {
  // What was written as a stream comes as bytes.
  const stored = typeof given === 'string' ? given : Buffer.from(given).toString()
  const end = stored.indexOf(END)
  const [short, rest] = [stored.slice(0, end), stored.slice(end + 1)]
  if (rest === '' || rest.startsWith(FILLING)) return short
  return stored === largeText(short, Number.parseInt(rest, 10)) ? short : `${short}, damaged`
}

/** It says how long it is, so that nothing can be missing at its end. */
function largeText(short: string, bytes: number): string {
  const head = `${short}${END}${bytes} `
  const at = keyedU32(0, short, 'noise') % (NOISE.length >> 1)
  return head + NOISE.slice(at, at + bytes - head.length)
}

function isLarge(short: string, largeValues: Knobs['largeValues']): boolean {
  return keyedBelow(0, 100, short, 'large') < LARGE_SHARE[largeValues]
}
