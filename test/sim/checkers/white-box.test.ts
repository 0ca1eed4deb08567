/** The white-box checker: right runs pass, each kind of planted fault is found, and it never trails the black box. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AppliedRequest, CommittedLog } from '../../../src/sim/checkers/committed-log.js'
import { checkExactlyOnce } from '../../../src/sim/checkers/exactly-once.js'
import {
  checkLinearizability,
  DEFAULT_SEARCH_BUDGET,
} from '../../../src/sim/checkers/linearizability.js'
import { partitionByBatch, storeModel } from '../../../src/sim/checkers/store-model.js'
import { checkWhiteBox } from '../../../src/sim/checkers/white-box.js'
import type { Call, Change, History } from '../../../src/sim/history.js'
import { runs } from './runs.js'
import { history, log } from './script.js'

/** The verdict, or the rule that was broken. */
function judge(calls: string, committed: string): string {
  const verdict = checkWhiteBox(history(calls), log(committed))
  return verdict.verdict === 'violation' ? verdict.rule : verdict.verdict
}

test('a right run is accepted, with everything in it counted', () => {
  const verdict = checkWhiteBox(
    history(`
      a put k v1 @1
      b> get k
      a put k v2 @2
      b< v2 @2
      c? put m v3
      c? put m v4
      d! put k v5
      a del k @3
      a get k - eventual
      a get k - @3
    `),
    log('1 a/1: k=v1\n2 a/2: k=v2\n3 a/3: k=-; m=v3'),
  )
  assert.deepEqual(verdict, {
    verdict: 'ok',
    observed: {
      requests: 3,
      acknowledged: 3,
      failed: 1,
      unknownApplied: 1,
      unknownNotApplied: 1,
      strongReads: 2,
      withoutIndex: 0,
    },
  })
})

const faults: readonly [rule: string, calls: string, committed: string][] = [
  ['lost-write', 'a put k v1 @1', '2 -'],
  ['lost-write', 'a put k v1', '2 -'],
  ['wrong-index', 'a put k v1 @1', '1 -\n2 a/1: k=v1'],
  ['repeated-write', 'a put k v1 @1', '1 a/1: k=v1\n2 a/2: k=v1'],
  ['repeated-write', 'a? put k v1', '1 a/1: k=v1\n2 a/2: k=v1'],
  ['repeated-request', 'a put k v1 @1\na put k v2 @2', '1 a/1: k=v1\n2 a/1: k=v2'],
  ['failed-write', 'a! put k v1', '1 a/1: k=v1'],
  ['phantom-write', 'a put k v1 @1', '1 a/1: k=v1\n2 a/2: j=v9'],
  ['phantom-write', 'a batch k=v1,j=v2 @1', '1 a/1: k=v1,j=v2\n2 a/2: j=v2'],
  ['consistent-prefix', 'a put k v1 @1\na get k - @1', '1 a/1: k=v1'],
  ['consistent-prefix', 'a put k v1 @1\na scan a..z - @1', '1 a/1: k=v1'],
  ['consistent-prefix', 'a batch k=v1,j=v2 @1\na getMany k,j v1,- @1', '1 a/1: k=v1,j=v2'],
  ['uncommitted', 'a get k - @7', '3 -'],
  ['real-time', 'a put k v1 @1\na put k v2 @2\nb get k v1 @1', '1 a/1: k=v1\n2 a/2: k=v2'],
  ['real-time', 'a put k v1 @2\nb put k v2 @1', '1 b/1: k=v2\n2 a/1: k=v1'],
  ['real-time', 'a get k - @2\nb get k - @1', '2 -'],
  ['real-time', 'a get j - @1\nb put k v2 @1', '1 b/1: k=v2'],
  ['real-time', 'a get j - @1\nb? put k v2', '1 b/1: k=v2'],
]

test('each kind of planted fault is found and named', () => {
  for (const [rule, calls, committed] of faults) {
    assert.equal(judge(calls, committed), rule, `${calls} | ${committed}`)
  }
})

test('an answer without an index makes the verdict unknown', () => {
  assert.equal(judge('a put k v1\nb get k v1 @1', '1 a/1: k=v1'), 'unknown')
})

test('concurrent operations may take places in any order, writes of one turn the same entry', () => {
  const committed = '1 a/1: k=v1; j=v2\n2 b/1: k=v3'
  const calls = 'b> put k v3\na> put k v1\nc> put j v2\na< @1\nc< @1\nd get k v1 @1\nb< @2'
  assert.equal(judge(calls, committed), 'ok')
})

test('a counterexample tells both calls in words, with their events', () => {
  const verdict = checkWhiteBox(
    history('a put k v1 @1\na put k v2 @2\nb get k v1 @1'),
    log('1 a/1: k=v1\n2 a/2: k=v2'),
  )
  assert.ok(verdict.verdict === 'violation')
  assert.equal(
    verdict.counterexample,
    'session b: strong get "k" gave "v1" at index 1 (events 4 to 5), placed at 1; but before it was called, ' +
      'session a: put "k" = "v2" was acknowledged at index 2 (events 2 to 3)',
  )
  assert.deepEqual(verdict.events, [2, 3, 4, 5])
})

test('a run that is right by construction is accepted', () => {
  fc.assert(
    fc.property(runs(150), ({ history, log }) => {
      assert.equal(checkWhiteBox(history, log).verdict, 'ok')
      assert.equal(checkExactlyOnce(history, log).verdict, 'ok')
    }),
    { numRuns: 200 },
  )
})

test('whatever the black box refuses, the white box refuses', () => {
  let refused = 0
  fc.assert(
    fc.property(runs(40), fc.nat(), fc.constantFrom(-8, -4, -2, 2, 4), (run, which, shift) => {
      const { history, log } = served(run, which, shift)
      const black = checkLinearizability(
        storeModel,
        partitionByBatch(history),
        DEFAULT_SEARCH_BUDGET,
      )
      if (black.verdict !== 'violation') return
      refused++
      assert.equal(checkWhiteBox(history, log).verdict, 'violation')
    }),
    { numRuns: 1500 },
  )
  assert.ok(refused > 50, `${refused} runs were refused`)
})

/** The run in which one get was served, consistently, from the state at another index. */
function served(
  run: { readonly history: History; readonly log: CommittedLog },
  which: number,
  shift: number,
): typeof run {
  const gets = run.history.calls.filter(({ operation, outcome }) => {
    return operation.f === 'get' && outcome.type === 'ok'
  })
  const chosen = gets[which % gets.length]
  const calls = run.history.calls.map((call): Call => {
    const { operation, outcome } = call
    if (call !== chosen || operation.f !== 'get' || outcome.type !== 'ok') return call
    const moved = (outcome.result.index ?? 0) + shift
    const index = Math.min(run.log.lastIndex, Math.max(0, moved))
    const last = changesUpTo(run.log.requests, index).findLast(({ key }) => key === operation.key)
    const value = last?.type === 'put' ? last.value : null
    return { ...call, outcome: { ...outcome, result: { f: 'get', value, index } } }
  })
  return { ...run, history: { ...run.history, calls } }
}

function changesUpTo(requests: readonly AppliedRequest[], index: number): Change[] {
  return requests.filter((request) => request.index <= index).flatMap((r) => r.commands.flat())
}
