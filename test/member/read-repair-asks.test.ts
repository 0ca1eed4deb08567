/** How ReadRepair asks others, by itself: two state machines and the frames between them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import type { Database, Databases } from '../../src/env/database.js'
import type { StateMachine } from '../../src/machine/state-machine.js'
import type { PendingRead, ReadPosition, StoredValue } from '../../src/member/backend.js'
import { demand } from '../../src/member/demand.js'
import { ReadRepair, type Repaired } from '../../src/member/read-repair.js'
import { SimDatabases } from '../../src/sim/sim-database.js'
import { SimTime } from '../../src/sim/sim-time.js'
import type { SimWorld } from '../../src/sim/world.js'
import { entry, OPTIONS, TestHost } from '../machine/machine-fixture.js'

const LAST = Buffer.from('last')

/** Databases in which some keys cannot be read. */
function unreadable(inner: Databases, keys: ReadonlySet<string>): Pick<Databases, 'open'> {
  const get = (read: (key: Uint8Array) => Uint8Array | undefined) => (key: Uint8Array) => {
    if (keys.has(Buffer.from(key).toString('latin1', 1))) {
      throw new StoreError('QUORATE_CORRUPTION', 'LevelDB in state is damaged')
    }
    return read(key)
  }
  return {
    open: async (dir) => {
      const database: Database = await inner.open(dir)
      return {
        get: get((key) => database.get(key)),
        getMany: (all) => database.getMany(all),
        snapshot: () => {
          const snapshot = database.snapshot()
          return {
            get: get((key) => snapshot.get(key)),
            getMany: (all) => snapshot.getMany(all),
            cursor: (options) => snapshot.cursor(options),
            close: () => snapshot.close(),
          }
        },
        batch: () => database.batch(),
        flush: () => database.flush(),
        close: () => database.close(),
      }
    },
  }
}

class Member {
  readonly machine: StateMachine
  readonly repaired: Repaired[] = []
  readonly unreadable: StoreError[] = []
  readonly repair: ReadRepair
  isMute = false
  isSound = true

  constructor(world: SimWorld, node: number, machine: StateMachine, members: Map<number, Member>) {
    this.machine = machine
    const time = new SimTime(world)
    this.repair = new ReadRepair(
      {
        time,
        view: () => machine.view(),
        heal: (key, damaged, stored) => machine.heal(key, damaged, stored),
        sources: () => [...members.keys()].filter((other) => other !== node).sort(),
        send: (to, kind, parts) => {
          const frame = Buffer.concat(parts)
          world.schedule(1, () => {
            if (!this.isMute) members.get(to)!.repair.onFrame(node, kind, frame)
          })
          return true
        },
        isSound: () => this.isSound,
        reach: async (index) => {
          while (machine.appliedIndex < index) {
            await new Promise<void>((resolve) => world.schedule(1, resolve))
          }
        },
        served: (position) => ({
          ...position,
          servedBy: `${node}`,
          role: 'follower',
          stalenessMs: undefined,
        }),
        own: () => {},
        onRepaired: (repaired) => this.repaired.push(repaired),
        onUnreadable: (error) => this.unreadable.push(error),
        fail: (error) => assert.fail(String(error)),
      },
      1,
    )
    const tick = () => {
      this.repair.tick(time.now())
      world.schedule(50, tick)
    }
    tick()
    members.set(node, this)
  }
}

function entries(from: number, to: number) {
  return Array.from({ length: to - from + 1 }, (_, i) =>
    entry(from + i, [{ client: 'c', seq: from + i, commands: `last=${from + i} other=1` }]),
  )
}

/** Members 1 to `count` at index 5; the first cannot read `keys`. */
async function members(host: TestHost, count: number, keys: ReadonlySet<string>) {
  const all = new Map<number, Member>()
  for (let node = 1; node <= count; node++) {
    const databases = new SimDatabases(host.world, `${node}`)
    const seen = node === 1 ? unreadable(databases, keys) : databases
    const machine = await host.open(OPTIONS, seen)
    await host.run(machine.apply(entries(1, 5)))
    new Member(host.world, node, machine, all)
  }
  return all
}

interface Answer {
  readonly values: readonly (StoredValue | undefined)[]
  readonly position: ReadPosition
}

function read(member: Member, key: Buffer, deadline = 60_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const pending: PendingRead = {
      keys: [key],
      ...demand('eventual', 0, deadline),
      abandoned: false,
      complete: (values, { index, term }) => resolve({ values, position: { index, term } }),
      fail: reject,
    }
    member.repair.serve(pending, new StoreError('QUORATE_CORRUPTION', 'as it was found'))
  })
}

test('what cannot be read at all is had from another member, and then the database is rebuilt', async () => {
  const host = new TestHost(1)
  const all = await members(host, 2, new Set(['last']))
  const first = all.get(1)!
  const { values, position } = await host.run(read(first, LAST))
  assert.deepEqual([values[0]!.value.toString(), values[0]!.revision, position.index], ['5', 5, 5])
  assert.deepEqual(
    first.unreadable.map(({ code }) => code),
    ['QUORATE_CORRUPTION'],
  )
})

test('a member that does not answer, or whose state is out of use, is passed over', async () => {
  const host = new TestHost(1)
  const all = await members(host, 4, new Set(['last']))
  all.get(2)!.isMute = true
  all.get(3)!.isSound = false
  const from = host.world.now
  const { values } = await host.run(read(all.get(1)!, LAST))
  assert.equal(values[0]!.revision, 5)
  assert.ok(host.world.now - from < 1500)
  all.get(4)!.isSound = false
  await assert.rejects(host.run(read(all.get(1)!, LAST)), {
    code: 'QUORATE_CORRUPTION',
    message: /no other member/,
  })
})

test('a member that is behind is asked again, and never answers from an older state', async () => {
  const host = new TestHost(1)
  const all = await members(host, 2, new Set(['last']))
  const [first, second] = [all.get(1)!, all.get(2)!]
  await host.run(first.machine.apply(entries(6, 8)))
  const reading = read(first, LAST)
  await host.world.advance(300)
  const applying = second.machine.apply(entries(6, 8))
  const { values, position } = await host.run(reading)
  await host.run(applying)
  assert.deepEqual([values[0]!.revision, position.index], [8, 8])
})

test('a value that was changed after the state of the read is read anew', async () => {
  const host = new TestHost(1)
  const keys = new Set(['last'])
  const all = await members(host, 1, keys)
  const machine = await host.open(OPTIONS, new SimDatabases(host.world, 'ahead'))
  await host.run(machine.apply(entries(1, 7)))
  new Member(host.world, 2, machine, all)
  const first = all.get(1)!
  const reading = read(first, LAST)
  await host.world.advance(20)
  keys.clear()
  await host.run(first.machine.apply(entries(6, 7)))
  const { values, position } = await host.run(reading)
  assert.deepEqual([values[0]!.revision, position.index], [7, 7])
  assert.equal(first.repaired.length, 0)
})

test('when repairs end, reads under repair fail and nobody is asked any more', async () => {
  const host = new TestHost(1)
  const all = await members(host, 2, new Set(['last']))
  all.get(1)!.isMute = true
  const reading = assert.rejects(read(all.get(1)!, LAST), { code: 'QUORATE_CORRUPTION' })
  await host.world.advance(10)
  all.get(1)!.repair.end()
  await host.run(reading)
  await assert.rejects(read(all.get(1)!, LAST), { message: 'as it was found' })
})
