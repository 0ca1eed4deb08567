/** What one entry may clear: all or nothing for what is atomic, and a part for what says so. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { LevelDatabases } from '../../src/env/level-database.js'
import { StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import {
  CLEAR_BYTES_MAX,
  CLEAR_KEYS_MAX,
  type Command,
  type Operation,
  RESULT_AGAIN,
  RESULT_PARTLY,
  RESULT_TOO_LARGE,
  RESULT_YES,
} from '../../src/wire/command.js'
import { packEntry, RequestWriter } from '../../src/wire/request.js'
import { clientId, OPTIONS, TestHost } from './machine-fixture.js'

const LEASE = Buffer.from('lease  1')
const KEY_BYTES = 65_536
/** So many of the longest keys reach the bound on bytes. */
const KEYS = CLEAR_BYTES_MAX / KEY_BYTES

class Lab {
  readonly host = new TestHost(1)
  readonly machine: StateMachine
  #seq = 0

  constructor(host: TestHost, machine: StateMachine) {
    this.host = host
    this.machine = machine
  }

  static async open(): Promise<Lab> {
    const host = new TestHost(1)
    return new Lab(host, await host.open())
  }

  /** Runs `commands` in one entry. */
  async run(...commands: Command[]): Promise<number[]> {
    const [applied] = await this.host.run(this.machine.apply([this.entryOf(commands)]))
    return [...applied!.outcomes[0]!.results]
  }

  entryOf(commands: readonly Command[]): Entry {
    const writer = new RequestWriter(0)
    for (const command of commands) writer.add(command)
    const seq = ++this.#seq
    const data = packEntry([writer.finish(clientId('c'), seq, seq, 0)])
    return { index: this.machine.appliedIndex + 1, term: 1, kind: 'normal', data }
  }

  async countKeys(): Promise<number> {
    const view = this.machine.view()
    const cursor = view.scan({}, false)
    let count = 0
    for (;;) {
      const some = await this.host.run(cursor.nextStored(1000, 1e9))
      if (some.length === 0) break
      count += some.length
    }
    await this.host.run(cursor.close())
    await this.host.run(view.close())
    return count
  }
}

function longKey(i: number): Buffer {
  const key = Buffer.alloc(KEY_BYTES, 0x61)
  key.writeUInt32BE(i, 0)
  return key
}

function writing(...operations: Operation[]): Command {
  return { type: 'write', operations }
}

function puts(count: number, leased: boolean): Operation[] {
  return Array.from({ length: count }, (_, i) => {
    const put = { type: 'put', key: longKey(i), value: Buffer.alloc(0) } as const
    return leased ? { ...put, expiry: { type: 'lease', lease: LEASE } as const } : put
  })
}

const all = { gte: Buffer.alloc(0) } as const
function clear(limit = Number.POSITIVE_INFINITY): Operation {
  return { type: 'clear', range: all, reverse: false, limit }
}

test('a clear of its own stops at the bound and says so; the next entry goes on', async () => {
  const lab = await Lab.open()
  await lab.run(writing(...puts(KEYS + 20, false)))
  assert.deepEqual(await lab.run(writing(clear()), writing(clear())), [
    RESULT_PARTLY,
    RESULT_PARTLY,
  ])
  assert.equal(await lab.countKeys(), 20)
  assert.deepEqual(await lab.run(writing(clear())), [RESULT_YES])
  assert.equal(await lab.countKeys(), 0)
})

test('a clear with a limit removes exactly so many, or nothing when others used up the entry', async () => {
  const lab = await Lab.open()
  await lab.run(writing(...puts(KEYS + 20, false)))
  const results = await lab.run(writing(clear(KEYS - 10)), writing(clear(20)))
  assert.deepEqual(results, [RESULT_PARTLY, RESULT_AGAIN])
  assert.equal(await lab.countKeys(), 30)
  await lab.run(writing(...puts(KEYS + 20, false)))
  // However long the keys: the first of an entry finds room.
  assert.deepEqual(await lab.run(writing(clear(KEYS + 10))), [RESULT_PARTLY])
  assert.equal(await lab.countKeys(), 10)
})

test('several operations with a clear that is too large leave everything as it was', async () => {
  const lab = await Lab.open()
  const put = { type: 'put', key: Buffer.from('z'), value: Buffer.alloc(0) } as const
  await lab.run(writing(...puts(KEYS + 20, false)))
  assert.deepEqual(await lab.run(writing(put, clear())), [RESULT_TOO_LARGE])
  const txn: Command = { type: 'txn', compares: [], then: [clear(), put], else: [] }
  assert.deepEqual(await lab.run(txn), [RESULT_TOO_LARGE])
  assert.equal(await lab.countKeys(), KEYS + 20)
  assert.deepEqual(await lab.run(writing(clear(30)), txn), [RESULT_PARTLY, RESULT_AGAIN])
  assert.deepEqual(await lab.run(txn), [RESULT_YES])
  assert.equal(await lab.countKeys(), 1)
})

test('a lease with more than an entry may remove ends in parts, and is dead from the first on', async () => {
  const lab = await Lab.open()
  await lab.run({ type: 'grant', lease: LEASE, ttlMs: 1000 })
  await lab.run(writing(...puts(KEYS + 20, true)))
  const [revoke, keepAlive] = [
    { type: 'revoke', lease: LEASE },
    { type: 'keepAlive', lease: LEASE },
  ] as const
  assert.deepEqual(await lab.run(revoke), [RESULT_PARTLY])
  const [put] = puts(1, true)
  const grant: Command = { type: 'grant', lease: LEASE, ttlMs: 1000 }
  assert.deepEqual(await lab.run(keepAlive, writing(put!), grant), [0, 0, 0])
  assert.deepEqual(await lab.run(revoke, revoke), [RESULT_YES, 0])
  assert.equal(await lab.countKeys(), 0)
})

test('the bound on keys holds for short ones, on LevelDB', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-bounds-'))
  const databases = new LevelDatabases({ writeBufferBytes: 1 << 24, cacheBytes: 1 << 20 })
  const machine = await StateMachine.open(databases, join(dir, 'state'), OPTIONS)
  const lab = new Lab(new TestHost(1), machine)
  const apply = async (command: Command): Promise<number[]> => {
    const [applied] = await machine.apply([lab.entryOf([command])])
    return [...applied!.outcomes[0]!.results]
  }
  try {
    const operations = Array.from({ length: CLEAR_KEYS_MAX + 5 }, (_, i): Operation => {
      return { type: 'put', key: Buffer.from(String(i)), value: Buffer.alloc(0) }
    })
    await apply(writing(...operations))
    assert.deepEqual(await apply(writing(clear())), [RESULT_PARTLY])
    const left = await machine.view().scan({}, false).nextStored(100, 1e6)
    assert.deepEqual(
      left.map(([key]) => String(key)),
      ['99995', '99996', '99997', '99998', '99999'],
    )
    assert.deepEqual(await apply(writing(clear())), [RESULT_YES])
  } finally {
    await machine.close()
    await rm(dir, { recursive: true, force: true })
  }
})
