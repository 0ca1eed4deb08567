/** A database that refuses to be written, as LevelDB does once a flush has failed, is opened again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Database } from '../../src/env/database.js'
import type { MachineRecovery, StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import { confEntry, contents, entry, TestHost } from './machine-fixture.js'

const LAST = Buffer.from('last')

function entries(from: number, to: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const seq = from + i
    return entry(seq, [{ client: 'c', seq, commands: `k${seq % 5}=${seq} last=${seq}` }])
  })
}

interface Opening {
  readonly host: TestHost
  readonly machine: StateMachine
  /** What was asked of the log. */
  readonly asked: string[]
  /** How often the database was opened again. */
  opened: number
}

/** A machine with a log of `log`, whose database is opened again after `failures` attempts that fail. */
async function opening(
  seed: number,
  log: readonly Entry[],
  failures: number,
  change: (database: Database) => Database = (database) => database,
): Promise<Opening> {
  const host = new TestHost(seed)
  const state: Opening = { host, machine: await host.open(), asked: [], opened: 0 }
  let left = failures
  const recovery: MachineRecovery = {
    open: async () => {
      if (left-- > 0) throw new Error('no space left on device')
      state.opened++
      return change(await host.databases.open('state'))
    },
    entries: async (from, to) => {
      state.asked.push(`${from}..${to}`)
      return log.filter(({ index }) => index >= from && index <= Math.min(to, from + 2))
    },
    pause: () => new Promise((resolve) => host.world.schedule(500, resolve)),
  }
  state.machine.recoverWith(recovery)
  return state
}

/** Lets a checkpoint fail, after which the database takes no batch any more. */
async function breakDatabase({ host, machine }: Opening): Promise<void> {
  host.databases.failNextFlush()
  assert.equal(await host.run(machine.checkpoint()), undefined)
}

test('a batch that is refused is applied after the database was opened again and brought up to date', async () => {
  const log = [...entries(1, 20), confEntry(21, 7, 8), ...entries(22, 23)]
  for (const failures of [0, 3]) {
    const state = await opening(1, log, failures)
    const { host, machine } = state
    await host.run(machine.apply(log.slice(0, 10)))
    await host.run(machine.checkpoint())
    await host.run(machine.apply(log.slice(10, 21)))
    await breakDatabase(state)
    const applied = await host.run(machine.apply(log.slice(21)))
    assert.deepEqual(
      applied.map(({ index, outcomes }) => `${index} ${outcomes[0]!.status}`),
      ['22 gap', '23 gap'],
    )
    assert.equal(state.opened, 1)
    assert.ok(state.asked.length > 0)
    const twin = new TestHost(2)
    const alone = await twin.open()
    await twin.run(alone.apply(log))
    assert.deepEqual(await contents(host, machine), await contents(twin, alone))
    assert.equal(machine.digestAt(23), alone.digestAt(23))
    assert.deepEqual([machine.conf, [...machine.members]], [alone.conf, [...alone.members]])
    assert.equal(await host.run(machine.checkpoint()), 23)
    await host.run(machine.close())
  }
})

test('nobody sees the state go back: there is nothing to be read until it is where it was', async () => {
  const state = await opening(1, entries(1, 30), 2)
  const { host, machine } = state
  await host.run(machine.apply(entries(1, 10)))
  await host.run(machine.checkpoint())
  await host.run(machine.apply(entries(11, 20)))
  await breakDatabase(state)
  const view = machine.view()
  const applying = machine.apply(entries(21, 30))
  let isDone = false
  const done = applying.then(() => {
    isDone = true
  })
  let closedFor = 0
  await host.world.runUntil(() => {
    assert.ok(machine.appliedIndex >= 20)
    if (machine.isOpen) assert.ok(machine.get(LAST)!.revision >= 20)
    else {
      closedFor++
      assert.throws(() => machine.get(LAST), { code: 'QUORATE_NOT_READY', retryable: true })
      assert.throws(() => machine.view(), { code: 'QUORATE_NOT_READY' })
    }
    return isDone
  }, 60_000)
  await done
  assert.ok(closedFor > 0)
  assert.equal(machine.get(LAST)!.revision, 30)
  assert.throws(() => view.get(LAST), { code: 'QUORATE_NOT_READY' })
  await host.run(view.close())
})

test('a scan under way fails rather than hangs when its database is opened again', async () => {
  const state = await opening(1, entries(1, 30), 0)
  const { host, machine } = state
  await host.run(machine.apply(entries(1, 20)))
  await breakDatabase(state)
  const view = machine.view()
  const cursor = view.scan({}, false)
  const applying = machine.apply(entries(21, 30))
  const outcomes: string[] = []
  const scanning = (async () => {
    for (;;) await cursor.next(1, 1)
  })().catch((error: Error) => outcomes.push(error.message))
  await host.run(applying)
  await host.run(scanning)
  assert.deepEqual(outcomes, ['the state was closed under the call'])
  await host.run(cursor.close())
  await host.run(view.close())
})

test('a pin that waits is had after the database was opened again', async () => {
  const state = await opening(1, entries(1, 30), 0)
  const { host, machine } = state
  await host.run(machine.apply(entries(1, 20)))
  const pin = machine.pin(25)
  await breakDatabase(state)
  await host.run(machine.apply(entries(21, 30)))
  assert.ok((await pin) !== undefined)
})

test('a machine that is given up ends the attempts, and closes', async () => {
  const state = await opening(1, entries(1, 30), Number.POSITIVE_INFINITY)
  const { host, machine } = state
  await host.run(machine.apply(entries(1, 10)))
  await breakDatabase(state)
  const applying = assert.rejects(machine.apply(entries(11, 12)), /failed to flush/)
  await host.world.advance(5000)
  machine.giveUp()
  await host.run(applying)
  await host.run(machine.close())
})

test('a database that comes back with another state is not gone on with', async () => {
  const log = entries(1, 30)
  const other = entry(15, [{ client: 'd', seq: 1, commands: 'lost=1' }])
  const state = await opening(
    1,
    log.map((each) => (each.index === 15 ? other : each)),
    0,
  )
  const { host, machine } = state
  await host.run(machine.apply(log.slice(0, 10)))
  await host.run(machine.checkpoint())
  await host.run(machine.apply(log.slice(10, 20)))
  await breakDatabase(state)
  await assert.rejects(host.run(machine.apply(log.slice(20))), { code: 'QUORATE_CORRUPTION' })
  await host.run(machine.close())
})

test('a value is put back between two applies, and only in the place of the damaged one', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply(entries(1, 4)))
  const view = machine.view()
  // Here the bytes that are right are taken for the damaged ones.
  const damaged = view.stored(LAST)!
  const digest = machine.digestAt(4)
  const good = Buffer.from(damaged)
  good[good.length - 1]! ^= 1
  const heals = [machine.heal(LAST, good, damaged), machine.heal(LAST, damaged, good)]
  assert.deepEqual(await host.run(Promise.all(heals)), [false, true])
  assert.throws(() => machine.get(LAST), { code: 'QUORATE_CORRUPTION' })
  const applying = machine.apply(entries(5, 5))
  const late = [machine.heal(LAST, good, damaged), machine.heal(LAST, undefined, damaged)]
  await host.run(applying)
  assert.deepEqual(await host.run(Promise.all(late)), [false, false])
  assert.equal(machine.get(LAST)!.revision, 5)
  assert.equal(machine.digestAt(4), digest)
  await host.run(view.close())
})
