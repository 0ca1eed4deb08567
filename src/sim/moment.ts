/**
 * Keys of draws that depend on the moment and not on how many draws came before it: taking an event out of a schedule
 * then leaves the draws of other moments as they were, which is what lets it shrink.
 */
import type { SimWorld } from './world.js'

/** Numbers the draws of each moment. */
export class Moment {
  readonly #world: SimWorld
  #micros = -1
  #draws = 0

  constructor(world: SimWorld) {
    this.#world = world
  }

  /** A key that no other draw of this owner has: the moment in microseconds, and the draw's number in it. */
  next(): readonly [micros: number, draw: number] {
    const micros = Math.round(this.#world.now * 1000)
    if (micros !== this.#micros) this.#draws = 0
    this.#micros = micros
    return [micros, this.#draws++]
  }
}
