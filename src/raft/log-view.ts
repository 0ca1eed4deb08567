/**
 * The core's view of its log: the terms of all positions, the bodies of the newest entries, and how far the log
 * is taken by the driver, durable, committed and applied.
 *
 * Invariants, checked by `checkInvariants`:
 *   1. previous <= applied <= applying <= commit <= last   (applied may lag behind previous during an install)
 *   2. flushed <= taken <= last, and applying <= flushed: nothing is applied before it is durable here
 *   3. every entry after flushed is in the cache
 *   4. commit and applied never fall
 */
import { assert } from '../base/assert.js'
import { EntryCache } from './entry-cache.js'
import { TermIndex } from './term-index.js'
import type { CoreInit, Entry, EntryId, LogIndex, SnapshotMeta, Term } from './types.js'

/** Positions and terms of one log. */
export class LogView {
  readonly #terms: TermIndex
  readonly #cache: EntryCache
  /** Ascending positions of configuration changes that are not applied yet. */
  #confIndexes: LogIndex[] = []
  /** Unapplied entries up to here were not seen by this core: there may be configuration changes among them. */
  readonly #unseenTo: LogIndex
  #commitIndex: LogIndex
  #appliedIndex: LogIndex
  #applyingIndex: LogIndex
  #flushedIndex: LogIndex
  #takenIndex: LogIndex
  /** A snapshot that was accepted and is not installed yet. */
  #snapshot: SnapshotMeta | undefined = undefined
  #isSnapshotTaken = false

  constructor(init: CoreInit, cacheBytesMax: number) {
    const { previous, lastIndex, applied, tail } = init
    assert(applied >= previous.index && applied <= lastIndex, 'applied outside the log', {
      applied,
      previous,
      lastIndex,
    })
    this.#terms = new TermIndex(previous, lastIndex, init.terms)
    this.#unseenTo = lastIndex - tail.length
    this.#appliedIndex = applied
    this.#applyingIndex = applied
    this.#commitIndex = Math.min(Math.max(init.hardState.commit, applied), lastIndex)
    this.#flushedIndex = lastIndex
    this.#takenIndex = lastIndex
    this.#cache = new EntryCache(cacheBytesMax, lastIndex, tail)
    for (const { kind, index } of tail) {
      if (kind !== 'normal' && index > applied) this.#confIndexes.push(index)
    }
  }

  get firstIndex(): LogIndex {
    return this.#terms.previous.index + 1
  }

  get previous(): EntryId {
    return this.#terms.previous
  }

  get lastIndex(): LogIndex {
    return this.#terms.lastIndex
  }

  get lastTerm(): Term {
    return this.#terms.lastTerm
  }

  get commitIndex(): LogIndex {
    return this.#commitIndex
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex
  }

  /** Handed out to be applied up to here. */
  get applyingIndex(): LogIndex {
    return this.#applyingIndex
  }

  get flushedIndex(): LogIndex {
    return this.#flushedIndex
  }

  /** Whether entries wait to be written, or are being written. */
  get isUnflushed(): boolean {
    return this.#flushedIndex < this.#terms.lastIndex
  }

  get hasUntaken(): boolean {
    return this.#takenIndex < this.#terms.lastIndex
  }

  /** A snapshot that was accepted and is not installed yet. */
  get pendingSnapshot(): SnapshotMeta | undefined {
    return this.#snapshot
  }

  get hasUntakenSnapshot(): boolean {
    return this.#snapshot !== undefined && !this.#isSnapshotTaken
  }

  /** The first entry whose body is in memory; one past the end of the log when none is. */
  get cachedFrom(): LogIndex {
    return this.#cache.firstIndex
  }

  /** The term at `index`; undefined when it is compacted or past the end. */
  termAt(index: LogIndex): Term | undefined {
    return this.#terms.termAt(index)
  }

  /** See TermIndex. */
  lastIndexAtMost(index: LogIndex, term: Term): LogIndex {
    return this.#terms.lastIndexAtMost(index, term)
  }

  /** Whether a log that ends with `(term, index)` is at least as up-to-date as this one (Raft §5.4.1). */
  isUpToDate(term: Term, index: LogIndex): boolean {
    const lastTerm = this.#terms.lastTerm
    return term > lastTerm || (term === lastTerm && index >= this.#terms.lastIndex)
  }

  /** Whether an unapplied configuration change is committed: then this node must not campaign (trap T-50). */
  get hasUnappliedConfChange(): boolean {
    if (this.#appliedIndex < Math.min(this.#unseenTo, this.#commitIndex)) return true
    const first = this.#confIndexes[0]
    return first !== undefined && first <= this.#commitIndex
  }

  /** Adds the next entry. */
  push(entry: Entry): void {
    assert(entry.index === this.#terms.lastIndex + 1, 'appended entry does not follow the last', {
      index: entry.index,
    })
    this.#terms.push(entry.term)
    this.#cache.push(entry)
    if (entry.kind !== 'normal') this.#confIndexes.push(entry.index)
  }

  /**
   * Appends the leader's entries after `(prevIndex, prevTerm)`. A conflicting suffix is replaced (Raft §5.3);
   * entries already present are kept, because an old, reordered message must not cut off what a newer one
   * brought. 'conflict' says that a committed entry would have been replaced: nothing was changed.
   */
  append(
    prevIndex: LogIndex,
    prevTerm: Term,
    entries: readonly Entry[],
  ): 'appended' | 'mismatch' | 'conflict' {
    if (this.#terms.termAt(prevIndex) !== prevTerm) return 'mismatch'
    let i = 0
    while (i < entries.length && this.#terms.termAt(entries[i]!.index) === entries[i]!.term) i++
    if (i === entries.length) return 'appended'
    const from = entries[i]!.index
    if (from <= this.#commitIndex) return 'conflict'
    if (from <= this.#terms.lastIndex) this.#truncateFrom(from)
    for (; i < entries.length; i++) this.push(entries[i]!)
    return 'appended'
  }

  /** Raises the commit index; false when it is there already. */
  commitTo(index: LogIndex): boolean {
    if (index <= this.#commitIndex) return false
    assert(index <= this.#terms.lastIndex, 'committed past the end of the log', { index })
    this.#commitIndex = index
    return true
  }

  /** The cached entries from `from` to the end that fit into `maxBytes`, at least one. */
  entriesFrom(from: LogIndex, maxBytes: number): Entry[] {
    return this.#cache.slice(from, this.#terms.lastIndex, maxBytes)
  }

  /** Entries to be written, from now on in the hands of the driver. */
  takeUntaken(): Entry[] {
    const from = this.#takenIndex + 1
    this.#takenIndex = this.#terms.lastIndex
    return this.#cache.slice(from, this.#takenIndex, Number.POSITIVE_INFINITY)
  }

  /**
   * Takes in that a write whose last entry was `(term, index)` is durable. Ignored when that entry has been
   * replaced since: the write that replaced it is still to be done (trap T-9).
   */
  flushedTo(term: Term, index: LogIndex): void {
    if (index <= this.#flushedIndex || this.#terms.termAt(index) !== term) return
    this.#flushedIndex = index
    if (this.#takenIndex < index) this.#takenIndex = index
    this.#cache.evictTo(index)
  }

  /** The last index that may be applied: committed and durable here; none while a snapshot is to be installed. */
  get applicableIndex(): LogIndex {
    if (this.#snapshot !== undefined) return this.#applyingIndex
    return Math.min(this.#commitIndex, this.#flushedIndex)
  }

  /** The cached entries to apply next that fit into `maxBytes`, at least one. */
  takeApplicable(maxBytes: number): Entry[] {
    const entries = this.#cache.slice(this.#applyingIndex + 1, this.applicableIndex, maxBytes)
    this.#applyingIndex += entries.length
    return entries
  }

  /** Notes that fetched entries up to `index` were handed out to be applied. */
  applyingTo(index: LogIndex): void {
    assert(index <= this.applicableIndex, 'applying what is not applicable', { index })
    this.#applyingIndex = index
  }

  appliedTo(index: LogIndex): void {
    if (index <= this.#appliedIndex) return
    assert(index <= this.#applyingIndex, 'applied what was not handed out', { index })
    this.#appliedIndex = index
    while (this.#confIndexes.length > 0 && this.#confIndexes[0]! <= index) this.#confIndexes.shift()
  }

  /** Accepts a snapshot: the log starts anew after it, and all before it is committed. */
  restore(snapshot: SnapshotMeta): void {
    const { index, term } = snapshot
    assert(index > this.#commitIndex, 'a snapshot behind the commit index', { index })
    this.#terms.reset({ index, term })
    this.#cache.reset(index + 1)
    this.#confIndexes = []
    this.#commitIndex = index
    this.#flushedIndex = index
    this.#takenIndex = index
    this.#snapshot = snapshot
    this.#isSnapshotTaken = false
  }

  takeSnapshot(): SnapshotMeta | undefined {
    if (!this.hasUntakenSnapshot) return undefined
    this.#isSnapshotTaken = true
    return this.#snapshot
  }

  /** Takes in that `snapshot` is installed, and with it everything up to its index applied. */
  installed(snapshot: SnapshotMeta): void {
    if (this.#snapshot?.index === snapshot.index) this.#snapshot = undefined
    this.#applyingIndex = Math.max(this.#applyingIndex, snapshot.index)
    this.#appliedIndex = Math.max(this.#appliedIndex, snapshot.index)
  }

  /** Forgets everything up to `index`, which was removed from the stored log. */
  compactTo(index: LogIndex): void {
    if (index <= this.#terms.previous.index) return
    assert(index <= this.#appliedIndex, 'compacted what is not applied', { index })
    this.#terms.compactTo(index)
    this.#cache.compactTo(index)
  }

  checkInvariants(): void {
    const { index: previous } = this.#terms.previous
    const [applied, applying] = [this.#appliedIndex, this.#applyingIndex]
    const [flushed, taken] = [this.#flushedIndex, this.#takenIndex]
    const state = { previous, applied, applying, commit: this.#commitIndex, flushed, taken }
    assert(previous <= applied || this.#snapshot !== undefined, 'previous past applied', state)
    assert(applied <= applying && applying <= this.#commitIndex, 'applied past commit', state)
    assert(this.#commitIndex <= this.lastIndex, 'commit past the end', state)
    assert(flushed <= taken && taken <= this.lastIndex, 'flushed past the end', state)
    assert(applying <= flushed, 'applying what is not durable', state)
    assert(this.#cache.firstIndex <= flushed + 1, 'an entry neither durable nor in memory', state)
    this.#terms.checkInvariants()
    this.#cache.checkInvariants(this.lastIndex)
  }

  #truncateFrom(from: LogIndex): void {
    this.#terms.truncateFrom(from)
    this.#cache.truncateFrom(from)
    this.#flushedIndex = Math.min(this.#flushedIndex, from - 1)
    this.#takenIndex = Math.min(this.#takenIndex, from - 1)
    while (this.#confIndexes.length > 0 && this.#confIndexes.at(-1)! >= from)
      this.#confIndexes.pop()
  }
}
