/**
 * Simulated databases with real LevelDBs beside them: every batch and flush happens in both, and what is read comes
 * from LevelDB and must be what the simulated one says.
 *
 * After a crash LevelDB recovers by itself first, and must come back with a state that it had since its last flush;
 * then, if the simulated database has kept another one, it is filled with that. While a batch is being written,
 * which of its two sides LevelDB shows is not decided, so reads are the simulated database's then.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { xxh32 } from '@node-rs/xxhash'
import { assert } from '../../base/assert.js'
import type {
  Cursor,
  CursorOptions,
  Database,
  DatabaseBatch,
  DatabaseSnapshot,
  Databases,
} from '../../env/database.js'
import { LevelDatabases } from '../../env/level-database.js'
import type { SimDatabases } from '../sim-database.js'
import type { SimWorld } from '../world.js'

type Entry = readonly [key: Uint8Array, value: Uint8Array]
type Change = readonly [key: Buffer, value: Buffer | undefined]

const LEVEL_OPTIONS = { writeBufferBytes: 4 << 20, cacheBytes: 1 << 20 }
const ALL = { maxEntries: 1_000_000, maxBytes: 1 << 30 }

/** The LevelDBs of one simulated machine. */
export class DatabaseMirror implements Databases {
  readonly #world: SimWorld
  readonly #root: string
  readonly #simulated: SimDatabases
  readonly #level = new LevelDatabases(LEVEL_OPTIONS)
  /** What LevelDB may come back with, by folder: digests of its states since its last flush. */
  readonly #states = new Map<string, Set<number>>()
  /** By folder; what a process left open that died is closed before the folder is touched again. */
  readonly #open = new Map<string, Database>()

  /** @param root an existing folder that nobody else uses */
  constructor(world: SimWorld, root: string, simulated: SimDatabases) {
    this.#world = world
    this.#root = root
    this.#simulated = simulated
  }

  async open(dir: string): Promise<Database> {
    const simulated = await this.#simulated.open(dir)
    const real = await this.#world.hold(this.#recover(dir))
    return new MirroredDatabase(this, dir, simulated, real)
  }

  list(parent: string): Promise<string[]> {
    return this.#simulated.list(parent)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#simulated.rename(from, to)
    await this.#world.hold(this.#rename(from, to))
    const states = this.#states.get(from)
    if (states !== undefined) this.#states.set(to, states)
    this.#states.delete(from)
  }

  async remove(dir: string): Promise<void> {
    await this.#simulated.remove(dir)
    await this.#world.hold(this.#remove(dir))
    this.#states.delete(dir)
  }

  verify(
    dir: string,
    pace: (bytes: number) => Promise<'goOn' | 'stop'>,
  ): Promise<string | undefined> {
    return this.#simulated.verify(dir, pace)
  }

  /** The process is dead. */
  async abandon(): Promise<void> {
    for (const dir of [...this.#open.keys()]) await this.#abandon(dir)
  }

  hold<T>(work: Promise<T>): Promise<T> {
    return this.#world.hold(work)
  }

  /** The state of `dir` after a batch or a flush. */
  passed(dir: string, how: 'written' | 'flushed'): void {
    if (how === 'flushed') this.#states.get(dir)?.clear()
    const states = this.#states.get(dir) ?? new Set()
    states.add(digestOf(this.#simulated.contents(dir)))
    this.#states.set(dir, states)
  }

  async close(dir: string): Promise<void> {
    await this.#world.hold(this.#abandon(dir))
  }

  async #rename(from: string, to: string): Promise<void> {
    await this.#abandon(from)
    await this.#level.rename(join(this.#root, from), join(this.#root, to))
  }

  async #remove(dir: string): Promise<void> {
    await this.#abandon(dir)
    await this.#level.remove(join(this.#root, dir))
  }

  async #abandon(dir: string): Promise<void> {
    const database = this.#open.get(dir)
    this.#open.delete(dir)
    await database?.close()
  }

  async #recover(dir: string): Promise<Database> {
    await this.#abandon(dir)
    const path = join(this.#root, dir)
    const real = await this.#level.open(path)
    const found = digestOf(await everything(real))
    const known = this.#states.get(dir)
    assert(known === undefined || known.has(found), 'LevelDB came back with a state it never had', {
      dir,
    })
    const wanted = [...this.#simulated.contents(dir)]
    if (found === digestOf(wanted)) return this.#keep(dir, real)
    await real.close()
    await rm(path, { recursive: true })
    const fresh = await this.#level.open(path)
    const batch = fresh.batch()
    for (const [key, value] of wanted) batch.put(key, value)
    await batch.write()
    await fresh.flush()
    return this.#keep(dir, fresh)
  }

  #keep(dir: string, database: Database): Database {
    this.#open.set(dir, database)
    this.passed(dir, 'flushed')
    return database
  }
}

class MirroredDatabase implements Database {
  readonly #mirror: DatabaseMirror
  readonly #dir: string
  readonly #simulated: Database
  readonly #real: Database
  #isWriting = false

  constructor(mirror: DatabaseMirror, dir: string, simulated: Database, real: Database) {
    this.#mirror = mirror
    this.#dir = dir
    this.#simulated = simulated
    this.#real = real
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const simulated = this.#simulated.get(key)
    return this.#isWriting ? simulated : same(simulated, this.#real.get(key))
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.snapshot().getMany(keys)
  }

  snapshot(): DatabaseSnapshot {
    const simulated = this.#simulated.snapshot()
    if (this.#isWriting) return simulated
    return new MirroredSnapshot(this.#mirror, simulated, this.#real.snapshot())
  }

  batch(): DatabaseBatch {
    const simulated = this.#simulated.batch()
    const changes: Change[] = []
    return {
      put: (key, value) => {
        simulated.put(key, value)
        changes.push([Buffer.from(key), Buffer.from(value)])
      },
      del: (key) => {
        simulated.del(key)
        changes.push([Buffer.from(key), undefined])
      },
      write: () => this.#write(simulated, changes),
    }
  }

  async flush(): Promise<boolean> {
    const isFlushed = await this.#simulated.flush()
    if (!isFlushed) return false
    const isReallyFlushed = await this.#mirror.hold(this.#real.flush())
    assert(isReallyFlushed, 'LevelDB did not flush')
    // A batch that is under way shows in the simulated one already, and was not flushed in the real one.
    this.#mirror.passed(this.#dir, this.#isWriting ? 'written' : 'flushed')
    return true
  }

  async close(): Promise<void> {
    await this.#simulated.close()
    await this.#mirror.close(this.#dir)
  }

  async #write(simulated: DatabaseBatch, changes: readonly Change[]): Promise<void> {
    this.#isWriting = true
    await simulated.write()
    const real = this.#real.batch()
    for (const [key, value] of changes) {
      if (value === undefined) real.del(key)
      else real.put(key, value)
    }
    await this.#mirror.hold(real.write())
    this.#isWriting = false
    this.#mirror.passed(this.#dir, 'written')
  }
}

class MirroredSnapshot implements DatabaseSnapshot {
  readonly #mirror: DatabaseMirror
  readonly #simulated: DatabaseSnapshot
  readonly #real: DatabaseSnapshot

  constructor(mirror: DatabaseMirror, simulated: DatabaseSnapshot, real: DatabaseSnapshot) {
    this.#mirror = mirror
    this.#simulated = simulated
    this.#real = real
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return same(this.#simulated.get(key), this.#real.get(key))
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const simulated = await this.#simulated.getMany(keys)
    const real = await this.#mirror.hold(this.#real.getMany(keys))
    return real.map((value, i) => same(simulated[i], value))
  }

  cursor(options: CursorOptions): Cursor {
    const [simulated, real] = [this.#simulated.cursor(options), this.#real.cursor(options)]
    return {
      next: async (maxEntries, maxBytes) => {
        const expected = await simulated.next(maxEntries, maxBytes)
        const entries = await this.#mirror.hold(real.next(maxEntries, maxBytes))
        assert(digestOf(expected) === digestOf(entries), 'LevelDB scans another range')
        return entries
      },
      close: async () => {
        await simulated.close()
        await this.#mirror.hold(real.close())
      },
    }
  }

  async close(): Promise<void> {
    await this.#simulated.close()
    await this.#mirror.hold(this.#real.close())
  }
}

function same(
  simulated: Uint8Array | undefined,
  real: Uint8Array | undefined,
): Uint8Array | undefined {
  const isSame =
    simulated === undefined || real === undefined
      ? simulated === real
      : Buffer.compare(simulated, real) === 0
  assert(isSame, 'LevelDB has another value than the simulated database')
  return real
}

function digestOf(entries: Iterable<Entry>): number {
  let digest = 0
  for (const [key, value] of entries) digest = xxh32(value, xxh32(key, digest))
  return digest
}

async function everything(database: Database): Promise<readonly Entry[]> {
  const snapshot = database.snapshot()
  const cursor = snapshot.cursor({ range: {}, reverse: false })
  try {
    return await cursor.next(ALL.maxEntries, ALL.maxBytes)
  } finally {
    await cursor.close()
    await snapshot.close()
  }
}
