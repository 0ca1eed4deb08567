/** Draws of a fuzz: a stream is enough here, since nothing is shrunk. */
import { keyedU32 } from '../../src/base/prng.js'

/** What chance decides, from a seed. */
export class Draws {
  readonly #seed: number
  #count = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  below(bound: number): number {
    return this.#draw() % bound
  }

  oneOf<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(this.#draw(), at)
    for (let at = length & ~3; at < length; at++) bytes[at] = this.below(256)
    return bytes
  }

  #draw(): number {
    return keyedU32(this.#seed, this.#count++)
  }
}
