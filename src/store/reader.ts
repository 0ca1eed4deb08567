/**
 * The reads of a Store, view or session: from what the caller says to what a backend is asked, and back.
 *
 * A session is a position: every read and committed write raises it, and later reads are served only from a state
 * that has reached it. That gives read-your-writes, monotonic reads, monotonic writes and writes-follow-reads
 * (docs/consistency.md), since one log orders everything.
 */
import { StoreError } from '../base/errors.js'
import type { KeyRange } from '../env/database.js'
import type {
  Backend,
  OnBehind,
  PendingRead,
  ReadDemand,
  ReadLevel,
  ScanCursor,
  Served,
  StateView,
  StoredValue,
} from '../member/backend.js'
import {
  type ReadOptions,
  type ReadSpec,
  resolveRead,
  resolveScan,
  type ScanOptions,
  type ScanSpec,
} from './call-options.js'
import { decodeKey, decodeValue, encodeKey, type Key, type KeyEncoding } from './encoding.js'
import { encodeRange } from './key-range.js'
import type { SessionState } from './session-state.js'
import type { Position, Tokens } from './token.js'
import { NOWHERE, Watch, type WatchSource } from './watch.js'
import { resolveWatch, type WatchOptions } from './watch-options.js'
import type { WriteFollower } from './write-follower.js'

/** A value with its circumstances. */
export interface ValueWithMeta<T> {
  /** Undefined when there is none. */
  readonly value: T | undefined
  /** The log index of the key's last change; 0 when there is no value. What `ifRevision` compares. */
  readonly revision: number
  /** The member whose state it was. */
  readonly servedBy: string
  /** The log index of the state that served the read. */
  readonly appliedIndex: number
  /** Every write acknowledged so many ms before the read was seen by it, at most; undefined: not known. */
  readonly stalenessMs: number | undefined
}

/** A scan fetches blocks of about this many entries and bytes. */
const SCAN_ENTRIES = 512
const SCAN_BYTES = 256 * 1024

type Demand = Omit<ReadDemand, 'deadline'>

/** See the file's comment. */
export class Reader {
  readonly #backend: Backend
  readonly #defaults: ReadSpec
  readonly #keyEncoding: KeyEncoding
  readonly #session: SessionState | undefined
  readonly #tokens: Tokens

  /** @param session raised by every read; undefined: reads have no position */
  constructor(
    backend: Backend,
    defaults: ReadSpec,
    keyEncoding: KeyEncoding,
    session: SessionState | undefined,
    tokens: Tokens,
  ) {
    this.#tokens = tokens
    this.#backend = backend
    this.#defaults = defaults
    this.#keyEncoding = keyEncoding
    this.#session = session
  }

  /** The level of reads that name none. */
  get level(): ReadLevel {
    return this.#defaults.level
  }

  get<T>(key: Key, options: ReadOptions | undefined): Promise<T | undefined> {
    const spec = resolveRead(options, this.#defaults)
    return this.#read([encodeKey(key)], spec, ([stored]) => decodeStored<T>(stored, spec))
  }

  getWithMeta<T>(key: Key, options: ReadOptions | undefined): Promise<ValueWithMeta<T>> {
    const spec = resolveRead(options, this.#defaults)
    return this.#read([encodeKey(key)], spec, ([stored], served) => ({
      value: decodeStored<T>(stored, spec),
      revision: stored?.revision ?? 0,
      servedBy: served.servedBy,
      appliedIndex: served.index,
      stalenessMs: served.stalenessMs,
    }))
  }

  getMany<T>(keys: readonly Key[], options: ReadOptions | undefined): Promise<(T | undefined)[]> {
    const spec = resolveRead(options, this.#defaults)
    if (!Array.isArray(keys)) throw new TypeError('getMany takes an array of keys')
    return this.#read(keys.map(encodeKey), spec, (values) =>
      values.map((stored) => decodeStored<T>(stored, spec)),
    )
  }

  scan<K extends string | Uint8Array, T>(
    options: ScanOptions | undefined,
  ): AsyncIterableIterator<[key: K, value: T]> {
    const { read, scan } = resolveScan(options, this.#defaults, this.#keyEncoding)
    const range = encodeRange(options ?? {})
    return scanEntries<K, T>(() => this.openView(read), range, scan, read)
  }

  watch<T, K extends string | Uint8Array>(
    options: WatchOptions | undefined,
    followWrites: () => WriteFollower,
  ): Watch<T, K> {
    const backend = this.#backend
    const tokens = this.#tokens
    const decode = (token: string) => tokens.decode(token)
    const spec = resolveWatch(options ?? {}, this.#defaults, this.#keyEncoding, decode)
    const source: WatchSource = {
      backend,
      session: this.#session,
      followWrites,
      encodeToken: (position) => tokens.encode(position),
      position: (read) => this.#read([], read, (_, { index, term }) => ({ index, term })),
      openView: (read, floor) => this.openView(read, floor),
    }
    backend.calls.watches++
    return new Watch<T, K>(source, spec)
  }

  /** One state as `spec` asks for that holds at least `floor`, for as long as its owner keeps it. */
  async openView(spec: ReadSpec, floor: Position = NOWHERE): Promise<StateView> {
    const session = this.#session
    const { calls } = this.#backend
    calls.views++
    try {
      const view = await this.#backend.openView({
        ...notBelow(floor, demandOf(spec, session)),
        deadline: this.#backend.now() + spec.timeoutMs,
        cut: 'newest',
        signal: spec.signal,
      })
      session?.raise(view.served)
      return view
    } catch (error) {
      calls.failed(error)
      throw error
    }
  }

  #read<R>(keys: readonly Uint8Array[], spec: ReadSpec, decode: Decode<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      const backend = this.#backend
      backend.calls.reads[spec.level]++
      const read = new Reading(keys, spec, this.#session, backend, decode, resolve, reject)
      if (spec.signal !== undefined && !read.watch(spec.signal)) return
      backend.read(read)
    })
  }
}

/** An eventual read asks for no index; a strong one is newer than any session by itself. */
function demandOf(
  { level, maxStalenessMs, onBehind }: ReadSpec,
  session: SessionState | undefined,
): Demand {
  const position = level === 'session' ? session?.position : undefined
  const { index: minIndex, term: minTerm } = position ?? { index: 0, term: 0 }
  return { level, minIndex, minTerm, maxStalenessMs, onBehind }
}

/** `demand` of a state that holds `floor` at least; a strong one does by itself. */
function notBelow<D extends Demand>(floor: Position, demand: D): D {
  if (demand.level === 'strong' || floor.index <= demand.minIndex) return demand
  return { ...demand, level: 'session', minIndex: floor.index, minTerm: floor.term }
}

/** What a read makes of what was found. */
type Decode<R> = (values: readonly (StoredValue | undefined)[], served: Served) => R

/** A read of the Store's own: completes its promise, and lets a signal abandon it. */
class Reading<R> implements PendingRead {
  readonly keys: readonly Uint8Array[]
  readonly level: ReadLevel
  readonly minIndex: number
  readonly minTerm: number
  readonly maxStalenessMs: number
  readonly onBehind: OnBehind
  readonly deadline: number
  abandoned = false
  readonly #session: SessionState | undefined
  readonly #backend: Backend
  readonly #calledAt: number
  readonly #decode: Decode<R>
  readonly #resolve: (result: R) => void
  readonly #reject: (error: unknown) => void
  #unwatch: (() => void) | undefined

  constructor(
    keys: readonly Uint8Array[],
    spec: ReadSpec,
    session: SessionState | undefined,
    backend: Backend,
    decode: Decode<R>,
    resolve: (result: R) => void,
    reject: (error: unknown) => void,
  ) {
    const isBound = session !== undefined && spec.level === 'session'
    this.keys = keys
    this.level = spec.level
    this.minIndex = isBound ? session.position.index : 0
    this.minTerm = isBound ? session.position.term : 0
    this.maxStalenessMs = spec.maxStalenessMs
    this.onBehind = spec.onBehind
    this.#calledAt = backend.now()
    this.deadline = this.#calledAt + spec.timeoutMs
    this.#session = session
    this.#backend = backend
    this.#decode = decode
    this.#resolve = resolve
    this.#reject = reject
  }

  complete(values: readonly (StoredValue | undefined)[], served: Served): void {
    this.#unwatch?.()
    const backend = this.#backend
    if (this.level === 'strong') backend.calls.strongRead(this.#calledAt, backend)
    this.#session?.raise(served)
    try {
      this.#resolve(this.#decode(values, served))
    } catch (error) {
      this.fail(error)
    }
  }

  fail(error: unknown): void {
    this.#unwatch?.()
    this.#backend.calls.failed(error)
    this.#reject(error)
  }

  /** Abandons the read when `signal` aborts; false when it has aborted already. */
  watch(signal: AbortSignal): boolean {
    const onAbort = () => {
      this.abandoned = true
      this.fail(readAborted(signal))
    }
    if (signal.aborted) {
      onAbort()
      return false
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#unwatch = () => signal.removeEventListener('abort', onAbort)
    return true
  }
}

async function* scanEntries<K extends string | Uint8Array, T>(
  open: () => Promise<StateView>,
  range: KeyRange,
  { limit, order, keyEncoding }: ScanSpec,
  spec: ReadSpec,
): AsyncIterableIterator<[key: K, value: T]> {
  if (limit === 0) return
  const view = await open()
  let cursor: ScanCursor | undefined
  let left = limit
  try {
    cursor = view.cursor(range, order === 'reverse')
    while (left > 0) {
      if (spec.signal?.aborted) throw readAborted(spec.signal)
      const entries = await cursor.next(Math.min(SCAN_ENTRIES, left), SCAN_BYTES)
      if (entries.length === 0) return
      left -= entries.length
      for (const [key, stored] of entries) {
        yield [decodeKey(key, keyEncoding) as K, decodeStored<T>(stored, spec) as T]
      }
    }
  } finally {
    await cursor?.close()
    await view.close()
  }
}

function decodeStored<T>(stored: StoredValue | undefined, spec: ReadSpec): T | undefined {
  if (stored === undefined) return undefined
  return decodeValue(stored.value, spec.valueEncoding) as T
}

function readAborted(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the read was aborted by its caller', {
    cause: signal.reason,
  })
}
