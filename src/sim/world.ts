/**
 * Virtual time: an event loop whose clock moves only from one event to the next.
 *
 * Everything a simulated member waits for (timers, disk, network) is an event here, so a run is a pure
 * function of its seed. Events are ordered by (time, order of scheduling). After each event all microtasks
 * run before the next one starts.
 */
import { keyedBelow, keyedU32 } from '../base/prng.js'

/** A scheduled event; pass it to `cancel`. */
export interface SimEvent {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** The heap of events, the clock and the seed of one simulation. */
export class SimWorld {
  readonly seed: number
  readonly #heap: SimEvent[] = []
  #now = 0
  #scheduled = 0
  #executed = 0
  #held = 0
  #onReleased: (() => void) | undefined

  constructor(seed: number) {
    this.seed = seed
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#now
  }

  /** Events run so far. */
  get executed(): number {
    return this.#executed
  }

  /** A draw for `keys` under this world's seed. */
  u32(...keys: readonly (number | string)[]): number {
    return keyedU32(this.seed, ...keys)
  }

  /** A draw below `bound` for `keys` under this world's seed. */
  below(bound: number, ...keys: readonly (number | string)[]): number {
    return keyedBelow(this.seed, bound, ...keys)
  }

  /** Runs `run` when `delayMs` have passed, after everything scheduled earlier for the same moment. */
  schedule(delayMs: number, run: () => void): SimEvent {
    const event: SimEvent = { at: this.#now + Math.max(0, delayMs), order: this.#scheduled++, run }
    this.#push(event)
    return event
  }

  cancel(event: SimEvent): void {
    event.run = undefined
  }

  /** Lets virtual time stand still until `work`, which is real, has ended; returns what it does. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#held++
    try {
      return await work
    } finally {
      this.#held--
      if (this.#held === 0) this.#onReleased?.()
    }
  }

  /** Runs events until `condition` holds (checked after each); false when `limitMs` passed or none is left. */
  async runUntil(condition: () => boolean, limitMs: number): Promise<boolean> {
    const end = this.#now + limitMs
    await this.#settle()
    while (!condition()) {
      const next = this.#heap[0]
      if (next === undefined || next.at > end) {
        this.#now = end
        return false
      }
      this.#pop()
      if (next.run === undefined) continue
      this.#now = next.at
      this.#executed++
      next.run()
      await this.#settle()
    }
    return true
  }

  /** Lets `ms` of virtual time pass. */
  async advance(ms: number): Promise<void> {
    await this.runUntil(() => false, ms)
  }

  /** Runs events until `promise` settles, and gives its result; throws when `limitMs` of virtual time pass first. */
  async complete<T>(promise: Promise<T>, limitMs: number): Promise<T> {
    let settled = false
    const mark = () => {
      settled = true
    }
    promise.then(mark, mark)
    if (!(await this.runUntil(() => settled, limitMs))) {
      throw new Error(`still pending after ${limitMs} virtual ms`)
    }
    return promise
  }

  /** Everything that the last event caused has run afterwards, and real work has ended. */
  async #settle(): Promise<void> {
    await settle()
    while (this.#held > 0) {
      await new Promise<void>((resolve) => {
        this.#onReleased = resolve
      })
      await settle()
    }
  }

  #push(event: SimEvent): void {
    const heap = this.#heap
    let i = heap.length
    heap.push(event)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** The real one: inside a sealed simulation the global of this name throws (run/seal.ts). */
const hop: (callback: () => void) => void = setImmediate

/** One hop of the real event loop: every microtask that the last event caused has run afterwards. */
function settle(): Promise<void> {
  return new Promise((resolve) => hop(resolve))
}
