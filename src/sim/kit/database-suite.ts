/** What every Database promises: a suite for databases of your own, which quorate's own run, too. Needs fast-check. */
import assert from 'node:assert/strict'
import { basename, dirname } from 'node:path'
import { compareBytes } from '../../base/bytes.js'
import type { Database, DatabaseSnapshot, Databases, KeyRange } from '../../env/database.js'
import { loadFastCheck } from './fast-check.js'
import { registerCases, type SuiteCase, type SuiteOptions } from './suite.js'

/** One implementation, with a folder of its own per fixture. */
export interface DatabaseFixture {
  readonly databases: Databases
  readonly dir: string
  /** Awaits, while time passes. */
  run<T>(promise: Promise<T>): Promise<T>
  /** Ends the process as by kill -9; returns the folder in which what is left is to be opened. */
  crash(): Promise<string>
  close(): Promise<void>
}

type Pair = readonly [key: string, value: string]

function bytes(text: string): Buffer {
  return Buffer.from(text)
}

async function write(f: DatabaseFixture, database: Database, ...pairs: Pair[]): Promise<void> {
  const batch = database.batch()
  for (const [key, value] of pairs) batch.put(bytes(key), bytes(value))
  await f.run(batch.write())
}

function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString()
}

async function scan(
  f: DatabaseFixture,
  from: Database | DatabaseSnapshot,
  range: KeyRange,
  direction: 'forward' | 'reverse',
): Promise<Pair[]> {
  const snapshot = 'snapshot' in from ? from.snapshot() : from
  const cursor = snapshot.cursor({ range, reverse: direction === 'reverse' })
  const found: Pair[] = []
  for (;;) {
    const some = await f.run(cursor.next(3, 1_000_000))
    if (some.length === 0) break
    assert.ok(some.length <= 3)
    for (const [key, value] of some) {
      found.push([Buffer.from(key).toString('latin1'), textOf(value)!])
    }
  }
  await f.run(cursor.close())
  if ('snapshot' in from) await f.run(snapshot.close())
  return found
}

const ALL: KeyRange = {}

/** What a case is given. */
interface Bench {
  readonly f: DatabaseFixture
  /** The one in the fixture's folder, open and empty. */
  readonly database: Database
}

/** Runs the suite. */
export function databaseSuite(options: SuiteOptions<DatabaseFixture>): void {
  registerCases(options, allCases(), async (f, check) => {
    try {
      await check({ f, database: await f.run(f.databases.open(f.dir)) })
    } finally {
      await f.close()
    }
  })
}

function allCases(): SuiteCase<Bench>[] {
  return [...READS_AND_WRITES, ...SNAPSHOTS, ...CURSORS, ...DURABILITY, ...FOLDERS]
}

function rangeOf(
  lower: readonly [boolean, Uint8Array] | undefined,
  upper: readonly [boolean, Uint8Array] | undefined,
): KeyRange {
  return {
    ...(lower === undefined ? {} : lower[0] ? { gt: lower[1] } : { gte: lower[1] }),
    ...(upper === undefined ? {} : upper[0] ? { lt: upper[1] } : { lte: upper[1] }),
  }
}

function isInside(candidate: Uint8Array, { gt, gte, lt, lte }: KeyRange): boolean {
  return (
    (gt === undefined || compareBytes(candidate, gt) > 0) &&
    (gte === undefined || compareBytes(candidate, gte) >= 0) &&
    (lt === undefined || compareBytes(candidate, lt) < 0) &&
    (lte === undefined || compareBytes(candidate, lte) <= 0)
  )
}

const READS_AND_WRITES: readonly SuiteCase<Bench>[] = [
  [
    'a new database is empty',
    async ({ f, database }) => {
      assert.equal(database.get(bytes('a')), undefined)
      assert.deepEqual(await f.run(database.getMany([bytes('a')])), [undefined])
      assert.deepEqual(await scan(f, database, ALL, 'forward'), [])
      assert.deepEqual(await scan(f, database, ALL, 'reverse'), [])
      assert.deepEqual(await scan(f, database, { gt: bytes('a'), lte: bytes('b') }, 'reverse'), [])
    },
  ],

  [
    'what was put is got, alone or with others, until it is deleted',
    async ({ f, database }) => {
      await write(f, database, ['a', '1'], ['b', ''], ['c', '3'])
      assert.equal(textOf(database.get(bytes('a'))), '1')
      assert.equal(textOf(database.get(bytes('b'))), '')
      const batch = database.batch()
      batch.del(bytes('a'))
      batch.del(bytes('never there'))
      await f.run(batch.write())
      assert.equal(database.get(bytes('a')), undefined)
      const found = await f.run(database.getMany([bytes('c'), bytes('a'), bytes('b')]))
      assert.deepEqual(found.map(textOf), ['3', undefined, ''])
    },
  ],

  [
    'the last operation on a key of a batch counts',
    async ({ f, database }) => {
      const batch = database.batch()
      batch.put(bytes('put, del'), bytes('1'))
      batch.del(bytes('put, del'))
      batch.del(bytes('del, put'))
      batch.put(bytes('del, put'), bytes('2'))
      batch.put(bytes('put, put'), bytes('3'))
      batch.put(bytes('put, put'), bytes('4'))
      await f.run(batch.write())
      const expected = [
        ['del, put', '2'],
        ['put, put', '4'],
      ]
      assert.deepEqual(await scan(f, database, ALL, 'forward'), expected)
    },
  ],

  [
    'put and del copy what they are given',
    async ({ f, database }) => {
      await write(f, database, ['b', 'old'])
      const key = bytes('a')
      const value = bytes('value of a')
      const batch = database.batch()
      batch.put(key, value)
      value.fill(0)
      key.write('b')
      batch.del(key)
      key.write('c')
      await f.run(batch.write())
      assert.deepEqual(await scan(f, database, ALL, 'forward'), [['a', 'value of a']])
    },
  ],

  [
    'a value that was read belongs to the reader',
    async ({ f, database }) => {
      await write(f, database, ['a', 'value of a'])
      database.get(bytes('a'))!.fill(0)
      for (const value of await f.run(database.getMany([bytes('a')]))) value!.fill(0)
      assert.equal(textOf(database.get(bytes('a'))), 'value of a')
    },
  ],

  [
    'keys and values may be large',
    async ({ f, database }) => {
      const key = Buffer.alloc(65_537, 'k')
      const value = Buffer.alloc(3_000_000, 'v')
      const batch = database.batch()
      batch.put(key, value)
      await f.run(batch.write())
      assert.ok(value.equals(database.get(key)!))
      assert.ok(await f.run(database.flush()))
      assert.ok(value.equals(database.get(key)!))
    },
  ],
]

const SNAPSHOTS: readonly SuiteCase<Bench>[] = [
  [
    'a snapshot stays as it is while the database changes',
    async ({ f, database }) => {
      await write(f, database, ['a', '1'], ['b', '1'])
      const snapshot = database.snapshot()
      const cursor = snapshot.cursor({ range: ALL, reverse: false })
      await f.run(cursor.next(1, 1000))
      const batch = database.batch()
      batch.put(bytes('a'), bytes('2'))
      batch.del(bytes('b'))
      batch.put(bytes('c'), bytes('2'))
      await f.run(batch.write())

      assert.equal(textOf(snapshot.get(bytes('a'))), '1')
      const found = await f.run(snapshot.getMany([bytes('a'), bytes('b'), bytes('c')]))
      assert.deepEqual(found.map(textOf), ['1', '1', undefined])
      const [next] = await f.run(cursor.next(5, 1000))
      assert.deepEqual(next!.map(textOf), ['b', '1'])
      await f.run(cursor.close())
      await f.run(snapshot.close())
      assert.equal(textOf(database.get(bytes('a'))), '2')
    },
  ],

  [
    'closing a snapshot does not wait for its cursors',
    async ({ f, database }) => {
      const snapshot = database.snapshot()
      snapshot.cursor({ range: ALL, reverse: false })
      await f.run(snapshot.close())
    },
  ],
]

const CURSORS: readonly SuiteCase<Bench>[] = [
  [
    'a cursor gives the keys of its range in the order of their bytes',
    async ({ f, database }) => {
      const fc = await loadFastCheck()
      const key = fc
        .uint8Array({ minLength: 1, maxLength: 2 })
        .map((b) => b.map((byte) => byte % 4))
      const bound = fc.option(fc.tuple(fc.boolean(), key), { nil: undefined })
      const present = new Map<string, Uint8Array>()
      const property = fc.asyncProperty(
        fc.array(key, { maxLength: 4 }),
        fc.array(key, { maxLength: 2 }),
        bound,
        bound,
        fc.constantFrom('forward' as const, 'reverse' as const),
        async (puts, dels, lower, upper, direction) => {
          const batch = database.batch()
          for (const k of puts) {
            batch.put(k, bytes('v'))
            present.set(Buffer.from(k).toString('latin1'), k)
          }
          for (const k of dels) {
            batch.del(k)
            present.delete(Buffer.from(k).toString('latin1'))
          }
          if (puts.length + dels.length > 0) await f.run(batch.write())
          const range = rangeOf(lower, upper)
          const expected = [...present.entries()]
            .filter(([, k]) => isInside(k, range))
            .sort(([, a], [, b]) => compareBytes(a, b))
            .map(([text]) => [text, 'v'])
          if (direction === 'reverse') expected.reverse()
          assert.deepEqual(await scan(f, database, range, direction), expected)
        },
      )
      await fc.assert(property, { numRuns: 150 })
    },
  ],

  [
    'a step of a cursor stops near its limits, and brings at least one entry',
    async ({ f, database: d }) => {
      const count = 500
      const value = 'v'.repeat(1000)
      const keys = Array.from({ length: count }, (_, i) => String(i).padStart(4, '0'))
      await write(f, d, ...keys.map((k): Pair => [k, value]))
      const snapshot = d.snapshot()
      const cursor = snapshot.cursor({ range: ALL, reverse: false })
      const first = await f.run(cursor.next(1000, 1))
      assert.ok(first.length >= 1 && first.length < 100, `${first.length}`)
      const second = await f.run(cursor.next(7, 1_000_000))
      assert.equal(second.length, 7)
      const rest = await f.run(cursor.next(100_000, 100_000_000))
      const seen = [...first, ...second, ...rest].map(([k]) => textOf(k))
      assert.deepEqual(seen, keys)
      assert.deepEqual(await f.run(cursor.next(10, 1000)), [])
      await f.run(snapshot.close())
    },
  ],
]

const DURABILITY: readonly SuiteCase<Bench>[] = [
  [
    'what was flushed is there after close and open',
    async ({ f, database }) => {
      await write(f, database, ['a', '1'])
      assert.equal(await f.run(database.flush()), true)
      await f.run(database.close())
      const again = await f.run(f.databases.open(f.dir))
      assert.equal(textOf(again.get(bytes('a'))), '1')
      await f.run(again.close())
    },
  ],

  [
    'flushes that overlap are all true',
    async ({ f, database }) => {
      await write(f, database, ['a', '1'])
      const first = database.flush()
      await write(f, database, ['b', '1'])
      const second = database.flush()
      assert.deepEqual(await f.run(Promise.all([first, second])), [true, true])
    },
  ],

  [
    'a crash leaves a prefix of the batches with all that was flushed (design D2)',
    async ({ f, database: d }) => {
      const FLUSHED = 20
      const WRITTEN = 60
      for (let i = 1; i <= WRITTEN; i++) {
        // Each batch moves a marker, so that half a batch or a batch out of order shows.
        const batch = d.batch()
        batch.del(bytes(`at ${i - 1}`))
        batch.put(bytes(`at ${i}`), bytes(''))
        batch.put(bytes('count'), bytes(String(i)))
        await f.run(batch.write())
        if (i === FLUSHED) assert.equal(await f.run(d.flush()), true)
      }
      const left = await f.run(f.databases.open(await f.crash()))
      const count = Number(textOf(left.get(bytes('count'))))
      assert.ok(count >= FLUSHED && count <= WRITTEN, `${count}`)
      assert.deepEqual(await scan(f, left, ALL, 'forward'), [
        [`at ${count}`, ''],
        ['count', String(count)],
      ])
      await f.run(left.close())
    },
  ],
]

const FOLDERS: readonly SuiteCase<Bench>[] = [
  [
    'a folder that is removed is gone, also for whoever lists',
    async ({ f, database }) => {
      await write(f, database, ['a', '1'])
      assert.ok(await f.run(database.flush()))
      await f.run(database.close())
      const [parent, name] = [dirname(f.dir), basename(f.dir)]
      assert.deepEqual(await f.run(f.databases.list(parent)), [name])
      await f.run(f.databases.remove(f.dir))
      await f.run(f.databases.remove(f.dir))
      assert.deepEqual(await f.run(f.databases.list(parent)), [])
      const again = await f.run(f.databases.open(f.dir))
      assert.equal(again.get(bytes('a')), undefined)
      await f.run(again.close())
    },
  ],

  [
    'a folder that is renamed keeps what was flushed',
    async ({ f, database }) => {
      await write(f, database, ['a', '1'])
      assert.ok(await f.run(database.flush()))
      await f.run(database.close())
      const to = `${f.dir}.broken-1`
      await f.run(f.databases.rename(f.dir, to))
      assert.deepEqual(await f.run(f.databases.list(dirname(f.dir))), [basename(to)])
      const moved = await f.run(f.databases.open(to))
      assert.equal(textOf(moved.get(bytes('a'))), '1')
      await f.run(moved.close())
    },
  ],

  [
    'two databases are open beside each other',
    async ({ f, database }) => {
      const other = await f.run(f.databases.open(`${f.dir}-1`))
      await write(f, database, ['a', '1'])
      await write(f, other, ['a', '2'])
      assert.equal(textOf(database.get(bytes('a'))), '1')
      assert.equal(textOf(other.get(bytes('a'))), '2')
      await f.run(other.close())
    },
  ],
]
