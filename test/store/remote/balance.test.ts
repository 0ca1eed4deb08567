/** Which member serves the next weak read. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  BALANCES,
  type Candidate,
  choose,
  eligibleOf,
  type Health,
  onAnswer,
  onFailure,
  onProbe,
  UNKNOWN,
} from '../../../src/store/remote/balance.js'

interface Named extends Candidate {
  readonly name: number
}

const health: fc.Arbitrary<Health> = fc.record({
  latencyMs: fc.option(fc.double({ min: 0, max: 5_000, noNaN: true }), { nil: undefined }),
  failures: fc.nat({ max: 2 }),
  ejections: fc.nat({ max: 9 }),
  state: fc.constantFrom('good', 'ejected'),
  ejectedUntil: fc.nat({ max: 100_000 }),
})
const candidates: fc.Arbitrary<Named[]> = fc
  .array(fc.record({ health, outstanding: fc.nat({ max: 100 }) }), { maxLength: 6 })
  .map((list) => list.map((one, name) => ({ ...one, name, latencyMs: one.health.latencyMs ?? 0 })))
const balance = fc.constantFrom(...BALANCES)

function good(name: number, latencyMs: number, outstanding = 0): Named {
  return { name, latencyMs, outstanding, health: { ...UNKNOWN, latencyMs } }
}

test('somebody is eligible whenever there is a candidate, and no ejected one beside a good one', () => {
  fc.assert(
    fc.property(candidates, (list) => {
      const eligible = eligibleOf(list)
      assert.equal(eligible.length > 0, list.length > 0)
      const isAnyGood = list.some((one) => one.health.state === 'good')
      if (isAnyGood) assert.ok(eligible.every((one) => one.health.state === 'good'))
      const fastest = Math.min(...eligible.map((one) => one.latencyMs))
      for (const { latencyMs } of eligible) {
        assert.ok(latencyMs <= Math.max(fastest * 8, fastest + 20))
      }
    }),
  )
})

test('one of the eligible is chosen, whatever came before', () => {
  fc.assert(
    fc.property(candidates, balance, fc.nat(), fc.nat({ max: 5 }), (list, how, count, last) => {
      const turn = { count, last: list[last], draw: () => (count % 1_000) / 1_000 }
      const chosen = choose(how, list, turn)
      assert.equal(chosen === undefined, list.length === 0)
      if (chosen !== undefined) assert.ok(list.includes(chosen))
    }),
  )
})

test('round-robin asks all equally often, and random all sooner or later', () => {
  const list = [good(0, 1), good(1, 2), good(2, 3)]
  const counts = [0, 0, 0]
  for (let count = 0; count < 30; count++) {
    counts[choose('round-robin', list, { count, last: undefined, draw: () => 0 })!.name]!++
  }
  assert.deepEqual(counts, [10, 10, 10])
  for (const name of [0, 1, 2]) {
    const draw = () => name / 3 + 0.1
    assert.equal(choose('random', list, { count: 0, last: undefined, draw })!.name, name)
  }
})

test('least-outstanding asks the idlest, and equally idle ones in turn', () => {
  fc.assert(
    fc.property(candidates, fc.nat(), (list, count) => {
      const chosen = choose('least-outstanding', list, { count, last: undefined, draw: () => 0 })
      const least = Math.min(...list.map(({ outstanding }) => outstanding))
      if (chosen !== undefined) assert.equal(chosen.outstanding, least)
    }),
  )
  const idle = [good(0, 1), good(1, 1), good(2, 1, 5)]
  const names = [0, 1, 2, 3].map(
    (count) => choose('least-outstanding', idle, { count, last: undefined, draw: () => 0 })!.name,
  )
  assert.deepEqual(new Set(names), new Set([0, 1]))
})

test('nearest asks the fastest, and changes its mind only for one that is clearly faster', () => {
  const list = [good(0, 5), good(1, 2), good(2, 2.1)]
  const turn = { count: 0, last: undefined, draw: () => 0 }
  assert.equal(choose('nearest', list, turn)!.name, 1)
  assert.equal(choose('nearest', list, { ...turn, last: list[2] })!.name, 2)
  assert.equal(choose('nearest', list, { ...turn, last: list[0] })!.name, 1)
})

test('a member that fails again and again is ejected for longer each time, and let in by a probe', () => {
  let now = 0
  let state = onAnswer(UNKNOWN, 3)
  const fail = () => {
    for (let i = 0; i < 3; i++) state = onFailure(state, now)
  }
  state = onFailure(state, now)
  assert.equal(state.state, 'good')
  state = onAnswer(state, 3)
  assert.equal(state.failures, 0)
  for (const forMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    fail()
    assert.equal(state.state, 'ejected')
    assert.equal(state.ejectedUntil - now, forMs)
    state = onProbe(state, 1, now + forMs - 1)
    assert.equal(state.state, 'ejected', 'not before its time')
    now += forMs
    state = onAnswer(state, 1)
    assert.equal(state.state, 'ejected', 'only a probe lets it in')
    state = onProbe(state, 1, now)
    assert.equal(state.state, 'good')
  }
  for (let i = 0; i < 100; i++) state = onProbe(state, 1, now)
  fail()
  assert.equal(state.ejectedUntil - now, 1_000, 'long good behaviour is remembered')
})

test('latency is a moving average: one slow answer does not decide, many do', () => {
  let state = onAnswer(UNKNOWN, 2)
  state = onAnswer(state, 42)
  assert.equal(state.latencyMs, 12)
  for (let i = 0; i < 50; i++) state = onAnswer(state, 42)
  assert.ok(Math.abs(state.latencyMs! - 42) < 0.01)
})
