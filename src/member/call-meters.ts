/**
 * What was asked of a backend, counted where it is asked and where it is answered.
 *
 * On the hot path a count is one field that is raised. Latencies are taken once for all that is answered together: a
 * request of many writes, the strong reads of one round.
 */
import { type DurationSummary, Durations } from '../base/durations.js'
import { StoreError } from '../base/errors.js'
import type { Backend, ReadLevel } from './backend.js'

/** Calls since the start; everything named `…Ms` is in milliseconds. */
export interface CallMetrics {
  /** `get`, `getWithMeta` and `getMany`, one for each call. */
  readonly reads: Readonly<Record<ReadLevel, number>>
  /** States that were kept for scans and the like. */
  readonly views: number
  readonly watches: number
  /** Single writes, batches and transactions, one for each call. */
  readonly writes: number
  /** Requests that writes went to the leader in, each with all that was written meanwhile. */
  readonly requests: number
  readonly requestBytes: number
  /** Requests that were sent again, because nobody answered or the leader is another one. */
  readonly resends: number
  /** Calls that failed, by the code of the error. */
  readonly failures: Readonly<Record<string, number>>
  /** Each request, from its first write on until it was answered. */
  readonly writeMs: DurationSummary
  /** Strong reads, from the call until the answer; of those answered together the first. */
  readonly strongReadMs: DurationSummary
}

/** See the file's comment. */
export class CallMeters {
  readonly reads: Record<ReadLevel, number> = { strong: 0, session: 0, eventual: 0 }
  views = 0
  watches = 0
  writes = 0
  requests = 0
  requestBytes = 0
  resends = 0
  readonly writeMs: Durations = new Durations()
  readonly #strongReadMs = new Durations()
  readonly #failures = new Map<string, number>()
  #isTimed = false

  /** A call failed. */
  failed(error: unknown): void {
    const code = error instanceof StoreError ? error.code : 'OTHER'
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1)
  }

  /** A strong read that was called at `since` is answered; `clock` is asked only for the first of a batch. */
  strongRead(since: number, clock: Pick<Backend, 'now'>): void {
    if (this.#isTimed) return
    this.#isTimed = true
    this.#strongReadMs.record(clock.now() - since)
    // Before anything else is read: those who wait for the answers go on after this batch.
    queueMicrotask(() => {
      this.#isTimed = false
    })
  }

  report(): CallMetrics {
    const { views, watches, writes, requests, requestBytes, resends } = this
    return {
      reads: { ...this.reads },
      views,
      watches,
      writes,
      requests,
      requestBytes,
      resends,
      failures: Object.fromEntries(this.#failures),
      writeMs: this.writeMs.summary(),
      strongReadMs: this.#strongReadMs.summary(),
    }
  }
}
