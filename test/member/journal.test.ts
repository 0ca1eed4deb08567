import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogFacts, Logger } from '../../src/base/logger.js'
import type { MembershipChange } from '../../src/member/backend.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'

interface Line extends LogFacts {
  readonly level: string
  readonly member?: string
  readonly message: string
}

/** Keeps what is said; `member` stands in each line. */
class Lines implements Logger {
  readonly all: Line[]
  readonly #bindings: object

  constructor(all: Line[] = [], bindings: object = {}) {
    this.all = all
    this.#bindings = bindings
  }

  debug(facts: object, message: string): void {
    this.#add('debug', facts, message)
  }

  info(facts: object, message: string): void {
    this.#add('info', facts, message)
  }

  warn(facts: object, message: string): void {
    this.#add('warn', facts, message)
  }

  error(facts: object, message: string): void {
    this.#add('error', facts, message)
  }

  child(bindings: object): Logger {
    return new Lines(this.all, bindings)
  }

  of(event: string, member: string): Line[] {
    return this.all.filter((line) => line.event === event && line.member === member)
  }

  #add(level: string, facts: object, message: string): void {
    this.all.push({ level, ...this.#bindings, ...(facts as LogFacts), message })
  }
}

const NAMES = ['a', 'b', 'c']

test('who leads, and who is connected, is said by each member for itself', async () => {
  const lines = new Lines()
  const cluster = await SimCluster.start(1, NAMES, { logger: lines })
  const leader = await cluster.awaitLeader()
  await cluster.world.advance(1000)
  const [other, third] = NAMES.filter((name) => name !== leader) as [string, string]
  assert.equal(lines.of('leader', other).at(-1)?.message, `${leader} leads in term 1`)
  cluster.kill(leader)
  await cluster.world.advance(200)
  assert.deepEqual(
    lines.of('peerDown', other).map(({ level, id }) => [level, id]),
    [['warn', leader]],
  )
  await cluster.awaitLeader()
  await cluster.world.advance(1000)
  assert.notEqual(lines.of('leader', third).at(-1)?.leader, leader)
  await cluster.close()
})

test('a change of the members is an event with the list as it is in force, and a line', async () => {
  const lines = new Lines()
  const cluster = await SimCluster.start(2, NAMES, { logger: lines })
  await cluster.awaitLeader()
  await cluster.world.advance(2000)
  const changes: MembershipChange[] = []
  cluster.store('a').on('membership', (change) => changes.push(change))
  const joining = cluster.join('d')
  await cluster.run(cluster.store('a').members.add('d', cluster.addressOf('d')))
  await cluster.run(joining)
  await cluster.world.advance(2000)
  assert.ok(changes.length >= 2, 'a learner first, then a voter')
  const last = changes.at(-1)!
  assert.deepEqual(
    last.members.map(({ id, as }) => `${id} ${as}`),
    ['a voter', 'b voter', 'c voter', 'd voter'],
  )
  assert.equal(last.confIndex, cluster.store('a').status().confIndex)
  assert.equal(lines.of('membership', 'a').at(-1)?.message, 'the members are a, b, c, d')
  await cluster.close()
})

test('a logger that throws leaves the member as it is', async () => {
  const fail = () => {
    throw new Error('planted')
  }
  const logger: Logger = { debug: fail, info: fail, warn: fail, error: fail, child: fail }
  const cluster = await SimCluster.start(3, NAMES, { logger })
  await cluster.awaitLeader()
  await cluster.run(cluster.store('a').put('k', 1))
  assert.equal(await cluster.run(cluster.store('b').get('k')), 1)
  assert.ok(cluster.store('a').metrics().member!.logFailures > 0)
  await cluster.close()
})

test('a slow disk and a process that stood still are said; the status remembers the disk a minute', async () => {
  const lines = new Lines()
  const cluster = await SimCluster.start(4, ['a'], { logger: lines })
  const store = cluster.store('a')
  await cluster.run(store.put('k', 1))
  cluster.host('a').slow(2000)
  await cluster.run(store.put('k', 2, { timeoutMs: 50_000 }))
  cluster.host('a').slow(1)
  await cluster.world.advance(2000)
  const [slow] = lines.of('slowWrite', 'a')
  assert.ok(slow !== undefined && (slow.ms as number) >= 500, slow?.message)
  assert.match(store.status().words.join(' '), /disk of a is slow: a write of the log took \d+ ms/)
  cluster.host('a').pause()
  await cluster.world.advance(3000)
  cluster.host('a').resume()
  await cluster.world.advance(200)
  assert.equal(lines.of('stalled', 'a').length, 1)
  await cluster.world.advance(61_000)
  assert.doesNotMatch(store.status().words.join(' '), /slow/)
  await cluster.close()
})

test('a state that goes from one member to another is said by both', async () => {
  const lines = new Lines()
  const small = { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 0 }
  const cluster = await SimCluster.start(5, NAMES, { logger: lines, storage: small })
  const leader = await cluster.awaitLeader()
  const [away] = NAMES.filter((name) => name !== leader) as [string]
  cluster.kill(away)
  const store = cluster.store(leader)
  for (let i = 0; i < 40; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(4000)))
  await cluster.run(store.checkpoint())
  await cluster.restart(away)
  await cluster.world.advance(10_000)
  assert.equal(lines.of('snapshot', leader)[0]?.to, away)
  assert.equal(lines.of('snapshotSent', leader).length, 1)
  assert.equal(lines.of('installed', away).length, 1)
  await cluster.close()
})
