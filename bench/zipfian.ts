/**
 * Draws of a zipfian distribution over 0 … n-1, where 0 is the most popular: the method of Gray et al., "Quickly
 * generating billion-record synthetic databases" (SIGMOD 1994), with which YCSB draws as well.
 *
 * `scattered` spreads the popular numbers over the whole range, as YCSB does, so that they are not neighbours.
 */
import { keyedU32 } from '../src/base/prng.js'

/** YCSB's skew. */
const THETA = 0.99

/** A zipfian distribution over `n` numbers; making it costs O(n). */
export class Zipfian {
  readonly #n: number
  readonly #zeta: number
  readonly #eta: number

  constructor(n: number) {
    this.#n = n
    this.#zeta = zeta(n)
    this.#eta = (1 - (2 / n) ** (1 - THETA)) / (1 - zeta(Math.min(2, n)) / this.#zeta)
  }

  /** The number for a uniform draw from [0, 1). */
  rank(uniform: number): number {
    const place = uniform * this.#zeta
    if (place < 1) return 0
    if (place < 1 + 0.5 ** THETA) return Math.min(1, this.#n - 1)
    const rank = Math.floor(this.#n * (this.#eta * uniform - this.#eta + 1) ** (1 / (1 - THETA)))
    return Math.min(this.#n - 1, rank)
  }

  /** As `rank`, with the ranks spread over the range; two of them may fall on one number. */
  scattered(uniform: number): number {
    return keyedU32(0, this.rank(uniform)) % this.#n
  }
}

function zeta(n: number): number {
  let sum = 0
  for (let i = 1; i <= n; i++) sum += i ** -THETA
  return sum
}
