/** What Store, View and Session have in common: reads and writes with defaults of their own. */
import type {
  BatchOptions,
  ClearOptions,
  DelOptions,
  PutOptions,
  ReadOptions,
  ScanOptions,
  ValueReadOptions,
  WriteOptions,
} from './call-options.js'
import type { Key } from './encoding.js'
import type { Lease, LeaseOptions } from './lease.js'
import type { AppendedWrite } from './pending-writes.js'
import type { Reader, ValueWithMeta } from './reader.js'
import { type CallFacts, TRACES } from './tracing.js'
import type { BatchOperation, Transaction } from './transaction.js'
import { type Updated, type UpdateOptions, update } from './update.js'
import type { ValueStream } from './value-stream.js'
import type { Watch } from './watch.js'
import type { WatchOptions } from './watch-options.js'
import type { WriteResult } from './write-pipeline.js'
import type { TransactionResult, Writer, Written } from './writer.js'

/** The option with which a write resolves before it is committed. */
export interface AckLeader {
  readonly ack: 'leader'
}

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
   * @param value encoded by `valueEncoding`; not undefined. More bytes than `erasure.threshold` are stored as shards
   *   (docs/large-values.md), as are those of a stream: a Readable, or another async iterable of Uint8Array.
   *   `timeoutMs` is then how long they may make no progress.
   * @returns the log index at which it was applied, and a session token for it.
   * @throws {StoreError} QUORATE_NO_LEADER nothing was sent (outcome `none`); QUORATE_TIMEOUT (outcome
   *   `unknown` once it was sent); QUORATE_OVERLOADED; QUORATE_NO_SPACE disks are nearly full (see
   *   `storage.minFreeBytes`); QUORATE_ABORTED; QUORATE_NOT_OPEN; QUORATE_STOPPED;
   *   QUORATE_SESSION_EXPIRED; QUORATE_CONFLICT with `ifRevision` or `ifAbsent`: nothing was changed;
   *   QUORATE_NO_LEASE; QUORATE_UNDERCOVERED too few members stored a large value; QUORATE_TOO_LARGE the stream has
   *   more than `maxBytes`; QUORATE_ACK_TIMEOUT it is committed, and not applied yet where `ack` says. A write with the
   *   outcome `unknown` may still happen, but at most once.
   */
  put(key: Key, value: unknown, options: PutOptions & AckLeader): Promise<AppendedWrite>
  put(key: Key, value: unknown, options?: PutOptions): Promise<WriteResult>
  put(key: Key, value: unknown, options?: PutOptions): Promise<Written> {
    if (!TRACES.put.isOn) return this.#writer.put(key, value, options)
    return TRACES.put.promise(writeFacts(1, options), () => this.#writer.put(key, value, options))
  }

  /** Removes `key`; removing an absent key succeeds. Cost, result and errors as for `put`. */
  del(key: Key, options: DelOptions & AckLeader): Promise<AppendedWrite>
  del(key: Key, options?: DelOptions): Promise<WriteResult>
  del(key: Key, options?: DelOptions): Promise<Written> {
    if (!TRACES.del.isOn) return this.#writer.del(key, options)
    return TRACES.del.promise(writeFacts(1, options), () => this.#writer.del(key, options))
  }

  /**
   * Applies all `operations` atomically and in order: no reader and no crash sees a part. Cost, result and
   * errors as for `put`; QUORATE_TOO_LARGE when it would clear more than 100,000 keys.
   */
  batch(
    operations: readonly BatchOperation[],
    options: BatchOptions & AckLeader,
  ): Promise<AppendedWrite>
  batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<WriteResult>
  batch(operations: readonly BatchOperation[], options?: BatchOptions): Promise<Written> {
    if (!TRACES.batch.isOn) return this.#writer.batch(operations, options)
    const facts = writeFacts(operations.length, options)
    return TRACES.batch.promise(facts, () => this.#writer.batch(operations, options))
  }

  /**
   * Removes all keys of a range. One step of the log where that is at most 100,000 keys; more are removed in several
   * steps, each atomic. Cost, result and errors as for `put`; members read what they remove.
   */
  clear(options?: ClearOptions): Promise<WriteResult> {
    if (!TRACES.clear.isOn) return this.#writer.clear(options)
    return TRACES.clear.promise(writeFacts(0, options), () => this.#writer.clear(options))
  }

  /**
   * Does `then` if all conditions of `if` hold, else `else`: decided at one place of the log, equally on all members,
   * and at most once however often it is sent. Cost and errors as for `put`; members read what the conditions name.
   * @returns which of the two was done.
   */
  txn(transaction: Transaction, options?: BatchOptions): Promise<TransactionResult> {
    if (!TRACES.txn.isOn) return this.#writer.txn(transaction, options)
    return TRACES.txn.promise(writeFacts(0, options), () => this.#writer.txn(transaction, options))
  }

  /**
   * Changes a value by a function of it: reads it, calls `change`, and writes the result if nobody else has written
   * meanwhile, else begins again with the new value. At least two rounds.
   *
   * @param change gets undefined when there is no such key, and removes it by returning undefined. May be called
   *   several times, and may be asynchronous; what it throws ends the update, with nothing changed.
   * @returns the value that is stored now.
   * @throws {StoreError} as `get` and `put`; QUORATE_CONFLICT others were faster all the time
   */
  update<T = unknown>(
    key: Key,
    change: (value: T | undefined) => T | undefined | Promise<T | undefined>,
    options?: UpdateOptions,
  ): Promise<Updated<T>> {
    return update(this, key, change, options)
  }

  /**
   * Grants a lease that lives for `ttlMs` after it was last kept alive, which happens by itself (see `keepAlive`).
   * Values are attached to it with `put(key, value, { lease: lease.id })`, and go when it goes: at once when it is
   * revoked, and a little after its time, never before, when nobody keeps it alive. A change of leader prolongs it.
   * Costs a write, and so does each `keepAlive`, every third of its time.
   *
   * @param ttlMs a whole number of milliseconds from 1 on; with less than some seconds a change of leader costs it
   * @throws {StoreError} as `put`
   */
  lease(ttlMs: number, options?: LeaseOptions): Promise<Lease> {
    return this.#writer.lease(ttlMs, options)
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
   *   stored bytes fail their checksum and no other member has sound ones. Of large values also
   *   QUORATE_BLOB_UNREADABLE too few of their shards can be had at present; QUORATE_TOO_LARGE it is more than
   *   `limits.maxGetBytes`: `read` gives it as a stream.
   */
  get<T = unknown>(key: Key, options?: ReadOptions): Promise<T | undefined> {
    if (!TRACES.get.isOn) return this.#reader.get<T>(key, options)
    return TRACES.get.promise(this.#readFacts(1, options), () => this.#reader.get<T>(key, options))
  }

  /** Reads `key` like `get`, and says at which index it was changed last, and which state of whom served it. */
  getWithMeta<T = unknown>(key: Key, options?: ReadOptions): Promise<ValueWithMeta<T>> {
    if (!TRACES.getWithMeta.isOn) return this.#reader.getWithMeta<T>(key, options)
    const facts = this.#readFacts(1, options)
    return TRACES.getWithMeta.promise(facts, () => this.#reader.getWithMeta<T>(key, options))
  }

  /**
   * Reads `key` as a stream of the bytes that are stored, in memory never more than a few MiB of them; undefined when
   * there is no value. Of a value that came as a stream or with the encoding `binary` these are its own bytes; of
   * others those of its encoding. With `start` and `end` it gives a range of them, and reads no more than that needs.
   *
   * Resolves when the first bytes are there; what they cost is what `get` costs, and for a large value what its shards
   * do (docs/large-values.md). `timeoutMs` is for the lookup, and for each piece from then on. A piece that cannot be
   * had ends the stream with the error.
   *
   * @throws {StoreError} as `get`; QUORATE_BLOB_GONE also in the middle: the value was replaced longer ago than readers
   *   are waited for.
   * @throws {RangeError} `start` or `end` is no position, or they are in the wrong order
   */
  read(key: Key, options?: ValueReadOptions): Promise<ValueStream | undefined> {
    if (!TRACES.read.isOn) return this.#reader.read(key, options)
    return TRACES.read.promise(this.#readFacts(1, options), () => this.#reader.read(key, options))
  }

  /** Reads all `keys` from one state, in their order. Cost and errors as for one `get`. */
  getMany<T = unknown>(keys: readonly Key[], options?: ReadOptions): Promise<(T | undefined)[]> {
    if (!TRACES.getMany.isOn) return this.#reader.getMany<T>(keys, options)
    const facts = this.#readFacts(keys.length, options)
    return TRACES.getMany.promise(facts, () => this.#reader.getMany<T>(keys, options))
  }

  /**
   * Iterates over a range of keys in the order of their bytes, all from the one state in which it was begun.
   * Memory stays bounded: entries are fetched in blocks as they are consumed. Breaking out of the loop frees
   * the state. Cost of beginning and errors as for `get`.
   */
  scan<T = unknown, K extends string | Uint8Array = string>(
    options?: ScanOptions,
  ): AsyncIterableIterator<[key: K, value: T]> {
    const entries = this.#reader.scan<K, T>(options)
    if (!TRACES.scan.isOn) return entries
    return TRACES.scan.entries(this.#readFacts(0, options), entries)
  }

  /**
   * Watches a range of keys: every change after a position in the log, in order, each once, those of one entry
   * together; with `initial` the whole state first. Without `from` and `initial` it begins now: it does not give what
   * was acknowledged before the call, and gives all that is written after it through this Store, or by others once
   * `ready` has resolved. It ends when the loop
   * is left, by `return`, or by the signal; in a session, what it has given counts as read.
   *
   * Beginning costs what a `get` or `scan` costs at that level, going on nothing but the changes themselves.
   *
   * @throws {StoreError} from `next`: QUORATE_COMPACTED the changes after the position are not remembered any more, as
   *   after a long absence, or when the consumer is too slow (`oldest` says from where they are; see `onCompacted`);
   *   QUORATE_BAD_TOKEN the position is ahead of everything committed; QUORATE_UNDECODABLE a value is none of the
   *   encoding: it can be gone on after it, from the watch's `token`; QUORATE_OVERLOADED (`limits.maxWatches`); and as
   *   `get`. From the call itself: QUORATE_BAD_TOKEN `from` is no token of this cluster.
   */
  watch<T = unknown, K extends string | Uint8Array = string>(options?: WatchOptions): Watch<T, K> {
    return this.#reader.watch<T, K>(options, () => this.#writer.follow())
  }

  #readFacts(keys: number, options: ReadOptions | ValueReadOptions | undefined): CallFacts {
    return { level: options?.consistency ?? this.#reader.level, ack: undefined, keys }
  }
}

function writeFacts(keys: number, options: WriteOptions | undefined): CallFacts {
  return { level: undefined, ack: options?.ack, keys }
}
