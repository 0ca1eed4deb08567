/**
 * The reads of a Store, view or session: from what the caller says to what a backend is asked, and back.
 *
 * A session is a position: every read and committed write raises it, and later reads are served only from a state
 * that has reached it. That gives read-your-writes, monotonic reads, monotonic writes and writes-follow-reads
 * (docs/consistency.md), since one log orders everything.
 */
import type {
  Backend,
  ReadDemand,
  ReadLevel,
  Served,
  StateView,
  StoredValue,
} from '../member/backend.js'
import {
  type ReadOptions,
  type ReadSpec,
  resolveRead,
  resolveScan,
  resolveValueRead,
  type ScanOptions,
  type ValueReadOptions,
} from './call-options.js'
import { encodeKey, type Key, type KeyEncoding } from './encoding.js'
import { encodeRange } from './key-range.js'
import { type Found, isGone, LargeReads, LOOKUPS_MAX } from './large-reads.js'
import type { ByteRange } from './large-value.js'
import { type Asked, copyOf, type Decode, Reading, type ReadParts } from './reading.js'
import { decodeStored, scanEntries } from './scan.js'
import type { SessionState } from './session-state.js'
import type { Position, Tokens } from './token.js'
import { ValueStream } from './value-stream.js'
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

type Demand = Omit<ReadDemand, 'deadline'>

/** See the file's comment. */
export class Reader {
  readonly #backend: Backend
  readonly #defaults: ReadSpec
  readonly #keyEncoding: KeyEncoding
  readonly #session: SessionState | undefined
  readonly #tokens: Tokens
  readonly #large: LargeReads
  readonly #parts: ReadParts
  /** Of reads that are given large values as their manifests. */
  readonly #rawParts: ReadParts

  /** @param session raised by every read; undefined: reads have no position */
  constructor(
    backend: Backend,
    defaults: ReadSpec,
    keyEncoding: KeyEncoding,
    session: SessionState | undefined,
    tokens: Tokens,
    maxGetBytes: number,
  ) {
    this.#tokens = tokens
    this.#large = new LargeReads(backend, maxGetBytes)
    this.#backend = backend
    this.#defaults = defaults
    this.#keyEncoding = keyEncoding
    this.#session = session
    this.#parts = {
      backend,
      session,
      whole: (asked, found, served) => this.#whole(asked, found, served),
    }
    this.#rawParts = {
      ...this.#parts,
      whole: async ({ decode }, found, served) => decode(found, served),
    }
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

  /** The value as a stream; its first bytes are there when this resolves. */
  read(key: Key, options: ValueReadOptions | undefined): Promise<ValueStream | undefined> {
    const { read, range } = resolveValueRead(options ?? {}, this.#defaults)
    return this.#stream(Buffer.from(encodeKey(key)), range, read)
  }

  scan<K extends string | Uint8Array, T>(
    options: ScanOptions | undefined,
  ): AsyncIterableIterator<[key: K, value: T]> {
    const { read, scan } = resolveScan(options, this.#defaults, this.#keyEncoding)
    const range = encodeRange(options ?? {})
    return scanEntries<K, T>(() => this.openView(read), range, scan, read, this.#large)
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
      large: this.#large,
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

  async #stream(key: Buffer, range: ByteRange, spec: ReadSpec): Promise<ValueStream | undefined> {
    for (let lookups = 1; ; lookups++) {
      const stored = await this.#ask(this.#rawParts, [key], spec, AS_STORED)
      if (stored === undefined) return undefined
      const stream = new ValueStream(key, stored, range, this.#large, spec)
      try {
        await stream.begin()
        return stream
      } catch (error) {
        if (!isGone(error) || lookups >= LOOKUPS_MAX) throw this.#failed(error)
      }
    }
  }

  #read<R>(keys: readonly Uint8Array[], spec: ReadSpec, decode: Decode<R>): Promise<R> {
    return this.#ask(this.#parts, keys, spec, decode)
  }

  #ask<R>(
    parts: ReadParts,
    keys: readonly Uint8Array[],
    spec: ReadSpec,
    decode: Decode<R>,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      const backend = this.#backend
      backend.calls.reads[spec.level]++
      const read = new Reading(parts, keys, spec, decode, resolve, reject)
      if (spec.signal !== undefined && !read.watch(spec.signal)) return
      backend.read(read)
    })
  }

  /** Fetches what `found` lies in; looks again where another value has taken its place meanwhile. */
  async #whole<R>(asked: Asked<R>, found: Found, served: Served): Promise<R> {
    const { keys, spec, decode } = asked
    for (let lookups = 1; ; lookups++) {
      try {
        return decode(await this.#large.whole(keys, found, spec), served)
      } catch (error) {
        if (!isGone(error) || lookups >= LOOKUPS_MAX) throw this.#failed(error)
      }
      const again = await this.#ask(this.#rawParts, keys, spec, AS_FOUND)
      found = again.found
      served = again.served
    }
  }

  #failed(error: unknown): unknown {
    this.#backend.calls.failed(error)
    return error
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

/** Gives what was found as it is: large values are their manifests. */
const AS_STORED = ([stored]: Found): StoredValue | undefined => stored
const AS_FOUND = (found: Found, served: Served): { found: Found; served: Served } => ({
  found,
  served: copyOf(served),
})
