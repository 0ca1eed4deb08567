/**
 * Keyed randomness: a draw is a pure function of a seed and of what it is for.
 *
 * Draws are keyed rather than streamed, so that taking one event out of a schedule does not shift every later
 * draw: that is what lets a failing schedule shrink to a few steps (design D9).
 */

/** Mixes 32 bits well: a bijection with good avalanche (the "lowbias32" constants). */
function mix(value: number): number {
  let x = value >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/** An unsigned 32-bit draw for `keys` under `seed`; the same arguments always give the same draw. */
export function keyedU32(seed: number, ...keys: readonly (number | string)[]): number {
  let state = mix(seed ^ 0x9e3779b9)
  for (const key of keys) {
    if (typeof key === 'number') {
      state = mix(state ^ (key >>> 0))
      state = mix(state + Math.floor(key / 0x1_0000_0000))
    } else {
      for (let i = 0; i < key.length; i++) state = mix(Math.imul(state, 31) + key.charCodeAt(i))
    }
  }
  return state
}

/** A draw below `bound` (at most 2^32) for `keys` under `seed`; the bias is below bound / 2^32. */
export function keyedBelow(
  seed: number,
  bound: number,
  ...keys: readonly (number | string)[]
): number {
  return Math.floor((keyedU32(seed, ...keys) / 0x1_0000_0000) * bound)
}
