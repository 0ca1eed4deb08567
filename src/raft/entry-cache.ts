/**
 * The newest entries, contiguous up to the end of the log: those that are not durable yet, and as many durable
 * ones as fit into the byte bound, kept for followers and for applying.
 *
 * Invariants:
 *   1. `entries[i].index === firstIndex + i`, up to `lastIndex`
 *   2. `bytes` is the sum of their sizes; above the bound only entries are held that may not be evicted
 */
import { assert } from '../base/assert.js'
import type { Entry, LogIndex } from './types.js'

/** What an entry counts beside its data, so that empty entries are bounded too. */
const ENTRY_OVERHEAD_BYTES = 32
/** Evicted places at the front of the array before it is moved together. */
const GAP_MAX = 1024

/** What `entry` counts towards byte bounds. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES
}

/** Bodies of the newest entries. */
export class EntryCache {
  readonly #bytesMax: number
  /** Places below `#head` are evicted; `#entries[#head]` has `#firstIndex`. */
  #entries: (Entry | undefined)[] = []
  #head = 0
  #firstIndex: LogIndex
  #bytes = 0

  constructor(bytesMax: number, lastIndex: LogIndex, tail: readonly Entry[]) {
    this.#bytesMax = bytesMax
    this.#firstIndex = lastIndex + 1 - tail.length
    for (const entry of tail) this.push(entry)
    this.evictTo(lastIndex)
  }

  /** The first index held; one past the end of the log when none is. */
  get firstIndex(): LogIndex {
    return this.#firstIndex
  }

  get bytes(): number {
    return this.#bytes
  }

  at(index: LogIndex): Entry | undefined {
    return index < this.#firstIndex
      ? undefined
      : this.#entries[this.#head + index - this.#firstIndex]
  }

  /** Adds the next entry of the log. */
  push(entry: Entry): void {
    this.#entries.push(entry)
    this.#bytes += entryBytes(entry)
  }

  /** The entries from `from` to `to` inclusive that fit into `maxBytes`, at least one. They must be held. */
  slice(from: LogIndex, to: LogIndex, maxBytes: number): Entry[] {
    assert(from >= this.#firstIndex, 'entries are not in the cache', { from })
    const start = this.#head + from - this.#firstIndex
    const last = this.#head + to - this.#firstIndex
    let bytes = 0
    let end = start
    while (end <= last) {
      bytes += entryBytes(this.#entries[end]!)
      if (bytes > maxBytes && end > start) break
      end++
    }
    return this.#entries.slice(start, end) as Entry[]
  }

  truncateFrom(from: LogIndex): void {
    if (from < this.#firstIndex) {
      this.reset(from)
      return
    }
    const length = this.#head + from - this.#firstIndex
    for (let i = length; i < this.#entries.length; i++) {
      this.#bytes -= entryBytes(this.#entries[i]!)
    }
    this.#entries.length = length
  }

  /** Evicts the oldest entries up to `index`, but only as many as the byte bound asks for. */
  evictTo(index: LogIndex): void {
    while (this.#bytes > this.#bytesMax && this.#firstIndex <= index) this.#evictOne()
    this.#closeGap()
  }

  /** Drops everything up to `index`. */
  compactTo(index: LogIndex): void {
    while (this.#firstIndex <= index && this.#head < this.#entries.length) this.#evictOne()
    this.#firstIndex = Math.max(this.#firstIndex, index + 1)
    this.#closeGap()
  }

  /** Forgets all entries; the next one has `firstIndex`. */
  reset(firstIndex: LogIndex): void {
    this.#entries = []
    this.#head = 0
    this.#bytes = 0
    this.#firstIndex = firstIndex
  }

  checkInvariants(lastIndex: LogIndex): void {
    let bytes = 0
    for (let index = this.#firstIndex; index <= lastIndex; index++) {
      const entry = this.at(index)
      assert(entry?.index === index, 'the cache has a gap', { index })
      bytes += entryBytes(entry)
    }
    assert(this.#head + lastIndex + 1 - this.#firstIndex === this.#entries.length, 'cache length', {
      lastIndex,
    })
    assert(bytes === this.#bytes, 'cache bytes miscounted', { bytes, counted: this.#bytes })
  }

  #evictOne(): void {
    this.#bytes -= entryBytes(this.#entries[this.#head]!)
    this.#entries[this.#head] = undefined
    this.#head++
    this.#firstIndex++
  }

  /** Moves the array together when half of it is evicted: amortised constant work per entry. */
  #closeGap(): void {
    if (this.#head < GAP_MAX || this.#head * 2 < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#head)
    this.#head = 0
  }
}
