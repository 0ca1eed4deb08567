/** What a session token names, read a second time: sim/run checks that nothing is named that may yet be lost. */

/** A version, and the id of the cluster. */
const HEADER_BYTES = 1 + 8
/** Before the position: which life of the cluster, how many groups, which group. */
const NUMBERS_BEFORE = 3
const PREFIX = 's1.'

/** The log position in `token`, which a Store has made. */
export function positionInToken(token: string): { readonly index: number; readonly term: number } {
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url')
  const numbers: number[] = []
  let [value, scale] = [0, 1]
  for (const byte of bytes.subarray(HEADER_BYTES)) {
    value += (byte % 128) * scale
    scale *= 128
    if (byte >= 128) continue
    numbers.push(value)
    value = 0
    scale = 1
  }
  return { index: numbers[NUMBERS_BEFORE]!, term: numbers[NUMBERS_BEFORE + 1]! }
}
