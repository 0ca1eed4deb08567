/**
 * The terms of all entries of the log, without the entries: one position for each run of equal terms.
 *
 * It answers every question that Raft asks of old entries (does this position match, where may two logs
 * agree), so the core never reads the disk (design D1). Its size is the number of elections since the last
 * compaction.
 *
 * Invariants:
 *   1. the first run, if any, starts at `previous.index + 1`
 *   2. starts and terms of runs are strictly ascending (Raft §5.3: terms never fall along a log)
 */
import { assert } from '../base/assert.js'
import type { EntryId, LogIndex, Term } from './types.js'

/** The term of each position from `previous` to `lastIndex`. */
export class TermIndex {
  #previous: EntryId
  #lastIndex: LogIndex
  /** Parallel lists: the first index and the term of each run. */
  #starts: LogIndex[] = []
  #terms: Term[] = []

  constructor(previous: EntryId, lastIndex: LogIndex, runs: readonly EntryId[]) {
    this.#previous = previous
    this.#lastIndex = lastIndex
    for (const run of runs) {
      if (run.index > lastIndex) break
      if (run.term === this.lastTerm && this.#terms.length > 0) continue
      this.#starts.push(Math.max(run.index, previous.index + 1))
      this.#terms.push(run.term)
    }
    this.checkInvariants()
  }

  /** The position just before the first entry: what was compacted last. */
  get previous(): EntryId {
    return this.#previous
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex
  }

  get lastTerm(): Term {
    const count = this.#terms.length
    return count === 0 ? this.#previous.term : this.#terms[count - 1]!
  }

  /** The term at `index`; undefined when it is compacted or past the end. */
  termAt(index: LogIndex): Term | undefined {
    if (index > this.#lastIndex || index < this.#previous.index) return undefined
    if (index === this.#previous.index) return this.#previous.term
    return this.#terms[this.#runOf(index)]
  }

  /** Adds the next entry. */
  push(term: Term): void {
    this.#lastIndex++
    const count = this.#terms.length
    if (count === 0 || this.#terms[count - 1] !== term) {
      assert(term >= this.lastTerm, 'terms fell along the log', { index: this.#lastIndex, term })
      this.#starts.push(this.#lastIndex)
      this.#terms.push(term)
    }
  }

  /** Drops everything from `from` on. */
  truncateFrom(from: LogIndex): void {
    assert(from > this.#previous.index, 'cut into the compacted log', { from })
    while (this.#starts.length > 0 && this.#starts[this.#starts.length - 1]! >= from) {
      this.#starts.pop()
      this.#terms.pop()
    }
    this.#lastIndex = from - 1
  }

  /** Drops everything up to `index`, which must be in the log. */
  compactTo(index: LogIndex): void {
    const term = this.termAt(index)
    assert(term !== undefined, 'compacted to a position outside the log', { index })
    const keep = index === this.#lastIndex ? this.#starts.length : this.#runOf(index + 1)
    this.#starts.splice(0, keep)
    this.#terms.splice(0, keep)
    if (this.#starts.length > 0) this.#starts[0] = index + 1
    this.#previous = { index, term }
  }

  /** Forgets all entries: the log starts anew after `previous`. */
  reset(previous: EntryId): void {
    this.#previous = previous
    this.#lastIndex = previous.index
    this.#starts = []
    this.#terms = []
  }

  /**
   * The largest index up to `index` whose term is at most `term`: the last place where this log may agree with
   * one that has `term` at `index`. Below the log it cannot know and answers the first index it does not know.
   */
  lastIndexAtMost(index: LogIndex, term: Term): LogIndex {
    if (index > this.#lastIndex || index < this.#previous.index) return index
    if (index > this.#previous.index) {
      for (let run = this.#runOf(index); run >= 0; run--) {
        if (this.#terms[run]! <= term) return this.#endOf(run, index)
      }
    }
    if (this.#previous.term <= term || this.#previous.index === 0) return this.#previous.index
    return this.#previous.index - 1
  }

  checkInvariants(): void {
    for (let i = 0; i < this.#starts.length; i++) {
      const start = this.#starts[i]!
      const expected =
        i === 0 ? this.#previous.index + 1 : Math.max(start, this.#starts[i - 1]! + 1)
      assert(start === expected && start <= this.#lastIndex, 'runs of terms out of order', {
        start,
      })
      const before = i === 0 ? this.#previous.term : this.#terms[i - 1]! + 1
      assert(this.#terms[i]! >= before, 'terms out of order', { start, term: this.#terms[i] })
    }
    const isEmpty = this.#lastIndex === this.#previous.index
    assert(isEmpty === (this.#starts.length === 0), 'runs do not cover the log', {
      previous: this.#previous,
      lastIndex: this.#lastIndex,
    })
  }

  /** The run that holds `index`; most questions are about the newest ones. */
  #runOf(index: LogIndex): number {
    let run = this.#starts.length - 1
    if (run >= 0 && this.#starts[run]! <= index) return run
    let low = 0
    while (low < run) {
      const middle = (low + run + 1) >> 1
      if (this.#starts[middle]! <= index) low = middle
      else run = middle - 1
    }
    return low
  }

  #endOf(run: number, atMost: LogIndex): LogIndex {
    return run + 1 < this.#starts.length ? Math.min(atMost, this.#starts[run + 1]! - 1) : atMost
  }
}
