/** Whether a wrong decision is told from a right one, by logs written by hand. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommittedLog } from '../../../src/sim/checkers/committed-log.js'
import { checkDecisions, type Decision } from '../../../src/sim/checkers/decisions.js'
import type { Change } from '../../../src/sim/history.js'

const put = (key: string, value: string): Change => ({ type: 'put', key, value })

/** One request with one command at each index, from 1 on. */
function logOf(...commands: (readonly Change[])[]): CommittedLog {
  const requests = commands.map((changes, at) => {
    return { index: at + 1, client: 'c', seq: at + 1, commands: [changes] }
  })
  return { requests, lastIndex: commands.length }
}

function decision(more: Partial<Decision>): Decision {
  return {
    value: 'x',
    key: 'k',
    condition: { type: 'absent' },
    elseKey: '-',
    floor: 0,
    outcome: { type: 'unknown' },
    ...more,
  }
}

const done = (branch: 'then' | 'else', index: number): Partial<Decision> => {
  return { outcome: { type: 'done', branch, index } }
}
const ruleOf = (log: CommittedLog, more: Partial<Decision>): string | undefined =>
  checkDecisions([decision(more)], log)?.rule

test('what its condition says of the state before it is right', () => {
  assert.equal(ruleOf(logOf([put('k', 'x')]), done('then', 1)), undefined)
  assert.equal(ruleOf(logOf([put('k', 'a')], [put('-', 'x')]), done('else', 2)), undefined)
  const revision = { condition: { type: 'revision', revision: 1 } } as const
  assert.equal(ruleOf(logOf([put('k', 'a')], [put('k', 'x')]), revision), undefined)
  const value = { condition: { type: 'value', value: 'a' } } as const
  assert.equal(ruleOf(logOf([put('k', 'a')], [put('k', 'x')]), value), undefined)
})

test('the other branch is wrong', () => {
  assert.equal(ruleOf(logOf([put('k', 'a')], [put('k', 'x')]), {}), 'wrong-branch')
  assert.equal(ruleOf(logOf([put('-', 'x')]), {}), 'wrong-branch')
  const gone: Change = { type: 'del', key: 'k' }
  const revision = { condition: { type: 'revision', revision: 1 } } as const
  assert.equal(ruleOf(logOf([put('k', 'a')], [gone], [put('k', 'x')]), revision), 'wrong-branch')
})

test('what takes effect twice, or not at all, or elsewhere than was said is told', () => {
  const twice = logOf([put('k', 'x')], [{ type: 'del', key: 'k' }], [put('k', 'x')])
  assert.equal(ruleOf(twice, {}), 'repeated')
  assert.equal(ruleOf(logOf([put('o', 'y')]), done('then', 1)), 'lost')
  assert.equal(ruleOf(logOf([put('k', 'x')]), done('then', 2)), 'wrong-index')
  assert.equal(ruleOf(logOf([put('k', 'x')]), done('else', 1)), 'wrong-answer')
  assert.equal(ruleOf(logOf([put('k', 'x')]), { outcome: { type: 'failed' } }), 'failed')
  assert.equal(ruleOf(logOf([put('k', 'x')]), { floor: 1 }), 'real-time')
})

test('a decision is refused only if its condition did not hold between call and answer', () => {
  const refused = (floor: number, ceiling: number): Partial<Decision> => {
    return { floor, elseKey: undefined, outcome: { type: 'refused', ceiling } }
  }
  const log = logOf([put('o', 'y')], [put('k', 'a')], [{ type: 'del', key: 'k' }])
  assert.equal(ruleOf(log, refused(0, 1)), 'refused')
  assert.equal(ruleOf(log, refused(0, 2)), undefined)
  assert.equal(ruleOf(log, refused(2, 2)), undefined)
  assert.equal(ruleOf(log, refused(3, 3)), 'refused')
})
