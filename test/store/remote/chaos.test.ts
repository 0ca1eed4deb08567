/** Clients of a cluster to which everything happens at once, judged by what they were told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../../src/base/errors.js'
import { checkSessions } from '../../../src/sim/checkers/sessions.js'
import type { Operation, Result } from '../../../src/sim/history.js'
import { pairCalls } from '../../../src/sim/history.js'
import { checkers } from '../../../src/sim/kit/checkers.js'
import { Recorder } from '../../../src/sim/recorder.js'
import type { SimCluster } from '../../../src/sim/sim-cluster.js'
import type { Session } from '../../../src/store/session.js'
import type { Store } from '../../../src/store/store.js'
import { connectedFrom, NAMES, others, three } from './remote-fixture.js'

const CLIENTS = ['x', 'y', 'z']
const BALANCES = ['nearest', 'round-robin', 'random'] as const
const ROUNDS = 6
const KEYS = 4

/** What a run is made of. */
interface Run {
  readonly cluster: SimCluster
  readonly recorder: Recorder
  readonly draw: (bound: number, purpose: string) => number
  isOver: boolean
  answered: number
  /** Codes of failures that say nothing about what clients promise. */
  readonly failures: Set<string>
}

async function call(
  run: Run,
  operation: Operation,
  session: string | undefined,
  make: () => Promise<Result>,
): Promise<void> {
  const recorded = run.recorder.invoke(operation, session === undefined ? {} : { session })
  try {
    recorded.ok(await make())
    run.answered++
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    run.failures.add(error.code)
    if ('level' in operation || error.outcome === 'none') recorded.fail(error.code)
    else recorded.info(error.code)
  }
}

async function work(run: Run, name: string, store: Store): Promise<void> {
  const session = store.session()
  for (let i = 0; !run.isOver; i++) {
    const key = `k${run.draw(KEYS, 'key')}`
    const timeoutMs = 200 + run.draw(2_000, 'timeout')
    const isInSession = run.draw(3, 'session') === 0
    const [handle, of] = isInSession ? [session, name] : [store, undefined]
    if (run.draw(2, 'kind') === 0) {
      const value = `${name}${i}`
      await call(run, { f: 'put', key, value, ack: 'quorum' }, of, () =>
        put(handle, key, value, timeoutMs),
      )
    } else {
      const level = isInSession ? 'session' : 'strong'
      await call(run, { f: 'get', key, level }, of, () => get(handle, key, timeoutMs))
    }
    await new Promise<void>((resolve) => {
      run.cluster.world.schedule(run.draw(150, 'pause'), resolve)
    })
  }
}

async function put(
  to: Store | Session,
  key: string,
  value: string,
  timeoutMs: number,
): Promise<Result> {
  const { index, term } = await to.put(key, value, { timeoutMs })
  return { f: 'put', index, term }
}

async function get(from: Store | Session, key: string, timeoutMs: number): Promise<Result> {
  const meta = await from.getWithMeta<string>(key, { timeoutMs })
  const { value = null, revision, appliedIndex: index, servedBy: node } = meta
  return { f: 'get', value, revision, index, node }
}

/** One thing happens, lasts for a while, and is over. */
async function disturb(run: Run): Promise<void> {
  const { cluster, draw } = run
  const { network, world } = cluster
  const member = NAMES[draw(NAMES.length, 'member')]!
  const client = CLIENTS[draw(CLIENTS.length, 'client')]!
  const lasts = () => world.advance(200 + draw(3_000, 'lasts'))
  switch (draw(6, 'fault')) {
    case 0:
      cluster.kill(member)
      await lasts()
      return cluster.restart(member)
    case 1:
      cluster.powerCut(member, 'torn')
      await lasts()
      return cluster.restart(member)
    case 2:
      network.partition([[member], others(cluster, member)])
      await lasts()
      return network.healAll()
    case 3:
      network.partition([[client, member], others(cluster, member)])
      await lasts()
      return network.healAll()
    case 4:
      cluster.host(member).pause()
      await lasts()
      return cluster.host(member).resume()
    default:
      for (const name of NAMES) network.break(client, name)
      await lasts()
  }
}

test('whatever happens to members and connections, clients are told what is true', async () => {
  let answered = 0
  for (let seed = 100; seed < 103; seed++) {
    const cluster = await three(seed)
    const recorder = new Recorder(() => cluster.world.now)
    let draws = 0
    const draw = (bound: number, purpose: string) => {
      return cluster.world.below(bound, 'chaos', purpose, draws++)
    }
    const run: Run = { cluster, recorder, draw, isOver: false, answered: 0, failures: new Set() }
    const stores: Store[] = []
    for (const [i, name] of CLIENTS.entries()) {
      stores.push(await connectedFrom(cluster, name, NAMES, { balance: BALANCES[i]! }))
    }
    const working = stores.map((store, i) => work(run, CLIENTS[i]!, store))
    for (let round = 0; round < ROUNDS; round++) {
      await disturb(run)
      await cluster.world.advance(draw(1_500, 'calm'))
    }
    await cluster.world.advance(6_000)
    run.isOver = true
    await cluster.run(Promise.all(working))
    const history = pairCalls(recorder.finish())
    const linear = checkers.linearizable(history, 'byKey')
    assert.ok(linear.verdict === 'ok', `seed ${seed}: ${JSON.stringify(linear).slice(0, 2_000)}`)
    const sessions = checkSessions(history)
    assert.ok(
      sessions.verdict === 'ok',
      `seed ${seed}: ${JSON.stringify(sessions).slice(0, 2_000)}`,
    )
    const expected = ['NETWORK', 'TIMEOUT', 'NO_LEADER', 'BEHIND_TOKEN'].map((c) => `QUORATE_${c}`)
    assert.deepEqual(
      [...run.failures].filter((code) => !expected.includes(code)),
      [],
    )
    answered += run.answered
    for (const store of stores) await cluster.run(store.close())
    await cluster.close()
  }
  assert.ok(answered > 500, `${answered} calls were answered`)
})
