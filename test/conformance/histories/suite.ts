/**
 * The suite `histories`: histories with published verdicts, judged by the linearizability checker.
 *
 * Every folder at or below the given one that holds a `verdicts.json` is run: it maps paths of histories, relative
 * to itself, to whether they are linearizable. The format is told by the content.
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

/** The folder of histories: as given, as QUORATE_TESTDATA says, or beside the project. */
export function historiesFolder(dir: string | undefined): string {
  const testdata = process.env['QUORATE_TESTDATA']
  if (dir !== undefined) return dir
  return testdata === undefined ? '../shared/testdata/histories' : join(testdata, 'histories')
}

/** Runs the suite over `dir`, prints every verdict. Returns the exit code: 1 when one is wrong or unknown. */
export function run(dir: string | undefined): Promise<number> {
  const folder = historiesFolder(dir)
  if (!existsSync(folder)) {
    print(`histories: SKIPPED, there is no folder ${folder}`)
    return Promise.resolve(0)
  }
  const judged: Judged[] = []
  for (const one of judgeAll(folder)) {
    judged.push(one)
    print(line(one))
  }
  const right = judged.filter(isRight).length
  const ms = judged.reduce((sum, one) => sum + one.ms, 0)
  print(`histories: ${right} right, ${judged.length - right} wrong or unknown, ${seconds(ms)} s`)
  return Promise.resolve(judged.length > 0 && right === judged.length ? 0 : 1)
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
    if (error instanceof SyntaxError) return unreadable(error.message)
    throw error
  }
}

function check(text: string): LinearizabilityVerdict<unknown> {
  if (/^INFO\s+jepsen/m.test(text)) {
    return search(registerModel, [{ key: '', operations: readEtcdLog(text) }])
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

function line(one: Judged): string {
  const mark = isRight(one) ? 'right' : 'WRONG'
  const what = one.verdict === 'ok' ? 'linearizable' : one.verdict
  const cost = `${one.operations} operations, ${one.steps} steps, ${one.ms.toFixed(0)} ms`
  return `${mark}  ${one.path}: ${what} (${cost})${one.words === '' ? '' : `\n       ${one.words}`}`
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
