/**
 * The clock and timers of one simulated process, and the gate through which everything else reaches it.
 *
 * Whatever happens to a process (a timer, bytes from the network, a finished disk operation) goes through
 * `deliver`. So a killed process hears nothing any more, and a paused one (garbage collection, a suspended
 * machine) hears nothing until it resumes, and then everything at once, in the order in which it came.
 */
import type { Time, TimerHandle } from '../env/time.js'
import type { SimEvent, SimWorld } from './world.js'

/** Virtual time as one process sees it. */
export class SimTime implements Time {
  readonly #world: SimWorld
  #state: 'running' | 'paused' | 'killed' = 'running'
  /** What came during a pause and has not been run yet; not empty for a moment after it, too. */
  readonly #held: (() => void)[] = []
  #isDraining = false
  #rate = 1
  #rateSince: number
  #nowSince = 0
  #wallOffset = 0

  constructor(world: SimWorld) {
    this.#world = world
    this.#rateSince = world.now
    this.#nowSince = world.now
  }

  get isKilled(): boolean {
    return this.#state === 'killed'
  }

  now(): number {
    return this.#nowSince + (this.#world.now - this.#rateSince) * this.#rate
  }

  wall(): number {
    return this.now() + this.#wallOffset
  }

  after(ms: number, callback: () => void): TimerHandle {
    const event: SimEvent = this.#world.schedule(ms / this.#rate, () =>
      // Asked again when it runs: a timer may be cancelled while it is held back.
      this.deliver(() => {
        if (event.run !== undefined) callback()
      }),
    )
    return event
  }

  cancel(handle: TimerHandle): void {
    this.#world.cancel(handle as SimEvent)
  }

  soon(callback: () => void): void {
    this.after(0, callback)
  }

  /** Runs `callback` now, when the pause is over, or never. Call it from an event of the world. */
  deliver(callback: () => void): void {
    if (this.#state === 'killed') return
    if (this.#state === 'paused' || this.#held.length > 0) this.#held.push(callback)
    else callback()
  }

  /** The process is gone: nothing reaches it any more. */
  kill(): void {
    this.#state = 'killed'
    this.#held.length = 0
  }

  /** The process stands still while the world goes on. */
  pause(): void {
    if (this.#state === 'running') this.#state = 'paused'
  }

  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    this.#drain()
  }

  /** From now on this clock runs `rate` times as fast as the world's; for drift, 0.999 to 1.001. */
  drift(rate: number): void {
    this.#nowSince = this.now()
    this.#rateSince = this.#world.now
    this.#rate = rate
  }

  /** The wall clock jumps; the other clock does not. */
  stepWall(ms: number): void {
    this.#wallOffset += ms
  }

  /** One held call per event, so that its consequences come before the next. */
  #drain(): void {
    if (this.#isDraining || this.#held.length === 0) return
    this.#isDraining = true
    this.#world.schedule(0, () => {
      this.#isDraining = false
      if (this.#state !== 'running') return
      const callback = this.#held[0]
      callback?.()
      // Taken out afterwards: until then whatever comes in must wait behind it.
      this.#held.shift()
      this.#drain()
    })
  }
}
