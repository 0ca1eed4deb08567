/** StateMachine: applying, reading, checkpoints and recovery, on the simulated database. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { InvariantError } from '../../src/base/assert.js'
import type { Databases } from '../../src/env/database.js'
import type { Configuration } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import {
  clientId,
  conf,
  confEntry,
  contents,
  entry,
  OPTIONS,
  TestHost,
  type TestRequest,
} from './machine-fixture.js'

function put(seq: number, commands: string, client = 'c'): TestRequest {
  return { client, seq, commands }
}

const A = Buffer.from('a')
const B = Buffer.from('b')

test('a new state machine is empty, at index 0, with the initial configuration', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  assert.deepEqual(machine.status(), { appliedIndex: 0, checkpointIndex: 0, sessions: 0 })
  assert.deepEqual([machine.appliedTerm, machine.conf], [0, conf(1, 2, 3)])
  assert.equal(machine.get(A), undefined)
  const view = machine.view()
  assert.deepEqual([view.appliedIndex, view.appliedTerm, view.get(A)], [0, 0, undefined])
})

test('a value carries the index of the entry that changed it last', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply([entry(1, [put(1, 'a=1 b=1')]), entry(2, [put(2, 'a=2')], 3)]))
  assert.deepEqual(machine.get(A), { value: Buffer.from('2'), revision: 2 })
  assert.deepEqual(await host.run(machine.getMany([B, Buffer.from('x'), A])), [
    { value: Buffer.from('1'), revision: 1 },
    undefined,
    { value: Buffer.from('2'), revision: 2 },
  ])
  assert.deepEqual([machine.appliedIndex, machine.appliedTerm], [2, 3])
})

test('commands take effect in their order, a batch like its operations one by one', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(
    machine.apply([
      entry(1, [put(1, 'a=1 a a=2 b=1 b c=1+d=1+c+d=2')]),
      entry(2, [put(2, 'a+e=1')]),
    ]),
  )
  assert.deepEqual(await contents(host, machine), ['d=2@1', 'e=1@2'])
})

test('an empty entry and a configuration entry move the index, too', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  const applied = await host.run(machine.apply([entry(1, []), confEntry(2, 4, 5), entry(3, [])]))
  assert.deepEqual(applied, [
    { index: 1, term: 1, outcomes: [], configuration: undefined, expiry: [], coded: [] },
    {
      index: 2,
      term: 1,
      outcomes: [],
      configuration: { conf: conf(4, 5), members: Uint8Array.of(4, 5) },
      expiry: [],
      coded: [],
    },
    { index: 3, term: 1, outcomes: [], configuration: undefined, expiry: [], coded: [] },
  ])
  assert.deepEqual([machine.appliedIndex, machine.conf], [3, conf(4, 5)])
})

test('configuration changes come in order, and survive with the index that made them', async () => {
  const host = new TestHost(1)
  const asked: number[] = []
  const joint = {
    ...conf(1, 2),
    votersOutgoing: [3],
    learners: [9],
    learnersNext: [3],
    autoLeave: true,
  }
  const options = {
    ...OPTIONS,
    confChange: (_before: Configuration, { index }: Entry) => {
      asked.push(index)
      return { conf: index === 2 ? joint : conf(1), members: Uint8Array.of(index) }
    },
  }
  const machine = await host.open(options)
  await host.run(machine.apply([confEntry(1), confEntry(2)]))
  assert.deepEqual(asked, [1, 2])
  assert.equal(await host.run(machine.checkpoint()), 2)
  await host.run(machine.close())
  const again = await host.open(options)
  assert.deepEqual([again.appliedIndex, again.conf], [2, joint])
  assert.deepEqual([...again.members], [2])
})

test('a configuration entry that changes nothing is told from one that does', async () => {
  const host = new TestHost(1)
  const machine = await host.open({ ...OPTIONS, confChange: (before) => before })
  const [applied] = await host.run(machine.apply([confEntry(1, 4)]))
  assert.equal(applied?.configuration, undefined)
  assert.deepEqual([machine.conf, [...machine.members]], [conf(1, 2, 3), [1, 2, 3]])
})

test('apply refuses entries that are applied already, and gaps (T-39)', async () => {
  const host = new TestHost(1)
  for (const index of [1, 3]) {
    const machine = await host.open()
    await host.run(machine.apply([entry(machine.appliedIndex + 1, [])]))
    const wrong = entry(index === 1 ? machine.appliedIndex : machine.appliedIndex + 2, [])
    await assert.rejects(host.run(machine.apply([wrong])), InvariantError)
    await host.run(machine.close())
  }
})

test('an entry that cannot be decoded stops the machine, and nothing of it is seen', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  const good = entry(1, [put(1, 'a=1 b=1')])
  const cut = { ...good, data: good.data.subarray(0, -1) }
  const newer = { ...good, data: Uint8Array.of(3, 0, 0) }
  await assert.rejects(host.run(machine.apply([cut])), { code: 'QUORATE_FORMAT' })
  await assert.rejects(host.run(machine.apply([good])), { code: 'QUORATE_STOPPED' })
  assert.equal(machine.get(A), undefined)
  await host.run(machine.close())
  const again = await host.open()
  assert.equal(again.appliedIndex, 0)
  await assert.rejects(host.run(again.apply([newer])), { code: 'QUORATE_FORMAT' })
})

test('a view stays at its index while entries are applied', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply([entry(1, [put(1, 'a=1 b=1 c=1')])]))
  const view = machine.view()
  const cursor = view.scan({ gt: A }, true)
  await host.run(machine.apply([entry(2, [put(2, 'a=2 b c=2 d=2')], 7)]))
  assert.equal(view.appliedIndex, 1)
  assert.deepEqual(view.get(A), { value: Buffer.from('1'), revision: 1 })
  const [a, d] = await host.run(view.getMany([A, Buffer.from('d')]))
  assert.deepEqual([a!.revision, d], [1, undefined])
  const found = await host.run(cursor.next(10, 1000))
  assert.deepEqual(
    found.map(([key, stored]) => `${key}=${stored.value}`),
    ['c=1', 'b=1'],
  )
  await host.run(cursor.close())
  await host.run(view.close())
  const later = machine.view()
  assert.deepEqual([later.appliedIndex, later.appliedTerm], [2, 7])
})

test('a read never sees more than `visible` says, and a view is exactly at its index', async () => {
  const host = new TestHost(3)
  const machine = await host.open()
  let seenEarly = 0
  for (let index = 1; index <= 30; index++) {
    const applying = machine.apply([entry(index, [put(index, `a=${index}`)])])
    let isDone = false
    const done = applying.then(() => {
      isDone = true
    })
    await host.world.runUntil(() => {
      const view = machine.view()
      const revision = machine.get(A)?.revision ?? 0
      assert.ok(revision >= machine.appliedIndex && revision <= machine.visible.index)
      assert.equal(view.get(A)?.revision ?? 0, view.appliedIndex)
      if (revision > machine.appliedIndex) seenEarly++
      return isDone
    }, 60_000)
    await done
  }
  assert.ok(seenEarly > 0, 'the simulation shows a batch before its write resolves')
})

test('a scan sees the keys of its range only, and no record that is not a value', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply([entry(1, [put(1, 'a=1 b=1 c=1 d=1')])]))
  const keysOf = async (range: object, reverse: boolean) => {
    const view = machine.view()
    const found = await host.run(view.scan(range, reverse).next(100, 10_000))
    await host.run(view.close())
    return found.map(([key]) => key.toString()).join('')
  }
  const C = Buffer.from('c')
  assert.equal(await keysOf({}, false), 'abcd')
  assert.equal(await keysOf({}, true), 'dcba')
  assert.equal(await keysOf({ gt: A, lt: C }, false), 'b')
  assert.equal(await keysOf({ gte: A, lte: C }, true), 'cba')
  assert.equal(await keysOf({ gte: Buffer.of(0xff) }, false), '')
  assert.equal(await keysOf({ lt: Buffer.of(0) }, true), '')
})

/** Changes the record under `key` in what a closed state machine left. */
async function tamper(
  host: TestHost,
  key: Buffer,
  change: (record: Buffer) => Buffer | undefined,
): Promise<void> {
  const database = await host.run(host.databases.open('state'))
  const changed = change(Buffer.from(database.get(key)!))
  const batch = database.batch()
  if (changed === undefined) batch.del(key)
  else batch.put(key, changed)
  await host.run(batch.write())
  await host.run(database.flush())
  await host.run(database.close())
}

const STATE_KEY = Buffer.of(0)
const STORED_A = Buffer.from('\u0001a')
const SESSION_KEY = Buffer.concat([Buffer.of(2), clientId('c')])

async function closedHost(): Promise<TestHost> {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply([entry(1, [put(1, 'a=value')])]))
  await host.run(machine.close())
  return host
}

test('no bit of a stored value can change unseen (design D10)', async () => {
  const { length } = Buffer.from('value')
  for (let bit = 0; bit < 8 * (11 + length); bit++) {
    const host = await closedHost()
    await tamper(host, STORED_A, (stored) => {
      stored[bit >> 3]! ^= 1 << (bit & 7)
      return stored
    })
    const machine = await host.open()
    const corrupt = { code: 'QUORATE_CORRUPTION' }
    assert.throws(() => machine.get(A), corrupt, `bit ${bit}`)
    await assert.rejects(host.run(machine.getMany([A])), corrupt)
    await assert.rejects(host.run(machine.view().scan({}, false).next(1, 100)), corrupt)
  }
})

test('a value under the key of another one, or cut short, is corruption', async () => {
  const host = await closedHost()
  let stored: Buffer = Buffer.alloc(0)
  await tamper(host, STORED_A, (record) => {
    stored = record
    return record.subarray(0, 10)
  })
  const machine = await host.open()
  assert.throws(() => machine.get(A), { code: 'QUORATE_CORRUPTION' })
  await host.run(machine.apply([entry(2, [put(2, 'b=other')])]))
  await host.run(machine.close())
  await tamper(host, Buffer.from('\u0001b'), () => stored)
  const again = await host.open()
  assert.throws(() => again.get(B), { code: 'QUORATE_CORRUPTION' })
})

test('damaged or missing records of the state machine itself are refused at open', async () => {
  const damages: Record<string, (record: Buffer) => Buffer | undefined> = {
    flipped: (record) => Buffer.from(record.map((byte, i) => (i === 20 ? byte ^ 4 : byte))),
    cut: (record) => record.subarray(0, -1),
    empty: () => Buffer.alloc(0),
    gone: () => undefined,
  }
  for (const key of [STATE_KEY, SESSION_KEY]) {
    for (const [title, damage] of Object.entries(damages)) {
      const host = await closedHost()
      await tamper(host, key, damage)
      await assert.rejects(host.open(), { code: 'QUORATE_CORRUPTION' }, `${key[0]} ${title}`)
    }
  }
})

test('a state record without the members, or members without a state record, are refused at open', async () => {
  for (const key of [STATE_KEY, Buffer.of(0, 1)]) {
    const host = await closedHost()
    await tamper(host, key, () => undefined)
    await assert.rejects(
      host.open(),
      { code: 'QUORATE_CORRUPTION' },
      `without ${key.toString('hex')}`,
    )
  }
})

test('the bytes in the database are those of docs/formats.md', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  const put = { client: 'client 8', seq: 1, commands: 'a=hello', base: 1 }
  await host.run(machine.apply([entry(1, []), entry(2, [put], 3)]))
  await host.run(machine.close())
  const one = '0100000000000000'
  const two = '0200000000000000'
  const three = '0300000000000000'
  const digest = '7fe303998368e58b'
  const index = `${two}${three}${'00'.repeat(8)}${one}01000000${digest}${one}${two}${three}`
  assert.deepEqual(await host.dump(), [
    `00 02000300000000000000${index}00b312da`,
    '0001 010203',
    '0161 0133eb344002000000000068656c6c6f',
    `02636c69656e742038 02${one}${one}${one}${two}${two}${three}0000cf4a16ce`,
  ])
})

test('records and values of a newer version are refused, not guessed', async () => {
  const resealed = (key: Uint8Array) => (record: Buffer) => {
    record[0] = 3
    record.writeUInt32LE(crc32(record.subarray(0, -4), crc32(key)), record.length - 4)
    return record
  }
  for (const [key, sealedWith] of [
    [STATE_KEY, Buffer.alloc(0)],
    [SESSION_KEY, clientId('c')],
  ] as const) {
    const host = await closedHost()
    await tamper(host, key, resealed(sealedWith))
    await assert.rejects(host.open(), { code: 'QUORATE_FORMAT' })
  }
  const host = await closedHost()
  await tamper(host, STORED_A, (record) => {
    record[0] = 77
    const header = Buffer.concat([
      A,
      record.subarray(11),
      record.subarray(0, 1),
      record.subarray(5, 11),
    ])
    record.writeUInt32LE(crc32(header), 1)
    return record
  })
  const machine = await host.open()
  assert.throws(() => machine.get(A), { code: 'QUORATE_FORMAT' })
})

test('a checkpoint is durable, a failed one promises nothing, and close takes one', async () => {
  const host = new TestHost(5)
  const machine = await host.open()
  await host.run(machine.apply([entry(1, [put(1, 'a=1')])]))
  assert.equal(machine.checkpointIndex, 0)
  assert.equal(await host.run(machine.checkpoint()), 1)
  assert.equal(machine.checkpointIndex, 1)
  await host.run(machine.apply([entry(2, [put(2, 'a=2')])]))
  host.databases.powerCut()
  const second = await host.open()
  assert.ok(second.appliedIndex >= 1)
  await host.run(second.apply([entry(second.appliedIndex + 1, [put(9, 'a=9', 'd')])]))
  host.databases.failNextFlush()
  const before = second.checkpointIndex
  assert.equal(await host.run(second.checkpoint()), undefined)
  assert.equal(second.checkpointIndex, before)
  await host.run(second.close())
  const third = await host.open()
  const next = third.appliedIndex + 1
  await host.run(third.apply([entry(next, [put(1, 'z=1', 'e')])]))
  await host.run(third.close())
  assert.equal((await host.open()).appliedIndex, next)
})

test('a checkpoint beside apply names an index that is durable', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const host = new TestHost(seed)
    const machine = await host.open()
    const entries = Array.from({ length: 20 }, (_, i) => entry(i + 1, [put(i + 1, `k${i}=1`)]))
    await host.run(machine.apply(entries.slice(0, 5)))
    const checkpoint = machine.checkpoint()
    const applying = machine.apply(entries.slice(5))
    const index = await host.run(checkpoint)
    assert.equal(index, 5)
    await host.run(applying)
    host.databases.powerCut()
    assert.ok((await host.open()).appliedIndex >= 5)
  }
})

/** Entries with many operations, so that one call of apply needs several batches. */
function longLog(entryCount: number): Entry[] {
  return Array.from({ length: entryCount }, (_, i) => {
    const words = Array.from({ length: 300 }, (_, j) => `k${(i * 7 + j) % 500}=${i}`)
    return entry(i + 1, [put(i + 1, words.join(' ')), put(1, `x${i}=1`, `d${i % 4}`)])
  })
}

test('state and outcomes do not depend on how the log is cut into calls and batches', async () => {
  const log = longLog(30)
  const results: unknown[] = []
  for (const cut of [30, 1, 7]) {
    const host = new TestHost(cut)
    const machine = await host.open()
    const applied = []
    for (let at = 0; at < log.length; at += cut) {
      applied.push(...(await host.run(machine.apply(log.slice(at, at + cut)))))
    }
    await host.run(machine.close())
    results.push([applied, await host.dump()])
  }
  assert.deepEqual(results[1], results[0])
  assert.deepEqual(results[2], results[0])
})

test('after a crash at any moment, replaying the rest gives the state of the whole log (T-37)', async () => {
  const log = longLog(24)
  const whole = new TestHost(0)
  const machine = await whole.open()
  await whole.run(machine.apply(log))
  await whole.run(machine.close())
  const expected = await whole.dump()
  const starts = new Set<number>()
  for (let moment = 0; moment < 40; moment++) {
    const host = new TestHost(moment)
    const first = await host.open()
    void first.apply(log)
    await host.world.advance(moment * 0.1)
    host.databases.kill()
    const second = await host.open()
    starts.add(second.appliedIndex)
    await host.run(second.apply(log.slice(second.appliedIndex)))
    await host.run(second.close())
    assert.deepEqual(await host.dump(), expected, `crash after ${moment * 0.1} ms`)
  }
  assert.ok(starts.size > 2, [...starts].join())
})

/** The mistake of T-37: what lies under the state record's key is written in a batch of its own. */
function splittingTheIndexOff(databases: Pick<Databases, 'open'>): Pick<Databases, 'open'> {
  return {
    open: async (dir) => {
      const database = await databases.open(dir)
      return {
        get: (key) => database.get(key),
        getMany: (keys) => database.getMany(keys),
        snapshot: () => database.snapshot(),
        flush: () => database.flush(),
        close: () => database.close(),
        batch: () => {
          const effects = database.batch()
          const index = database.batch()
          return {
            put: (key, value) => (key.length === 1 ? index : effects).put(key, value),
            del: (key) => effects.del(key),
            write: async () => {
              await effects.write()
              await index.write()
            },
          }
        },
      }
    },
  }
}

test('an applied index in a batch of its own is found out after a crash (T-37)', async () => {
  const log = longLog(24)
  let refused = 0
  for (let moment = 0; moment < 60; moment++) {
    const host = new TestHost(moment)
    const first = await host.open(OPTIONS, splittingTheIndexOff(host.databases))
    void first.apply(log)
    await host.world.advance(moment * 0.1)
    host.databases.kill()
    try {
      await host.open()
    } catch (error) {
      assert.equal((error as { code: string }).code, 'QUORATE_CORRUPTION')
      refused++
    }
  }
  assert.ok(refused > 0)
})

test('whatever is put and deleted, the state is that of a Map', async () => {
  const operation = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.option(fc.nat(9)))
  const command = fc.array(operation, { minLength: 1, maxLength: 4 })
  const requests = fc.array(fc.array(command, { maxLength: 4 }), { maxLength: 3 })
  const calls = fc.array(fc.array(requests, { maxLength: 4 }), { maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(fc.nat(), calls, async (seed, log) => {
      const host = new TestHost(seed)
      const machine = await host.open()
      const model = new Map<string, string>()
      let index = 0
      let seq = 0
      for (const call of log) {
        const entries = call.map((packed) => {
          index++
          const written = packed.map((commands) => {
            for (const [key, value] of commands.flat()) {
              if (value === null) model.delete(key)
              else model.set(key, `${key}=${value}@${index}`)
            }
            const words = commands.map((operations) =>
              operations.map(([k, v]) => (v === null ? k : `${k}=${v}`)).join('+'),
            )
            return { client: 'c', seq: ++seq, commands: words.join(' ') }
          })
          return entry(index, written)
        })
        await host.run(machine.apply(entries))
        assert.deepEqual(await contents(host, machine), [...model.values()].sort())
      }
    }),
    { numRuns: 100 },
  )
})
