/**
 * A session: a chain of reads and writes that never goes back in time, on whatever member it continues.
 */
import type { Backend } from '../member/backend.js'
import {
  Access,
  type BatchOperation,
  type CallOptions,
  type ReadOptions,
  type ScanOptions,
  type SessionState,
  type ValueWithMeta,
  type WriteOptions,
} from './access.js'
import type { Key } from './encoding.js'
import type { StoreSettings } from './open-options.js'
import { decodeToken, encodeToken, type Position } from './token.js'
import type { WritePipeline, WriteResult } from './write-pipeline.js'

/**
 * Reads and writes with the four session guarantees: reads see the session's own writes, never go back, and
 * writes come after everything the session has read or written. Reads default to the level `session`.
 * Made by `store.session()`; holds nothing that needs closing.
 */
export class Session {
  readonly #clusterId: Uint8Array
  readonly #state: SessionState
  readonly #access: Access

  constructor(
    backend: Backend,
    pipeline: WritePipeline,
    settings: StoreSettings,
    position: Position,
  ) {
    this.#clusterId = backend.clusterId
    this.#state = { position }
    this.#access = new Access(backend, pipeline, settings, 'session', this.#state)
  }

  /** The session's position as a short printable string; pass it to `store.session` on any member. */
  get token(): string {
    return encodeToken(this.#clusterId, this.#state.position)
  }

  /**
   * Takes over what another session has seen: later reads here are at least as new.
   * @throws {StoreError} QUORATE_BAD_TOKEN malformed, or of another cluster.
   */
  observe(token: string): void {
    const position = decodeToken(this.#clusterId, token)
    if (position.index > this.#state.position.index) this.#state.position = position
  }

  /** Like `Store.put`; later reads of this session see it. */
  put(key: Key, value: unknown, options?: WriteOptions): Promise<WriteResult> {
    return this.#access.put(key, value, options)
  }

  /** Like `Store.del`; later reads of this session see it. */
  del(key: Key, options?: CallOptions): Promise<WriteResult> {
    return this.#access.del(key, options)
  }

  /** Like `Store.batch`; later reads of this session see it. */
  batch(operations: readonly BatchOperation[], options?: WriteOptions): Promise<WriteResult> {
    return this.#access.batch(operations, options)
  }

  /**
   * Like `Store.get`, from a state that has reached the session's position; local and without a round trip
   * where this member has.
   * @throws {StoreError} QUORATE_BEHIND_TOKEN this member did not reach the position in time.
   */
  get<T = unknown>(key: Key, options?: ReadOptions): Promise<T | undefined> {
    return this.#access.get<T>(key, options)
  }

  /** Like `Store.getWithMeta`, with the guarantees of `get`. */
  getWithMeta<T = unknown>(key: Key, options?: ReadOptions): Promise<ValueWithMeta<T>> {
    return this.#access.getWithMeta<T>(key, options)
  }

  /** Like `Store.getMany`, with the guarantees of `get`. */
  getMany<T = unknown>(keys: readonly Key[], options?: ReadOptions): Promise<(T | undefined)[]> {
    return this.#access.getMany<T>(keys, options)
  }

  /** Like `Store.scan`, with the guarantees of `get`. */
  scan<T = unknown, K extends string | Uint8Array = string>(
    options?: ScanOptions,
  ): AsyncIterableIterator<[key: K, value: T]> {
    return this.#access.scan<K, T>(options)
  }
}
