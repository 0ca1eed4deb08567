/** Calls that are under way at members, for clients whose calls are not part of the history; each has to settle. */
import { StoreError } from '../../base/errors.js'
import type { Store } from '../../store/store.js'
import type { Cluster } from './cluster.js'
import type { Seat } from './seat.js'

/** A call may take so much longer than its timeout: some ticks, and what a slow turn takes. */
export const LATE_MS = 500
/** With large values a timeout bounds how long a call makes no progress: it may be stored in vain before. */
const LARGE_PATIENCE = 8

/** A process that is asked, and who asks it: when it has ended nothing more is. */
export interface Process {
  readonly seat: Seat
  readonly store: Store
}

interface Open {
  readonly seat: Seat
  readonly what: string
  readonly dueAtMs: number
}

/** See the file's comment. */
export class Calls {
  readonly #at: Cluster
  readonly #open = new Set<Open>()

  constructor(at: Cluster) {
    this.#at = at
  }

  /** Calls that are not answered yet. */
  get size(): number {
    return this.#open.size
  }

  /** When a call that is made now has to have ended. */
  dueAt(timeoutMs: number): number {
    const { world, knobs } = this.#at
    return world.now + timeoutMs * (knobs.largeValues === 'none' ? 1 : LARGE_PATIENCE)
  }

  /** Makes a call; what is returned never settles when the process ends before it, or has ended already. */
  make<T>(
    { seat, store }: Process,
    what: string,
    timeoutMs: number,
    call: () => Promise<T>,
  ): Promise<T> {
    const { trace } = this.#at
    if (seat.store !== store) return new Promise(() => undefined)
    const open: Open = { seat, what, dueAtMs: this.dueAt(timeoutMs) }
    this.#open.add(open)
    trace.note(seat.name, `call ${what}`, undefined)
    return new Promise((resolve, reject) => {
      const end = (words: string, settle: () => void) => {
        if (!this.#open.delete(open)) return
        trace.note(seat.name, `${words} ${what}`, undefined)
        settle()
      }
      call().then(
        (result) => end('ok', () => resolve(result)),
        (error: unknown) => end(codeOf(error), () => reject(error)),
      )
    })
  }

  /** The process on `seat` has ended. */
  abandon(seat: Seat): void {
    for (const open of this.#open) if (open.seat === seat) this.#open.delete(open)
  }

  /** C6. */
  checkOverdue(): void {
    const { world, findings } = this.#at
    for (const { seat, what, dueAtMs } of this.#open) {
      const due = Math.max(dueAtMs, seat.pausedUntil) + LATE_MS
      findings.expect(
        world.now <= due,
        'C6 every call settles',
        () => `${what} at ${seat.name} should have ended at ${due.toFixed(0)}`,
      )
    }
  }

  /** Takes in how a chain of calls ended: an operating error is an answer, any other one a finding. */
  ended(error: unknown): void {
    if (error instanceof StoreError) return
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#at.findings.report('A1 no assertion fails', `a call failed with ${words}`)
  }
}

function codeOf(error: unknown): string {
  return error instanceof StoreError ? `${error.code} ${error.outcome}` : 'error'
}
