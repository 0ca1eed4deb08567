/** The history of changes: bounded, without gaps, read in parts, and nobody's bytes but the reader's own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChangeHistory, type EntryChanges } from '../../src/machine/change-history.js'
import type { RequestOutcome } from '../../src/machine/sessions.js'
import type { Entry } from '../../src/raft/types.js'
import { confEntry, contents, entry, TestHost } from './machine-fixture.js'

const START = { index: 0, term: 0 }

function applied(...statuses: RequestOutcome['status'][]): RequestOutcome[] {
  return statuses.map((status) => ({ status, index: 1, term: 1, results: new Uint8Array(0) }))
}

/** An entry with one request that puts `bytes` bytes under `key`. */
function putting(index: number, key: string, bytes = 1): Entry {
  return entry(index, [{ client: 'c', seq: index, commands: `${key}=${'x'.repeat(bytes)}` }])
}

function filled(maxBytes: number, entries: readonly Entry[]): ChangeHistory {
  const history = new ChangeHistory(maxBytes, START)
  for (const each of entries) history.addPlain(each, applied('applied'))
  return history
}

function shown(entries: readonly EntryChanges[]): string[] {
  return entries.flatMap(({ index, changes }) =>
    changes.map(({ type, key }) => `${index} ${type} ${key}`),
  )
}

test('what is read are the changes of a range, in order, up to the last entry', () => {
  const history = filled(1e6, [putting(1, 'a'), putting(2, 'b'), putting(3, 'c'), putting(4, 'b')])
  const b = { gte: Buffer.from('b'), lt: Buffer.from('c') }
  const block = history.read(0, b, 1e6)!
  assert.deepEqual(shown(block.entries), ['2 put b', '4 put b'])
  assert.deepEqual(block.through, { index: 4, term: 1 })
  assert.deepEqual(shown(history.read(2, {}, 1e6)!.entries), ['3 put c', '4 put b'])
  assert.deepEqual(history.read(4, {}, 1e6), { entries: [], through: { index: 4, term: 1 } })
})

test('of requests that were not applied nothing is told, and other entries pass', () => {
  const history = new ChangeHistory(1e6, START)
  const requests = ['a', 'b', 'c'].map((key, i) => ({
    client: key,
    seq: 1 + i,
    commands: `${key}=1`,
  }))
  history.addPlain(entry(1, requests), applied('gap', 'applied', 'duplicate'))
  history.addPlain(confEntry(2, 1), [])
  history.addPlain(entry(3, []), [])
  const block = history.read(0, {}, 1e6)!
  assert.deepEqual(shown(block.entries), ['1 put b'])
  assert.equal(block.through.index, 3)
})

test('whatever its entries, the history is bounded, has no gap, and reads like a list', () => {
  const sizes = fc.array(fc.oneof(fc.nat(50), fc.nat(9000)), { minLength: 1, maxLength: 80 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 60_000 }), fc.nat(3000), (all, bound, part) => {
      const entries = all.map((bytes, i) => putting(i + 1, `k${i % 3}`, bytes))
      const history = new ChangeHistory(bound, START)
      for (const each of entries) {
        history.addPlain(each, applied('applied'))
        assert.ok(history.bytes <= Math.max(bound, 24 + each.data.length) + bound / 8)
        assert.equal(history.lastIndex, each.index)
      }
      const { firstIndex, lastIndex } = history
      assert.ok(firstIndex <= lastIndex)
      assert.equal(history.read(firstIndex - 2, {}, 1), undefined)
      const found: string[] = []
      for (let after = firstIndex - 1; after < lastIndex; ) {
        const block = history.read(after, {}, part)!
        assert.ok(block.through.index > after)
        found.push(...shown(block.entries))
        after = block.through.index
      }
      const expected = entries
        .slice(firstIndex - 1)
        .map(({ index }) => `${index} put k${(index - 1) % 3}`)
      assert.deepEqual(found, expected)
    }),
    { numRuns: 200 },
  )
})

test('what a reader was given stays as it was, whatever comes after', () => {
  const history = filled(20_000, [putting(1, 'a', 10)])
  const [first] = history.read(0, {}, 1e6)!.entries
  for (let i = 2; i < 2000; i++) history.addPlain(putting(i, 'b', 30), applied('applied'))
  assert.ok(history.firstIndex > 1)
  assert.deepEqual(first!.changes, [
    { type: 'put', key: Buffer.from('a'), value: Buffer.from('x'.repeat(10)) },
  ])
})

test('an entry larger than the bound is there until the next one comes', () => {
  const history = filled(1000, [putting(1, 'a'), putting(2, 'b', 50_000)])
  assert.deepEqual([history.firstIndex, history.lastIndex], [2, 2])
  assert.equal(history.read(1, {}, 1e6)!.entries.length, 1)
  history.addPlain(putting(3, 'c'), applied('applied'))
  assert.deepEqual([history.firstIndex, history.lastIndex], [3, 3])
})

test('a history of no bytes knows where it is and nothing else', () => {
  const history = filled(0, [putting(1, 'a'), putting(2, 'b')])
  assert.deepEqual([history.firstIndex, history.lastIndex, history.bytes], [3, 2, 0])
  assert.equal(history.read(1, {}, 1), undefined)
  assert.deepEqual(history.read(2, {}, 1), { entries: [], through: { index: 2, term: 1 } })
})

test('one call of read looks at a bounded part', () => {
  const history = filled(
    1e7,
    Array.from({ length: 3000 }, (_, i) => putting(i + 1, 'a')),
  )
  const nothing = { gte: Buffer.from('b') }
  assert.equal(history.read(0, nothing, 1e6)!.through.index, 1000)
  const large = filled(
    1e8,
    Array.from({ length: 40 }, (_, i) => putting(i + 1, 'a', 100_000)),
  )
  assert.equal(large.read(0, nothing, 1e6)!.through.index, 11)
})

test('the history of a machine begins where it was opened, and anew when its state is replaced', async () => {
  const host = new TestHost(1)
  const first = await host.open()
  await host.run(first.apply([putting(1, 'a'), putting(2, 'b')]))
  assert.deepEqual([first.history.firstIndex, first.history.lastIndex], [1, 2])
  await host.run(first.close())
  const machine = await host.open()
  assert.deepEqual([machine.history.firstIndex, machine.history.lastIndex], [3, 2])
  await host.run(machine.apply([putting(3, 'c')]))
  const other = await host.run(host.databases.open('other'))
  await host.run(machine.replace(other))
  assert.deepEqual([machine.history.firstIndex, machine.history.lastIndex], [1, 0])
  await host.run(machine.apply([putting(1, 'd')]))
  assert.deepEqual(shown(machine.history.read(0, {}, 1e6)!.entries), ['1 put d'])
  assert.equal((await contents(host, machine)).length, 1)
})
