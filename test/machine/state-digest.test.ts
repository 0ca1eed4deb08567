/** The digest of what entries did: equal for equal effects, different for good after any other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Database, DatabaseBatch, Databases } from '../../src/env/database.js'
import { DIGEST_OF_NOTHING, DIGESTS_KEPT } from '../../src/machine/state-digest.js'
import { StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import { confEntry, entry, OPTIONS, TestHost, type TestRequest } from './machine-fixture.js'

/** Entries with new, repeated and lost requests of some clients, deletes, batches and configurations. */
const entriesArbitrary: fc.Arbitrary<Entry[]> = fc
  .array(
    fc.oneof(
      { weight: 1, arbitrary: fc.constant('configuration' as const) },
      {
        weight: 9,
        arbitrary: fc.array(
          fc.record({
            client: fc.constantFrom('c', 'd', 'e'),
            seq: fc.integer({ min: 1, max: 4 }),
            commands: fc.constantFrom('a=1', 'a=2 b=1', 'a', 'b', 'c=1+d=1+a', 'a=1 a a=2'),
          }),
          { maxLength: 4 },
        ),
      },
    ),
    { minLength: 1, maxLength: 12 },
  )
  .map((all) =>
    all.map((each, i) =>
      each === 'configuration' ? confEntry(i + 1, 1, 2, i) : entry(i + 1, each, 1 + (i >> 2)),
    ),
  )

async function digestsOf(cuts: readonly (readonly Entry[])[]): Promise<(string | undefined)[]> {
  const host = new TestHost(1)
  const machine = await host.open({ ...OPTIONS, maxSessions: 2 })
  for (const entries of cuts) await host.run(machine.apply(entries))
  return Array.from({ length: machine.appliedIndex + 1 }, (_, index) => machine.digestAt(index))
}

test('the digests are the same however entries are cut into applies, and across a restart', async () => {
  await fc.assert(
    fc.asyncProperty(entriesArbitrary, fc.infiniteStream(fc.nat(5)), async (entries, sizes) => {
      const cuts: Entry[][] = []
      for (let at = 0; at < entries.length; ) {
        const size = 1 + sizes.next().value!
        cuts.push(entries.slice(at, at + size))
        at += size
      }
      const whole = await digestsOf([entries])
      assert.deepEqual(await digestsOf(cuts), whole)
      assert.equal(whole[0], DIGEST_OF_NOTHING)
      assert.equal(new Set(whole).size, whole.length)
      assert.equal(await digestAfterRestart(entries), whole.at(-1))
    }),
    { numRuns: 60 },
  )
})

async function digestAfterRestart(entries: readonly Entry[]): Promise<string | undefined> {
  const host = new TestHost(1)
  const options = { ...OPTIONS, maxSessions: 2 }
  const half = entries.length >> 1
  const first = await host.open(options)
  if (half > 0) await host.run(first.apply(entries.slice(0, half)))
  await host.run(first.close())
  const second = await host.open(options)
  await host.run(second.apply(entries.slice(half)))
  return second.digestAt(second.appliedIndex)
}

const PLAIN: readonly TestRequest[] = [{ client: 'c', seq: 1, commands: 'a=1 b=2 c' }]

test('any other effect of one entry gives another digest, and no later entry makes them meet', async () => {
  const requests: Readonly<Record<string, readonly TestRequest[]>> = {
    'another value': [{ client: 'c', seq: 1, commands: 'a=1 b=3 c' }],
    'another key': [{ client: 'c', seq: 1, commands: 'a=1 d=2 c' }],
    'a byte moved from value to key': [{ client: 'c', seq: 1, commands: 'a=1 b2= c' }],
    'a put that is lost': [{ client: 'c', seq: 1, commands: 'a=1 c' }],
    'a delete that is lost': [{ client: 'c', seq: 1, commands: 'a=1 b=2' }],
    'another deleted key': [{ client: 'c', seq: 1, commands: 'a=1 b=2 d' }],
    'another order': [{ client: 'c', seq: 1, commands: 'b=2 a=1 c' }],
    'another client': [{ client: 'd', seq: 1, commands: 'a=1 b=2 c' }],
    'a request that is refused': [{ client: 'c', seq: 2, commands: 'a=1 b=2 c' }],
    'a request that comes again': [...PLAIN, ...PLAIN],
    nothing: [],
  }
  const later = [entry(3, [{ client: 'e', seq: 1, commands: 'x=1' }]), entry(4, [])]
  const plain = await digestsOf([[entry(1, []), entry(2, PLAIN), ...later]])
  const seen = new Set([plain[2]])
  for (const [what, changed] of Object.entries(requests)) {
    const other = await digestsOf([[entry(1, []), entry(2, changed), ...later]])
    assert.equal(other[1], plain[1])
    assert.ok(!seen.has(other[2]), what)
    seen.add(other[2])
    for (const index of [3, 4]) assert.notEqual(other[index], plain[index], what)
  }
})

test('another revision, another term, and another configuration give other digests', async () => {
  const at = async (entries: readonly Entry[]) => (await digestsOf([entries])).at(-1)
  const digests = [
    await at([entry(1, PLAIN), entry(2, [])]),
    await at([entry(1, []), entry(2, PLAIN)]),
    await at([entry(1, PLAIN, 2), entry(2, [], 2)]),
    await at([entry(1, []), confEntry(2, 1, 2)]),
    await at([entry(1, []), confEntry(2, 2, 1)]),
    await at([entry(1, []), entry(2, [])]),
  ]
  assert.equal(new Set(digests).size, digests.length)
})

test('a member whose session table was changed under it applies on with other digests', async () => {
  const request = (seq: number) => entry(seq, [{ client: 'c', seq, commands: `a=${seq}` }])
  const run = async (seqInTable: number) => {
    const host = new TestHost(1)
    const machine = await host.open({ ...OPTIONS, confChange: (before) => before })
    const all = [request(1), request(2), request(3)]
    // As if the table had lost the second request: the third finds a gap.
    if (seqInTable === 1) all[1] = entry(2, [])
    await host.run(machine.apply(all))
    return machine.digestAt(3)
  }
  assert.notEqual(await run(1), await run(2))
})

test('the digests of the last entries are known, older ones and those to come are not', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  const last = DIGESTS_KEPT + 10
  await host.run(machine.apply(Array.from({ length: last }, (_, i) => entry(i + 1, []))))
  assert.equal(machine.digestAt(last + 1), undefined)
  assert.notEqual(machine.digestAt(last), undefined)
  assert.notEqual(machine.digestAt(last - DIGESTS_KEPT + 1), undefined)
  assert.equal(machine.digestAt(last - DIGESTS_KEPT), undefined)
  await host.run(machine.close())
  const again = await host.open()
  assert.notEqual(again.digestAt(last), undefined)
  assert.equal(again.digestAt(last - 1), undefined)
})

test('a digest is not known before its entry is applied', async () => {
  const host = new TestHost(1)
  const held = new HeldDatabases(host.databases)
  const machine = await host.open(OPTIONS, held)
  const applying = machine.apply([entry(1, PLAIN)])
  assert.equal(machine.digestAt(1), undefined)
  held.release()
  await host.run(applying)
  assert.notEqual(machine.digestAt(1), undefined)
})

/** Databases whose writes wait for `release`. */
class HeldDatabases {
  readonly #inner: Pick<Databases, 'open'>
  readonly #released: Promise<void>
  release: () => void = () => undefined

  constructor(inner: Pick<Databases, 'open'>) {
    this.#inner = inner
    this.#released = new Promise((resolve) => {
      this.release = resolve
    })
  }

  async open(dir: string): Promise<Database> {
    const inner = await this.#inner.open(dir)
    const batch = (): DatabaseBatch => {
      const held = inner.batch()
      return {
        put: (key, value) => held.put(key, value),
        del: (key) => held.del(key),
        write: () => this.#released.then(() => held.write()),
      }
    }
    return {
      get: (key) => inner.get(key),
      getMany: (keys) => inner.getMany(keys),
      snapshot: () => inner.snapshot(),
      batch,
      flush: () => inner.flush(),
      close: () => inner.close(),
    }
  }
}

test('the digest of a machine on an open database goes on from its record', async () => {
  const host = new TestHost(1)
  const first = await host.open()
  await host.run(first.apply([entry(1, PLAIN)]))
  const digest = first.digestAt(1)
  await host.run(first.close())
  const database = await host.run(host.databases.open('state'))
  const second = await host.run(StateMachine.over(database, OPTIONS))
  assert.equal(second.digestAt(1), digest)
})
