/**
 * Committed entries on their way to the state machine: one task at a time, from the cache or, when the
 * machine is so far behind that they have left it, fetched from the log.
 */
import { assert } from '../base/assert.js'
import { entryBytes } from './entry-cache.js'
import type { CoreState } from './state.js'
import { type ApplyTask, type Entry, type LogIndex, NONE } from './types.js'

/** Hands out entries that are committed and durable here, in order. */
export class ApplyQueue {
  readonly #state: CoreState
  /** Entries of the outstanding task; undefined when none is. */
  #outstanding: readonly Entry[] | undefined = undefined
  #fetchId = 0
  #fetched: readonly Entry[] | undefined = undefined
  /** The last fetch failed: wait for a tick before the next. */
  #isWaiting = false

  constructor(state: CoreState) {
    this.#state = state
  }

  /** Whether everything that can be applied is. */
  get isIdle(): boolean {
    return this.#outstanding === undefined && !this.hasNext
  }

  get hasNext(): boolean {
    if (this.#outstanding !== undefined) return false
    const { log } = this.#state
    if (log.applyingIndex >= log.applicableIndex) return false
    const isCached = log.applyingIndex + 1 >= log.cachedFrom
    return isCached || this.#fetched !== undefined || (this.#fetchId === 0 && !this.#isWaiting)
  }

  /** The next task; asks for a fetch instead when the entries are not in memory. */
  take(): ApplyTask | undefined {
    if (!this.hasNext) return undefined
    const { log, options } = this.#state
    const from = log.applyingIndex + 1
    const fetched = this.#takeFetched(from)
    if (fetched === undefined && from < log.cachedFrom) {
      if (this.#fetchId === 0) this.#fetch(from)
      return undefined
    }
    const entries = fetched ?? log.takeApplicable(options.maxApplyBytes)
    this.#outstanding = entries
    return { entries }
  }

  /** Takes in that everything up to `index` is applied; a task may be reported in parts. */
  done(index: LogIndex): void {
    const { log } = this.#state
    const entries = this.#outstanding
    assert(entries !== undefined, 'applied what was not handed out', { index })
    const last = entries[entries.length - 1]!.index
    assert(index <= last, 'applied past the task', { index, last })
    const from = entries[0]!.index
    let bytes = 0
    let i = 0
    for (; i < entries.length && from + i <= index; i++) bytes += entries[i]!.data.length
    this.#outstanding = i === entries.length ? undefined : entries.slice(i)
    this.#state.uncommittedBytes = Math.max(0, this.#state.uncommittedBytes - bytes)
    log.appliedTo(index)
  }

  /** Takes fetched bodies; false when the fetch `id` was not for applying. */
  fetched(id: number, entries: readonly Entry[]): boolean {
    if (id !== this.#fetchId || id === 0) return false
    this.#fetchId = 0
    const { log } = this.#state
    const from = log.applyingIndex + 1
    const isSound = entries.every(
      (entry, i) => entry.index === from + i && log.termAt(entry.index) === entry.term,
    )
    // A snapshot may have overtaken the fetch: then the entries are of no use. Bytes that are not what the log
    // says are no better than a failed read, and must not be asked for in a loop.
    if (isSound && entries.length > 0) this.#fetched = entries
    else this.#isWaiting = true
    return true
  }

  /** Takes in that a fetch failed; false when the fetch `id` was not for applying. */
  fetchFailed(id: number): boolean {
    if (id !== this.#fetchId || id === 0) return false
    this.#fetchId = 0
    this.#isWaiting = true
    return true
  }

  /** Time passed: a fetch that failed may be tried again. */
  retry(): void {
    this.#isWaiting = false
  }

  #fetch(from: LogIndex): void {
    const { log, options, outbox } = this.#state
    this.#fetchId = this.#state.nextFetchId()
    const to = Math.min(log.applicableIndex, log.cachedFrom - 1)
    outbox.fetch({ id: this.#fetchId, peer: NONE, from, to, maxBytes: options.maxApplyBytes })
  }

  /** The fetched entries that may be applied now, if they are those that come next. */
  #takeFetched(from: LogIndex): readonly Entry[] | undefined {
    const entries = this.#fetched
    this.#fetched = undefined
    if (entries === undefined || entries[0]!.index !== from) return undefined
    const { log, options } = this.#state
    let bytes = 0
    let count = 0
    for (const entry of entries) {
      bytes += entryBytes(entry)
      if (entry.index > log.applicableIndex) break
      if (count > 0 && bytes > options.maxApplyBytes) break
      count++
    }
    if (count === 0) return undefined
    log.applyingTo(from + count - 1)
    return count === entries.length ? entries : entries.slice(0, count)
  }
}
