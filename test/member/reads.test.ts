import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import type { PendingRead } from '../../src/member/backend.js'
import { type ForwardOutcome, Reads } from '../../src/member/reads.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'

/** Reads over a state that is moved by hand, and what they asked for. */
class Desk {
  readonly world: SimWorld = new SimWorld(1)
  readonly rounds: number[] = []
  readonly forwarded: { read: PendingRead; done: (outcome: ForwardOutcome) => void }[] = []
  readonly overloads: number[] = []
  readonly reads: Reads
  applied = 10
  committed = 10
  readonly #time = new SimTime(this.world)

  constructor(max = 100) {
    const desk = this
    this.reads = new Reads(
      this.#time,
      {
        get appliedIndex() {
          return desk.applied
        },
        get commitIndex() {
          return desk.committed
        },
        hasLeader: true,
        termAt: () => 1,
        wake: () => {},
        requestReadIndex: (token) => this.rounds.push(token),
        serve: (read) => read.complete([], { index: this.applied } as never),
        forward: (read, done) => this.forwarded.push({ read, done }) > 0,
        overloaded: (retryAfterMs) => this.overloads.push(retryAfterMs),
      },
      max,
    )
  }

  async advance(ms: number): Promise<void> {
    await this.world.advance(ms)
    this.reads.tick(this.world.now)
    this.reads.flush()
  }

  /** Begins a read; what it comes to is in the list that is returned: an index, or a code. */
  read(demand: Partial<PendingRead>): (number | string)[] {
    const outcome: (number | string)[] = []
    this.reads.add({
      keys: [Buffer.from('k')],
      level: 'strong',
      minIndex: 0,
      minTerm: 0,
      maxStalenessMs: Number.POSITIVE_INFINITY,
      onBehind: 'wait',
      deadline: this.world.now + 4000,
      abandoned: false,
      complete: (_, { index }) => outcome.push(index),
      fail: (error) => outcome.push((error as StoreError).code),
      ...demand,
    })
    this.reads.flush()
    return outcome
  }
}

test('T-43: a round that is tried again has a number of its own: a late answer serves nobody', async () => {
  const desk = new Desk()
  const outcome = desk.read({})
  await desk.advance(600)
  const [first, second] = desk.rounds
  assert.notEqual(first, second)
  desk.reads.onReadIndex(first!, 10)
  assert.deepEqual(
    outcome,
    [],
    'the answer to the first attempt proves nothing about what came since',
  )
  desk.reads.onReadIndex(second!, 10)
  assert.deepEqual(outcome, [10])
})

test('T-43: after another leader is known the answer of the former one serves nobody', () => {
  const desk = new Desk()
  const before = desk.read({})
  desk.reads.onLeaderChange()
  desk.reads.flush()
  const after = desk.read({})
  desk.reads.onReadIndex(desk.rounds[0]!, 10)
  assert.deepEqual([before, after], [[], []])
  for (const token of desk.rounds.slice(1)) desk.reads.onReadIndex(token, 10)
  assert.deepEqual([before, after], [[10], [10]])
})

test('bounded reads share a round, and one that came after it was sent needs it to be young enough', async () => {
  const desk = new Desk()
  const first = desk.read({ level: 'eventual', maxStalenessMs: 5 })
  const second = desk.read({ level: 'eventual', maxStalenessMs: 5 })
  const third = desk.read({ level: 'eventual', maxStalenessMs: 50 })
  assert.equal(desk.rounds.length, 1, 'one under way at a time')
  await desk.world.advance(20)
  desk.reads.onReadIndex(desk.rounds[0]!, 10)
  assert.deepEqual([first, second, third], [[10], [], [10]])
  desk.reads.flush()
  desk.reads.onReadIndex(desk.rounds[1]!, 10)
  assert.deepEqual(second, [10])
})

test('reads that keep coming within the bound renew the proof at half of it, and wait for nothing', async () => {
  const desk = new Desk()
  const bounded = { level: 'eventual', maxStalenessMs: 100 } as const
  desk.read(bounded)
  desk.reads.onReadIndex(desk.rounds[0]!, 10)
  for (let ms = 10; ms <= 50; ms += 10) {
    await desk.world.advance(10)
    assert.deepEqual(desk.read(bounded), [10])
  }
  assert.equal(desk.rounds.length, 1)
  for (let ms = 60; ms <= 100; ms += 10) {
    await desk.world.advance(10)
    assert.deepEqual(desk.read(bounded), [10])
  }
  assert.equal(desk.rounds.length, 2, 'one is under way')
})

test('a bounded read waits until the index of its proof is applied', () => {
  const desk = new Desk()
  const outcome = desk.read({ level: 'eventual', maxStalenessMs: 5 })
  desk.reads.onReadIndex(desk.rounds[0]!, 11)
  assert.deepEqual(outcome, [])
  desk.applied = 11
  desk.reads.onApplied()
  assert.deepEqual(outcome, [11])
})

test('a session read that is behind costs no round until a tick has passed; then one tells forged ones', async () => {
  const desk = new Desk()
  const honest = desk.read({ level: 'session', minIndex: 12 })
  const forged = desk.read({ level: 'session', minIndex: 99 })
  assert.equal(desk.rounds.length, 0)
  await desk.advance(50)
  assert.equal(desk.rounds.length, 1)
  desk.reads.onReadIndex(desk.rounds[0]!, 12)
  assert.deepEqual([honest, forged], [[], ['QUORATE_BAD_TOKEN']])
  desk.applied = 12
  desk.reads.onApplied()
  assert.deepEqual(honest, [12])
})

test('an answer to a round that was sent before the read came says nothing about its token', async () => {
  const desk = new Desk()
  desk.read({})
  const late = desk.read({ level: 'session', minIndex: 11 })
  desk.reads.onReadIndex(desk.rounds[0]!, 10)
  assert.deepEqual(late, [])
})

test('whoever serves a forwarded read first serves it, once', async () => {
  const desk = new Desk()
  const outcome = desk.read({ level: 'session', minIndex: 11, onBehind: 'forward' })
  const [{ done }] = desk.forwarded as [(typeof desk.forwarded)[0]]
  desk.applied = 11
  desk.reads.onApplied()
  done({ values: [], served: { index: 15 } as never })
  assert.deepEqual(outcome, [11])
  assert.equal(desk.reads.pending, 0)
  const other = desk.read({ level: 'session', minIndex: 12, onBehind: 'forward' })
  desk.forwarded[1]!.done({ values: [], served: { index: 15 } as never })
  desk.applied = 12
  desk.reads.onApplied()
  assert.deepEqual(other, [15])
  assert.equal(desk.reads.pending, 0)
})

test('a read that the leader gives back waits on, and is handed to it again after a while', async () => {
  const desk = new Desk()
  const outcome = desk.read({ level: 'session', minIndex: 11, onBehind: 'forward' })
  desk.forwarded[0]!.done({ error: new StoreError('QUORATE_NO_LEADER', 'gone') })
  await desk.advance(50)
  assert.equal(desk.forwarded.length, 1)
  await desk.advance(500)
  assert.equal(desk.forwarded.length, 2)
  desk.forwarded[1]!.done({ error: new StoreError('QUORATE_BAD_TOKEN', 'of another log') })
  assert.deepEqual(outcome, ['QUORATE_BAD_TOKEN'])
})

test('what only waits for a state, such as a view, is never handed on', async () => {
  const desk = new Desk()
  desk.read({ keys: [], level: 'session', minIndex: 11, onBehind: 'forward' })
  await desk.advance(3000)
  assert.equal(desk.forwarded.length, 0)
})

test('beyond the bound reads are refused with when to come again, and room comes back', async () => {
  const desk = new Desk(2)
  const outcomes = [1, 2, 3].map(() => desk.read({}))
  assert.deepEqual(outcomes, [[], [], ['QUORATE_OVERLOADED']])
  assert.deepEqual(desk.overloads, [10])
  await desk.advance(4000)
  assert.equal(desk.reads.pending, 0)
  assert.deepEqual(outcomes[0], ['QUORATE_TIMEOUT'])
})

test('a wait that is aborted ends at once and says so', async () => {
  const desk = new Desk()
  const controller = new AbortController()
  const demand = { keys: [], level: 'session', minIndex: 11, minTerm: 0, deadline: 9000 } as const
  const more = { maxStalenessMs: Number.POSITIVE_INFINITY, onBehind: 'wait' } as const
  const reaching = desk.reads.reach({ ...demand, ...more }, controller.signal)
  controller.abort()
  await assert.rejects(reaching, { code: 'QUORATE_ABORTED' })
  await desk.advance(50)
  assert.equal(desk.reads.pending, 0)
})
