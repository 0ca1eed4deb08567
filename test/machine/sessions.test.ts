/** Exactly once: which requests are applied, and what the others are told (design D5, trap T-67). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RequestOutcome } from '../../src/machine/sessions.js'
import type { StateMachine } from '../../src/machine/state-machine.js'
import { contents, entry, OPTIONS, TestHost, type TestRequest } from './machine-fixture.js'

/** Each request that is applied leaves a key of its own and counts up how often it did. */
function request(client: string, seq: number, more: Partial<TestRequest> = {}): TestRequest {
  return { client, seq, commands: `${client}${seq}=x`, ...more }
}

/** Applies one entry per argument, from the next index on; the outcomes as `applied@3`. */
async function apply(
  host: TestHost,
  machine: StateMachine,
  ...entries: (readonly TestRequest[])[]
): Promise<string[]> {
  const first = machine.appliedIndex + 1
  const log = entries.map((requests, i) => entry(first + i, requests))
  const applied = await host.run(machine.apply(log))
  return applied.flatMap(({ outcomes }) => outcomes.map(shown))
}

function shown({ status, index }: RequestOutcome): string {
  return `${status}@${index}`
}

test('a request that comes again is told where it was applied, and changes nothing (T-67)', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await apply(host, machine, [request('c', 1), request('c', 2)], [request('c', 3)])
  const before = await contents(host, machine)
  const again = [request('c', 1), request('c', 3), request('c', 2)]
  assert.deepEqual(await apply(host, machine, again), ['duplicate@1', 'duplicate@2', 'duplicate@1'])
  assert.deepEqual(await contents(host, machine), before)
})

test('a duplicate names the term of the entry that applied it', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply([entry(1, [request('c', 1)], 4)]))
  const [again] = await host.run(machine.apply([entry(2, [request('c', 1)], 6)]))
  const results = new Uint8Array(0)
  assert.deepEqual(again!.outcomes, [{ status: 'duplicate', index: 1, term: 4, results }])
})

test('a request whose predecessor is missing is a gap until that one has come', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  const outcomes = await apply(
    host,
    machine,
    [request('c', 1), request('c', 3)],
    [request('c', 2), request('c', 3)],
  )
  assert.deepEqual(outcomes, ['applied@1', 'gap@1', 'applied@2', 'applied@2'])
})

test('a client that is not known begins with 1', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  assert.deepEqual(await apply(host, machine, [request('c', 2)]), ['expired@1'])
  assert.deepEqual(await apply(host, machine, [request('c', 1)]), ['applied@2'])
  assert.equal(machine.status().sessions, 1)
})

test('what lies below the floor is forgotten, and never applied again', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  await apply(host, machine, [request('c', 1), request('c', 2), request('c', 3, { floor: 3 })])
  const outcomes = await apply(host, machine, [request('c', 1), request('c', 2), request('c', 3)])
  assert.deepEqual(outcomes, ['stale@2', 'stale@2', 'duplicate@1'])
  // A floor that comes late does not bring anything back.
  assert.deepEqual(await apply(host, machine, [request('c', 4, { floor: 1 })]), ['applied@3'])
  assert.deepEqual(await apply(host, machine, [request('c', 2)]), ['stale@4'])
})

test('at most 1024 requests of a client may be unanswered', async () => {
  const host = new TestHost(1)
  const machine = await host.open()
  const many = Array.from({ length: 1024 }, (_, i) => request('c', i + 1))
  assert.ok((await apply(host, machine, many)).every((outcome) => outcome === 'applied@1'))
  assert.deepEqual(await apply(host, machine, [request('c', 1025)]), ['gap@2'])
  assert.deepEqual(await apply(host, machine, [request('c', 1025, { floor: 2 })]), ['applied@3'])
  assert.deepEqual(await apply(host, machine, [request('c', 2)]), ['duplicate@1'])
  await host.run(machine.close())
  assert.deepEqual(await apply(host, await host.open(), [request('c', 1025)]), ['duplicate@3'])
})

test('the least recently used session is evicted, in the order of the log', async () => {
  const host = new TestHost(1)
  const machine = await host.open({ ...OPTIONS, maxSessions: 2 })
  await apply(host, machine, [request('a', 1), request('b', 1)], [request('a', 2)])
  await apply(host, machine, [request('c', 1)])
  assert.equal(machine.status().sessions, 2)
  const outcomes = await apply(host, machine, [request('a', 2), request('b', 1), request('c', 1)])
  assert.deepEqual(outcomes, ['duplicate@2', 'expired@4', 'duplicate@3'])
})

test('an evicted client is expired, never new, whichever request it sends (T-67)', async () => {
  const host = new TestHost(1)
  const machine = await host.open({ ...OPTIONS, maxSessions: 1 })
  await apply(host, machine, [], [request('a', 1, { base: 1 })], [request('b', 1, { base: 2 })])
  const outcomes = await apply(host, machine, [
    request('a', 1, { base: 1 }),
    request('a', 2, { base: 1 }),
  ])
  assert.deepEqual(outcomes, ['expired@4', 'expired@4'])
})

test('a new client may begin once it knows an index as new as the last eviction', async () => {
  const host = new TestHost(1)
  const machine = await host.open({ ...OPTIONS, maxSessions: 1 })
  await apply(host, machine, [], [request('a', 1, { base: 1 })], [request('b', 1, { base: 2 })])
  const outcomes = await apply(host, machine, [
    request('c', 1, { base: 1 }),
    request('d', 1, { base: 2 }),
  ])
  assert.deepEqual(outcomes, ['expired@4', 'applied@4'])
})

test('an evicted session leaves no record', async () => {
  const host = new TestHost(1)
  const options = { ...OPTIONS, maxSessions: 1 }
  const machine = await host.open(options)
  await apply(host, machine, [request('a', 1)])
  await apply(host, machine, [request('b', 1, { base: 1 })])
  await host.run(machine.close())
  const sessionRecords = (await host.dump()).filter((line) => line.startsWith('02'))
  assert.equal(sessionRecords.length, 1)
  assert.equal((await host.open(options)).status().sessions, 1)
})

test('a duplicate does not keep a session alive: only what is applied counts', async () => {
  const host = new TestHost(1)
  const machine = await host.open({ ...OPTIONS, maxSessions: 2 })
  await apply(host, machine, [request('a', 1), request('b', 1)], [request('a', 1)])
  await apply(host, machine, [request('c', 1)])
  assert.deepEqual(await apply(host, machine, [request('b', 1)]), ['duplicate@1'])
})

test('sessions survive a crash with the state they belong to (T-67)', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const host = new TestHost(seed)
    const options = { ...OPTIONS, maxSessions: 3 }
    const machine = await host.open(options)
    const log = Array.from({ length: 30 }, (_, i) => [request('abcd'[i % 4]!, (i >> 2) + 1)])
    const outcomes = await apply(host, machine, ...log)
    host.databases.powerCut()
    const again = await host.open(options)
    const replayed = await apply(host, again, ...log.slice(again.appliedIndex))
    assert.deepEqual(replayed, outcomes.slice(30 - replayed.length))
  }
})

/** A client as the Store has it: numbers its requests, sends them again and out of order, may begin anew. */
interface HonestClient {
  id: string
  base: number
  sent: TestRequest[]
  answered: number
}

type Step = {
  readonly client: number
  readonly act: 'send' | 'resend' | 'answer' | 'begin anew'
  readonly pick: number
}

const step: fc.Arbitrary<Step> = fc.record({
  client: fc.nat(3),
  act: fc.constantFrom('send', 'send', 'resend', 'resend', 'answer', 'begin anew'),
  pick: fc.nat(),
})

/** The log that honest clients produce: every request may come any number of times, at any place. */
function logOf(steps: readonly (readonly Step[])[]): TestRequest[][] {
  const clients = new Map<number, HonestClient>()
  let incarnations = 0
  return steps.map((entrySteps, i) => {
    const packed: TestRequest[] = []
    for (const { client: slot, act, pick } of entrySteps) {
      let client = clients.get(slot)
      if (client === undefined || act === 'begin anew') {
        // It may have slept since it learned its base, so that the table moved on meanwhile.
        client = {
          id: `i${incarnations++}.`,
          base: Math.max(0, i - (pick % 5)),
          sent: [],
          answered: 0,
        }
        clients.set(slot, client)
      }
      if (act === 'send') {
        const seq = client.sent.length + 1
        client.sent.push(request(client.id, seq, { floor: client.answered + 1, base: client.base }))
        if (pick % 4 !== 0) packed.push(client.sent[seq - 1]!)
      } else if (act === 'answer' && client.answered < client.sent.length - 1) client.answered++
      else if (client.sent.length > 0) packed.push(client.sent[pick % client.sent.length]!)
    }
    return packed
  })
}

const logs = fc.array(fc.array(step, { maxLength: 5 }), { maxLength: 25 }).map(logOf)

test('no request of an honest client is applied twice, whatever comes again (T-67)', async () => {
  let duplicates = 0
  let expired = 0
  await fc.assert(
    fc.asyncProperty(logs, fc.integer({ min: 1, max: 3 }), async (log, maxSessions) => {
      const host = new TestHost(1)
      const machine = await host.open({ ...OPTIONS, maxSessions })
      const appliedAt = new Map<string, string>()
      const outcomes = (await apply(host, machine, ...log)).values()
      for (const { client, seq, floor } of log.flat()) {
        const [status, index] = outcomes.next().value!.split('@') as [string, string]
        const name = `${client} ${seq}`
        if (status === 'applied') {
          assert.ok(!appliedAt.has(name), `${name} was applied at ${appliedAt.get(name)}`)
          assert.ok(seq === 1 || appliedAt.has(`${client} ${seq - 1}`), `${name} out of order`)
          appliedAt.set(name, index)
        }
        if (status === 'duplicate') {
          assert.equal(index, appliedAt.get(name))
          duplicates++
        }
        if (status === 'stale') assert.ok(appliedAt.has(name) && floor !== undefined)
        if (status === 'expired') expired++
        assert.ok(machine.status().sessions <= maxSessions)
      }
    }),
    { numRuns: 300 },
  )
  assert.ok(duplicates > 50 && expired > 50, `${duplicates} ${expired}: the run tried nothing`)
})

test('the table is the same on every member, however often it crashed (T-67)', async () => {
  await fc.assert(
    fc.asyncProperty(logs, fc.array(fc.nat(20), { maxLength: 4 }), async (log, crashes) => {
      const options = { ...OPTIONS, maxSessions: 2 }
      const steady = new TestHost(1)
      const machine = await steady.open(options)
      const outcomes = await apply(steady, machine, ...log)
      await steady.run(machine.close())

      const host = new TestHost(2)
      for (const at of crashes) {
        const member = await host.open(options)
        await apply(host, member, ...log.slice(member.appliedIndex, member.appliedIndex + at))
        if (at % 2 === 0) await host.run(member.checkpoint())
        host.databases.kill()
      }
      const member = await host.open(options)
      const rest = await apply(host, member, ...log.slice(member.appliedIndex))
      assert.deepEqual(rest, outcomes.slice(outcomes.length - rest.length))
      await host.run(member.close())
      assert.deepEqual(await host.dump(), await steady.dump())
    }),
    { numRuns: 100 },
  )
})
