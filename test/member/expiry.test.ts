/** The leader's clock for keys and leases, over a state machine; what it proposes is applied as the next entry. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MachineOptions, StateMachine } from '../../src/machine/state-machine.js'
import { firstConfiguration } from '../../src/member/directory.js'
import { Expiry } from '../../src/member/expiry.js'
import type { Role } from '../../src/raft/types.js'
import { SimTime } from '../../src/sim/sim-time.js'
import type { Command, Expiry as When } from '../../src/wire/command.js'
import { packEntry, RequestWriter } from '../../src/wire/request.js'
import { clientId, contents, OPTIONS, TestHost } from '../machine/machine-fixture.js'
import { putCoded } from '../wire/manifest-fixture.js'

const LEASE = Buffer.from('lease  1')
const TICK_MS = 50
/** After what is due is let go at the latest, while everything is well. */
const SLACK_MS = 250

/** Some members that apply the same entries, and those of them that believe to lead. */
class Lab {
  readonly host = new TestHost(1)
  readonly clocks: Expiry[] = []
  machine!: StateMachine
  /** How many proposals were made; they are lost while `isCutOff`. */
  proposals = 0
  isCutOff = false
  #term = 1
  #seq = 0
  #proposed: Buffer[] = []

  static async open(options: MachineOptions = OPTIONS): Promise<Lab> {
    const lab = new Lab()
    lab.machine = await lab.host.open(options)
    return lab
  }

  /** A clock over the same state, of a member with this role. */
  member(role: Role): Expiry {
    const clock = new Expiry(new SimTime(this.host.world), this.machine, {
      propose: (request) => {
        this.proposals++
        if (!this.isCutOff) this.#proposed.push(request)
      },
      isSound: () => true,
      damaged: (error) => assert.fail(error),
      own: (work) => void work,
      fail: (error) => assert.fail(String(error)),
    })
    this.clocks.push(clock)
    clock.onSoft(role, this.#term)
    return clock
  }

  /** A member leads a new term, whose first entry is empty. */
  async elect(): Promise<Expiry> {
    this.#term++
    for (const clock of this.clocks) clock.onSoft('follower', this.#term)
    const clock = this.member('leader')
    await this.#applyEntry([])
    return clock
  }

  async run(...commands: Command[]): Promise<number[]> {
    const writer = new RequestWriter(0)
    for (const command of commands) writer.add(command)
    const seq = ++this.#seq
    return this.#applyEntry([writer.finish(clientId('c'), seq, seq, 0)])
  }

  /** Lets time go by, in ticks of the members. */
  async pass(ms: number): Promise<void> {
    const end = this.host.world.now + ms
    while (this.host.world.now < end) {
      await this.host.world.advance(Math.min(TICK_MS, end - this.host.world.now))
      for (const clock of this.clocks) clock.tick()
      const proposed = this.#proposed
      this.#proposed = []
      for (const request of proposed) await this.#applyEntry([request])
    }
  }

  keys(): Promise<string[]> {
    return contents(this.host, this.machine)
  }

  async #applyEntry(requests: readonly Buffer[]): Promise<number[]> {
    const index = this.machine.appliedIndex + 1
    const data = requests.length === 0 ? Buffer.alloc(0) : packEntry(requests)
    const entry = { index, term: this.#term, kind: 'normal' as const, data }
    const applied = await this.host.run(this.machine.apply([entry]))
    for (const clock of this.clocks) clock.onApplied(applied)
    return applied.flatMap(({ outcomes }) => outcomes.flatMap(({ results }) => [...results]))
  }
}

function put(key: string, expiry?: When): Command {
  const operation = { type: 'put', key: Buffer.from(key), value: Buffer.from('1') } as const
  return {
    type: 'write',
    operations: [expiry === undefined ? operation : { ...operation, expiry }],
  }
}
const ttl = (ttlMs: number): When => ({ type: 'ttl', ttlMs })
const leased: When = { type: 'lease', lease: LEASE }
const grant = (ttlMs: number): Command => ({ type: 'grant', lease: LEASE, ttlMs })
const keepAlive: Command = { type: 'keepAlive', lease: LEASE }

test('a key with a time to live goes after that, not before, and soon', async () => {
  const lab = await Lab.open()
  await lab.elect()
  await lab.pass(100)
  await lab.run(put('a', ttl(1000)), put('b', ttl(3000)), put('c'))
  await lab.pass(990)
  assert.deepEqual(await lab.keys(), ['a=1@2', 'b=1@2', 'c=1@2'])
  await lab.pass(10 + SLACK_MS)
  assert.deepEqual(await lab.keys(), ['b=1@2', 'c=1@2'])
  await lab.pass(2000)
  assert.deepEqual(await lab.keys(), ['c=1@2'])
})

test('a key that is written again begins anew, or stays when it is written without a time', async () => {
  const lab = await Lab.open()
  await lab.elect()
  await lab.run(put('a', ttl(1000)), put('b', ttl(1000)))
  await lab.pass(800)
  await lab.run(put('a', ttl(1000)), put('b'))
  await lab.pass(900)
  assert.deepEqual(await lab.keys(), ['a=1@3', 'b=1@3'])
  await lab.pass(10_000)
  assert.deepEqual(await lab.keys(), ['b=1@3'])
})

test('a lease that is kept alive keeps its keys; when it ends, those go that are still attached', async () => {
  const lab = await Lab.open()
  await lab.elect()
  assert.deepEqual(await lab.run(grant(1000), put('a', leased), put('b', leased)), [1, 1, 1])
  for (let i = 0; i < 5; i++) {
    await lab.pass(800)
    assert.deepEqual(await lab.run(keepAlive), [1])
  }
  await lab.run(put('b'))
  assert.equal((await lab.keys()).length, 2)
  await lab.pass(1000 + SLACK_MS)
  assert.equal((await lab.keys()).join(), 'b=1@8')
  assert.deepEqual(await lab.run(keepAlive, put('c', leased)), [0, 0])
})

test('a new leader gives everything its full time: it never shortens one', async () => {
  const lab = await Lab.open()
  await lab.elect()
  await lab.run(grant(1000), put('a', leased), put('b', ttl(1000)))
  for (let i = 0; i < 4; i++) {
    await lab.pass(900)
    await lab.elect()
    assert.equal((await lab.keys()).length, 2)
  }
  await lab.pass(940)
  assert.equal((await lab.keys()).length, 2)
  await lab.pass(100 + SLACK_MS)
  assert.deepEqual(await lab.keys(), [])
})

test('nobody lets anything go who does not lead, or did not apply an entry of its own term', async () => {
  const lab = await Lab.open()
  lab.member('follower')
  const early = lab.member('candidate')
  await lab.run(put('a', ttl(100)))
  await lab.pass(5000)
  early.onSoft('leader', 7)
  await lab.pass(5000)
  assert.deepEqual([lab.proposals, (await lab.keys()).length], [0, 1])
})

test('a proposal that stands in the log behind a keepAlive or a put does nothing', async () => {
  const lab = await Lab.open()
  const clock = await lab.elect()
  await lab.run(grant(300), put('a', leased), put('b', ttl(300)))
  await lab.pass(200)
  // What is proposed next is overtaken by these two.
  clock.onApplied = () => undefined
  await lab.run(keepAlive, put('b', ttl(300)))
  await lab.pass(200)
  assert.ok(lab.proposals > 0)
  assert.equal((await lab.keys()).length, 2)
})

test('time in which the loop stood still does not count', async () => {
  const lab = await Lab.open()
  await lab.elect()
  await lab.run(put('a', ttl(2000)))
  await lab.pass(1000)
  await lab.host.world.advance(60_000)
  await lab.pass(400)
  assert.equal((await lab.keys()).length, 1)
  await lab.pass(200 + SLACK_MS)
  assert.equal((await lab.keys()).length, 0)
})

test('proposals that are lost are made again, and not all the time', async () => {
  const lab = await Lab.open()
  await lab.elect()
  await lab.run(put('a', ttl(100)))
  lab.isCutOff = true
  await lab.pass(10_000)
  assert.ok(lab.proposals >= 3 && lab.proposals <= 5, `${lab.proposals} proposals`)
  lab.isCutOff = false
  await lab.pass(4000)
  assert.deepEqual(await lab.keys(), [])
})

test('much that is due at once goes in bounded proposals', async () => {
  const lab = await Lab.open()
  await lab.elect()
  const names = Array.from({ length: 3500 }, (_, i) => put(`k${i}`, ttl(100)))
  await lab.run(...names)
  await lab.pass(2000)
  assert.deepEqual([await lab.keys(), lab.proposals], [[], 4])
})

test('a state that was replaced is read anew, with full times', async () => {
  const lab = await Lab.open()
  const clock = await lab.elect()
  await lab.run(put('a', ttl(1000)))
  await lab.pass(900)
  clock.onReplaced()
  await lab.pass(900)
  assert.equal((await lab.keys()).length, 1)
  await lab.pass(200 + SLACK_MS)
  assert.deepEqual(await lab.keys(), [])
})

test('what a lease lists without need is found and forgotten', async () => {
  const lab = await Lab.open()
  await lab.elect()
  await lab.run(grant(1e9))
  for (let i = 0; i < 100; i++) await lab.run(put(`k${i}`, leased))
  for (let i = 0; i < 90; i++) await lab.run(put(`k${i}`))
  await lab.pass(70_000)
  await lab.host.run(lab.machine.close())
  const attachments = (await lab.host.dump()).filter((line) => line.startsWith('04'))
  assert.equal(attachments.length, 10)
})

test('keys that are large values no more are found and forgotten', async () => {
  const initial = firstConfiguration([{ id: 'a', nodeId: 1 }])
  const lab = await Lab.open({ ...OPTIONS, initial })
  await lab.elect()
  const names = Array.from({ length: 100 }, (_, i) => `k${i}`)
  for (const name of names) {
    await lab.run({ type: 'write', operations: [putCoded(name, { term: 2, parts: [] })] })
  }
  for (const name of names.slice(10)) await lab.run(put(name))
  await lab.pass(70_000)
  const { values, stale } = await lab.host.run(lab.machine.codedKeys(undefined, 1000))
  assert.deepEqual([values.length, stale.length], [10, 0])
  assert.equal((await lab.keys()).length, 100)
})
