/**
 * Reads of the state machine at one applied index, whatever is applied meanwhile.
 *
 * The index is read from the same snapshot of the database as the values, because a batch is visible there a
 * moment before the state machine hears of it.
 */
import { asBuffer } from '../base/bytes.js'
import type { Cursor, DatabaseSnapshot, KeyRange } from '../env/database.js'
import type { EntryId, LogIndex, Term } from '../raft/types.js'
import { type CodedSlice, codedKeysIn } from './coded-keys.js'
import { expiringIn, type Sweep, sweep } from './expiring.js'
import type { ExpiryNote } from './expiry-note.js'
import { DATA_PREFIX, type DataKey, dataRange, META_KEY, prefixed } from './key-space.js'
import { decodeStateRecord } from './state-record.js'
import { readStoredValue, type StoredValue } from './stored-value.js'

/** A cursor over keys and values of a view; must be closed. */
export interface MachineCursor {
  /**
   * The next entries in order, at least one unless the end is reached; stops near `maxBytes` or `maxEntries`.
   * @throws {StoreError} QUORATE_CORRUPTION for a value that fails its checksum
   */
  next(
    maxEntries: number,
    maxBytes: number,
  ): Promise<(readonly [key: Buffer, stored: StoredValue])[]>
  /** The same with the stored bytes, header included and not verified. */
  nextStored(
    maxEntries: number,
    maxBytes: number,
  ): Promise<(readonly [key: Buffer, bytes: Buffer])[]>
  close(): Promise<void>
}

/** A fixed moment of the state machine; must be closed. */
export class MachineView {
  /** Exactly the entries up to here are visible. */
  readonly appliedIndex: LogIndex
  readonly appliedTerm: Term
  readonly #snapshot: DatabaseSnapshot
  readonly #key: DataKey

  /** @param key scratch memory, shared with the state machine: it is used within one call only */
  constructor(snapshot: DatabaseSnapshot, key: DataKey) {
    const { index, term } = appliedOf(snapshot)
    this.appliedIndex = index
    this.appliedTerm = term
    this.#snapshot = snapshot
    this.#key = key
  }

  /** Reads on this turn of the event loop. @throws {StoreError} QUORATE_CORRUPTION */
  get(key: Uint8Array): StoredValue | undefined {
    const bytes = this.#snapshot.get(this.#key.of(key))
    return bytes === undefined ? undefined : readStoredValue(key, asBuffer(bytes))
  }

  /**
   * What is stored under `key`, with its header, not verified.
   * @throws {StoreError} QUORATE_CORRUPTION when the database cannot read it
   */
  stored(key: Uint8Array): Buffer | undefined {
    const bytes = this.#snapshot.get(this.#key.of(key))
    return bytes === undefined ? undefined : asBuffer(bytes)
  }

  /** Reads off the event loop. @throws {StoreError} QUORATE_CORRUPTION */
  async getMany(keys: readonly Uint8Array[]): Promise<(StoredValue | undefined)[]> {
    const found = await this.#snapshot.getMany(keys.map((key) => prefixed(DATA_PREFIX, key)))
    return found.map((bytes, i) =>
      bytes === undefined ? undefined : readStoredValue(keys[i]!, asBuffer(bytes)),
    )
  }

  /** Runs through `range` in order of the keys' bytes, or against it. */
  scan(range: KeyRange, reverse: boolean): MachineCursor {
    return new DataCursor(this.#snapshot.cursor({ range: dataRange(range), reverse }))
  }

  /** Everything that goes by itself, some at a time. @throws {StoreError} QUORATE_CORRUPTION */
  expiring(): AsyncGenerator<readonly ExpiryNote[], void, undefined> {
    return expiringIn(this.#snapshot)
  }

  /** Looks for what is listed under a lease without need; see expiring.ts. @throws {StoreError} QUORATE_CORRUPTION */
  sweep(from: Uint8Array | undefined): Promise<Sweep> {
    return sweep(this.#snapshot, from)
  }

  /** Some of the large values, and of the keys listed without need. @throws {StoreError} QUORATE_CORRUPTION */
  codedKeys(after: Uint8Array | undefined, limit: number): Promise<CodedSlice> {
    return codedKeysIn(this.#snapshot, after, limit)
  }

  async close(): Promise<void> {
    await this.#snapshot.close()
  }
}

/** The entry up to which `snapshot` has the state. @throws {StoreError} QUORATE_CORRUPTION */
export function appliedOf(snapshot: DatabaseSnapshot): EntryId {
  const record = snapshot.get(META_KEY)
  if (record === undefined) return { index: 0, term: 0 }
  const { appliedIndex, appliedTerm } = decodeStateRecord(asBuffer(record))
  return { index: appliedIndex, term: appliedTerm }
}

class DataCursor implements MachineCursor {
  readonly #cursor: Cursor

  constructor(cursor: Cursor) {
    this.#cursor = cursor
  }

  async next(maxEntries: number, maxBytes: number): Promise<(readonly [Buffer, StoredValue])[]> {
    const entries = await this.nextStored(maxEntries, maxBytes)
    return entries.map(([key, bytes]) => [key, readStoredValue(key, bytes)] as const)
  }

  async nextStored(maxEntries: number, maxBytes: number): Promise<(readonly [Buffer, Buffer])[]> {
    const entries = await this.#cursor.next(maxEntries, maxBytes)
    return entries.map(([key, bytes]) => [asBuffer(key).subarray(1), asBuffer(bytes)] as const)
  }

  async close(): Promise<void> {
    await this.#cursor.close()
  }
}
