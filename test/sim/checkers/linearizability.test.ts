/** The black-box checker against every order of small histories, right ones, wrong ones, and ones that are hard. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  checkLinearizability,
  DEFAULT_SEARCH_BUDGET,
  type LinearizabilityVerdict,
} from '../../../src/sim/checkers/linearizability.js'
import type { Partition, TimedOperation } from '../../../src/sim/checkers/model.js'
import {
  type RegisterOperation,
  type RegisterValue,
  registerModel,
} from '../../../src/sim/checkers/register-model.js'
import {
  partitionByBatch,
  partitionByKey,
  type StoreOperation,
  storeModel,
} from '../../../src/sim/checkers/store-model.js'
import type { Call, History } from '../../../src/sim/history.js'
import { isLinearizable } from './brute-force.js'
import { runs } from './runs.js'
import { history } from './script.js'

type Timed = TimedOperation<RegisterOperation>

function register(operations: readonly Timed[]): LinearizabilityVerdict<RegisterOperation> {
  return checkLinearizability(registerModel, [{ key: 'r', operations }], DEFAULT_SEARCH_BUDGET)
}

function store(partitions: readonly Partition<StoreOperation>[]): string {
  return checkLinearizability(storeModel, partitions, DEFAULT_SEARCH_BUDGET).verdict
}

function write(value: RegisterValue, called: number, returned: number | undefined): Timed {
  return { operation: { f: 'write', value }, called, returned }
}

function read(value: RegisterValue, called: number, returned: number | undefined): Timed {
  return { operation: { f: 'read', value }, called, returned }
}

const value = fc.constantFrom(null, 1, 2)
const outcome = fc.constantFrom(true, false, undefined)
const operation: fc.Arbitrary<RegisterOperation> = fc.oneof(
  value.map((v) => ({ f: 'read', value: v }) as const),
  value.map((v) => ({ f: 'write', value: v }) as const),
  fc.tuple(value, value, outcome).map(([from, to, swapped]) => {
    return { f: 'cas', from, to, swapped } as const
  }),
)
const timed: fc.Arbitrary<Timed> = fc
  .tuple(operation, fc.nat(12), fc.option(fc.nat(6), { nil: undefined, freq: 4 }))
  .map(([op, called, length]) => {
    if (length !== undefined) return { operation: op, called, returned: called + length }
    const unknown = op.f === 'write' ? op : { ...op, value: undefined, swapped: undefined }
    return { operation: unknown, called, returned: undefined }
  })

test('it agrees with trying every order on any history of up to 8 operations', () => {
  const verdicts = { ok: 0, violation: 0, unknown: 0 }
  fc.assert(
    fc.property(fc.array(timed, { maxLength: 8 }), (operations) => {
      const { verdict } = register(operations)
      verdicts[verdict]++
      assert.equal(verdict, isLinearizable(registerModel, operations) ? 'ok' : 'violation')
    }),
    { numRuns: 3000 },
  )
  assert.ok(verdicts.ok > 300 && verdicts.violation > 300, 'both verdicts were common')
})

test('it agrees with trying every order on stores whose batches and scans tie keys together', () => {
  const verdicts = { ok: 0, violation: 0, unknown: 0 }
  fc.assert(
    fc.property(runs(8), fc.nat(7), fc.nat(7), ({ history }, which, from) => {
      for (const partition of partitionByBatch(misread(history, which, from))) {
        const { verdict } = checkLinearizability(storeModel, [partition], DEFAULT_SEARCH_BUDGET)
        verdicts[verdict]++
        const right = isLinearizable(storeModel, partition.operations)
        assert.equal(verdict, right ? 'ok' : 'violation')
      }
    }),
    { numRuns: 1500 },
  )
  assert.ok(verdicts.violation > 50, 'misreadings were often wrong')
})

/** The history in which the `which`-th get that was answered gave what the `from`-th operation would write. */
function misread(h: History, which: number, from: number): History {
  const gets = h.calls.filter(({ operation, outcome }) => {
    return operation.f === 'get' && outcome.type === 'ok'
  })
  const chosen = gets[which % gets.length]
  const calls = h.calls.map((call): Call => {
    const { outcome } = call
    if (call !== chosen || outcome.type !== 'ok') return call
    return { ...call, outcome: { ...outcome, result: { f: 'get', value: `v${from}` } } }
  })
  return { ...h, calls }
}

test('a history made from a linearizable execution is accepted, by key and by batch', () => {
  fc.assert(
    fc.property(runs(150), ({ history }) => {
      assert.equal(store(partitionByKey(history)), 'ok')
      assert.equal(store(partitionByBatch(history)), 'ok')
    }),
    { numRuns: 200 },
  )
})

test('intervals are closed: a call at the moment of a return is concurrent with it', () => {
  assert.equal(register([write(1, 0, 5), read(null, 5, 9)]).verdict, 'ok')
  assert.equal(register([write(1, 0, 5), read(null, 6, 9)]).verdict, 'violation')
})

test('a write of unknown outcome may take effect late, or never, but not before its call', () => {
  const unknown = write(1, 10, undefined)
  assert.equal(register([unknown, read(null, 11, 12)]).verdict, 'ok')
  assert.equal(register([unknown, read(null, 11, 12), read(1, 13, 14)]).verdict, 'ok')
  assert.equal(register([unknown, read(1, 11, 12), read(null, 13, 14)]).verdict, 'violation')
  assert.equal(register([unknown, read(1, 8, 9)]).verdict, 'violation')
})

test('a compare-and-set that swapped found what it asked for, a refused one something else', () => {
  const cas = (called: number, swapped: boolean): Timed => ({
    operation: { f: 'cas', from: 1, to: 2, swapped },
    called,
    returned: called + 1,
  })
  assert.equal(register([write(1, 0, 1), cas(2, true), read(2, 4, 5)]).verdict, 'ok')
  assert.equal(register([write(2, 0, 1), cas(2, false), read(2, 4, 5)]).verdict, 'ok')
  assert.equal(register([write(2, 0, 1), cas(2, true)]).verdict, 'violation')
  assert.equal(register([write(1, 0, 1), cas(2, false)]).verdict, 'violation')
})

test('a violation names the key, what fits nowhere, and the longest order that works', () => {
  const verdict = register([write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(1, 6, 7)])
  assert.equal(verdict.verdict, 'violation')
  assert.ok(verdict.verdict === 'violation')
  assert.equal(verdict.key, 'r')
  assert.deepEqual(verdict.partial.misfit, read(1, 6, 7))
  assert.deepEqual(verdict.partial.linearized, [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5)])
  assert.match(verdict.counterexample, /read 1 \(called at 6, returned at 7\) fits no order/)
})

test('half a batch that becomes visible is a violation when its keys are searched together', () => {
  const torn = history(`
    a put x v0
    b> batch x=v1,y=v1
    c get x v1
    c get y -
    b<
  `)
  assert.equal(store(partitionByBatch(torn)), 'violation')
  assert.equal(store(partitionByKey(torn)), 'ok', 'each key alone shows nothing')
})

test('only strong reads count, and a write that only its leader had may be lost', () => {
  assert.equal(store(partitionByKey(history('a put x v1\na get x - eventual'))), 'ok')
  assert.equal(store(partitionByKey(history('a put x v1\na get x -'))), 'violation')
  assert.equal(store(partitionByKey(history('a put x v1 @1 leader\na get x -'))), 'ok')
  assert.equal(store(partitionByKey(history('a! put x v1\na get x v1'))), 'violation')
  assert.equal(store(partitionByKey(history('a? put x v1\na get x v1'))), 'ok')
})

/** Concurrent compare-and-sets along a permutation's many wrong ways, and a read that none of them explains. */
function adversarial(width: number): Timed[] {
  const moves = Array.from({ length: width }, (_, n): Timed[] => [
    {
      operation: { f: 'cas', from: n, to: (n * 7 + 1) % width, swapped: undefined },
      called: 1,
      returned: 900,
    },
    {
      operation: { f: 'cas', from: n, to: (n * 5 + 3) % width, swapped: undefined },
      called: 1,
      returned: 900,
    },
    { operation: { f: 'write', value: n }, called: 1, returned: 900 },
  ])
  return [...moves.flat(), read(-1, 2, 901)]
}

test('a hard key neither hides the violation of another one nor hangs the check', () => {
  const partitions = [
    { key: 'hard', operations: adversarial(16) },
    { key: 'wrong', operations: [write(1, 0, 1), read(2, 2, 3)] },
  ]
  const verdict = checkLinearizability(registerModel, partitions, DEFAULT_SEARCH_BUDGET)
  assert.ok(verdict.verdict === 'violation' && verdict.key === 'wrong')
  assert.ok(verdict.observed.steps < 10_000, `${verdict.observed.steps} steps`)
})

test('what is not decided within the budget of steps or of memory is unknown, and names its key', () => {
  const partitions = [
    { key: 'hard', operations: adversarial(16) },
    { key: 'easy', operations: [write(1, 0, 1), read(1, 2, 3)] },
  ]
  const budgets = [
    { ...DEFAULT_SEARCH_BUDGET, stepsMax: 50_000 },
    { ...DEFAULT_SEARCH_BUDGET, memoryBytesMax: 1_000_000 },
  ]
  for (const budget of budgets) {
    const verdict = checkLinearizability(registerModel, partitions, budget)
    assert.ok(verdict.verdict === 'unknown')
    assert.match(verdict.reason, /"hard"$/)
    assert.ok(verdict.observed.steps < 200_000, `${verdict.observed.steps} steps`)
  }
})

test('many writes of unknown outcome that nobody saw do not widen the search', () => {
  const crashes = Array.from({ length: 60 }, (_, n) => `a? put x lost${n}`)
  const reads = Array.from({ length: 40 }, (_, n) => `b put x v${n}\nb get x v${n}`)
  const partitions = partitionByKey(history([...crashes, ...reads].join('\n')))
  const verdict = checkLinearizability(storeModel, partitions, DEFAULT_SEARCH_BUDGET)
  assert.equal(verdict.verdict, 'ok')
  assert.ok(verdict.observed.steps < 1000, `${verdict.observed.steps} steps`)
})
