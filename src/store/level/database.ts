/**
 * The Store as an AbstractLevel: what is written for the Level ecosystem runs on it (sublevels, hooks, encodings).
 *
 * Three promises of abstract-level reach into the replication, and are kept by: a read shows the state of the moment
 * of its call (reads.ts), no write made after it (fence.ts), and a seek goes nowhere outside its range (key-space.ts).
 * The rest is abstract-level's own: it calls what begins with an underscore, with keys and values as Buffers.
 */
import {
  type AbstractIterator,
  type AbstractIteratorOptions,
  AbstractLevel,
  type AbstractSnapshot,
} from 'abstract-level'
import type { Backend, StateView, StoredValue } from '../../member/backend.js'
import { hasCoded, isGone, type LargeReads, LOOKUPS_MAX } from '../large-reads.js'
import type { SessionState } from '../session-state.js'
import type { Tokens } from '../token.js'
import { LevelError } from './errors.js'
import { Fence } from './fence.js'
import { type IteratedState, LevelIterator } from './iterator.js'
import { LevelKeySpace, type LevelRange } from './key-space.js'
import type { LevelSettings } from './options.js'
import { LevelReads } from './reads.js'
import { LevelSnapshot } from './snapshot.js'
import { type LevelClear, type LevelOperation, type LevelSink, LevelWrites } from './writes.js'

/** What a database of the Level kind is made of. */
export interface LevelParts {
  readonly backend: Backend
  readonly tokens: Tokens
  /** Raises `session`. */
  readonly sink: LevelSink
  readonly session: SessionState
  readonly large: LargeReads
}

/** A range as abstract-level hands it over. */
interface RangeOptions extends LevelRange {
  readonly reverse: boolean
  /** -1: none. */
  readonly limit: number
  readonly snapshot?: AbstractSnapshot | undefined
}

interface ReadOptions {
  readonly snapshot?: AbstractSnapshot | undefined
}

/** What a clear with a snapshot deletes in one log entry. */
const DELETE_ENTRIES = 1000
const DELETE_BYTES = 256 * 1024

/**
 * An AbstractLevel over a Store; made by `store.level()`. It belongs to the Store and needs no closing, but may be
 * closed and opened again. Reads keep the order of the handle: they see what it wrote before, and at `session` and
 * `strong` never go back.
 */
export class StoreLevel<K = string, V = string> extends AbstractLevel<Buffer, K, V> {
  readonly #tokens: Tokens
  readonly #session: SessionState
  readonly #keys: LevelKeySpace
  readonly #reads: LevelReads
  readonly #writes: LevelWrites
  readonly #large: LargeReads
  readonly #timeoutMs: number

  /** @internal */
  constructor(
    { backend, tokens, sink, session, large }: LevelParts,
    { level, prefix, timeoutMs, base }: LevelSettings<K, V>,
  ) {
    const manifest = {
      encodings: { buffer: true },
      seek: true,
      has: true,
      implicitSnapshots: true,
      explicitSnapshots: true,
      getSync: level === 'eventual' && backend.local !== undefined,
      signals: { iterators: true },
    }
    super(manifest, base)
    const fence = new Fence()
    this.#tokens = tokens
    this.#large = large
    this.#timeoutMs = timeoutMs
    this.#session = session
    this.#keys = new LevelKeySpace(prefix)
    this.#reads = new LevelReads(backend, session, fence, { level, timeoutMs })
    this.#writes = new LevelWrites(sink, fence)
  }

  /** What this database has seen, as a session token: pass it to `store.session` or to `observe`, on any member. */
  get token(): string {
    return this.#tokens.encode(this.#session.position)
  }

  /**
   * Takes over what another session has seen: later reads at `session` are at least as new.
   * @throws {StoreError} QUORATE_BAD_TOKEN malformed, or of another cluster.
   */
  observe(token: string): void {
    this.#session.raise(this.#tokens.decode(token))
  }

  /** @internal */
  async _close(): Promise<void> {
    await this.#writes.idle()
  }

  /** @internal */
  async _get(key: Buffer, options: ReadOptions): Promise<Buffer | undefined> {
    const [value] = await this.#values([key], options)
    return value
  }

  /** @internal */
  async _getMany(keys: readonly Buffer[], options: ReadOptions): Promise<(Buffer | undefined)[]> {
    return this.#values(keys, options)
  }

  /** @internal */
  async _has(key: Buffer, options: ReadOptions): Promise<boolean> {
    const [stored] = await this.#read([key], options)
    return stored !== undefined
  }

  /** @internal */
  async _hasMany(keys: readonly Buffer[], options: ReadOptions): Promise<boolean[]> {
    return (await this.#read(keys, options)).map((stored) => stored !== undefined)
  }

  /** @internal */
  _getSync(key: Buffer, { snapshot }: ReadOptions): Buffer | undefined {
    const stored = this.#keys.toStore(key)
    const state = isGiven(snapshot) ? ownSnapshot(snapshot).local : this.#reads
    if (state === undefined)
      throw new LevelError('LEVEL_NOT_SUPPORTED', 'this is no local snapshot')
    const found = state.get(stored)
    if (found?.isCoded) {
      throw new LevelError('LEVEL_NOT_SUPPORTED', 'a large value takes more than a turn: use get')
    }
    return found?.value
  }

  /** @internal */
  async _put(key: Buffer, value: Buffer): Promise<void> {
    await this.#writes.write([{ type: 'put', key: this.#keys.toStore(key), value }])
  }

  /** @internal */
  async _del(key: Buffer): Promise<void> {
    await this.#writes.write([{ type: 'del', key: this.#keys.toStore(key) }])
  }

  /** @internal */
  async _batch(operations: readonly LevelOperation[]): Promise<void> {
    await this.#writes.write(
      operations.map((operation) => {
        const key = this.#keys.toStore(operation.key)
        if (operation.type === 'del') return { type: 'del', key }
        return { type: 'put', key, value: operation.value }
      }),
    )
  }

  /** @internal */
  async _clear(options: RangeOptions): Promise<void> {
    const range = this.#keys.rangeToStore(options)
    const order = options.reverse ? 'reverse' : 'forward'
    const limit = options.limit < 0 ? Number.POSITIVE_INFINITY : options.limit
    const { snapshot } = options
    if (isGiven(snapshot)) {
      const view = await ownSnapshot(snapshot).view()
      await this.#clearSeen(view, { range, order, limit })
    } else await this.#writes.clear({ range, order, limit })
  }

  /** @internal */
  _iterator(options: RangeOptions & AbstractIteratorOptions<K, V>): AbstractIterator<this, K, V> {
    const where = {
      range: this.#keys.rangeToStore(options),
      order: options.reverse ? 'reverse' : 'forward',
      keys: this.#keys,
    } as const
    const { signal, values } = options
    const fetching = { timeoutMs: this.#timeoutMs, signal }
    const large = values === false ? undefined : this.#large
    const state = this.#stateFor(options)
    return new LevelIterator<this, K, V>(this, options, where, state, large, fetching)
  }

  /** @internal */
  _snapshot(options: object): LevelSnapshot {
    return new LevelSnapshot(options, this.#reads.hold())
  }

  /** The values with their bytes; one that was replaced while it was fetched is looked up again. */
  async #values(keys: readonly Buffer[], options: ReadOptions): Promise<(Buffer | undefined)[]> {
    const spec = { timeoutMs: this.#timeoutMs, signal: undefined }
    for (let lookups = 1; ; lookups++) {
      const found = await this.#read(keys, options)
      if (!hasCoded(found)) return found.map((stored) => stored?.value)
      try {
        const stored = keys.map((key) => this.#keys.toStore(key))
        return (await this.#large.whole(stored, found, spec)).map((whole) => whole?.value)
      } catch (error) {
        const isFixed = isGiven(options.snapshot)
        if (!isGone(error) || isFixed || lookups >= LOOKUPS_MAX) throw error
      }
    }
  }

  #read(
    keys: readonly Buffer[],
    { snapshot }: ReadOptions,
  ): Promise<readonly (StoredValue | undefined)[]> {
    const stored = keys.map((key) => this.#keys.toStore(key))
    if (!isGiven(snapshot)) return this.#reads.getMany(stored)
    return ownSnapshot(snapshot)
      .view()
      .then((view) => view.getMany(stored))
  }

  /** What an iterator runs over: the state of a snapshot, which outlives it, or one of its own. */
  #stateFor({ snapshot }: ReadOptions): IteratedState {
    if (!isGiven(snapshot)) return this.#reads.hold()
    const own = ownSnapshot(snapshot)
    return { view: () => own.view(), giveUp: () => undefined, close: async () => undefined }
  }

  /** Removes what a snapshot shows: other keys of the range stay. Not atomic when there is much of it. */
  async #clearSeen(view: StateView, { range, order, limit }: LevelClear): Promise<void> {
    const cursor = view.cursor(range, order === 'reverse')
    try {
      for (let left = limit; left > 0; ) {
        const block = await cursor.next(Math.min(left, DELETE_ENTRIES), DELETE_BYTES)
        if (block.length === 0) return
        left -= block.length
        await this.#writes.write(block.map(([key]) => ({ type: 'del', key })))
      }
    } finally {
      await cursor.close()
    }
  }
}

/** abstract-level takes null for "none" as well. */
function isGiven(snapshot: AbstractSnapshot | null | undefined): snapshot is AbstractSnapshot {
  return snapshot !== undefined && snapshot !== null
}

function ownSnapshot(snapshot: AbstractSnapshot): LevelSnapshot {
  if (snapshot instanceof LevelSnapshot) return snapshot
  throw new TypeError('the snapshot is not one of this database')
}
