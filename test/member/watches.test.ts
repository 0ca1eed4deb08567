import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import type { KeyRange } from '../../src/env/database.js'
import { ChangeHistory } from '../../src/machine/change-history.js'
import type { EntryChanges, WatchCursor } from '../../src/member/backend.js'
import { type ChangeSource, Watches } from '../../src/member/watches.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'

const EVERYTHING: KeyRange = {}
const TERM = 7

function keys(gte: string, lt: string): KeyRange {
  return { gte: Buffer.from(gte), lt: Buffer.from(lt) }
}

/** A member's watches over a history that the test writes: `a=1 b` puts a and deletes b, in one entry. */
class Lab {
  readonly world: SimWorld = new SimWorld(1)
  readonly time: SimTime = new SimTime(this.world)
  readonly history: ChangeHistory
  readonly watches: Watches
  readonly log: EntryChanges[] = []
  /** How often anybody looked into the history. */
  reads = 0
  #unreached: { index: number; resolve: () => void }[] = []

  constructor({ historyBytes = 1_000_000, maxWatches = 100, readBytes = 1_000_000 } = {}) {
    this.history = new ChangeHistory(historyBytes, { index: 0, term: TERM })
    const reach = ({ minIndex }: { readonly minIndex: number }) =>
      new Promise<void>((resolve) => {
        this.#unreached.push({ index: minIndex, resolve })
        this.#reached()
      })
    const limits = { maxWatches, watchHistoryBytes: historyBytes }
    const { history } = this
    const source: ChangeSource = {
      get firstIndex() {
        return history.firstIndex
      },
      get last() {
        return history.last
      },
      read: (after, range, maxBytes) => {
        this.reads++
        return history.read(after, range, Math.min(maxBytes, readBytes))
      },
    }
    this.watches = new Watches(this.time, source, reach, limits)
  }

  get last(): number {
    return this.history.last.index
  }

  /** The state is ahead of what watches were told until `announce`. */
  add(...entries: readonly string[]): void {
    for (const words of entries) {
      const changes = words.split(' ').map((word) => {
        const [key, value] = word.split('=').map((text) => Buffer.from(text))
        return { type: value === undefined ? 'del' : 'put', key: key!, value } as const
      })
      const entry = { index: this.last + 1, term: TERM, changes: words === '' ? [] : changes }
      this.history.addInterpreted(
        { ...entry, kind: 'normal', data: Buffer.from(words) },
        entry.changes,
      )
      this.log.push(entry)
    }
    this.#reached()
  }

  announce(): void {
    this.watches.onApplied()
  }

  apply(...entries: readonly string[]): void {
    this.add(...entries)
    this.announce()
  }

  open(range: KeyRange, after: number, signal?: AbortSignal): Reader {
    return new Reader(this.watches.open({ range, after, afterTerm: 0, signal }), range, after)
  }

  async pass(ms: number): Promise<void> {
    await this.world.advance(ms)
    this.watches.tick(this.time.now())
    await this.world.advance(0)
  }

  /** What a watch of `range` has to give between two positions. */
  expected({ gte, lt }: KeyRange, after: number, through: number): EntryChanges[] {
    return this.log
      .filter(({ index }) => index > after && index <= through)
      .map((entry) => ({
        ...entry,
        changes: entry.changes.filter(
          ({ key }) =>
            (gte === undefined || Buffer.compare(key, gte) >= 0) &&
            (lt === undefined || Buffer.compare(key, lt) < 0),
        ),
      }))
      .filter(({ changes }) => changes.length > 0)
  }

  #reached(): void {
    const reached = this.#unreached.filter(({ index }) => index <= this.last)
    this.#unreached = this.#unreached.filter(({ index }) => index > this.last)
    for (const { resolve } of reached) resolve()
  }
}

/** One watch with what it was given. */
class Reader {
  readonly cursor: WatchCursor
  readonly range: KeyRange
  readonly after: number
  readonly entries: EntryChanges[] = []
  blocks = 0
  position: number
  error: unknown
  isAsking = false

  constructor(cursor: WatchCursor, range: KeyRange, after: number) {
    this.cursor = cursor
    this.range = range
    this.after = after
    this.position = after
  }

  ask(maxBytes = 100_000): this {
    if (this.isAsking || this.error !== undefined) return this
    this.isAsking = true
    this.cursor.next(maxBytes).then(
      ({ entries, through }) => {
        this.isAsking = false
        this.blocks++
        this.entries.push(...entries)
        assert.ok(through.index >= this.position, 'a position never falls')
        this.position = through.index
      },
      (error: unknown) => {
        this.isAsking = false
        this.error = error
      },
    )
    return this
  }

  get code(): string | undefined {
    return this.error instanceof StoreError ? this.error.code : undefined
  }
}

const word = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom('=1', '=22', ''))
  .map(([key, value]) => key + value)
const entry = fc.array(word, { maxLength: 3 }).map((words) => words.join(' '))
const some = fc.nat({ max: 7 })
const step = fc.oneof(
  fc.record({ type: fc.constant('add' as const), entries: fc.array(entry, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('apply' as const), entries: fc.array(entry, { maxLength: 4 }) }),
  fc.record({
    type: fc.constant('open' as const),
    from: fc.constantFrom('a', 'b', 'c'),
    to: fc.constantFrom('c', 'd', 'z'),
    back: fc.oneof(fc.constant(0), fc.integer({ min: -3, max: 6 })),
    asks: fc.boolean(),
  }),
  fc.record({ type: fc.constant('tick' as const), ms: fc.constantFrom(0, 1200) }),
  fc.record({
    type: fc.constant('ask' as const),
    which: some,
    maxBytes: fc.constantFrom(1, 6, 999),
  }),
  fc.record({ type: fc.constant('pass' as const), ms: fc.constantFrom(0, 1, 1200) }),
  fc.record({ type: fc.constant('close' as const), which: some }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

async function carryOut(lab: Lab, steps: readonly Step[]): Promise<readonly Reader[]> {
  const readers: Reader[] = []
  for (const each of steps) {
    // Answers arrive between two steps, or several steps later.
    if (each.type !== 'apply') await undefined
    if (each.type === 'add') lab.add(...each.entries)
    else if (each.type === 'apply') lab.apply(...each.entries)
    else if (each.type === 'open') {
      const reader = lab.open(keys(each.from, each.to), Math.max(0, lab.last - each.back))
      readers.push(each.asks ? reader.ask() : reader)
    } else if (each.type === 'tick') lab.watches.tick(lab.time.now() + each.ms)
    else if (each.type === 'ask') readers[each.which % readers.length]?.ask(each.maxBytes)
    else if (each.type === 'pass') await lab.pass(each.ms)
    else readers[each.which % readers.length]?.cursor.close()
  }
  lab.apply('z', 'z', 'z', 'z')
  for (let i = 0; i < 300; i++) {
    if (readers.every(({ position, error }) => error !== undefined || position >= lab.last)) break
    for (const reader of readers) reader.ask()
    await lab.pass(600)
  }
  return readers
}

test('every watch gives exactly the changes after its position, in order, each once, entries whole', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.constantFrom(1_000_000, 2500),
      fc.constantFrom(1, 5, 1000),
      async (steps, historyBytes, readBytes) => {
        const lab = new Lab({ historyBytes, readBytes })
        for (const { range, after, position, entries, error, code } of await carryOut(lab, steps)) {
          assert.deepEqual(entries, lab.expected(range, after, position))
          if (error === undefined) assert.ok(position >= lab.last)
          else if (code === 'QUORATE_COMPACTED') {
            assert.ok((error as StoreError).oldest! > position, 'what is remembered is given')
          } else assert.equal(code, 'QUORATE_ABORTED')
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('a watch that waits is given what is applied on that turn, and many that wait share one look', async () => {
  const lab = new Lab()
  const readers = Array.from({ length: 50 }, (_, i) => lab.open(keys(`${i}.`, `${i}/`), 0).ask())
  lab.apply('7.x=1 33.y', '7.z=2')
  await lab.pass(0)
  assert.deepEqual(readers[7]!.entries, lab.expected(readers[7]!.range, 0, 2))
  assert.equal(readers[33]!.entries.length, 1)
  assert.equal(readers.filter(({ blocks }) => blocks > 0).length, 2)
  assert.equal(lab.reads, 1)
})

test('where nothing matches, a watch hears about once a second how far it has come', async () => {
  const lab = new Lab()
  const reader = lab.open(keys('a', 'b'), 0).ask()
  for (let i = 0; i < 40; i++) {
    lab.apply('x=1')
    await lab.pass(100)
    reader.ask()
  }
  assert.ok(reader.blocks >= 3 && reader.blocks <= 4, `${reader.blocks} blocks in 4 s`)
  assert.ok(reader.position >= 30)
  assert.equal(reader.entries.length, 0)
})

test('a watch whose changes are rare stays within the history however much else is written', async () => {
  const lab = new Lab({ historyBytes: 40_000 })
  const reader = lab.open(keys('a', 'b'), 0)
  for (let i = 0; i < 500; i++) {
    reader.ask()
    lab.apply(`x=${'v'.repeat(800)}`)
    await lab.pass(0)
    assert.ok(reader.position + 1 >= lab.history.firstIndex, `told of ${reader.position} at ${i}`)
  }
  lab.apply('a=1')
  await lab.pass(0)
  reader.ask()
  await lab.pass(0)
  assert.equal(reader.entries.length, 1)
})

test('a watch that asks too late is told from where on the history goes back', async () => {
  const lab = new Lab({ historyBytes: 3000 })
  const reader = lab.open(EVERYTHING, 0)
  for (let i = 0; i < 100; i++) lab.apply('a=1')
  reader.ask()
  await lab.pass(0)
  assert.equal(reader.code, 'QUORATE_COMPACTED')
  const { oldest, message } = reader.error as StoreError
  assert.equal(oldest, lab.history.firstIndex - 1)
  assert.match(message, new RegExp(`those after ${oldest} are`))
  const again = lab.open(EVERYTHING, oldest!).ask()
  await lab.pass(0)
  assert.deepEqual(again.entries, lab.expected(EVERYTHING, oldest!, lab.last))
})

test('another state ends every watch before it, and one that was put out of use ends all', async () => {
  const lab = new Lab()
  const [before, at] = [lab.open(EVERYTHING, 0).ask(), lab.open(EVERYTHING, 5)]
  lab.history.restart({ index: 5, term: TERM })
  lab.watches.onInstalled()
  at.ask()
  lab.apply('a=1')
  await lab.pass(0)
  assert.equal(before.code, 'QUORATE_COMPACTED')
  assert.deepEqual(
    at.entries.map(({ index }) => index),
    [6],
  )
  at.ask()
  lab.watches.onStateLost()
  const late = lab.open(EVERYTHING, 6)
  await lab.pass(2000)
  assert.equal(at.error, undefined)
  lab.history.restart({ index: 2, term: TERM })
  lab.add('a=1')
  lab.watches.onInstalled()
  late.ask()
  lab.apply('a=1', 'a=1', 'a=1', 'a=7')
  await lab.pass(0)
  assert.equal(at.code, 'QUORATE_COMPACTED', 'what it was given may have been of the damaged state')
  assert.deepEqual(
    late.entries.map(({ index }) => index),
    [7],
    'it waited for its position',
  )
})

test('a position ahead of the state is waited for; no progress is claimed before it', async () => {
  const lab = new Lab()
  const reader = lab.open(EVERYTHING, 3).ask()
  lab.apply('a=1', 'a=2')
  await lab.pass(3000)
  assert.equal(reader.blocks, 0)
  lab.apply('a=3', 'a=4')
  await lab.pass(0)
  reader.ask()
  await lab.pass(0)
  assert.deepEqual(
    reader.entries.map(({ index }) => index),
    [4],
  )
})

test('closing, the signal and the end of the member end what is asked, and what is asked later', async () => {
  const lab = new Lab({ maxWatches: 3 })
  const abort = new AbortController()
  const readers = [
    lab.open(EVERYTHING, 0),
    lab.open(EVERYTHING, 0, abort.signal),
    lab.open(EVERYTHING, 9),
  ]
  assert.throws(() => lab.open(EVERYTHING, 0), { code: 'QUORATE_OVERLOADED', retryable: true })
  for (const reader of readers) reader.ask()
  readers[0]!.cursor.close()
  abort.abort(new Error('enough'))
  lab.watches.end(new StoreError('QUORATE_NOT_OPEN', 'the store was closed'))
  await lab.pass(0)
  assert.deepEqual(
    readers.map(({ code }) => code),
    ['QUORATE_ABORTED', 'QUORATE_ABORTED', 'QUORATE_NOT_OPEN'],
  )
  assert.equal((readers[1]!.error as StoreError).cause, abort.signal.reason)
  await assert.rejects(readers[0]!.cursor.next(1), { code: 'QUORATE_ABORTED' })
  await assert.rejects(readers[2]!.cursor.next(1), { code: 'QUORATE_NOT_OPEN' })
  readers[2]!.cursor.close()
  assert.equal(lab.watches.openCount, 0)
})
