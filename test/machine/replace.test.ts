/** Pins of the state at exact indexes, and going on from another database. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Database, DatabaseSnapshot } from '../../src/env/database.js'
import { appliedOf } from '../../src/machine/machine-view.js'
import { PINS_MAX } from '../../src/machine/pins.js'
import { StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import { conf, confEntry, contents, dumpOf, entry, OPTIONS, TestHost } from './machine-fixture.js'

function puts(from: number, to: number, value = 'v'): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const seq = from + i
    return entry(seq, [{ client: 'c', seq, commands: `k${seq}=${value}${seq} last=${seq}` }])
  })
}

async function applied(host: TestHost, to: number): Promise<StateMachine> {
  const machine = await host.open()
  await host.run(machine.apply(puts(1, to)))
  return machine
}

/** Another database, durable in the state after the entries up to `to`. */
async function otherDatabase(host: TestHost, entries: readonly Entry[]): Promise<Database> {
  const machine = await host.run(StateMachine.open(host.databases, 'other', OPTIONS))
  await host.run(machine.apply(entries))
  await host.run(machine.close())
  return host.run(host.databases.open('other'))
}

function indexOf(snapshot: DatabaseSnapshot | undefined): number | undefined {
  return snapshot && appliedOf(snapshot).index
}

test('a pin is the state of exactly its entry, whatever is applied in the same call', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 2)
  const pins = [5, 3, 9, 5].map((index) => machine.pin(index))
  await host.run(machine.apply(puts(3, 12)))
  const pinned = await host.run(Promise.all(pins))
  assert.deepEqual(pinned.map(indexOf), [5, 3, 9, 5])
  const alone = new TestHost(2)
  const other = await alone.run(alone.databases.open('other'))
  const twin = await alone.run(StateMachine.over(other, OPTIONS))
  await alone.run(twin.apply(puts(1, 5)))
  const asDatabase = { snapshot: () => pinned[0]! } as Database
  assert.deepEqual(
    await dumpOf(asDatabase, (promise) => host.run(promise)),
    await dumpOf(other, (promise) => alone.run(promise)),
  )
})

test('a pin of the present state is had at once, one of a former state never', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 3)
  assert.equal(indexOf(await machine.pin(3)), 3)
  assert.equal(await machine.pin(2), undefined)
})

test('a pin that comes while a batch is being written is exact or refused', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const host = new TestHost(seed)
    const machine = await applied(host, 3)
    const applying = machine.apply(puts(4, 8))
    const pins: Promise<DatabaseSnapshot | undefined>[] = []
    let isDone = false
    const done = applying.then(() => {
      isDone = true
    })
    await host.world.runUntil(() => {
      for (const index of [3, 5, 8]) pins.push(machine.pin(index))
      return isDone
    }, 60_000)
    await done
    const indexes = (await host.run(Promise.all(pins))).map(indexOf)
    assert.ok(indexes.includes(8))
    for (const [i, index] of indexes.entries()) {
      assert.ok(index === undefined || index === [3, 5, 8][i % 3], `${i}: ${index}`)
      assert.notEqual(index, 5)
    }
  }
})

test('of more pins than may wait the oldest is given up, and all are at close', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 1)
  const pins = Array.from({ length: PINS_MAX + 1 }, (_, i) => machine.pin(10 + i))
  assert.equal(await pins[0], undefined)
  await host.run(machine.close())
  assert.equal(await pins[PINS_MAX], undefined)
})

test('a machine goes on from another database: reads, sessions, digest, configuration', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 2)
  const entries = [...puts(1, 6, 'w'), confEntry(7, 8, 9)]
  await host.run(machine.replace(await otherDatabase(host, entries)))
  assert.deepEqual([machine.appliedIndex, machine.checkpointIndex], [7, 7])
  assert.deepEqual([machine.conf, [...machine.members]], [conf(8, 9), [8, 9]])
  assert.equal(machine.get(Buffer.from('k2'))?.value.toString(), 'w2')
  const twin = new TestHost(2)
  const alone = await twin.open()
  await twin.run(alone.apply(entries))
  assert.equal(machine.digestAt(7), alone.digestAt(7))
  const next = entry(8, [
    { client: 'c', seq: 6, commands: 'again=1' },
    { client: 'c', seq: 7, commands: 'next=1' },
  ])
  const [outcome] = await host.run(machine.apply([next]))
  assert.deepEqual(
    outcome!.outcomes.map(({ status }) => status),
    ['duplicate', 'applied'],
  )
  await twin.run(alone.apply([next]))
  assert.deepEqual(await contents(host, machine), await contents(twin, alone))
  assert.equal(machine.digestAt(8), alone.digestAt(8))
})

test('views and pins of the former database stay valid, and the last one closes it', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 2)
  const view = machine.view()
  const pin = (await machine.pin(2))!
  const many = machine.getMany([Buffer.from('k1')])
  const { closed } = await host.run(machine.replace(await otherDatabase(host, puts(1, 4, 'w'))))
  let isClosed = false
  const closing = closed.then(() => {
    isClosed = true
  })
  assert.equal(view.get(Buffer.from('k2'))?.value.toString(), 'v2')
  assert.equal((await host.run(many))[0]?.value.toString(), 'v1')
  await host.run(view.close())
  await host.run(view.close())
  assert.deepEqual([indexOf(pin), isClosed], [2, false])
  await host.run(pin.close())
  await host.run(closing)
  await host.run(host.databases.open('state'))
})

test('a database is replaced after the apply under way, never within it', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 2)
  const other = await otherDatabase(host, puts(1, 6, 'w'))
  const applying = machine.apply(puts(3, 4))
  const replacing = machine.replace(other)
  await host.run(applying)
  await host.run(replacing)
  assert.equal(machine.appliedIndex, 6)
  await host.run(machine.apply(puts(7, 7)))
  assert.equal(machine.get(Buffer.from('k4'))?.value.toString(), 'w4')
})

test('pins that the new state has passed are given up, one that it is at is had', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 2)
  const pins = [3, 6, 7].map((index) => machine.pin(index))
  await host.run(machine.replace(await otherDatabase(host, puts(1, 6, 'w'))))
  await host.run(machine.apply(puts(7, 7)))
  assert.deepEqual((await host.run(Promise.all(pins))).map(indexOf), [undefined, 6, 7])
})

test('a database that is damaged does not replace anything', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 2)
  const other = await otherDatabase(host, puts(1, 6, 'w'))
  const batch = other.batch()
  batch.del(Buffer.of(0))
  await host.run(batch.write())
  await assert.rejects(host.run(machine.replace(other)), { code: 'QUORATE_CORRUPTION' })
  assert.equal(machine.appliedIndex, 2)
  await host.run(machine.apply(puts(3, 3)))
})

test('a machine that stopped when its database refused a write goes on from another one', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 4)
  await host.run(machine.checkpoint())
  await host.run(machine.apply(puts(5, 6)))
  host.databases.failNextFlush()
  assert.equal(await host.run(machine.checkpoint()), undefined)
  await assert.rejects(host.run(machine.apply(puts(7, 7))))
  const other = await otherDatabase(host, puts(1, 4))
  await host.run(machine.replace(other))
  assert.deepEqual([machine.appliedIndex, machine.checkpointIndex], [4, 4])
  await host.run(machine.apply(puts(5, 7)))
  assert.equal(machine.get(Buffer.from('last'))?.revision, 7)
})

test('a flush that fails after the database was replaced says nothing about the new one', async () => {
  const host = new TestHost(1)
  const machine = await applied(host, 4)
  const other = await otherDatabase(host, puts(1, 2))
  host.databases.failNextFlush()
  const checkpoint = machine.checkpoint()
  await host.run(machine.replace(other))
  assert.equal(await host.run(checkpoint), 2)
})
