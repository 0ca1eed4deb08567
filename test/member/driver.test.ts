/** The driver between one core and its log and state machine, step by step on virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RaftLog } from '../../src/log/raft-log.js'
import type { StateMachine } from '../../src/machine/state-machine.js'
import { Driver } from '../../src/member/driver.js'
import { RaftCore } from '../../src/raft/core.js'
import type { Entry, LogIndex, Message, NodeId, Term } from '../../src/raft/types.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { LogHost } from '../log/log-fixture.js'
import { entry, OPTIONS, TestHost } from '../machine/machine-fixture.js'
import { TEST_OPTIONS } from '../raft/harness.js'

const SELF = 1
const FRIEND = 2
const RIVAL = 3
const RIVAL_TERM = 9
const CONF = {
  voters: [SELF, FRIEND, RIVAL],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/** Node 1 of three, with log and state on simulated disks; the test plays the others. */
class Scene {
  readonly sent: Message[] = []
  readonly #logHost: LogHost
  readonly #machineHost: TestHost
  readonly core: RaftCore
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly driver: Driver
  failure: unknown

  static async open(): Promise<Scene> {
    const logHost = await LogHost.start({})
    const machineHost = new TestHost(1)
    const machine = await machineHost.open({
      ...OPTIONS,
      initial: { ...OPTIONS.initial, conf: CONF },
    })
    return new Scene(logHost, machineHost, machine)
  }

  private constructor(logHost: LogHost, machineHost: TestHost, machine: StateMachine) {
    this.#logHost = logHost
    this.#machineHost = machineHost
    this.log = logHost.log
    this.machine = machine
    const { hardState, previous, lastIndex, terms, tail } = this.log.recovered
    const init = { hardState, previous, lastIndex, terms, tail, conf: CONF, applied: 0 }
    this.core = new RaftCore({ ...TEST_OPTIONS, id: SELF }, init)
    const ignore = (): void => {}
    this.driver = new Driver(this.core, this.log, machine, new SimTime(logHost.world), {
      collect: ignore,
      send: (message) => this.#onSent(message),
      onReadIndex: ignore,
      onProposed: ignore,
      onDropped: ignore,
      roomToApply: () => undefined,
      onApplied: ignore,
      onSoft: ignore,
      onSnapshotWanted: ignore,
      onInstalled: ignore,
      onPassedOver: ignore,
      onDamaged: ignore,
      onFatal: (error) => {
        this.failure = error
      },
    })
  }

  receive(message: Message): void {
    this.driver.step({ type: 'receive', message })
  }

  /** Lets one thing happen on the disks; false when nothing is left to happen. */
  async next(): Promise<boolean> {
    const worlds = [this.#logHost.world, this.#machineHost.world]
    const before = worlds.map(({ executed }) => executed)
    for (const world of worlds) {
      const { executed } = world
      await world.runUntil(() => world.executed > executed, 1000)
    }
    this.core.checkInvariants()
    return worlds.some(({ executed }, i) => executed > before[i]!)
  }

  async rest(): Promise<void> {
    while (await this.next()) assert.equal(this.failure, undefined)
  }

  #onSent(message: Message): void {
    this.sent.push(message)
    // What is acknowledged under a term must be durable: the vote as well as the entries.
    if (message.to !== FRIEND) return
    const { term } = message
    if (message.type === 'vote') {
      this.receive({ type: 'voteResponse', from: FRIEND, to: SELF, term, reject: false })
    } else if (message.type === 'append') {
      const index = message.prevIndex + message.entries.length
      const { session } = message
      const none = { hintIndex: 0, hintTerm: 0, reject: false }
      this.receive({
        type: 'appendResponse',
        from: FRIEND,
        to: SELF,
        term,
        index,
        session,
        ...none,
      })
    }
  }
}

function put(index: LogIndex, term: Term, key: string): Entry {
  return entry(index, [{ client: key, seq: 1, commands: `${key}=1` }], term)
}

function append(
  prevIndex: LogIndex,
  prevTerm: Term,
  list: readonly Entry[],
  commit: LogIndex,
): Message {
  const from: NodeId = RIVAL
  return {
    ...{ type: 'append', from, to: SELF, term: RIVAL_TERM },
    ...{ prevIndex, prevTerm, entries: list, commit, session: 1 },
  }
}

/** Leads, proposes, and hears of a new leader when `steps` things have happened on its disks. */
async function deposedAfter(steps: number): Promise<{ scene: Scene; wasLeader: boolean }> {
  const scene = await Scene.open()
  const { driver, core } = scene
  driver.step({ type: 'campaign' })
  for (let i = 0; i < steps; i++) {
    const { data, kind } = put(1, 1, `own ${i}`)
    if (core.role === 'leader')
      driver.step({ type: 'propose', token: 2 * i, entries: [{ kind, data }] })
    await scene.next()
  }
  const wasLeader = core.role === 'leader'
  const told = scene.sent.length
  const { commitIndex } = core.status()
  const commitTerm = core.termAt(commitIndex)!
  scene.receive({
    ...{ type: 'heartbeat', from: RIVAL, to: SELF, term: RIVAL_TERM },
    ...{ commit: 0, context: 0 },
  })
  const rivals = [
    put(commitIndex + 1, RIVAL_TERM, 'rival'),
    put(commitIndex + 2, RIVAL_TERM, 'more'),
  ]
  scene.receive(append(commitIndex, commitTerm, rivals, commitIndex + 2))
  await scene.rest()
  // What it decided to say under its own term may still leave, as if it had been long on its way.
  const late = scene.sent.slice(told).filter(({ term }) => term === RIVAL_TERM)
  const kinds = new Set(late.map(({ type }) => type))
  assert.deepEqual([...kinds].sort(), ['appendResponse', 'heartbeatResponse'])
  return { scene, wasLeader }
}

test('T-7 a new leader may turn up at any moment between two effects, and is followed from then on', async () => {
  const seen = new Set<boolean>()
  for (let steps = 0; steps < 40; steps++) {
    const { scene, wasLeader } = await deposedAfter(steps)
    seen.add(wasLeader)
    const { core, log, machine } = scene
    const { lastIndex, commitIndex, role, term } = core.status()
    assert.deepEqual([role, term, commitIndex], ['follower', RIVAL_TERM, lastIndex])
    assert.equal(log.status().lastIndex, lastIndex)
    assert.equal(machine.appliedIndex, lastIndex)
    assert.equal(machine.get(Buffer.from('more'))?.revision, lastIndex)
    const accepted = scene.sent.filter((m) => m.type === 'appendResponse' && !m.reject)
    assert.equal(accepted.length, 1)
  }
  assert.deepEqual([...seen].sort(), [false, true])
})
