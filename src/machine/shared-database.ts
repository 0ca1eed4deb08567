/**
 * A database with those who use it counted, so that it can be put aside while they go on and is closed by the last; or
 * closed under them, and then each of their calls fails rather than hangs.
 */
import { StoreError } from '../base/errors.js'
import type { Cursor, Database, DatabaseBatch, DatabaseSnapshot } from '../env/database.js'

/** One open database, and the only one who closes it. */
export class SharedDatabase {
  readonly #database: Database
  #users = 0
  #closing: Promise<void> | undefined
  /** Calls under way. */
  readonly #rejecters = new Set<(error: StoreError) => void>()
  /** Set once it is put aside. */
  #onUnused: (() => void) | undefined

  constructor(database: Database) {
    this.#database = database
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#refuseIfClosed()
    return this.#database.get(key)
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#use(() => this.#database.getMany(keys))
  }

  /** A fixed moment; must be closed, and holds a database that is put aside open until then. */
  snapshot(): DatabaseSnapshot {
    this.#refuseIfClosed()
    const snapshot = this.#database.snapshot()
    this.#users++
    let isOpen = true
    return {
      get: (key) => {
        this.#refuseIfClosed()
        return snapshot.get(key)
      },
      getMany: (keys) => this.#use(() => snapshot.getMany(keys)),
      cursor: (options) => {
        this.#refuseIfClosed()
        return this.#cursor(snapshot.cursor(options))
      },
      close: async () => {
        if (!isOpen) return
        isOpen = false
        // A closed database has closed its snapshots.
        if (this.#closing === undefined) await snapshot.close()
        this.#leave()
      },
    }
  }

  batch(): DatabaseBatch {
    return this.#database.batch()
  }

  /** See Database; false also when the database is closed meanwhile. */
  async flush(): Promise<boolean> {
    try {
      return await this.#use(() => this.#database.flush())
    } catch (error) {
      if (this.#closing !== undefined) return false
      throw error
    }
  }

  /** Closes the database once nobody uses it any more; nothing new is asked of it. */
  async retire(): Promise<void> {
    if (this.#users > 0) {
      await new Promise<void>((resolve) => {
        this.#onUnused = resolve
      })
    }
    await this.close()
  }

  /** Closes the database at once, under those who still use it. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#database.close()
      for (const reject of this.#rejecters) reject(closed())
      this.#onUnused?.()
    }
    return this.#closing
  }

  #cursor(cursor: Cursor): Cursor {
    return {
      next: (maxEntries, maxBytes) => this.#use(() => cursor.next(maxEntries, maxBytes)),
      close: async () => {
        if (this.#closing === undefined) await cursor.close()
      },
    }
  }

  async #use<T>(call: () => Promise<T>): Promise<T> {
    this.#refuseIfClosed()
    this.#users++
    let rejecter: ((error: StoreError) => void) | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        rejecter = reject
        this.#rejecters.add(reject)
        call().then(resolve, reject)
      })
    } finally {
      if (rejecter !== undefined) this.#rejecters.delete(rejecter)
      this.#leave()
    }
  }

  #refuseIfClosed(): void {
    if (this.#closing !== undefined) throw closed()
  }

  #leave(): void {
    this.#users--
    if (this.#users === 0) this.#onUnused?.()
  }
}

function closed(): StoreError {
  return new StoreError('QUORATE_NOT_READY', 'the state was closed under the call', {
    retryable: true,
  })
}
