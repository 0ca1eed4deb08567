/**
 * An ordered key-value database as the state machine needs it. Production: LevelDB (LevelDatabase), which
 * throws its own write-ahead log away (design D2); simulation: SimDatabase, which goes back to its last
 * flush at a power cut. Keys are ordered by bytes.
 */

/** A range of keys; each bound optional, at most one lower and one upper bound. */
export interface KeyRange {
  readonly gt?: Uint8Array
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly lte?: Uint8Array
}

/** How a cursor runs through a range. */
export interface CursorOptions {
  readonly range: KeyRange
  readonly reverse: boolean
}

/** A cursor over one moment of the database; must be closed. */
export interface Cursor {
  /** The next entries in order, at least one unless the end is reached; stops near `maxBytes` or `maxEntries`. */
  next(
    maxEntries: number,
    maxBytes: number,
  ): Promise<(readonly [key: Uint8Array, value: Uint8Array])[]>
  close(): Promise<void>
}

/** A fixed moment of the database; must be closed. */
export interface DatabaseSnapshot {
  get(key: Uint8Array): Uint8Array | undefined
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  cursor(options: CursorOptions): Cursor
  close(): Promise<void>
}

/** Changes that become visible together. Keys and values are copied by `put` and `del`: reuse them at once. */
export interface DatabaseBatch {
  put(key: Uint8Array, value: Uint8Array): void
  del(key: Uint8Array): void
  /** Makes the changes visible, all or none; not durable before the next flush. */
  write(): Promise<void>
}

/** An open database. One batch at a time is written; reads may run beside it. */
export interface Database {
  /** Reads on this turn of the event loop: the cheapest read there is, and it blocks while the disk is read. */
  get(key: Uint8Array): Uint8Array | undefined
  /** Reads off the event loop. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  snapshot(): DatabaseSnapshot
  batch(): DatabaseBatch
  /**
   * Makes every batch written before this call durable, and says whether it really did: a flush that failed
   * quietly (a full disk) is `false`, and nothing may be concluded from it (design D2).
   */
  flush(): Promise<boolean>
  close(): Promise<void>
}

/** Opens databases in folders. */
export interface Databases {
  /**
   * Opens or creates the database in `dir` at the state of its last flush: batches written after it are
   * forgotten first, so that what is left is an exact prefix of the batches (design D2).
   */
  open(dir: string): Promise<Database>
  /** The names of the folders of databases in the folder `parent`, sorted; none when there is no such folder. */
  list(parent: string): Promise<string[]>
  /** Gives the folder of a closed database another name in the same place, durably; `to` must not exist. */
  rename(from: string, to: string): Promise<void>
  /** Removes a closed database with its folder, also a damaged one; a missing one is left alone. */
  remove(dir: string): Promise<void>
  /**
   * Reads everything that is stored for the database in `dir`, open or not, and says what of it is damaged; undefined
   * when nothing is. Costs one read of it all; `pace` is asked before each piece of it, and may end it.
   */
  verify(
    dir: string,
    pace: (bytes: number) => Promise<'goOn' | 'stop'>,
  ): Promise<string | undefined>
}
