/**
 * The member's heartbeat: calls back once a tick and notices when the event loop stood still.
 *
 * Deadlines are at origin + k * period, so lateness does not add up (trap T-62). After a stall the ticks that
 * were missed are not made up for: a stall says nothing about the leader, so the core hears of the gap and
 * counts one tick (T-63).
 */
import type { Time, TimerHandle } from '../env/time.js'

/** What the owner hears. */
export interface TickHandlers {
  /** `late`: how many milliseconds after the tick was due the event loop came round to it. */
  tick(now: number, late: number): void
  /** The loop stood still for `ms`, more than `stallMs`. */
  stalled(ms: number): void
}

/** Ticks until stopped. */
export class Ticker {
  readonly #time: Time
  readonly #periodMs: number
  readonly #stallMs: number
  readonly #handlers: TickHandlers
  #due: number
  #handle: TimerHandle | undefined

  constructor(time: Time, periodMs: number, stallMs: number, handlers: TickHandlers) {
    this.#time = time
    this.#periodMs = periodMs
    this.#stallMs = stallMs
    this.#handlers = handlers
    this.#due = time.now() + periodMs
    this.#arm()
  }

  /** When the next tick is due. */
  get due(): number {
    return this.#due
  }

  stop(): void {
    if (this.#handle !== undefined) this.#time.cancel(this.#handle)
    this.#handle = undefined
  }

  #arm(): void {
    const wait = Math.max(0, this.#due - this.#time.now())
    this.#handle = this.#time.after(wait, () => this.#fire())
  }

  #fire(): void {
    const now = this.#time.now()
    const late = now - this.#due
    if (late > this.#stallMs) {
      this.#due = now + this.#periodMs
      this.#arm()
      this.#handlers.stalled(late)
    } else {
      this.#due += this.#periodMs * (1 + Math.floor(late / this.#periodMs))
      this.#arm()
    }
    this.#handlers.tick(now, late)
  }
}
