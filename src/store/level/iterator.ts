/**
 * Iterators over one state. What `next` reads ahead grows with use, so that looking for one entry stays cheap.
 */
import { AbstractIterator, type AbstractIteratorOptions } from 'abstract-level'
import type { KeyRange } from '../../env/database.js'
import type { ScanCursor, StateView } from '../../member/backend.js'
import { type FetchSpec, type FoundEntry, groupsOf, type LargeReads } from '../large-reads.js'
import { LevelError } from './errors.js'
import { type LevelKeySpace, rangeFrom } from './key-space.js'

/** What is asked for at once, in entries, grows from one to the other. */
const BLOCK_ENTRIES_MIN = 4
const BLOCK_ENTRIES_MAX = 1024
const BLOCK_GROWTH = 4
const BLOCK_BYTES = 256 * 1024

/** An entry as abstract-level takes it; it writes what it decodes into the same place. */
type Entry = [key: Buffer, value: Buffer]

/** What an iterator runs over. */
export interface IteratedState {
  view(): Promise<StateView>
  /** Nobody waits for the view any more. */
  giveUp(): void
  /** The iterator is done with it. */
  close(): Promise<void>
}

/** Where an iterator runs. */
export interface IteratedRange {
  /** In the keys of the Store. */
  readonly range: KeyRange
  readonly order: 'forward' | 'reverse'
  readonly keys: LevelKeySpace
}

/** See the file's comment. */
export class LevelIterator<TDatabase, K, V> extends AbstractIterator<TDatabase, K, V> {
  readonly #state: IteratedState
  readonly #where: IteratedRange
  readonly #signal: AbortSignal | undefined
  /** Undefined when nobody asks for the values. */
  readonly #large: LargeReads | undefined
  readonly #fetchSpec: FetchSpec
  #cursor: ScanCursor | undefined
  /** What is left to run through, for a cursor that is not there yet; undefined when nothing is. */
  #range: KeyRange | undefined
  /** The cursor is not where a seek has gone to. */
  #isSought = false
  /** Fetched, and handed out before `#position`. */
  #fetched: readonly FoundEntry[] = []
  #position = 0
  #blockEntries = BLOCK_ENTRIES_MIN
  #fetching: Promise<unknown> = Promise.resolve()

  /** @internal */
  constructor(
    db: TDatabase,
    options: AbstractIteratorOptions<K, V>,
    where: IteratedRange,
    state: IteratedState,
    large: LargeReads | undefined,
    fetchSpec: FetchSpec,
  ) {
    super(db, options)
    this.#large = large
    this.#fetchSpec = fetchSpec
    this.#where = where
    this.#range = where.range
    this.#state = state
    this.#signal = options.signal
  }

  /** @internal */
  async _next(): Promise<Entry | undefined> {
    if (this.#position === this.#fetched.length) {
      const left = this.limit - this.count
      this.#fetched = await this.#fetch(Math.min(this.#blockEntries, left))
      this.#position = 0
      this.#blockEntries = Math.min(this.#blockEntries * BLOCK_GROWTH, BLOCK_ENTRIES_MAX)
    }
    const found = this.#fetched[this.#position]
    if (found === undefined) return undefined
    this.#position++
    if (found[1].isCoded) return (await this.#whole([found]))[0]
    return this.#entryOf(found)
  }

  /** Fewer than `size` when their values are large. @internal */
  async _nextv(size: number): Promise<Entry[]> {
    if (this.#position === this.#fetched.length) {
      this.#fetched = await this.#fetch(size)
      this.#position = 0
    }
    const left = this.#fetched.slice(this.#position, this.#position + size)
    const group = groupsOf(left).next().value ?? left
    this.#position += group.length
    return this.#whole(group)
  }

  /** @internal */
  _seek(target: Uint8Array): void {
    const { range, order, keys } = this.#where
    this.#range = rangeFrom(range, keys.toStore(target), order)
    this.#isSought = true
    this.#fetched = []
    this.#position = 0
    this.#blockEntries = BLOCK_ENTRIES_MIN
  }

  /** @internal */
  async _close(): Promise<void> {
    this.#state.giveUp()
    // Its failure was thrown where it was read.
    await this.#fetching.catch(() => undefined)
    await this.#cursor?.close()
    await this.#state.close()
  }

  #entryOf([key, { value }]: FoundEntry): Entry {
    return [this.#where.keys.fromStore(key), value]
  }

  async #whole(found: readonly FoundEntry[]): Promise<Entry[]> {
    if (this.#large === undefined || !found.some(([, { isCoded }]) => isCoded)) {
      return found.map((entry) => this.#entryOf(entry))
    }
    const fetching = this.#large.wholeEntries(found, this.#fetchSpec)
    this.#fetching = fetching
    const signal = this.#signal
    const whole = await (signal === undefined ? fetching : unlessAborted(fetching, signal))
    return whole.map((entry) => this.#entryOf(entry))
  }

  async #fetch(size: number): Promise<readonly FoundEntry[]> {
    const fetching = this.#fetchFromCursor(size)
    this.#fetching = fetching
    return this.#signal === undefined ? fetching : unlessAborted(fetching, this.#signal)
  }

  async #fetchFromCursor(size: number): Promise<readonly FoundEntry[]> {
    const cursor = await this.#cursorHere()
    if (cursor === undefined) return []
    return cursor.next(size, BLOCK_BYTES)
  }

  /** The cursor at what is left; undefined when nothing is. */
  async #cursorHere(): Promise<ScanCursor | undefined> {
    if (this.#cursor !== undefined && !this.#isSought) return this.#cursor
    const view = await this.#state.view()
    const before = this.#cursor
    this.#cursor = undefined
    await before?.close()
    this.#isSought = false
    if (this.#range === undefined) return undefined
    this.#cursor = view.cursor(this.#range, this.#where.order === 'reverse')
    return this.#cursor
  }
}

/** `work`, or as soon as `signal` is aborted an error; the work goes on then, and its outcome is nobody's. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () =>
      reject(new LevelError('LEVEL_ABORTED', 'the read was aborted by its caller', signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    const settle = () => signal.removeEventListener('abort', onAbort)
    work.then(resolve, reject).finally(settle)
  })
}
