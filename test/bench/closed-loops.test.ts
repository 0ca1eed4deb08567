import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BenchContext } from '../../bench/bench-run.js'
import { numbersFlag, wordsFlag } from '../../bench/flags.js'
import { ClosedRuns } from '../../bench/loaded-cluster.js'
import { PlainLevel } from '../../bench/plain-level.js'
import { Watchers } from '../../bench/watchers.js'
import {
  type Kind,
  keyOf,
  operationsOf,
  operationsOn,
  type Workload,
} from '../../bench/workload.js'
import { Store } from '../../src/index.js'

const WORKLOAD: Workload = {
  mix: { get: 0.4, put: 0.2, insert: 0.2, scan: 0.1, change: 0.1 },
  keyCount: 200,
  choice: 'zipfian',
  valueBytes: 40,
  level: 'session',
  ack: 'applied',
  batch: 1,
  seed: 7,
}

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-bench-test-'))
  try {
    await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

test('lists in flags are checked word by word', () => {
  assert.deepEqual(wordsFlag('grow', 'keys,members', ['members', 'keys']), ['keys', 'members'])
  assert.throws(() => wordsFlag('grow', 'keys,', ['members', 'keys']), /--grow takes members, keys/)
  assert.deepEqual(numbersFlag('members', '1,3'), [1, 3])
  assert.throws(() => numbersFlag('members', '1,0'), /--members/)
})

test('ratios are taken within each run, and a run that fails is told and left out', async () => {
  const notes: string[] = []
  const context = { note: (text: string) => notes.push(text) } as unknown as BenchContext
  const [mine, baseline] = [new ClosedRuns(), new ClosedRuns()]
  const rates = [
    [200, 100],
    [100, 400],
    [undefined, 100],
  ] as const
  const load = (perSecond: number | undefined) => async () => {
    if (perSecond === undefined) throw new Error('no leader')
    return { perSecond, p50Us: 1500, p99Us: 3000 }
  }
  for (const [a, b] of rates) {
    await mine.measure(context, 'mine', load(a))
    await baseline.measure(context, 'baseline', load(b))
  }
  const { runs, min, max } = mine.against(baseline)
  assert.deepEqual([runs, min, max], [[2, 0.25, Number.NaN], 0.25, 2])
  assert.deepEqual([mine.figures['per s'].median, mine.figures.p50.median], [150, 1.5])
  assert.deepEqual(notes, ['mine: failed: no leader'])
})

test('a store and classic-level alone are given the same operations', () =>
  inFolder(async (dir) => {
    const store = await Store.open({ dir: join(dir, 'store'), valueEncoding: 'binary' })
    const plain = await PlainLevel.open(join(dir, 'level'), WORKLOAD.keyCount, WORKLOAD.valueBytes)
    for (let i = 0; i < WORKLOAD.keyCount; i++) await store.put(keyOf(i), await plain.get(keyOf(i)))
    const watchers = await Watchers.start(store, 2, 'everything')
    const both = [operationsOf(store, WORKLOAD), operationsOn(plain, WORKLOAD)] as const
    const seen = new Map<Kind, number>()
    for (let i = 0; i < 300; i++) {
      const [kind, same] = both.map((operations) => operations.next())
      assert.equal(kind, same)
      seen.set(kind!, (seen.get(kind!) ?? 0) + 1)
      for (const operations of both) await operations.run(kind!)
    }
    assert.equal(seen.size, 5)
    const entries: [string, unknown][] = []
    for await (const entry of store.scan()) entries.push(entry)
    assert.ok(entries.length > WORKLOAD.keyCount)
    for (const [key, value] of entries) assert.deepEqual(await plain.get(key), value, key)
    const writes = ['put', 'insert', 'change'].map((kind) => seen.get(kind as Kind)!)
    assert.equal(await watchers.end(), 2 * writes.reduce((a, b) => a + b))
    await Promise.all([store.close(), plain.close()])
  }))
