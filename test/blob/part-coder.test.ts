import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByteBudget } from '../../src/blob/byte-budget.js'
import { Latencies } from '../../src/blob/latencies.js'
import { PartCache } from '../../src/blob/part-cache.js'
import { type IndexedShard, PartCoder } from '../../src/blob/part-coder.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'
import { noise } from './blob-fixture.js'

function newCoder(): PartCoder {
  return new PartCoder(() => new JavaScriptBackend(), Number.POSITIVE_INFINITY)
}

test('I8: any k shards of any slots give the part, and every other shard', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 254 }), { minLength: 7, maxLength: 9 }),
      fc.integer({ min: 1, max: 300 }),
      fc.infiniteStream(fc.nat()),
      async (dataShards, slots, bytes, order) => {
        const coder = newCoder()
        const data = noise(bytes, dataShards)
        const part = { bytes, dataShards }
        const padded = Buffer.concat([data, Buffer.alloc(dataShards)])
        const bodies = await coder.shardsOf(padded, part, slots)
        const all = bodies.map((body, i): IndexedShard => ({ index: slots[i]!, body }))
        const ranks = new Map(all.map((shard) => [shard, order.next().value as number]))
        const chosen = all.toSorted((a, b) => ranks.get(a)! - ranks.get(b)!).slice(0, dataShards)
        assert.ok((await coder.dataOf(chosen, part)).equals(data))
        for (const { index, body } of all) {
          const others = all.filter((shard) => shard.index !== index).slice(0, dataShards)
          assert.ok((await coder.shardFrom(others, part, index)).equals(body))
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('what a cache keeps is bounded, and what was used last stays', () => {
  const cache = new PartCache(1_000)
  for (const name of ['a', 'b', 'c', 'd']) cache.put(name, Buffer.alloc(250))
  assert.ok(cache.get('a'))
  cache.put('e', Buffer.alloc(250))
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map((name) => cache.get(name) !== undefined),
    [true, false, true, true, true],
  )
  cache.put('too large', Buffer.alloc(251))
  assert.equal(cache.get('too large'), undefined)
  assert.equal(cache.bytes, 1_000)
})

test('a budget admits in order, one that wants more than there is when nobody else has any', async () => {
  const budget = new ByteBudget(10)
  const admitted: string[] = []
  const want = (name: string, bytes: number) =>
    budget.take(bytes).then(() => {
      admitted.push(name)
    })
  await want('a', 6)
  const rest = [want('b', 20), want('c', 1)]
  assert.equal(budget.tryTake(5), false)
  await Promise.resolve()
  assert.deepEqual(admitted, ['a'])
  budget.give(6)
  await rest[0]
  assert.deepEqual(admitted, ['a', 'b'])
  budget.give(20)
  await rest[1]
  budget.give(1)
  assert.equal(budget.usedBytes, 0)
})

test('an answer is late when it takes longer than nearly all of the last ones', () => {
  const latencies = new Latencies()
  const before = latencies.lateMs
  for (let i = 0; i < 64; i++) latencies.record(i < 60 ? 40 : 500)
  assert.equal(latencies.lateMs, 500)
  for (let i = 0; i < 64; i++) latencies.record(1)
  assert.ok(latencies.lateMs < before)
})
