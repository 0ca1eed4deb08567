/**
 * Arithmetic in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D) and the generator 2: the field of
 * Backblaze's, klauspost's and the Rust Reed-Solomon codecs. Addition and subtraction are XOR.
 */

const POLYNOMIAL = 0x11d

/** `EXP[i] = 2^i`, twice over, so that the sum of two logarithms needs no reduction modulo 255. */
const EXP = new Uint8Array(510)
const LOG = new Uint8Array(256)

for (let i = 0, power = 1; i < 255; i++) {
  EXP[i] = power
  EXP[i + 255] = power
  LOG[power] = i
  power <<= 1
  if (power > 255) power ^= POLYNOMIAL
}

/** The product of two elements. */
export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!
}

/** The element whose product with `a` is 1; `a` is not 0. */
export function inverse(a: number): number {
  return EXP[255 - LOG[a]!]!
}

/** `base` to the power of `exponent` (at least 0); 0^0 is 1. */
export function power(base: number, exponent: number): number {
  if (exponent === 0) return 1
  return base === 0 ? 0 : EXP[(LOG[base]! * exponent) % 255]!
}
