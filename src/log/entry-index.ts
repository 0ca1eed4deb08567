/**
 * Where each entry of the log stands on disk, and its term: eight bytes of memory an entry.
 *
 * Invariants:
 *   1. the entries are `base + 1` to `lastIndex`, without a gap
 *   2. `#runs` are in log order, none is empty, and each lies in one segment; segments never fall
 *   3. `#terms` holds the first entry of each run of equal terms, ascending, from `base + 1` on
 */
import { assert } from '../base/assert.js'
import type { EntryId, LogIndex, Term } from '../raft/types.js'

/** Where an entry's frame is. */
export interface EntryPlace {
  readonly segment: number
  readonly position: number
  /** Of its frame, with padding. */
  readonly bytes: number
}

/** Frames are aligned, so positions and lengths are kept in units of eight bytes. */
const UNIT_BYTES = 8

/** Entries that follow each other in the log and stand in one segment. */
interface Run {
  readonly segment: number
  readonly first: LogIndex
  count: number
  /** Position and length of each, in units. */
  places: Uint32Array
}

/** The entries of a log after `base`. */
export class EntryIndex {
  #base: LogIndex
  #runs: Run[] = []
  #terms: EntryId[] = []

  constructor(base: LogIndex) {
    this.#base = base
  }

  /** The index before the first entry. */
  get base(): LogIndex {
    return this.#base
  }

  get lastIndex(): LogIndex {
    const run = this.#runs.at(-1)
    return run === undefined ? this.#base : run.first + run.count - 1
  }

  /** The first entry of each run of equal terms, ascending. */
  get terms(): readonly EntryId[] {
    return this.#terms
  }

  /** The oldest segment with an entry of the log in it; `undefined` when there is no entry. */
  get oldestSegment(): number | undefined {
    return this.#runs[0]?.segment
  }

  /** Adds the entry `id`, which replaces everything from its index on. */
  append(id: EntryId, place: EntryPlace): void {
    if (id.index <= this.lastIndex) this.truncateAfter(id.index - 1)
    assert(id.index === this.lastIndex + 1, 'an entry does not follow the log')
    if (this.#terms.at(-1)?.term !== id.term) this.#terms.push({ term: id.term, index: id.index })
    let run = this.#runs.at(-1)
    if (run === undefined || run.segment !== place.segment) {
      run = { segment: place.segment, first: id.index, count: 0, places: new Uint32Array(32) }
      this.#runs.push(run)
    }
    if (run.count * 2 === run.places.length) run.places = grown(run.places)
    run.places[run.count * 2] = place.position / UNIT_BYTES
    run.places[run.count * 2 + 1] = place.bytes / UNIT_BYTES
    run.count++
  }

  /** Forgets everything after `index`; before `base` that is everything, and `base` falls to it. */
  truncateAfter(index: LogIndex): void {
    if (index >= this.lastIndex) return
    if (index <= this.#base) {
      this.reset(index)
      return
    }
    while (this.#runs.at(-1)!.first > index) this.#runs.pop()
    const run = this.#runs.at(-1)!
    run.count = Math.min(run.count, index - run.first + 1)
    while (this.#terms.at(-1)!.index > index) this.#terms.pop()
  }

  /** Forgets everything up to `index`. */
  compactTo(index: LogIndex): void {
    if (index >= this.lastIndex) {
      this.reset(index)
      return
    }
    if (index <= this.#base) return
    const term = this.termAt(index + 1)!
    const keepTerms = this.#terms.findIndex((id) => id.index > index + 1)
    this.#terms = [
      { term, index: index + 1 },
      ...(keepTerms === -1 ? [] : this.#terms.slice(keepTerms)),
    ]
    this.#runs.splice(
      0,
      this.#runs.findIndex((run) => run.first + run.count - 1 > index),
    )
    this.#base = index
  }

  /** Forgets everything; the next entry is `base + 1`. */
  reset(base: LogIndex): void {
    this.#base = base
    this.#runs = []
    this.#terms = []
  }

  /** The term of an entry; `undefined` where there is none. */
  termAt(index: LogIndex): Term | undefined {
    if (index <= this.#base || index > this.lastIndex) return undefined
    return this.#terms[lastAtMost(this.#terms, index, indexOf)]!.term
  }

  /** Where the entry at `index` stands; `undefined` where there is none. */
  placeOf(index: LogIndex): EntryPlace | undefined {
    if (index <= this.#base || index > this.lastIndex) return undefined
    const run = this.#runs[lastAtMost(this.#runs, index, firstOf)]!
    const at = (index - run.first) * 2
    return {
      segment: run.segment,
      position: run.places[at]! * UNIT_BYTES,
      bytes: run.places[at + 1]! * UNIT_BYTES,
    }
  }
}

function indexOf(id: EntryId): LogIndex {
  return id.index
}

function firstOf(run: Run): LogIndex {
  return run.first
}

/** The last position whose key is at most `limit`, in a list ascending by key whose first is. */
function lastAtMost<T>(list: readonly T[], limit: number, key: (item: T) => number): number {
  let low = 0
  let high = list.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (key(list[middle]!) <= limit) low = middle
    else high = middle - 1
  }
  return low
}

function grown(places: Uint32Array): Uint32Array {
  const larger = new Uint32Array(places.length * 2)
  larger.set(places)
  return larger
}
