/** What Store, View and Session have in common: reads and writes with defaults of their own. */
import type { CallOptions, ReadOptions, ScanOptions, WriteOptions } from './call-options.js'
import type { Key } from './encoding.js'
import type { Reader, ValueWithMeta } from './reader.js'
import type { WriteResult } from './write-pipeline.js'
import type { BatchOperation, Writer } from './writer.js'

/** Reads and writes; made by `Store.open`, `store.view` and `store.session`. */
export class Handle {
  readonly #reader: Reader
  readonly #writer: Writer

  /** @internal */
  constructor(reader: Reader, writer: Writer) {
    this.#reader = reader
    this.#writer = writer
  }

  /**
   * Sets `key` to `value`. Costs one replication round: an fsync on a majority, one round trip from the leader
   * and one more from another member; writes of one turn of the event loop share it.
   *
   * @param key 1 to 65,536 bytes; text is stored as UTF-8. Copied before the call returns, like the value.
   * @param value encoded by `valueEncoding`, at most `limits.maxValueBytes`; not undefined.
   * @returns the log index at which it was applied, and a session token for it.
   * @throws {StoreError} QUORATE_NO_LEADER nothing was sent (outcome `none`); QUORATE_TIMEOUT (outcome
   *   `unknown` once it was sent); QUORATE_OVERLOADED; QUORATE_NO_SPACE disks are nearly full (see
   *   `storage.minFreeBytes`); QUORATE_ABORTED; QUORATE_NOT_OPEN; QUORATE_STOPPED;
   *   QUORATE_SESSION_EXPIRED. A write with the outcome `unknown` may still happen, but at most once.
   */
  put(key: Key, value: unknown, options?: WriteOptions): Promise<WriteResult> {
    return this.#writer.put(key, value, options)
  }

  /** Removes `key`; removing an absent key succeeds. Cost, result and errors as for `put`. */
  del(key: Key, options?: CallOptions): Promise<WriteResult> {
    return this.#writer.del(key, options)
  }

  /**
   * Applies all `operations` atomically and in order: no reader and no crash sees a part. Cost, result and
   * errors as for `put`.
   */
  batch(operations: readonly BatchOperation[], options?: WriteOptions): Promise<WriteResult> {
    return this.#writer.batch(operations, options)
  }

  /**
   * Reads `key`; undefined when there is no value.
   *
   * `strong` is linearizable and costs one round trip to a majority, shared by all reads of a turn, and one more
   * to the leader from other members. `session` and `eventual` read this member's applied state without a round
   * trip; a `session` read waits until that has reached the session's position (a Store or view has none: the two
   * are the same there), and `maxStalenessMs` costs a round trip when the last one was too long ago.
   *
   * @throws {StoreError} QUORATE_NO_LEADER; QUORATE_TIMEOUT; QUORATE_BEHIND_TOKEN this member did not reach the
   *   session's position in time; QUORATE_TOO_STALE; QUORATE_BAD_TOKEN the position is ahead of everything
   *   committed; QUORATE_OVERLOADED; QUORATE_ABORTED; QUORATE_NOT_OPEN; QUORATE_STOPPED; QUORATE_CORRUPTION the
   *   stored bytes fail their checksum and no other member has sound ones.
   */
  get<T = unknown>(key: Key, options?: ReadOptions): Promise<T | undefined> {
    return this.#reader.get<T>(key, options)
  }

  /** Reads `key` like `get`, and says at which index it was changed last, and which state of whom served it. */
  getWithMeta<T = unknown>(key: Key, options?: ReadOptions): Promise<ValueWithMeta<T>> {
    return this.#reader.getWithMeta<T>(key, options)
  }

  /** Reads all `keys` from one state, in their order. Cost and errors as for one `get`. */
  getMany<T = unknown>(keys: readonly Key[], options?: ReadOptions): Promise<(T | undefined)[]> {
    return this.#reader.getMany<T>(keys, options)
  }

  /**
   * Iterates over a range of keys in the order of their bytes, all from the one state in which it was begun.
   * Memory stays bounded: entries are fetched in blocks as they are consumed. Breaking out of the loop frees
   * the state. Cost of beginning and errors as for `get`.
   */
  scan<T = unknown, K extends string | Uint8Array = string>(
    options?: ScanOptions,
  ): AsyncIterableIterator<[key: K, value: T]> {
    return this.#reader.scan<K, T>(options)
  }
}
