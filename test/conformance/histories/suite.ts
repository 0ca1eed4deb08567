/**
 * The suite `histories`: histories with published verdicts, judged by the linearizability checker.
 *
 * Every folder at or below the given one that holds a `verdicts.json` is run: it maps paths of histories, relative
 * to itself, to whether they are linearizable. The format is told by the content: Jepsen's etcd logs, EDN, or this
 * project's own (docs/history-format.md). Histories of our own stand in `own/`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { appendModel } from '../../../src/sim/checkers/append-model.js'
import {
  checkLinearizability,
  DEFAULT_SEARCH_BUDGET,
  type LinearizabilityVerdict,
} from '../../../src/sim/checkers/linearizability.js'
import type { Model, ModelState, Partition } from '../../../src/sim/checkers/model.js'
import { registerModel } from '../../../src/sim/checkers/register-model.js'
import { partitionByBatch, storeModel } from '../../../src/sim/checkers/store-model.js'
import { HistoryError, pairCalls } from '../../../src/sim/history.js'
import { parseHistory } from '../../../src/sim/history-text.js'
import { readEdnHistory } from './edn-history.js'
import { readEtcdLog } from './etcd-log.js'

/** One history, judged. */
export interface Judged {
  readonly path: string
  readonly expected: 'ok' | 'violation'
  readonly verdict: 'ok' | 'violation' | 'unknown' | 'unreadable'
  /** The counterexample, or why there is no verdict. */
  readonly words: string
  readonly operations: number
  readonly steps: number
  readonly ms: number
}

/** Judges every history below `folder` and prints each verdict. Whether there were any, and all were right. */
export function runHistories(folder: string, print: (line: string) => void): boolean {
  let right = 0
  let count = 0
  let ms = 0
  for (const one of judgeAll(folder)) {
    print(describe(one))
    count++
    if (isRight(one)) right++
    ms += one.ms
  }
  print(`${right} right, ${count - right} wrong or unknown, ${(ms / 1000).toFixed(1)} s`)
  return count > 0 && right === count
}

/** Judges every history with a verdict below `folder`. */
export function* judgeAll(folder: string): Generator<Judged> {
  for (const file of verdictFiles(folder)) {
    const verdicts = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, boolean>>
    for (const [name, isLinearizable] of Object.entries(verdicts)) {
      const path = join(dirname(file), name)
      yield judge(path, relative(folder, path), isLinearizable ? 'ok' : 'violation')
    }
  }
}

/** Whether the verdict is the published one. */
export function isRight({ expected, verdict }: Judged): boolean {
  return expected === verdict
}

function verdictFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.split(sep).at(-1) === 'verdicts.json')
    .sort()
    .map((name) => join(folder, name))
}

function judge(file: string, path: string, expected: Judged['expected']): Judged {
  const start = performance.now()
  const finish = (result: Pick<Judged, 'verdict' | 'words' | 'operations' | 'steps'>): Judged => ({
    path,
    expected,
    ...result,
    ms: performance.now() - start,
  })
  const unreadable = (words: string) =>
    finish({ verdict: 'unreadable', words, operations: 0, steps: 0 })
  if (!existsSync(file)) return unreadable('there is no such file')
  try {
    const result = check(readFileSync(file, 'utf8'))
    const { operations, steps } = result.observed
    // An empty history is linearizable: it would hide a reader that understands nothing.
    if (operations === 0) return unreadable('no operation in it')
    return finish({ verdict: result.verdict, words: wordsOf(result), operations, steps })
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof HistoryError) {
      return unreadable(error.message)
    }
    throw error
  }
}

function check(text: string): LinearizabilityVerdict<unknown> {
  if (/^INFO\s+jepsen/m.test(text)) {
    return search(registerModel, [{ key: '', operations: readEtcdLog(text) }])
  }
  if (text.startsWith('{"type":"history"')) {
    return search(storeModel, partitionByBatch(pairCalls(parseHistory(text))))
  }
  const history = readEdnHistory(text)
  return history.model === 'register'
    ? search(registerModel, history.partitions)
    : search(appendModel, history.partitions)
}

function search<Operation, State extends ModelState>(
  model: Model<Operation, State>,
  partitions: readonly Partition<Operation>[],
): LinearizabilityVerdict<Operation> {
  return checkLinearizability(model, partitions, DEFAULT_SEARCH_BUDGET)
}

function wordsOf(result: LinearizabilityVerdict<unknown>): string {
  if (result.verdict === 'violation') return result.counterexample
  return result.verdict === 'unknown' ? result.reason : ''
}

function describe(one: Judged): string {
  const mark = isRight(one) ? 'right' : 'WRONG'
  const what = one.verdict === 'ok' ? 'linearizable' : one.verdict
  const cost = `${one.operations} operations, ${one.steps} steps, ${one.ms.toFixed(0)} ms`
  return `${mark}  ${one.path}: ${what} (${cost})${one.words === '' ? '' : `\n       ${one.words}`}`
}
