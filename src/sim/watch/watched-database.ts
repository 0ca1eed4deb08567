/**
 * A database that looks over the state machine's shoulder: every batch must carry the applied index with it, and
 * leave the state that the model has at that index.
 *
 * The digest of the state follows the batches; what a database holds when it is opened is added up once.
 */
import { assert } from '../../base/assert.js'
import { asBuffer } from '../../base/bytes.js'
import type { Database, DatabaseBatch, DatabaseSnapshot, Databases } from '../../env/database.js'
import {
  ATTACHMENT_PREFIX,
  CODED_PREFIX,
  DATA_PREFIX,
  LEASE_PREFIX,
  MEMBERS_KEY,
  META_KEY,
  RETAINED_KEY,
  SESSION_PREFIX,
  TTL_PREFIX,
} from '../../machine/key-space.js'
import { decodeStateRecord } from '../../machine/state-record.js'
import { readStoredValue } from '../../machine/stored-value.js'
import type { LogIndex } from '../../raft/types.js'
import { digestOf } from './model-state.js'

/** A state as the database holds it: sums over its keys, so that equal states have equal digests. */
export interface StateDigest {
  readonly appliedIndex: LogIndex
  readonly data: number
  /** With leases and what goes by itself. */
  readonly sessions: number
}

/** What is seen. */
export interface DatabaseWatcher {
  /** A batch without the record of the applied index was written. */
  unplaced(): void
  /** The state after a batch, or when the database is opened. */
  state(digest: StateDigest): void
}

/** The keys and values that a database holds when it is opened. */
export type Contents = (dir: string) => Iterable<readonly [Uint8Array, Uint8Array]>

/** Databases whose batches are watched. */
export class WatchedDatabases implements Databases {
  readonly #inner: Databases
  readonly #contents: Contents
  readonly #watcher: DatabaseWatcher

  constructor(inner: Databases, contents: Contents, watcher: DatabaseWatcher) {
    this.#inner = inner
    this.#contents = contents
    this.#watcher = watcher
  }

  async open(dir: string): Promise<Database> {
    const database = await this.#inner.open(dir)
    const contents = [...this.#contents(dir)]
    const isLoaded = contents.length > 0 || !LATER_GENERATION.test(dir)
    return new WatchedDatabase(database, contents, this.#watcher, isLoaded)
  }

  list(parent: string): Promise<string[]> {
    return this.#inner.list(parent)
  }

  rename(from: string, to: string): Promise<void> {
    return this.#inner.rename(from, to)
  }

  remove(dir: string): Promise<void> {
    return this.#inner.remove(dir)
  }

  verify(
    dir: string,
    pace: (bytes: number) => Promise<'goOn' | 'stop'>,
  ): Promise<string | undefined> {
    return this.#inner.verify(dir, pace)
  }
}

/** The folder of a state that is loaded from a snapshot before it counts (member/generations.ts). */
const LATER_GENERATION = /\/state-\d+$/

class WatchedDatabase implements Database {
  readonly #inner: Database
  readonly #watcher: DatabaseWatcher
  readonly #sums = new Sums()
  /** False while it holds a part of a state, up to its first flush. */
  #isLoaded: boolean

  constructor(
    inner: Database,
    contents: Iterable<readonly [Uint8Array, Uint8Array]>,
    watcher: DatabaseWatcher,
    isLoaded: boolean,
  ) {
    this.#inner = inner
    this.#watcher = watcher
    this.#isLoaded = isLoaded
    for (const [key, value] of contents) this.#sums.put(key, value)
    if (isLoaded) watcher.state(this.#sums.digest)
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#inner.get(key)
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#inner.getMany(keys)
  }

  snapshot(): DatabaseSnapshot {
    return this.#inner.snapshot()
  }

  batch(): DatabaseBatch {
    const batch = this.#inner.batch()
    const changes: (readonly [Buffer, Buffer | undefined])[] = []
    return {
      put: (key, value) => {
        changes.push([Buffer.from(key), Buffer.from(value)])
        batch.put(key, value)
      },
      del: (key) => {
        changes.push([Buffer.from(key), undefined])
        batch.del(key)
      },
      write: async () => {
        await batch.write()
        this.#written(changes)
      },
    }
  }

  async flush(): Promise<boolean> {
    const isFlushed = await this.#inner.flush()
    if (isFlushed && !this.#isLoaded) {
      this.#isLoaded = true
      this.#watcher.state(this.#sums.digest)
    }
    return isFlushed
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #written(changes: readonly (readonly [Buffer, Buffer | undefined])[]): void {
    const before = this.#sums.digest
    for (const [key, value] of changes) {
      if (value === undefined) this.#sums.del(key)
      else this.#sums.put(key, value)
    }
    if (!this.#isLoaded) return
    const after = this.#sums.digest
    if (changes.some(([key]) => META_KEY.equals(key))) this.#watcher.state(after)
    // A value that was damaged may be written again as it was.
    else if (after.data !== before.data || after.sessions !== before.sessions) {
      this.#watcher.unplaced()
    }
  }
}

/** The hashes of all keys, and their sums. */
class Sums {
  readonly #hashes = new Map<string, number>()
  readonly #sums = { data: 0, sessions: 0 }
  #appliedIndex = 0

  get digest(): StateDigest {
    return { appliedIndex: this.#appliedIndex, ...this.#sums }
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const bytes = asBuffer(value)
    const name = asBuffer(key).toString('latin1')
    switch (key[0]) {
      case DATA_PREFIX: {
        const stored = readStoredValue(key.subarray(1), bytes)
        this.#replace('data', name, digestOf(key.subarray(1), stored.value, stored.revision))
        return
      }
      case SESSION_PREFIX:
      case LEASE_PREFIX:
      case ATTACHMENT_PREFIX:
      case TTL_PREFIX:
      case CODED_PREFIX:
        this.#replace('sessions', name, digestOf(key, bytes, 0))
        return
      default:
        // The members are compared by their own rules; they are part of no digest.
        if (MEMBERS_KEY.equals(key) || RETAINED_KEY.equals(key)) return
        assert(META_KEY.equals(key), 'a key of a kind that nobody knows', { name })
        this.#appliedIndex = decodeStateRecord(bytes).appliedIndex
    }
  }

  del(key: Uint8Array): void {
    const kind = key[0] === DATA_PREFIX ? 'data' : 'sessions'
    this.#replace(kind, asBuffer(key).toString('latin1'), 0)
  }

  #replace(kind: 'data' | 'sessions', name: string, hash: number): void {
    const before = this.#hashes.get(name) ?? 0
    this.#sums[kind] = (this.#sums[kind] - before + hash) >>> 0
    this.#hashes.set(name, hash)
  }
}
