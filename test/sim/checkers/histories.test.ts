/** Histories of other projects: their formats are read by their rules, and every published verdict is met. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { partitionByBatch, storeModel } from '../../../src/sim/checkers/store-model.js'
import { pairCalls } from '../../../src/sim/history.js'
import { parseHistory } from '../../../src/sim/history-text.js'
import { readEdn } from '../../conformance/histories/edn.js'
import { readEdnHistory } from '../../conformance/histories/edn-history.js'
import { readEtcdLog } from '../../conformance/histories/etcd-log.js'
import { isRight, judgeAll, runHistories } from '../../conformance/histories/suite.js'
import { defaultDirectory } from '../../conformance/run.js'
import { isLinearizable } from './brute-force.js'

test('the checker agrees with every published verdict', (t) => {
  const folder = defaultDirectory('histories')
  if (!existsSync(folder)) {
    t.skip(`there is no ${folder}`)
    return
  }
  const judged = [...judgeAll(folder)]
  assert.ok(judged.length > 0)
  assert.deepEqual(
    judged.filter((one) => !isRight(one)),
    [],
  )
})

test('the checker agrees with every order of our own histories, and with their verdicts', () => {
  const folder = join(import.meta.dirname, '../../../../test/conformance/histories/own')
  const judged = [...judgeAll(folder)]
  assert.equal(judged.length, 16)
  for (const one of judged) {
    const text = readFileSync(join(folder, one.path), 'utf8')
    const partitions = partitionByBatch(pairCalls(parseHistory(text)))
    const isRightByHand = partitions.every((p) => isLinearizable(storeModel, p.operations))
    assert.equal(one.verdict, isRightByHand ? 'ok' : 'violation', one.path)
    assert.ok(isRight(one), one.path)
  }
})

function etcdLog(...lines: readonly string[]): string {
  return lines.map((line) => `INFO  jepsen.util - ${line.replaceAll(' ', '\t')}\n`).join('')
}

test('an etcd log: answers, refusals as observations, time-outs, and what is never answered', () => {
  const text = etcdLog(
    '0 :invoke :write 3',
    '1 :invoke :read nil',
    '0 :ok :write 3',
    '1 :ok :read nil',
    '1 :invoke :read nil',
    '1 :fail :read :timed-out',
    '2 :invoke :write 4',
    '2 :info :write :timed-out',
  ).concat(
    'INFO  jepsen.core - a line of another kind\n',
    'INFO  jepsen.util - 3\t:invoke\t:cas\t[3 0]\nINFO  jepsen.util - 3\t:fail\t:cas\t[3 0]\n',
  )
  assert.deepEqual(readEtcdLog(text), [
    { operation: { f: 'write', value: 3 }, called: 0, returned: 2 },
    { operation: { f: 'read', value: null }, called: 1, returned: 3 },
    { operation: { f: 'read', value: undefined }, called: 4, returned: 5 },
    { operation: { f: 'cas', from: 3, to: 0, swapped: false }, called: 9, returned: 10 },
    { operation: { f: 'write', value: 4 }, called: 6, returned: undefined },
  ])
})

test('an EDN history with keys is of strings that are appended to', () => {
  const text = `
    {:process 0, :type :invoke, :f :append, :key "0", :value "x \\"1\\" y"}
    {:process 1, :type :invoke, :f :get, :key "7", :value nil}
    {:process 1, :type :ok, :f :get, :key "7", :value ""}
    {:process 1, :type :invoke, :f :put, :key "7", :value "z"}
    {:process 1, :type :fail, :f :put, :key "7", :value "z"}`
  assert.deepEqual(readEdnHistory(text), {
    model: 'append',
    partitions: [
      {
        key: '7',
        operations: [{ operation: { f: 'get', value: '' }, called: 1, returned: 2 }],
      },
      {
        key: '0',
        operations: [
          { operation: { f: 'append', value: 'x "1" y' }, called: 0, returned: undefined },
        ],
      },
    ],
  })
})

test('an EDN history without keys is of a register, and what failed did not happen', () => {
  const text = `[{:process 0 :type :invoke :f :cas :value [1 2]} ; a comment
    {:process 0, :type :fail, :f :cas, :value [1 2]}
    {:process :nemesis, :type :info, :f :start, :value nil}
    {:process 1, :type :invoke, :f :read, :value nil}
    {:process 1, :type :ok, :f :read, :value 1, :index 3}
    {:process 2, :type :invoke, :f :cas, :value [1 5]}
    {:process 2, :type :info, :f :cas, :value :timed-out}]`
  assert.deepEqual(readEdnHistory(text), {
    model: 'register',
    partitions: [
      {
        key: '',
        operations: [
          { operation: { f: 'read', value: 1 }, called: 3, returned: 4 },
          {
            operation: { f: 'cas', from: 1, to: 5, swapped: undefined },
            called: 5,
            returned: undefined,
          },
        ],
      },
    ],
  })
})

test('EDN that is not understood is refused', () => {
  for (const text of ['"open', '{1 2}', '#{1}', 'word']) {
    assert.throws(() => readEdn(text), { name: 'SyntaxError' }, text)
  }
})

test('the suite fails on a wrong verdict, a missing file, an empty one, and on none at all', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-histories-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const lines: string[] = []
  const judge = (verdicts: Readonly<Record<string, boolean>>) => {
    writeFileSync(join(folder, 'verdicts.json'), JSON.stringify(verdicts))
    lines.length = 0
    return runHistories(folder, (line) => lines.push(line))
  }
  writeFileSync(join(folder, 'right.log'), etcdLog('0 :invoke :read nil', '0 :ok :read nil'))
  writeFileSync(join(folder, 'empty.log'), '')
  assert.equal(judge({ 'right.log': true }), true)
  assert.match(lines[0]!, /^right {2}right\.log: linearizable \(1 operations/)
  assert.equal(judge({ 'right.log': false }), false)
  assert.match(lines[0]!, /^WRONG {2}right\.log: linearizable/)
  assert.equal(judge({ 'right.log': true, 'missing.log': true }), false)
  assert.equal(judge({ 'empty.log': true }), false)
  assert.match(lines[0]!, /^WRONG {2}empty\.log: unreadable .*\n.*no operation in it/)
  assert.equal(judge({}), false)
})
