import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import type { PendingRead } from '../../src/member/backend.js'
import { ForwardedReads } from '../../src/member/forwarded-reads.js'
import { ReadDesk } from '../../src/member/read-desk.js'
import type { ForwardOutcome } from '../../src/member/reads.js'
import { decodeReadAnswers, decodeReadCalls, type ReadCall } from '../../src/wire/read-call.js'

const LEADER = 2

function readOf(key: string, deadline: number): PendingRead {
  return {
    keys: [Buffer.from(key)],
    level: 'session',
    minIndex: 5,
    minTerm: 1,
    maxStalenessMs: Number.POSITIVE_INFINITY,
    onBehind: 'forward',
    deadline,
    abandoned: false,
    complete: () => {},
    fail: () => {},
  }
}

/** Forwarded reads with a leader that is played by hand. */
function forwarding(maxBytes = 1000) {
  const state = {
    now: 0,
    leader: LEADER as number | undefined,
    isOpen: true,
    frames: [] as ReadCall[][],
    outcomes: [] as string[],
    overloads: 0,
  }
  const forwarded = new ForwardedReads(
    {
      now: () => state.now,
      leader: () => state.leader,
      send: (to, body) => {
        assert.equal(to, LEADER)
        if (state.isOpen) state.frames.push(decodeReadCalls(body))
        return state.isOpen
      },
      wake: () => {},
      overloaded: () => {
        state.overloads++
      },
    },
    maxBytes,
    0xffff_ffff,
  )
  const ask = (key: string, deadline = 10_000) =>
    forwarded.ask(readOf(key, deadline), (outcome: ForwardOutcome) => {
      state.outcomes.push(
        'error' in outcome ? outcome.error.code : `${key} by ${outcome.served.servedBy}`,
      )
    })
  const answer = (id: number, from = LEADER) =>
    forwarded.onAnswers(from, [
      { id, index: 9, term: 1, servedBy: 'b', role: 'leader', stalenessMs: 0, values: [undefined] },
    ])
  return { state, forwarded, ask, answer }
}

test('what is collected in a turn goes in one frame, with what is left of its time', () => {
  const { state, forwarded, ask, answer } = forwarding()
  state.now = 4000
  assert.ok(ask('x') && ask('y', 4500))
  forwarded.flush()
  const [[x, y]] = state.frames as [[ReadCall, ReadCall]]
  assert.deepEqual([x.remainingMs, y.remainingMs, x.onBehind], [6000, 500, 'wait'])
  answer(y.id)
  answer(x.id)
  answer(x.id)
  assert.deepEqual(state.outcomes, ['y by b', 'x by b'])
})

test('an answer counts only from whom was asked', () => {
  const { state, forwarded, ask, answer } = forwarding()
  ask('x')
  forwarded.flush()
  answer(state.frames[0]![0]!.id, 3)
  assert.deepEqual(state.outcomes, [])
})

test('without a leader, without time, or beyond the size of a frame nothing is taken', () => {
  const { state, ask } = forwarding(100)
  assert.equal(ask('k'.repeat(100)), false)
  assert.equal(ask('k', 0), false)
  state.leader = undefined
  assert.equal(ask('k'), false)
})

test('frames stay within their size', () => {
  const { state, forwarded, ask } = forwarding(100)
  for (const key of ['x', 'y', 'z']) assert.ok(ask(key))
  forwarded.flush()
  assert.deepEqual(
    state.frames.map(({ length }) => length),
    [2, 1],
  )
})

test('reads are given back when the way is full, the leader changes, its connection breaks or it is silent', () => {
  const { state, forwarded, ask } = forwarding()
  const back = (event: () => void) => {
    state.outcomes = []
    assert.ok(ask('x'))
    forwarded.flush()
    event()
    assert.deepEqual(state.outcomes, ['QUORATE_NO_LEADER'])
  }
  back(() => forwarded.onLeader(3))
  back(() => forwarded.onPeerDown(LEADER))
  back(() => {
    state.now += 1000
    forwarded.tick(state.now)
  })
  state.isOpen = false
  back(() => {})
})

test('a leader that is silent several times in a row is left alone, then asked once', () => {
  const { state, forwarded, ask, answer } = forwarding()
  for (let i = 0; i < 8; i++) {
    assert.ok(ask('x', Number.POSITIVE_INFINITY))
    forwarded.flush()
    state.now += 1000
    forwarded.tick(state.now)
  }
  assert.equal(ask('x', Number.POSITIVE_INFINITY), false)
  state.now += 2000
  assert.equal(ask('probe', Number.POSITIVE_INFINITY), true)
  assert.equal(ask('x', Number.POSITIVE_INFINITY), false)
  forwarded.flush()
  answer(state.frames.at(-1)![0]!.id)
  assert.equal(ask('x', Number.POSITIVE_INFINITY), true)
})

test('calls that had less time than an answer may take say nothing about the leader', () => {
  const { state, forwarded, ask } = forwarding()
  for (let i = 0; i < 20; i++) {
    assert.ok(ask('x', state.now + 10))
    forwarded.flush()
    state.now += 10
    forwarded.tick(state.now)
  }
  assert.ok(ask('x'))
})

/** A desk whose reads are served by hand, and what it sent. */
function desk(maxBodyBytes = 1000) {
  const state = { reads: [] as PendingRead[], bodies: [] as Buffer[], turn: [] as (() => void)[] }
  const made = new ReadDesk(
    {
      time: { now: () => 100, soon: (run: () => void) => state.turn.push(run) } as never,
      read: (read) => state.reads.push(read),
      send: (body) => state.bodies.push(body),
    },
    maxBodyBytes,
  )
  const take = (id: number, remainingMs = 500) => {
    const { keys, level, minIndex, minTerm, maxStalenessMs } = readOf('k', 0)
    made.take(
      { id, keys, level, minIndex, minTerm, maxStalenessMs, remainingMs, onBehind: 'fail' },
      'wait',
    )
  }
  const served = { index: 9, term: 1, servedBy: 'a', role: 'leader', stalenessMs: 1 } as const
  const endTurn = () => {
    for (const run of state.turn.splice(0)) run()
    return state.bodies.splice(0).map(decodeReadAnswers)
  }
  return { state, made, take, served, endTurn }
}

test('answers of a turn travel together, deadlines are on the clock here, what has expired is dropped', () => {
  const { state, made, take, served, endTurn } = desk()
  take(1)
  take(2)
  take(3, 0)
  assert.deepEqual(
    state.reads.map(({ deadline, onBehind }) => [deadline, onBehind]),
    [
      [600, 'wait'],
      [600, 'wait'],
    ],
  )
  state.reads[1]!.complete([{ value: Buffer.from('v'), revision: 3 }], served)
  state.reads[0]!.fail(new StoreError('QUORATE_BEHIND_TOKEN', 'behind'))
  const [answers] = endTurn()
  assert.deepEqual(
    answers!.map(({ id }) => id),
    [2, 1],
  )
  assert.equal(made.open, 0)
})

test('a value that no frame holds is an error, and several answers are cut into frames', () => {
  const { state, take, served, endTurn } = desk(300)
  for (let id = 1; id <= 3; id++) take(id)
  const values = (bytes: number) => [{ value: Buffer.alloc(bytes), revision: 3 }]
  state.reads[0]!.complete(values(200), served)
  state.reads[1]!.complete(values(200), served)
  state.reads[2]!.complete(values(400), served)
  const bodies = endTurn()
  assert.deepEqual(
    bodies.map((answers) => answers.map(({ id }) => id)),
    [[1], [2], [3]],
  )
  const last = bodies[2]![0]!
  assert.ok('error' in last && last.error.code === 'QUORATE_OVERLOADED')
})

test('a desk that is closed answers nothing, and its reads are abandoned', () => {
  const { state, made, take, served, endTurn } = desk()
  take(1)
  made.end()
  assert.equal(state.reads[0]!.abandoned, true)
  state.reads[0]!.complete([undefined], served)
  assert.deepEqual(endTurn(), [])
})

test('when this member does not lead any more every open read is answered so, once', () => {
  const { state, made, take, served, endTurn } = desk()
  take(1)
  made.failAll(new StoreError('QUORATE_NO_LEADER', 'not leading'))
  state.reads[0]!.complete([undefined], served)
  const [answers] = endTurn()
  assert.equal(answers!.length, 1)
})
