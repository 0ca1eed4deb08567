/** SimDatabases: the contract of Database, and the behaviours of LevelDB that it imitates. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimDatabases } from '../../src/sim/sim-database.js'
import { SimWorld } from '../../src/sim/world.js'
import { databaseContract } from '../contract/database.js'

databaseContract('simulation', async () => {
  const world = new SimWorld(7)
  const databases = new SimDatabases(world, 'a')
  return {
    databases,
    dir: 'data/state',
    run: (promise) => world.complete(promise, 60_000),
    crash: async () => {
      databases.powerCut()
      return 'data/state'
    },
    close: async () => undefined,
  }
})

function open(seed: number) {
  const world = new SimWorld(seed)
  const databases = new SimDatabases(world, 'a')
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  return { world, databases, run, database: () => run(databases.open('state')) }
}

test('crashes over many seeds end at the flush, at the last batch and between', async () => {
  const counts = new Set<number>()
  for (let seed = 0; seed < 40; seed++) {
    const { databases, run, database } = open(seed)
    const first = await database()
    for (let i = 1; i <= 20; i++) {
      const batch = first.batch()
      batch.put(Buffer.from('count'), Buffer.of(i))
      await run(batch.write())
      if (i === 5) await run(first.flush())
    }
    databases.powerCut()
    counts.add((await database()).get(Buffer.from('count'))![0]!)
  }
  assert.equal(Math.min(...counts), 5)
  assert.ok(counts.size > 3, [...counts].join())
})

test('no call of a killed process settles, and its writes reach nobody', async () => {
  const { world, databases, database } = open(1)
  const first = await database()
  const batch = first.batch()
  batch.put(Buffer.from('a'), Buffer.of(1))
  let settled = 0
  const count = () => settled++
  batch.write().then(count, count)
  first.flush().then(count, count)
  databases.kill()
  await world.advance(1000)
  assert.equal(settled, 0)
  assert.throws(() => first.get(Buffer.from('a')), { code: 'QUORATE_NOT_OPEN' })
  assert.equal((await database()).get(Buffer.from('a')), undefined)
})

test('a flush that fails says false, and every write after it fails until reopened', async () => {
  const { databases, run, database } = open(2)
  const first = await database()
  databases.failNextFlush()
  assert.equal(await run(first.flush()), false)
  const batch = first.batch()
  batch.put(Buffer.from('a'), Buffer.of(1))
  await assert.rejects(run(batch.write()))
  await run(first.close())
  assert.equal(await run((await database()).flush()), true)
})

test('a folder is open once at a time', async () => {
  const { databases, run, database } = open(3)
  const first = await database()
  await assert.rejects(run(databases.open('state')), { code: 'QUORATE_LOCKED' })
  await run(first.close())
  await run((await database()).close())
})

test('the same seed gives the same times', async () => {
  const times = []
  for (let i = 0; i < 2; i++) {
    const { world, run, database } = open(4)
    await run((await database()).flush())
    times.push(world.now)
  }
  assert.equal(times[0], times[1])
})
