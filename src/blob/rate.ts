/** Background work at so many bytes in a second: whoever has done some waits until it is paid for. */
import type { Time } from '../env/time.js'
import type { Ticks } from './cluster.js'

/** Shorter waits are made together. */
const WAIT_MS_MIN = 20

/** See the file's comment. */
export class Rate {
  readonly #time: Time
  readonly #ticks: Ticks
  readonly #bytesPerSecond: number
  #paidAt = 0

  constructor(time: Time, ticks: Ticks, bytesPerSecond: number) {
    this.#time = time
    this.#ticks = ticks
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Resolves when `bytes` are paid for, or `isOver`. */
  async pay(bytes: number, isOver: () => boolean): Promise<void> {
    this.#paidAt = Math.max(this.#paidAt, this.#time.now()) + (1000 * bytes) / this.#bytesPerSecond
    while (this.#paidAt - this.#time.now() >= WAIT_MS_MIN && !isOver()) await this.#ticks.next()
  }
}
