/** The checkers of the weaker promises: each finds each kind of planted fault, and says what it has seen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkApplied } from '../../../src/sim/checkers/applied.js'
import { checkConvergence } from '../../../src/sim/checkers/convergence.js'
import { checkPrefix } from '../../../src/sim/checkers/prefix.js'
import { checkSessions } from '../../../src/sim/checkers/sessions.js'
import { checkStaleness, quantile } from '../../../src/sim/checkers/staleness.js'
import type { Verdict } from '../../../src/sim/checkers/verdict.js'
import { runs } from './runs.js'
import { history, log } from './script.js'

/** The verdict, or the rule that was broken. */
function ruleOf(verdict: Verdict<unknown>): string {
  return verdict.verdict === 'violation' ? verdict.rule : verdict.verdict
}

function sessions(calls: string): string {
  return ruleOf(checkSessions(history(calls)))
}

const LOG = log('1 a/1: k=v0; k=v1,j=w1\n2 a/2: k=v2\n4 a/3: k=-\n5 a/4: k=v5\n6 -')

function prefix(calls: string): string {
  return ruleOf(checkPrefix(history(calls), LOG))
}

test('sessions: each guarantee, kept and broken', () => {
  const cases: readonly [rule: string, calls: string][] = [
    ['ok', 'a put k v1 @3\na get k v1 @3 session\na get k v1 @4 session\na put k v2 @5'],
    ['read-your-writes', 'a put k v1 @3\na get k - @2 session'],
    ['monotonic-reads', 'a get k v1 @3 session\na get k - @2 session'],
    ['monotonic-reads', 'a get k v1 @3 session\na get k - @2'],
    ['monotonic-writes', 'a put k v1 @3\na put k v2 @2'],
    ['monotonic-writes', 'a put k v1 @3\na put k v2 @3'],
    ['writes-follow-reads', 'a get k v1 @3 session\na put k v2 @3'],
    ['ok', 'a put k v1 @3\nb get k - @2 session'],
    ['ok', 'a put k v1 @3 leader\na get k - @2 session'],
    ['unknown', 'a put k v1\na get k - @2 session'],
  ]
  for (const [rule, calls] of cases) assert.equal(sessions(calls), rule, calls)
})

test('sessions: writes in flight keep the order of their calls, and may share an entry', () => {
  // One session, two names: calls that overlap need a name each.
  const overlapping = (first: number, second: number) =>
    sessions(`a> put k v1\na put k v2 @${second}\na< @${first}`)
  assert.equal(overlapping(2, 3), 'ok')
  assert.equal(overlapping(3, 3), 'ok')
  assert.equal(overlapping(4, 3), 'monotonic-writes')
})

test('sessions: a read that was called before a write returned need not see it', () => {
  assert.equal(sessions('a> get k session\na put k v1 @3\na< - @2'), 'ok')
})

test('sessions: a token carries what its session has seen into another one', () => {
  const cases: readonly [rule: string, calls: string][] = [
    ['read-your-writes', 'a put k v1 @3\na export T\nb import T\nb get k - @2 session'],
    ['monotonic-reads', 'a get k v1 @3 session\na export T\nb import T\nb get k - @2 session'],
    ['writes-follow-reads', 'a get k v1 @3 session\na export T\nb import T\nb put k v2 @2'],
    ['ok', 'a export T\na put k v1 @3\nb import T\nb get k - @2 session'],
    ['ok', 'a put k v1 @3\na export T\nb get k - @2 session\nb import T'],
  ]
  for (const [rule, calls] of cases) assert.equal(sessions(calls), rule, calls)
  const shared = 'a put k v1 @3\na export T\nb export T\nc import T\nc get k - @2 session'
  assert.equal(sessions(shared), 'read-your-writes', 'also when another session exports it')
  const chain =
    'a put k v1 @9\na export T\nb import T\nb export U\nc import U\nc get k - @8 session'
  assert.equal(sessions(chain), 'read-your-writes', 'also through a third session')
})

test('sessions: eventual reads promise and bind nothing, and are counted where they went back', () => {
  const verdict = checkSessions(
    history(`
      a put k v1 @3
      a get k - @2 eventual
      a get k v1 @9 eventual
      a get k v1 @3 eventual
      a get k v1 @3 session
      b put j w1 @10
      a get k v1 @9 session
    `),
  )
  assert.deepEqual(verdict, {
    verdict: 'ok',
    observed: {
      sessions: 2,
      reads: 2,
      writes: 2,
      withoutIndex: 0,
      tokens: 0,
      staleReads: 1,
      eventualReads: 3,
      eventualReadsGoneBack: 1,
    },
  })
})

test('prefix: a read shows the state of its index, at every level', () => {
  const cases: readonly [rule: string, calls: string][] = [
    ['ok', 'x get k v1 @1 eventual\nx get k v2 @3 session\nx get k - @4 eventual\nx get k v5 @6'],
    ['ok', 'x get k - @0 eventual\nx scan a..z j=w1,k=v1 @1 eventual\nx scan k..z - @4 session'],
    ['consistent-prefix', 'x get k v1 @2 eventual'],
    ['consistent-prefix', 'x get k nobody @2 eventual'],
    ['consistent-prefix', 'x scan a..z k=v2 @2 eventual'],
    ['consistent-prefix', 'x scan a..z j=w1,k=v2 @4 eventual'],
    ['consistent-prefix', 'x scan a..z j=w1,k=v2,z=z9 @2 eventual'],
    ['uncommitted', 'x get k v5 @7 eventual'],
  ]
  for (const [rule, calls] of cases) assert.equal(prefix(calls), rule, calls)
})

test('prefix: a read without an index shows some one state, all of its keys together', () => {
  const cases: readonly [rule: string, calls: string][] = [
    ['ok', 'x get k v2 eventual\nx getMany k,j -,w1 eventual\nx getMany k,j -,- eventual'],
    ['consistent-prefix', 'x get k v9 eventual'],
    ['consistent-prefix', 'x get k v0 eventual'],
    ['consistent-prefix', 'x getMany k,j v1,- eventual'],
    ['consistent-prefix', 'x scan a..z k=v2 eventual'],
  ]
  for (const [rule, calls] of cases) assert.equal(prefix(calls), rule, calls)
})

test('prefix: a read shows nothing that was called only after it', () => {
  assert.equal(prefix('x get k v2 @2 eventual\na put k v2 @2'), 'future')
  assert.equal(prefix('x get k v2 @2 eventual\na? put k v2'), 'future')
  assert.equal(prefix('x> get k eventual\na put k v2 @2\nx< v2 @2'), 'ok')
  assert.equal(prefix('x get k v1 @1 eventual\na put k v2 @2'), 'ok')
})

test('prefix: what a read says of a revision is checked, too', () => {
  const { calls, tokens } = history('x get k v2 @3 eventual')
  const [call] = calls
  const revised = (revision: number) => {
    const result = { f: 'get', value: 'v2', index: 3, revision } as const
    assert.ok(call?.outcome.type === 'ok')
    const outcome = { ...call.outcome, result }
    return ruleOf(checkPrefix({ calls: [{ ...call, outcome }], tokens }, LOG))
  }
  assert.equal(revised(2), 'ok')
  assert.equal(revised(3), 'consistent-prefix')
})

test('staleness: a read is as stale as the oldest acknowledged write that it misses', () => {
  const told = history(`
    a put k v1 @1
    +100
    a put k v2 @2
    +30
    a put j w1 @3
    +20
    b get k v1 @1 eventual
    b get k v2 @2 eventual max=20
    b get k v2 @3 session
  `)
  const verdict = checkStaleness(told)
  assert.equal(verdict.verdict, 'ok')
  assert.deepEqual(verdict.observed.levels.eventual, {
    reads: 2,
    stale: 2,
    stalenessMs: [20, 50],
    lagEntries: [1, 2],
  })
  assert.equal(verdict.observed.levels.session.stale, 0)
  assert.equal(verdict.observed.bounded, 1)
})

test('staleness: a bound is kept to the millisecond, and a write in flight does not count', () => {
  const bounded = (ms: number) => {
    const calls = `a put k v1 @1\n+50\na> put k v2\n+100\nb get k - @0 eventual max=${ms}\na< @2`
    return ruleOf(checkStaleness(history(calls)))
  }
  assert.equal(bounded(150), 'ok')
  assert.equal(bounded(149), 'bounded-staleness')
  assert.equal(ruleOf(checkStaleness(history('b get k - eventual max=5'))), 'unknown')
  assert.equal(ruleOf(checkStaleness(history('b get k - eventual'))), 'ok')
})

test('staleness: a write that was acknowledged after the call is not missed', () => {
  const told = history('b get j - @1\na> put k v1\n+5\nb> get k eventual\na< @2\nb< - @1')
  assert.equal(checkStaleness(told).observed.levels.eventual.stale, 0)
})

test('staleness: an acknowledged write with a lower index than an earlier one hides nothing', () => {
  const told = history('a put k v1 @5\n+10\nb put j w1 @3\n+10\nc get k - @4 eventual max=15')
  assert.equal(ruleOf(checkStaleness(told)), 'bounded-staleness')
})

test('quantiles are members of the distribution', () => {
  assert.equal(quantile([], 0.5), 0)
  assert.equal(quantile([1, 2, 3, 4], 0.5), 2)
  assert.equal(quantile([1, 2, 3, 4], 0.99), 4)
  assert.equal(quantile([1, 2, 3, 4], 0), 1)
})

test('convergence: equal indexes, equal states, and nothing acknowledged left out', () => {
  const told = history('a put k v1 @3')
  const converge = (states: string, expected: string | undefined) => {
    const members = states.split(' ').map((state) => {
      const [node, index, digest] = state.split(':') as [string, string, string]
      return { node, appliedIndex: Number(index), digest }
    })
    return ruleOf(checkConvergence(told, members, expected))
  }
  assert.equal(converge('a:5:x b:5:x c:5:x', 'x'), 'ok')
  assert.equal(converge('a:5:x b:4:x', undefined), 'applied-index')
  assert.equal(converge('a:5:x b:5:y', undefined), 'digest')
  assert.equal(converge('a:5:x b:5:x', 'y'), 'digest')
  assert.equal(converge('a:2:x b:2:x', undefined), 'lost-writes')
  assert.equal(ruleOf(checkConvergence(told, [], undefined)), 'unknown')
})

test('a run that is right by construction keeps every weaker promise', () => {
  fc.assert(
    fc.property(runs(100), ({ history, log }) => {
      assert.equal(checkPrefix(history, log).verdict, 'ok')
      assert.equal(checkSessions(history).verdict, 'ok')
      assert.equal(checkStaleness(history).verdict, 'ok')
    }),
    { numRuns: 100 },
  )
})

const LIVES = { members: 3, deaths: [] }

test('applied: a member that has shown an index shows none below it later', () => {
  const cases: readonly [rule: string, calls: string][] = [
    ['ok', 'a get k v1 @3 on=m\nb get k v1 @3 eventual on=m'],
    ['went-back', 'a get k v1 @3 on=m\nb get k - @2 eventual on=m'],
    ['went-back', 'a get k v1 @3 on=m\na get k v1 @3 on=m\nb get k - @2 session on=m'],
    ['ok', 'a get k v1 @3 on=m\nb get k - @2 eventual on=n'],
    ['ok', 'b> get k eventual on=m\na get k v1 @3 on=m\nb< - @2 on=m'],
  ]
  for (const [rule, calls] of cases) {
    assert.equal(ruleOf(checkApplied(history(calls), LIVES)), rule, calls)
  }
})

test('applied: a process that was killed may have shown more than the next one', () => {
  const calls = history('a get k v1 @3 on=m\nb get k - @2 eventual on=m')
  assert.equal(ruleOf(checkApplied(calls, LIVES)), 'went-back')
  const killed = (node: string) => ({ members: 3, deaths: [{ node, i: 1.5 }] })
  assert.equal(ruleOf(checkApplied(calls, killed('m'))), 'ok')
  assert.equal(ruleOf(checkApplied(calls, killed('n'))), 'went-back')
})

test('applied: an acknowledged write is applied at as many members as it says', () => {
  const old = ['m', 'n', 'o'].map((node) => `b get k - @2 eventual on=${node}`)
  const cases: readonly [rule: string, ack: string, reads: readonly string[]][] = [
    ['ok', 'quorum', old],
    ['ok', 'leader', old],
    ['not-applied', 'applied', [old[0]!]],
    ['ok', 'applied', [old[1]!]],
    ['not-applied', 'all', [old[2]!]],
    ['ok', 'members=2', [old[1]!]],
    ['not-applied', 'members=2', [old[0]!, old[2]!]],
  ]
  for (const [rule, ack, reads] of cases) {
    const calls = [`a put k v1 @3 ${ack} on=m`, ...reads].join('\n')
    assert.equal(ruleOf(checkApplied(history(calls), LIVES)), rule, calls)
  }
})
