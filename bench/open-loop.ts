/**
 * Carries out the operations of an open load, and keeps how long after its intended start each was done.
 *
 * Bounded: beyond `maxOutstanding` an arrival is dropped and counted, and a run that drops is overloaded: its latencies
 * are those of the operations that were let in.
 */
import { StoreError } from '../src/index.js'
import { Latencies, type LatencySummary } from './latencies.js'
import { type OpenLoad, sharedNow } from './pace.js'
import type { Kind, Operations } from './workload.js'

/** What became of an open load. */
export interface OpenResult {
  /** Operations that were due in the measured time, and those of them that succeeded within it, per second. */
  readonly offeredPerSecond: number
  readonly donePerSecond: number
  /** From the intended start, by kind of operation and over all; of operations that succeeded. */
  readonly latency: Readonly<Partial<Record<Kind, LatencySummary>>> & {
    readonly all: LatencySummary
  }
  /** Failures by error code. */
  readonly errors: Readonly<Record<string, number>>
  readonly dropped: number
}

/** What became of an open load, and how late its generator was. */
export interface PacedResult extends OpenResult {
  readonly lateness: LatencySummary
}

/** More than any system here holds usefully; an operation lives as long as its time-out. */
export const MAX_OUTSTANDING = 20_000

/** The receiving end of an open load. */
export class OpenLoop {
  readonly #load: OpenLoad
  readonly #operations: Operations
  readonly #all = new Latencies()
  readonly #byKind = new Map<Kind, Latencies>()
  readonly #errors = new Map<string, number>()
  /** Undefined until the first arrival, whose due time it is taken from. */
  #from: number | undefined
  #outstanding = 0
  #offered = 0
  #done = 0
  #dropped = 0
  #onIdle: (() => void) | undefined

  constructor(load: OpenLoad, operations: Operations) {
    this.#load = load
    this.#operations = operations
  }

  /** Begins the operation that was due at `dueAt`. */
  begin(dueAt: number): void {
    this.#from ??= dueAt + this.#load.warmUpMs
    const counts = dueAt >= this.#from
    if (counts) this.#offered++
    if (this.#outstanding >= MAX_OUTSTANDING) {
      if (counts) this.#dropped++
      return
    }
    this.#outstanding++
    const kind = this.#operations.next()
    this.#operations.run(kind).then(
      () => this.#end(kind, dueAt, counts),
      (error: unknown) => this.#fail(error, counts),
    )
  }

  /** Waits for what is outstanding. */
  async finish(): Promise<OpenResult> {
    if (this.#outstanding > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    const seconds = this.#load.ms / 1000
    return {
      offeredPerSecond: this.#offered / seconds,
      donePerSecond: this.#done / seconds,
      latency: {
        ...Object.fromEntries([...this.#byKind].map(([kind, one]) => [kind, one.summary()])),
        all: this.#all.summary(),
      },
      errors: Object.fromEntries(this.#errors),
      dropped: this.#dropped,
    }
  }

  #end(kind: Kind, dueAt: number, counts: boolean): void {
    if (counts) {
      const now = sharedNow()
      if (now < this.#from! + this.#load.ms) this.#done++
      this.#all.record(now - dueAt)
      let latencies = this.#byKind.get(kind)
      if (latencies === undefined) {
        latencies = new Latencies()
        this.#byKind.set(kind, latencies)
      }
      latencies.record(now - dueAt)
    }
    this.#settle()
  }

  #fail(error: unknown, counts: boolean): void {
    const code = error instanceof StoreError ? error.code : String(error)
    if (counts) this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
    this.#settle()
  }

  #settle(): void {
    this.#outstanding--
    if (this.#outstanding === 0) this.#onIdle?.()
  }
}
