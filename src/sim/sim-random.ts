/**
 * Chance in simulation: a draw depends on the seed, on who draws, on what for and for the how manieth time.
 *
 * A host that starts again draws the same numbers again: give each of its lives a name of its own where that
 * must not be (nonces, client ids).
 */
import type { Random } from '../env/random.js'
import type { SimWorld } from './world.js'

/** Keyed randomness of one host. */
export class SimRandom implements Random {
  readonly #world: SimWorld
  readonly #host: string
  readonly #draws = new Map<string, number>()

  constructor(world: SimWorld, host: string) {
    this.#world = world
    this.#host = host
  }

  u32(purpose: string): number {
    return this.#world.u32('random', this.#host, purpose, this.#next(purpose))
  }

  bytes(count: number, purpose: string): Uint8Array {
    const draw = this.#next(purpose)
    const bytes = new Uint8Array(count)
    for (let i = 0; i < count; i++) {
      bytes[i] = this.#world.below(256, 'random', this.#host, purpose, draw, i)
    }
    return bytes
  }

  #next(purpose: string): number {
    const draw = (this.#draws.get(purpose) ?? 0) + 1
    this.#draws.set(purpose, draw)
    return draw
  }
}
