/**
 * What the last applied entries did to the users' keys, for those who watch.
 *
 * Filled at almost no cost: of a plain entry its bytes are kept, and the changes are read out of them when somebody
 * asks; of one that was interpreted, the changes themselves. The bytes of small entries are copied into chunks, because
 * what they are part of may be much larger, and nothing is allocated for one of them: every object that lived so long
 * would cost the collector more than applying it. The oldest chunk goes when all hold more than the bound, and its
 * memory is used again.
 *
 * Invariants:
 *   1. `firstIndex .. lastIndex` are there without a gap; none are when `firstIndex` is `lastIndex + 1`
 *   2. readers are given copies: nothing outside views a chunk
 */
import { assert } from '../base/assert.js'
import { asBuffer, compareBytes, EMPTY } from '../base/bytes.js'
import type { KeyRange } from '../env/database.js'
import type { Entry, EntryId, LogIndex, Term } from '../raft/types.js'
import { visitCommands, visitRequests } from '../wire/request.js'
import type { RequestOutcome } from './sessions.js'

/** One change of one key. */
export interface Change {
  readonly type: 'put' | 'del'
  readonly key: Buffer
  /** The value as the Store encoded it, or its manifest; undefined when the key was removed. */
  readonly value: Buffer | undefined
  /** The value lies in shards. */
  readonly isCoded?: true
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
const ENTRY_OVERHEAD_BYTES = 24
/** What a change takes beside its bytes, about. */
const CHANGE_OVERHEAD_BYTES = 200
const CHUNK_BYTES_MAX = 131_072
/** A larger entry is kept as it is, unless that would keep much more from being let go. */
const COPY_BYTES_MAX = 4096
/** So many chunks make up the bound: what goes at a time is a small part. */
const CHUNKS = 16
/** A reader looks at no more at a time, so that it holds up a turn of the event loop for a few ms at most. */
const READ_ENTRIES_MAX = 1000
const READ_BYTES_MAX = 1_048_576

/** What the bytes of an entry do not say: which requests were applied if not all were, or what was interpreted. */
type Detail =
  | { readonly type: 'partly'; readonly applied: readonly boolean[] }
  | { readonly type: 'interpreted'; readonly changes: readonly Change[] }

/** Some entries in a row. */
interface Chunk {
  readonly firstIndex: LogIndex
  /** Memory for several entries, or a large entry. */
  readonly data: Buffer
  readonly holds: 'several' | 'one'
  /** Where each entry's bytes end in `data`, and its term. */
  readonly ends: number[]
  readonly terms: Term[]
  details: Map<LogIndex, Detail> | undefined
  /** What it takes, about. */
  bytes: number
}

/** See the file's comment. */
export class ChangeHistory {
  readonly #maxBytes: number
  readonly #chunkBytes: number
  /** In order; the last one is being filled. */
  #chunks: Chunk[] = []
  #bytes = 0
  #last: EntryId
  /** Of a chunk that has gone. */
  #spare: Buffer | undefined

  /** @param last the entry before the first that will be added */
  constructor(maxBytes: number, last: EntryId) {
    this.#maxBytes = maxBytes
    this.#chunkBytes = Math.min(CHUNK_BYTES_MAX, Math.floor(maxBytes / CHUNKS))
    this.#last = last
  }

  /** The first index whose changes are known. */
  get firstIndex(): LogIndex {
    return this.#chunks[0]?.firstIndex ?? this.#last.index + 1
  }

  get lastIndex(): LogIndex {
    return this.#last.index
  }

  /** The entry at `lastIndex`. */
  get last(): EntryId {
    return this.#last
  }

  /** Bytes that it holds, about; at most the bound, and one entry that may be larger. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds an applied entry that was not interpreted. */
  addPlain({ index, term, kind, data }: Entry, outcomes: readonly RequestOutcome[]): void {
    this.#add(index, term, kind === 'normal' ? data : EMPTY)
    if (outcomes.every(isApplied)) return
    const applied = outcomes.map(isApplied)
    this.#explain(index, { type: 'partly', applied }, applied.length)
  }

  /** Adds an applied entry that did `changes`, whose bytes are kept as they are. */
  addInterpreted({ index, term, data }: Entry, changes: readonly Change[]): void {
    this.#add(index, term, EMPTY)
    // Values are part of the entry; keys may be what the database gave out.
    let bytes = data.length
    for (const { key } of changes) bytes += key.length + CHANGE_OVERHEAD_BYTES
    this.#explain(index, { type: 'interpreted', changes }, bytes)
  }

  /** Another state is in force, after `last`: what led there is not known. */
  restart(last: EntryId): void {
    this.#chunks = []
    this.#bytes = 0
    this.#last = last
  }

  /**
   * What the entries after `after` did to the keys of `range`, in order: about `maxBytes` of it, and at most what a
   * turn of the event loop allows, so call again until `through` is what you wait for. Undefined when not all of it is
   * known any more. `through` is never below `after`, except while a state that was replaced is being caught up.
   */
  read(after: LogIndex, range: KeyRange, maxBytes: number): HistoryBlock | undefined {
    if (after + 1 < this.firstIndex) return undefined
    const entries: EntryChanges[] = []
    let [looked, bytes, found] = [0, 0, 0]
    for (let at = this.#chunkOf(after + 1); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at]!
      const { firstIndex, terms } = chunk
      const first = Math.max(0, after + 1 - firstIndex)
      for (let i = first; i < terms.length; i++) {
        const [index, term] = [firstIndex + i, terms[i]!]
        const changes = changesIn(chunk, i).filter(({ key }) => isWithin(key, range))
        if (changes.length > 0) entries.push({ index, term, changes })
        for (const { key, value } of changes) found += key.length + (value?.length ?? 0)
        bytes += bytesOf(chunk, i)
        looked++
        const isEnough = found >= maxBytes || looked >= READ_ENTRIES_MAX || bytes >= READ_BYTES_MAX
        if (isEnough) return { entries, through: { index, term } }
      }
    }
    return { entries, through: this.#last }
  }

  #add(index: LogIndex, term: Term, data: Uint8Array): void {
    assert(index === this.#last.index + 1, 'history has no gaps', { index })
    this.#last = { index, term }
    if (this.#maxBytes === 0) return
    const chunk = this.#chunkFor(index, data)
    chunk.terms.push(term)
    chunk.bytes += ENTRY_OVERHEAD_BYTES
    this.#bytes += ENTRY_OVERHEAD_BYTES
    this.#limit()
  }

  #explain(index: LogIndex, detail: Detail, bytes: number): void {
    const chunk = this.#chunks[this.#chunks.length - 1]
    if (chunk === undefined) return
    chunk.details ??= new Map()
    chunk.details.set(index, detail)
    chunk.bytes += bytes
    this.#bytes += bytes
    this.#limit()
  }

  /** The chunk that the next entry belongs to, which has its bytes now. */
  #chunkFor(index: LogIndex, data: Uint8Array): Chunk {
    const { length } = data
    if (length > this.#chunkBytes || (length > COPY_BYTES_MAX && isAlone(data))) {
      return this.#begin(index, isAlone(data) ? asBuffer(data) : Buffer.from(data), 'one', length)
    }
    const last = this.#chunks[this.#chunks.length - 1]
    const used = last?.ends[last.ends.length - 1] ?? 0
    const hasRoom = last?.holds === 'several' && last.bytes < 2 * this.#chunkBytes
    if (!hasRoom || used + length > last.data.length) {
      const memory = this.#spare ?? Buffer.allocUnsafeSlow(this.#chunkBytes)
      this.#spare = undefined
      memory.set(data)
      return this.#begin(index, memory, 'several', length)
    }
    if (length > 0) last.data.set(data, used)
    last.ends.push(used + length)
    return last
  }

  #begin(firstIndex: LogIndex, data: Buffer, holds: 'several' | 'one', end: number): Chunk {
    const { length: bytes } = data
    const [ends, details] = [[end], undefined]
    const chunk: Chunk = { firstIndex, data, holds, ends, terms: [], details, bytes }
    this.#chunks.push(chunk)
    this.#bytes += bytes
    return chunk
  }

  #limit(): void {
    while (this.#bytes > this.#maxBytes && this.#chunks.length > 1) {
      const { bytes, holds, data } = this.#chunks.shift()!
      this.#bytes -= bytes
      if (holds === 'several') this.#spare = data
    }
  }

  /** The chunk with the entry at `index`, or the one after the last. */
  #chunkOf(index: LogIndex): number {
    const later = this.#chunks.findIndex(({ firstIndex }) => firstIndex > index)
    if (later !== -1) return later - 1
    return index > this.#last.index ? this.#chunks.length : this.#chunks.length - 1
  }
}

function isApplied({ status }: RequestOutcome): boolean {
  return status === 'applied'
}

/** Whether keeping `data` keeps little else from being let go. */
function isAlone(data: Uint8Array): boolean {
  return data.buffer.byteLength <= 2 * data.length
}

/** What the entry `i` of the chunk takes to look at, about. */
function bytesOf({ ends }: Chunk, i: number): number {
  return ends[i]! - (ends[i - 1] ?? 0) + ENTRY_OVERHEAD_BYTES
}

function changesIn(chunk: Chunk, i: number): readonly Change[] {
  const detail = chunk.details?.get(chunk.firstIndex + i)
  if (detail?.type === 'interpreted') return detail.changes
  const changes: Change[] = []
  const visitor = {
    put: (key: Buffer, value: Buffer) => changes.push({ type: 'put', key, value }),
    del: (key: Buffer) => changes.push({ type: 'del', key, value: undefined }),
  }
  const data = Buffer.from(chunk.data.subarray(chunk.ends[i - 1] ?? 0, chunk.ends[i]!))
  let request = 0
  visitRequests(data, (header, offset) => {
    if (detail?.applied[request++] !== false) visitCommands(data, offset, header, visitor)
  })
  return changes
}

function isWithin(key: Buffer, { gt, gte, lt, lte }: KeyRange): boolean {
  if (gt !== undefined && compareBytes(key, gt) <= 0) return false
  if (gte !== undefined && compareBytes(key, gte) < 0) return false
  if (lt !== undefined && compareBytes(key, lt) >= 0) return false
  return lte === undefined || compareBytes(key, lte) <= 0
}
