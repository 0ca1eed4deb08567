/**
 * What the last applied entries did to the users' keys, for those who watch.
 *
 * Filled at almost no cost: of a plain entry its bytes are kept, and the changes are read out of them when somebody
 * asks; of one that was interpreted, the changes themselves. The oldest entries go when it holds more than its bound.
 * Small entries are copied into memory of their own, because what they are part of may be much larger.
 *
 * Invariant: `firstIndex .. lastIndex` are there without a gap; none are when `firstIndex` is `lastIndex + 1`.
 */
import { assert } from '../base/assert.js'
import { asBuffer, compareBytes } from '../base/bytes.js'
import type { KeyRange } from '../env/database.js'
import type { Entry, EntryId, LogIndex, Term } from '../raft/types.js'
import { visitCommands, visitRequests } from '../wire/request.js'
import type { RequestOutcome } from './sessions.js'

/** One change of one key. */
export interface Change {
  readonly type: 'put' | 'del'
  readonly key: Buffer
  /** The value as the Store encoded it; undefined when the key was removed. */
  readonly value: Buffer | undefined
}

/** What one entry changed, in order; visible together. */
export interface EntryChanges {
  readonly index: LogIndex
  readonly term: Term
  readonly changes: readonly Change[]
}

/** What a reader is told. */
export interface HistoryBlock {
  /** Those that changed a key of the range; never a part of one. */
  readonly entries: readonly EntryChanges[]
  /** The last entry that was looked at: everything up to here is in this block and those before. */
  readonly through: EntryId
}

/** What an entry takes beside its bytes, about. */
const ENTRY_OVERHEAD_BYTES = 256
/** What a change takes beside its bytes, about. */
const CHANGE_OVERHEAD_BYTES = 200
/** Larger entries are kept where they are. */
const COPY_BYTES_MAX = 16_384
const ARENA_BYTES = 131_072
/** A reader looks at no more at a time, so that it holds up a turn of the event loop for a few ms at most. */
const READ_ENTRIES_MAX = 1000
const READ_BYTES_MAX = 1_048_576

interface Kept {
  readonly index: LogIndex
  readonly term: Term
  readonly bytes: number
  /** Of a plain entry: its data, and which of its requests were applied; undefined when all were. */
  readonly data: Buffer
  readonly applied: readonly boolean[] | undefined
  /** Of one that was interpreted. */
  readonly changes: readonly Change[] | undefined
}

const NO_DATA = Buffer.alloc(0)

/** See the file's comment. */
export class ChangeHistory {
  readonly #maxBytes: number
  /** A queue: the first `#gone` are no more, and let go. */
  #kept: (Kept | undefined)[] = []
  #gone = 0
  #bytes = 0
  #last: EntryId
  #arena: Buffer = NO_DATA
  #arenaUsed = 0

  /** @param last the entry before the first that will be added */
  constructor(maxBytes: number, last: EntryId) {
    this.#maxBytes = maxBytes
    this.#last = last
  }

  /** The first index whose changes are known. */
  get firstIndex(): LogIndex {
    return this.#last.index + 1 - (this.#kept.length - this.#gone)
  }

  get lastIndex(): LogIndex {
    return this.#last.index
  }

  /** The last entry that is known, or the one before the first when none is. */
  get last(): EntryId {
    return this.#last
  }

  /** Bytes that it holds, about; at most the bound. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds an applied entry that was not interpreted. */
  addPlain({ index, term, kind, data }: Entry, outcomes: readonly RequestOutcome[]): void {
    const isAll = outcomes.every(({ status }) => status === 'applied')
    this.#add({
      index,
      term,
      bytes: data.length + ENTRY_OVERHEAD_BYTES,
      data: kind === 'normal' ? this.#owned(data) : NO_DATA,
      applied: isAll ? undefined : outcomes.map(({ status }) => status === 'applied'),
      changes: undefined,
    })
  }

  /** Adds an applied entry that did `changes`. */
  addInterpreted({ index, term, data }: Entry, changes: readonly Change[]): void {
    // Their bytes view the entry, or are keys that the database gave out.
    let bytes = data.length + ENTRY_OVERHEAD_BYTES
    for (const { key } of changes) bytes += key.length + CHANGE_OVERHEAD_BYTES
    this.#add({ index, term, bytes, data: NO_DATA, applied: undefined, changes })
  }

  /** Another state is in force, after `last`: what led there is not known. */
  restart(last: EntryId): void {
    this.#kept = []
    this.#gone = 0
    this.#bytes = 0
    this.#last = last
  }

  /**
   * What the entries after `after` did to the keys of `range`, in order: about `maxBytes` of it, and at most what a
   * turn of the event loop allows, so call again until `through` is what you wait for. Undefined when not all of it is
   * known any more. `through` is never below `after`, except while a state that was replaced is being caught up.
   */
  read(after: LogIndex, range: KeyRange, maxBytes: number): HistoryBlock | undefined {
    const { firstIndex } = this
    if (after + 1 < firstIndex) return undefined
    const entries: EntryChanges[] = []
    let through = this.#last
    let [looked, bytes, found] = [0, 0, 0]
    for (let at = this.#gone + after + 1 - firstIndex; at < this.#kept.length; at++) {
      const kept = this.#kept[at]!
      const changes = changesOf(kept).filter(({ key }) => isWithin(key, range))
      if (changes.length > 0) entries.push({ index: kept.index, term: kept.term, changes })
      for (const { key, value } of changes) found += key.length + (value?.length ?? 0)
      bytes += kept.bytes
      looked++
      if (found < maxBytes && looked < READ_ENTRIES_MAX && bytes < READ_BYTES_MAX) continue
      through = { index: kept.index, term: kept.term }
      break
    }
    return { entries, through }
  }

  #add(kept: Kept): void {
    assert(kept.index === this.#last.index + 1, 'history has no gaps', { index: kept.index })
    this.#kept.push(kept)
    this.#last = { index: kept.index, term: kept.term }
    this.#bytes += kept.bytes
    while (this.#bytes > this.#maxBytes && this.#gone < this.#kept.length) {
      this.#bytes -= this.#kept[this.#gone]!.bytes
      this.#kept[this.#gone++] = undefined
    }
    // Now and then, so that it costs next to nothing for each entry.
    if (this.#gone < 1024 || this.#gone * 2 < this.#kept.length) return
    this.#kept = this.#kept.slice(this.#gone)
    this.#gone = 0
  }

  #owned(data: Uint8Array): Buffer {
    const { length } = data
    if (length > COPY_BYTES_MAX) {
      return data.buffer.byteLength <= 2 * length ? asBuffer(data) : Buffer.from(data)
    }
    if (length > this.#arena.length - this.#arenaUsed) {
      this.#arena = Buffer.allocUnsafeSlow(ARENA_BYTES)
      this.#arenaUsed = 0
    }
    const start = this.#arenaUsed
    this.#arenaUsed += length
    this.#arena.set(data, start)
    return this.#arena.subarray(start, this.#arenaUsed)
  }
}

function changesOf({ data, applied, changes: known }: Kept): readonly Change[] {
  if (known !== undefined) return known
  const changes: Change[] = []
  const visitor = {
    put: (key: Buffer, value: Buffer) => changes.push({ type: 'put', key, value }),
    del: (key: Buffer) => changes.push({ type: 'del', key, value: undefined }),
  }
  let request = 0
  visitRequests(data, (header, offset) => {
    if (applied?.[request++] !== false) visitCommands(data, offset, header, visitor)
  })
  return changes
}

function isWithin(key: Buffer, { gt, gte, lt, lte }: KeyRange): boolean {
  if (gt !== undefined && compareBytes(key, gt) <= 0) return false
  if (gte !== undefined && compareBytes(key, gte) < 0) return false
  if (lt !== undefined && compareBytes(key, lt) >= 0) return false
  return lte === undefined || compareBytes(key, lte) <= 0
}
