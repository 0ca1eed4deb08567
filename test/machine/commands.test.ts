/** Commands that depend on the state, against a plain model (command-model.ts), on the simulated database. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { LevelDatabases } from '../../src/env/level-database.js'
import type { Change } from '../../src/machine/change-history.js'
import { type AppliedEntry, StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import type { Command, Compare, Operation } from '../../src/wire/command.js'
import { OWN_CLIENT, packEntry, RequestWriter } from '../../src/wire/request.js'
import { CommandModel, type ModelChange } from './command-model.js'
import { clientId, contents, dumpOf, OPTIONS, TestHost } from './machine-fixture.js'

/** Something that the leader believes to be due. */
interface Due {
  readonly key: Buffer
  readonly lease: Buffer
  readonly ago: number
}

const KEYS = ['a', 'b', 'c', 'd', 'e']
const LEASES = ['lease  1', 'lease  2']

const key = fc.constantFrom(...KEYS).map((each) => Buffer.from(each))
const lease = fc.constantFrom(...LEASES).map((each) => Buffer.from(each))
const value = fc.nat(3).map((each) => Buffer.from(String(each)))
const range = fc.oneof(
  fc.constant({ gte: Buffer.alloc(0) }),
  fc.tuple(key, key).map(([gte, lt]) => ({ gte, lt })),
  fc.tuple(key, key).map(([gt, lte]) => ({ gt, lte })),
)
const expiry = fc.oneof(
  lease.map((each) => ({ type: 'lease' as const, lease: each })),
  fc.constant({ type: 'ttl' as const, ttlMs: 500 }),
)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(key, value).map(([k, v]): Operation => ({ type: 'put', key: k, value: v })),
  fc
    .tuple(key, value, expiry)
    .map(([k, v, e]): Operation => ({ type: 'put', key: k, value: v, expiry: e })),
  key.map((k): Operation => ({ type: 'del', key: k })),
  fc
    .tuple(range, fc.boolean(), fc.constantFrom(1, 2, Number.POSITIVE_INFINITY))
    .map(([r, reverse, limit]): Operation => ({ type: 'clear', range: r, reverse, limit })),
)
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.tuple(key, fc.nat(12)).map(([k, n]): Compare => ({ type: 'revision', key: k, revision: n })),
  key.map((k): Compare => ({ type: 'exists', key: k })),
  key.map((k): Compare => ({ type: 'absent', key: k })),
  fc.tuple(key, value).map(([k, v]): Compare => ({ type: 'value', key: k, value: v })),
  range.map((r): Compare => ({ type: 'empty', range: r })),
)
const operations = fc.array(operation, { maxLength: 3 })
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: operations.map((o): Command => ({ type: 'write', operations: o })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.array(compare, { maxLength: 2 }), operations, operations)
      .map(([c, t, e]): Command => ({ type: 'txn', compares: c, then: t, else: e })),
  },
  { weight: 2, arbitrary: lease.map((l): Command => ({ type: 'grant', lease: l, ttlMs: 1000 })) },
  { weight: 1, arbitrary: lease.map((l): Command => ({ type: 'keepAlive', lease: l })) },
  { weight: 1, arbitrary: lease.map((l): Command => ({ type: 'revoke', lease: l })) },
)
/** The leader lets a key or a lease go that it saw some entries ago. */
const due: fc.Arbitrary<Due> = fc.record({ key, lease, ago: fc.nat(3) })

/** The requests of each entry; an `expire` is one of the leader itself. */
const log = fc.array(
  fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.array(command, { maxLength: 4 }) },
      { weight: 1, arbitrary: due },
    ),
    { maxLength: 3 },
  ),
  { minLength: 1, maxLength: 10 },
)
type Log = readonly (readonly (readonly Command[] | Due)[])[]

/** Leases and times to live, as the model says them; of keys that were overwritten there may be more. */
async function expiringIn(host: TestHost, machine: StateMachine): Promise<string[]> {
  const view = machine.view()
  const lines: string[] = []
  const collect = async (): Promise<void> => {
    for await (const notes of view.expiring()) {
      for (const note of notes) {
        if (note.type === 'key') lines.push(`${note.key}@${note.revision}`)
        else if (note.type === 'lease') lines.push(`${note.lease}@${note.generation}`)
      }
    }
  }
  await host.run(collect())
  await host.run(view.close())
  return lines
}

interface Expected {
  readonly results: readonly (readonly number[])[]
  readonly changes: readonly ModelChange[]
  readonly contents: readonly string[]
  readonly leases: readonly string[]
  readonly mortal: readonly string[]
}

/** The entries, and what each of them must do. Every request that is not the first of its entry comes again later. */
function written(all: Log): { entries: Entry[]; expected: Expected[] } {
  const model = new CommandModel()
  const entries: Entry[] = []
  const expected: Expected[] = []
  let seq = 0
  let again: { bytes: Buffer; results: readonly number[] } | undefined
  all.forEach((requests, at) => {
    const index = at + 1
    const results: (readonly number[])[] = []
    const changes: ModelChange[] = []
    const packed: Buffer[] = []
    const run = (each: Command): number[] => {
      const did = model.run(each, index)
      changes.push(...did.changes)
      return did.result === undefined ? [] : [did.result]
    }
    if (again !== undefined) {
      packed.push(again.bytes)
      results.push(again.results)
      again = undefined
    }
    for (const request of requests) {
      const isOwn = 'ago' in request
      const commands = isOwn ? [expireOf(request, index)] : request
      const writer = new RequestWriter(0)
      for (const each of commands) writer.add(each)
      const given = commands.flatMap(run)
      results.push(given)
      const bytes = isOwn
        ? writer.finish(OWN_CLIENT, 1, 1, 0)
        : writer.finish(clientId('c'), ++seq, 1, 0)
      packed.push(bytes)
      if (!isOwn && packed.length > 1) again = { bytes, results: given }
    }
    entries.push({ index, term: 1 + (index >> 2), kind: 'normal', data: packEntry(packed) })
    const { contents: values, leases, mortal } = model
    expected.push({ results, changes, contents: values, leases, mortal })
  })
  return { entries, expected }
}

function expireOf({ key: k, lease: l, ago }: Due, index: number): Command {
  const seen = Math.max(1, index - ago)
  return {
    type: 'expire',
    keys: [{ key: k, revision: seen }],
    leases: [{ lease: l, generation: seen }],
    detached: LEASES.map((each) => ({ lease: Buffer.from(each), key: k })),
  }
}

function resultsOf({ outcomes }: AppliedEntry): number[][] {
  return outcomes.map(({ results }) => [...results])
}

function changesIn(machine: StateMachine): ModelChange[][] {
  const { history } = machine
  const block = history.read(history.firstIndex - 1, {}, Number.POSITIVE_INFINITY)!
  const all: ModelChange[][] = []
  for (let index = history.firstIndex; index <= history.lastIndex; index++) {
    const found = block.entries.find((each) => each.index === index)?.changes ?? []
    all.push(found.map(shown))
  }
  return all
}

function shown({ type, key: k, value: v }: Change): ModelChange {
  return type === 'del' ? `-${k}` : `${k}=${v}`
}

test('whatever is asked, results, state and changes are those of the model', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), log, async (seed, all) => {
      const host = new TestHost(seed)
      const machine = await host.open()
      const { entries, expected } = written(all)
      for (const [i, entry] of entries.entries()) {
        const [applied] = await host.run(machine.apply([entry]))
        assert.deepEqual(resultsOf(applied!), expected[i]!.results)
        assert.deepEqual(await contents(host, machine), expected[i]!.contents)
        const expiring = await expiringIn(host, machine)
        assert.deepEqual(
          expiring.filter((each) => each.startsWith('lease')),
          expected[i]!.leases,
        )
        for (const each of expected[i]!.mortal) assert.ok(expiring.includes(each), each)
      }
      assert.deepEqual(
        changesIn(machine),
        expected.map(({ changes }) => changes),
      )
    }),
    { numRuns: 300 },
  )
})

test('neither cuts into applies nor a crash make a difference, to the byte', async () => {
  await fc.assert(
    fc.asyncProperty(
      log,
      fc.infiniteStream(fc.nat(4)),
      fc.nat(20),
      async (all, sizes, crashAfter) => {
        const { entries, expected } = written(all)
        const whole = new TestHost(1)
        const first = await whole.open()
        const applied = await whole.run(first.apply(entries))
        assert.deepEqual(
          applied.map(resultsOf),
          expected.map(({ results }) => results),
        )
        const digests = entries.map(({ index }) => first.digestAt(index))
        assert.equal(new Set(digests).size, entries.length)
        await whole.run(first.close())
        const host = new TestHost(2)
        const crashing = await host.open()
        void crashing.apply(entries).catch(() => undefined)
        await host.world.advance(crashAfter * 0.2)
        host.databases.kill()
        const second = await host.open()
        for (let at = second.appliedIndex; at < entries.length; ) {
          const size = 1 + sizes.next().value!
          const some = await host.run(second.apply(entries.slice(at, at + size)))
          for (const each of some) {
            assert.deepEqual(resultsOf(each), expected[each.index - 1]!.results)
            assert.equal(second.digestAt(each.index), digests[each.index - 1])
          }
          at += size
        }
        await host.run(second.close())
        assert.deepEqual(await host.dump(), await whole.dump())
      },
    ),
    { numRuns: 150 },
  )
})

test('on LevelDB they do what they do on the simulated database, to the byte', async () => {
  const root = await mkdtemp(join(tmpdir(), 'quorate-commands-'))
  const databases = new LevelDatabases({ writeBufferBytes: 65_536, cacheBytes: 1 << 20 })
  let runs = 0
  try {
    await fc.assert(
      fc.asyncProperty(log, async (all) => {
        const { entries, expected } = written(all)
        const host = new TestHost(1)
        const simulated = await host.open()
        await host.run(simulated.apply(entries))
        await host.run(simulated.close())
        const database = await databases.open(join(root, String(runs++)))
        const machine = await StateMachine.over(database, OPTIONS)
        const applied = await machine.apply(entries)
        assert.deepEqual(
          applied.map(resultsOf),
          expected.map(({ results }) => results),
        )
        assert.deepEqual(await dumpOf(database, (promise) => promise), await host.dump())
        await machine.close()
      }),
      { numRuns: 25 },
    )
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})

test('a view of a state to come is had while entries are interpreted, and cut there if it can be', async () => {
  let [exact, later] = [0, 0]
  for (let seed = 0; seed < 30; seed++) {
    const host = new TestHost(seed)
    const machine = await host.open()
    const all = Array.from({ length: 20 }, (): Command[][] => [
      [
        {
          type: 'txn',
          compares: [{ type: 'empty', range: { gte: Buffer.alloc(0) } }],
          then: [],
          else: [],
        },
      ],
    ])
    const { entries } = written(all)
    const before = machine.viewAt(7).coming
    const applying = machine.apply(entries)
    await host.world.advance((seed % 10) * 0.15)
    const asked = machine.appliedIndex + 1
    const after = asked > 20 ? undefined : machine.viewAt(asked).coming
    await host.run(applying)
    assert.equal((await before)?.appliedIndex, 7)
    if (after === undefined) continue
    const view = await after
    assert.ok(view !== undefined && view.appliedIndex >= asked, `seed ${seed}`)
    if (view.appliedIndex === asked) exact++
    else later++
  }
  assert.ok(later > 0 && exact > 0, `${exact} exact, ${later} later`)
})
