/**
 * The Database on LevelDB (classic-level), with LevelDB's own write-ahead log thrown away (design D2).
 *
 * Invariants:
 *   1. The `NNNNNN.log` files are deleted before LevelDB opens, so it starts from its SSTs and MANIFEST, both
 *      fsynced: the state of its last memtable flush, an exact prefix of the batches. Whoever calls `open` holds
 *      the member's lock, because a folder that is in use would lose data here.
 *   2. A flush counts only once every `.log` file that was there when it began is gone: LevelDB reports no error,
 *      but it removes a log only after the MANIFEST that replaces it is synced. Where there was none, somebody
 *      else removed it, and nothing is proven.
 *   3. No iterator is ever sought: classic-level 3.0.0 aborts the process when an empty database is. Ranges are
 *      fixed when an iterator is made.
 */
import type { Dirent } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Iterator as ClassicIterator, ClassicLevel } from 'classic-level'
import { StoreError } from '../base/errors.js'
import type {
  Cursor,
  CursorOptions,
  Database,
  DatabaseBatch,
  DatabaseSnapshot,
  Databases,
} from './database.js'
import { TableCheck } from './level-table.js'

/** How much memory LevelDB takes. */
export interface LevelDatabasesOptions {
  /** The memtable: so much is written before LevelDB flushes by itself. At most twice this is in memory. */
  readonly writeBufferBytes: number
  /** Uncompressed blocks of SSTs kept in memory. */
  readonly cacheBytes: number
}

type Level = ClassicLevel<Uint8Array, Uint8Array>

type LevelIterator = ClassicIterator<Level, Uint8Array, Uint8Array>
type LevelSnapshot = ReturnType<Level['snapshot']>

const LEVEL_FILE = /^(LOCK|LOG|CURRENT|MANIFEST-\d+|\d+\.(ldb|log|sst))$/
const TABLE_FILE = /^\d+\.(ldb|sst)$/
/** A table that was changed since may still be being written. */
const TABLE_SETTLED_MS = 10_000
const LOOK_AT_TABLE_AGAIN_MS = 200
const VERIFY_BYTES = 65_536
const LOG_FILE = /^\d{6,}\.log$/
/** Above every key that is ever stored, so that compacting from here to here flushes and moves nothing else. */
const BEYOND_ALL_KEYS: Uint8Array = Uint8Array.of(0xff, 0xff)
/** LevelDB removes a log file in the background: when to look again, about 130 ms in all. */
const LOOK_AGAIN_MS = [0, 1, 2, 4, 8, 16, 32, 64]
/** What one hop to LevelDB's thread brings of a cursor's entries. */
const CURSOR_CHUNK_BYTES = 65_536
const CURSOR_CHUNK_ENTRIES = 1000

/** Opens LevelDB databases. */
export class LevelDatabases implements Databases {
  readonly #options: LevelDatabasesOptions

  constructor(options: LevelDatabasesOptions) {
    this.#options = options
  }

  /**
   * Opens or creates the LevelDB in `dir` at its last flush.
   * @throws {StoreError} QUORATE_CORRUPTION when LevelDB finds its files damaged or missing; QUORATE_LOCKED when
   *   another process has them open.
   */
  async open(dir: string): Promise<Database> {
    const created = await mkdir(dir, { recursive: true })
    if (created !== undefined) await syncParent(created)
    for (const name of await logFiles(dir)) await rm(join(dir, name))
    const level: Level = new ClassicLevel(dir, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      writeBufferSize: this.#options.writeBufferBytes,
      cacheSize: this.#options.cacheBytes,
    })
    try {
      await level.open()
    } catch (error) {
      throw translate(error, dir)
    }
    return new LevelDatabase(level, dir)
  }

  /** Every folder counts that LevelDB could have begun: it locks before it writes anything else. */
  async list(parent: string): Promise<string[]> {
    const names: string[] = []
    for (const entry of await entriesOf(parent)) {
      if (!entry.isDirectory()) continue
      const files = await readdir(join(parent, entry.name))
      if (files.length === 0 || files.some((file) => LEVEL_FILE.test(file))) names.push(entry.name)
    }
    return names.sort()
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(from, to)
    await syncParent(from)
  }

  /** Looks at the tables; MANIFEST and CURRENT are proven when LevelDB opens. */
  async verify(
    dir: string,
    pace: (bytes: number) => Promise<'goOn' | 'stop'>,
  ): Promise<string | undefined> {
    const names = await entriesOf(dir)
    for (const { name } of names) {
      if (!TABLE_FILE.test(name)) continue
      const verdict = await checkSettledTable(join(dir, name), pace)
      if (verdict === 'stopped') return undefined
      if (verdict === 'damaged') return `${join(dir, name)} is not as it was written`
    }
    return undefined
  }

  async remove(dir: string): Promise<void> {
    await rm(dir, { recursive: true, force: true })
    await syncParent(dir)
  }
}

class LevelDatabase implements Database {
  readonly #level: Level
  readonly #dir: string
  /** Flushes run one after the other; this one is the last. */
  #flushing: Promise<boolean> = Promise.resolve(true)

  constructor(level: Level, dir: string) {
    this.#level = level
    this.#dir = dir
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key)
    } catch (error) {
      throw translate(error, this.#dir)
    }
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    try {
      return await this.#level.getMany(keys as Uint8Array[])
    } catch (error) {
      throw translate(error, this.#dir)
    }
  }

  snapshot(): DatabaseSnapshot {
    return new LevelDatabaseSnapshot(this.#level, this.#dir)
  }

  batch(): DatabaseBatch {
    const batch = this.#level.batch() as unknown as DatabaseBatch
    const write = batch.write.bind(batch)
    batch.write = () =>
      write().catch((error: unknown) => Promise.reject(translate(error, this.#dir)))
    return batch
  }

  flush(): Promise<boolean> {
    const flush = () => this.#flush()
    // A flush that threw was answered to its own caller; the next one is not bound to its fate.
    this.#flushing = this.#flushing.then(flush, flush)
    return this.#flushing
  }

  async #flush(): Promise<boolean> {
    const before = await logFiles(this.#dir)
    if (before.length === 0) return false
    await this.#level.compactRange(BEYOND_ALL_KEYS, BEYOND_ALL_KEYS)
    for (const waitMs of LOOK_AGAIN_MS) {
      const now = await logFiles(this.#dir)
      if (!before.some((name) => now.includes(name))) return true
      await delay(waitMs)
    }
    return false
  }

  async close(): Promise<void> {
    await this.#level.close()
  }
}

class LevelDatabaseSnapshot implements DatabaseSnapshot {
  readonly #level: Level
  readonly #dir: string
  readonly #options: { readonly snapshot: LevelSnapshot }
  readonly #cursors = new Set<Cursor>()

  constructor(level: Level, dir: string) {
    this.#level = level
    this.#dir = dir
    this.#options = { snapshot: level.snapshot() }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key, this.#options)
    } catch (error) {
      throw translate(error, this.#dir)
    }
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    try {
      return await this.#level.getMany(keys as Uint8Array[], this.#options)
    } catch (error) {
      throw translate(error, this.#dir)
    }
  }

  cursor(options: CursorOptions): Cursor {
    const cursor = new LevelCursor(this.#level, this.#dir, options, this.#options.snapshot, () =>
      this.#cursors.delete(cursor),
    )
    this.#cursors.add(cursor)
    return cursor
  }

  /** Closes what is left of its cursors first: classic-level waits for them, without end. */
  async close(): Promise<void> {
    for (const cursor of this.#cursors) await cursor.close()
    await this.#options.snapshot.close()
  }
}

class LevelCursor implements Cursor {
  readonly #iterator: LevelIterator
  readonly #dir: string
  readonly #onClose: () => void

  constructor(
    level: Level,
    dir: string,
    options: CursorOptions,
    snapshot: LevelSnapshot,
    onClose: () => void,
  ) {
    this.#dir = dir
    this.#onClose = onClose
    this.#iterator = level.iterator({
      ...options.range,
      reverse: options.reverse,
      highWaterMarkBytes: CURSOR_CHUNK_BYTES,
      snapshot,
    })
  }

  async next(maxEntries: number, maxBytes: number): Promise<[Uint8Array, Uint8Array][]> {
    const entries: [Uint8Array, Uint8Array][] = []
    let bytes = 0
    do {
      const chunk = await this.#chunk(Math.min(maxEntries - entries.length, CURSOR_CHUNK_ENTRIES))
      if (chunk.length === 0) break
      for (const entry of chunk) {
        bytes += entry[0].length + entry[1].length
        entries.push(entry)
      }
    } while (entries.length < maxEntries && bytes < maxBytes)
    return entries
  }

  async #chunk(maxEntries: number): Promise<[Uint8Array, Uint8Array][]> {
    try {
      return await this.#iterator.nextv(maxEntries)
    } catch (error) {
      throw translate(error, this.#dir)
    }
  }

  async close(): Promise<void> {
    this.#onClose()
    await this.#iterator.close()
  }
}

async function entriesOf(dir: string): Promise<Dirent[]> {
  try {
    return await readdir(dir, { withFileTypes: true })
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

async function syncParent(dir: string): Promise<void> {
  const parent = await open(dirname(dir), 'r')
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
}

async function logFiles(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => LOG_FILE.test(name))
}

type TableVerdict = 'sound' | 'damaged' | 'unsettled' | 'gone' | 'stopped'

/** Looks again at a table that may still be being written, until it is settled. */
async function checkSettledTable(
  path: string,
  pace: (bytes: number) => Promise<'goOn' | 'stop'>,
): Promise<TableVerdict> {
  for (;;) {
    const verdict = await checkTable(path, pace)
    if (verdict !== 'unsettled') return verdict
    await delay(LOOK_AT_TABLE_AGAIN_MS)
  }
}

async function checkTable(
  path: string,
  pace: (bytes: number) => Promise<'goOn' | 'stop'>,
): Promise<TableVerdict> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'gone'
    throw error
  }
  try {
    const { size, mtimeMs } = await file.stat()
    const check = new TableCheck(size)
    const buffer = Buffer.allocUnsafe(VERIFY_BYTES)
    for (let position = 0; position < size; ) {
      const length = Math.min(VERIFY_BYTES, size - position)
      if ((await pace(length)) === 'stop') return 'stopped'
      const { bytesRead } = await file.read(buffer, 0, length, position)
      if (bytesRead === 0) break
      check.add(buffer.subarray(0, bytesRead))
      position += bytesRead
    }
    if (check.isSound()) return 'sound'
    return Math.abs(Date.now() - mtimeMs) < TABLE_SETTLED_MS ? 'unsettled' : 'damaged'
  } catch (error) {
    // A sector that cannot be read.
    if (codeOf(error) === 'EIO') return 'damaged'
    throw error
  } finally {
    await file.close()
  }
}

/** LevelDB's own codes in this project's terms; what has no code of ours stays as it is. */
function translate(error: unknown, dir: string): unknown {
  const codes = [codeOf(error), codeOf((error as { cause?: unknown } | undefined)?.cause)]
  // A file that LevelDB counts on and that is not there, or empty, is damage as well; it says so only in words.
  const isLost = says(error, /No such file or directory|\.(?:ldb|sst): Invalid argument/)
  if (codes.includes('LEVEL_CORRUPTION') || isLost) {
    return new StoreError('QUORATE_CORRUPTION', `LevelDB in ${dir} is damaged`, { cause: error })
  }
  if (codes.includes('LEVEL_LOCKED')) {
    return new StoreError('QUORATE_LOCKED', `LevelDB in ${dir} is open elsewhere`, { cause: error })
  }
  if (isFullDisk(error)) {
    return new StoreError('QUORATE_NO_SPACE', `the disk of LevelDB in ${dir} is full`, {
      cause: error,
    })
  }
  return error
}

/** Whether an error of classic-level means that the disk is full: LevelDB tells it only in words. */
export function isFullDisk(error: unknown): boolean {
  return says(error, /No space left on device|Disk quota exceeded/)
}

function says(error: unknown, words: RegExp): boolean {
  if (!(error instanceof Error)) return false
  return words.test(error.message) || says(error.cause, words)
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code
}
