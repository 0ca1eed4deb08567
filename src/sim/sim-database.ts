/**
 * The Database in memory, on virtual time: the twin of LevelDatabase that forgets what was not flushed.
 *
 * What it keeps of LevelDB's behaviour, because members depend on it:
 *   1. a crash leaves an exact prefix of the batches that holds at least the last flush; now and then a batch is
 *      flushed by itself, as a full memtable would be
 *   2. a batch is visible to reads a moment before its `write` resolves
 *   3. a flush that failed says so only by `false`, and every later write fails until the database is opened again
 *   4. a folder is open once at a time
 * Of a process that was killed or lost power, no call ever settles.
 */
import { assert } from '../base/assert.js'
import { compareBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type {
  Cursor,
  CursorOptions,
  Database,
  DatabaseBatch,
  DatabaseSnapshot,
  Databases,
  KeyRange,
} from '../env/database.js'
import { Moment } from './moment.js'
import {
  entriesOf,
  find,
  highest,
  inserted,
  lowest,
  removed,
  type SortedBytes,
} from './sorted-bytes.js'
import type { SimWorld } from './world.js'

const READ_MS = 0.1
const WRITE_MS = 0.2
const FLUSH_MS = 4
const OPEN_MS = 2
/** One batch in so many is flushed without being asked. */
const UNASKED_FLUSH_EVERY = 32

/** What outlives a crash, of one folder. */
interface Folder {
  durable: SortedBytes
  open: SimDatabase | undefined
  isDamaged: boolean
}

/** The databases of one simulated host. */
export class SimDatabases implements Databases {
  /** Multiplies the time that operations take. */
  slowness = 1
  /** How the process hears of what has happened: at once, or through its gate (SimTime.deliver). */
  deliver: (callback: () => void) => void = (callback) => callback()
  readonly #world: SimWorld
  readonly #name: string
  readonly #folders = new Map<string, Folder>()
  readonly #moment: Moment
  #flushesToFail = 0
  readonly #rotten = new Set<string>()

  /** @param name keys the draws of this host */
  constructor(world: SimWorld, name: string) {
    this.#world = world
    this.#name = name
    this.#moment = new Moment(world)
  }

  async open(dir: string): Promise<Database> {
    const folder = this.#folders.get(dir) ?? {
      durable: undefined,
      open: undefined,
      isDamaged: false,
    }
    this.#folders.set(dir, folder)
    if (folder.open !== undefined) {
      throw new StoreError('QUORATE_LOCKED', `the database in ${dir} is open elsewhere`)
    }
    if (folder.isDamaged) {
      throw new StoreError('QUORATE_CORRUPTION', `the database in ${dir} is damaged`)
    }
    const database = new SimDatabase(this, folder)
    folder.open = database
    await this.later(database, OPEN_MS)
    return database
  }

  async list(parent: string): Promise<string[]> {
    const prefix = `${parent}/`
    return [...this.#folders.keys()]
      .filter((dir) => dir.startsWith(prefix))
      .map((dir) => dir.slice(prefix.length))
      .filter((name) => !name.includes('/'))
      .sort()
  }

  async rename(from: string, to: string): Promise<void> {
    const folder = this.#closed(from)
    if (folder === undefined) throw new Error(`there is no database in ${from}`)
    if (this.#folders.has(to)) throw new Error(`there is a database in ${to}`)
    this.#folders.delete(from)
    this.#folders.set(to, folder)
  }

  async remove(dir: string): Promise<void> {
    if (this.#closed(dir) !== undefined) this.#folders.delete(dir)
    this.#rotten.delete(dir)
  }

  async verify(
    dir: string,
    pace: (bytes: number) => Promise<'goOn' | 'stop'>,
  ): Promise<string | undefined> {
    if ((await pace(1)) === 'stop') return undefined
    return this.#rotten.has(dir) ? `a table of ${dir} is not as it was written` : undefined
  }

  /** What is stored in `dir` rots where no read has noticed it yet. */
  rot(dir: string): void {
    this.#rotten.add(dir)
  }

  #closed(dir: string): Folder | undefined {
    const folder = this.#folders.get(dir)
    if (folder?.open === undefined) return folder
    throw new StoreError('QUORATE_LOCKED', `the database in ${dir} is open`)
  }

  /** Ends the process that has the databases open: they go back to a state between last flush and now. */
  powerCut(): void {
    for (const folder of this.#folders.values()) folder.open = undefined
  }

  /** The same as a power cut: what LevelDB logged itself is never read again (design D2). */
  kill(): void {
    this.powerCut()
  }

  /** What a crash in this moment would leave, by folder; costs nothing, the states never change. */
  image(): ReadonlyMap<string, SortedBytes> {
    return new Map([...this.#folders].map(([dir, { durable }]) => [dir, durable]))
  }

  /** Becomes the databases of an image, none of them open. */
  restore(image: ReadonlyMap<string, SortedBytes>): void {
    this.#folders.clear()
    for (const [dir, durable] of image)
      this.#folders.set(dir, { durable, open: undefined, isDamaged: false })
  }

  /** What the database in `dir` shows now, or would if it were opened. */
  contents(dir: string): Iterable<readonly [Uint8Array, Uint8Array]> {
    const folder = this.#folders.get(dir)
    return entriesOf(folder?.open?.current ?? folder?.durable)
  }

  /** Files of the database in `dir`, which is closed, are damaged or missing: it does not open any more. */
  damage(dir: string): void {
    const folder = this.#closed(dir)
    if (folder !== undefined) folder.isDamaged = true
  }

  /** Every database is damaged like that; none is open. */
  damageAll(): void {
    for (const dir of this.#folders.keys()) this.damage(dir)
  }

  /** Lets the next flush that is asked for fail quietly, as on a full disk. */
  failNextFlush(): void {
    this.#flushesToFail++
  }

  /** Forgets the failures of `failNextFlush` that have not happened. */
  forgetFailures(): void {
    this.#flushesToFail = 0
  }

  /** Whether the flush that is now asked for is to fail. */
  takeFailure(): boolean {
    if (this.#flushesToFail === 0) return false
    this.#flushesToFail--
    return true
  }

  /** One chance in `bound`. */
  chance(bound: number): boolean {
    return this.#world.below(bound, this.#name, 'flush', ...this.#moment.next()) === 0
  }

  /** Resolves after about `ms`; never when `database` is not open any more by then. */
  later(database: SimDatabase, ms: number): Promise<void> {
    const jitter = this.#world.below(1000, this.#name, 'database', ...this.#moment.next()) / 1000
    return new Promise((resolve) => {
      this.#world.schedule(ms * (0.5 + jitter) * this.slowness, () => {
        if (database.isOpen) this.deliver(resolve)
      })
    })
  }
}

class SimDatabase implements Database {
  readonly #host: SimDatabases
  readonly #folder: Folder
  #current: SortedBytes
  #written = 0
  #flushed = 0
  #isWriting = false
  #isBroken = false

  constructor(host: SimDatabases, folder: Folder) {
    this.#host = host
    this.#folder = folder
    this.#current = folder.durable
  }

  get isOpen(): boolean {
    return this.#folder.open === this
  }

  get current(): SortedBytes {
    return this.#current
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#refuseIfClosed()
    return copyOf(find(this.#current, key))
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.snapshot().getMany(keys)
  }

  snapshot(): DatabaseSnapshot {
    this.#refuseIfClosed()
    return new SimSnapshot(this.#current, (ms) => this.#host.later(this, ms))
  }

  batch(): DatabaseBatch {
    return new SimBatch((changes) => this.#write(changes))
  }

  async #write(changes: readonly Change[]): Promise<void> {
    this.#refuseIfClosed()
    assert(!this.#isWriting, 'one batch at a time is written')
    this.#isWriting = true
    await this.#host.later(this, WRITE_MS)
    this.#isWriting = false
    if (this.#isBroken) throw new Error('the database has failed to flush: open it again')
    for (const { key, value } of changes) {
      this.#current =
        value === undefined ? removed(this.#current, key) : inserted(this.#current, key, value)
    }
    this.#written++
    if (this.#host.chance(UNASKED_FLUSH_EVERY)) this.#keep(this.#current, this.#written)
    await this.#host.later(this, READ_MS)
  }

  async flush(): Promise<boolean> {
    this.#refuseIfClosed()
    const state = this.#current
    const written = this.#written
    if (this.#host.takeFailure()) this.#isBroken = true
    await this.#host.later(this, FLUSH_MS)
    if (this.#isBroken) return false
    this.#keep(state, written)
    return true
  }

  #keep(state: SortedBytes, written: number): void {
    if (written < this.#flushed) return
    this.#flushed = written
    this.#folder.durable = state
  }

  async close(): Promise<void> {
    this.#refuseIfClosed()
    await this.#host.later(this, READ_MS)
    this.#folder.open = undefined
  }

  #refuseIfClosed(): void {
    if (!this.isOpen) throw new StoreError('QUORATE_NOT_OPEN', 'the database is not open')
  }
}

/** A put, or a delete when there is no value. */
interface Change {
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

class SimBatch implements DatabaseBatch {
  readonly #changes: Change[] = []
  readonly #write: (changes: readonly Change[]) => Promise<void>

  constructor(write: (changes: readonly Change[]) => Promise<void>) {
    this.#write = write
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#changes.push({ key: Uint8Array.from(key), value: Uint8Array.from(value) })
  }

  del(key: Uint8Array): void {
    this.#changes.push({ key: Uint8Array.from(key), value: undefined })
  }

  write(): Promise<void> {
    return this.#write(this.#changes)
  }
}

class SimSnapshot implements DatabaseSnapshot {
  readonly #state: SortedBytes
  readonly #later: (ms: number) => Promise<void>

  constructor(state: SortedBytes, later: (ms: number) => Promise<void>) {
    this.#state = state
    this.#later = later
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return copyOf(find(this.#state, key))
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const values = keys.map((key) => this.get(key))
    await this.#later(READ_MS)
    return values
  }

  cursor(options: CursorOptions): Cursor {
    return new SimCursor(this.#state, options, this.#later)
  }

  async close(): Promise<void> {}
}

class SimCursor implements Cursor {
  readonly #state: SortedBytes
  readonly #options: CursorOptions
  readonly #later: (ms: number) => Promise<void>
  #last: Uint8Array | undefined

  constructor(state: SortedBytes, options: CursorOptions, later: (ms: number) => Promise<void>) {
    this.#state = state
    this.#options = options
    this.#later = later
  }

  async next(maxEntries: number, maxBytes: number): Promise<[Uint8Array, Uint8Array][]> {
    const entries: [Uint8Array, Uint8Array][] = []
    let bytes = 0
    do {
      const entry = this.#advance()
      if (entry === undefined) break
      entries.push([Buffer.from(entry[0]), Buffer.from(entry[1])])
      bytes += entry[0].length + entry[1].length
    } while (entries.length < maxEntries && bytes < maxBytes)
    await this.#later(READ_MS)
    return entries
  }

  #advance(): readonly [Uint8Array, Uint8Array] | undefined {
    const { range, reverse } = this.#options
    const last = this.#last
    const entry = reverse
      ? highest(
          this.#state,
          (key) => !isAbove(key, range) && (last === undefined || compareBytes(key, last) < 0),
        )
      : lowest(
          this.#state,
          (key) => !isBelow(key, range) && (last === undefined || compareBytes(key, last) > 0),
        )
    if (entry === undefined || isBelow(entry[0], range) || isAbove(entry[0], range))
      return undefined
    this.#last = entry[0]
    return entry
  }

  async close(): Promise<void> {}
}

function isBelow(key: Uint8Array, { gt, gte }: KeyRange): boolean {
  if (gt !== undefined) return compareBytes(key, gt) <= 0
  return gte !== undefined && compareBytes(key, gte) < 0
}

function isAbove(key: Uint8Array, { lt, lte }: KeyRange): boolean {
  if (lt !== undefined) return compareBytes(key, lt) >= 0
  return lte !== undefined && compareBytes(key, lte) > 0
}

function copyOf(value: Uint8Array | undefined): Buffer | undefined {
  return value === undefined ? undefined : Buffer.from(value)
}
