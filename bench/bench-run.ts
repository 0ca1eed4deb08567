/** What all benchmarks with results do around their measurements: flags, a folder, the table's frame, the file. */
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EXIT_INTERRUPTED, untilInterrupted } from '../src/cli/interrupt.js'
import { print } from '../src/cli/terminal.js'
import { describeMachine, thisMachine } from './machine.js'
import { type Results, type Row, resultTable, SCHEMA, writeResults } from './results.js'

/** The type of file systems in memory on Linux. */
const TMPFS = 0x01021994
const IN_MEMORY = `${tmpdir()} is in memory, where an fsync costs nothing: point TMPDIR at a disk`

/** What a benchmark is given. */
export interface BenchContext {
  /** A folder of its own, removed in the end. */
  readonly root: string
  /** Ends what would outlive the benchmark; called in reverse order, also when it was interrupted. */
  onEnd(end: () => Promise<void> | void): void
  /** Something that a reader of the results must know; printed at once, and kept. */
  note(text: string): void
  /** A line on how far it is; not kept. */
  progress(text: string): void
}

/** A benchmark that gives rows. */
export interface Bench {
  readonly name: string
  readonly args: readonly string[]
  readonly plan: Results['plan']
  /** Where the results go besides the terminal. */
  readonly json: string | undefined
  /** The figures that the table shows, in this order. */
  readonly columns: readonly string[]
  /** Rows of another kind, that stand in a table of their own after the first. */
  readonly second?: {
    readonly columns: readonly string[]
    readonly has: (row: Row) => boolean
  }
  /** What a reader of the table must know, in short lines. */
  readonly legend: readonly string[]
  readonly measure: (context: BenchContext) => Promise<readonly Row[]>
}

/** Runs a benchmark: prints the machine, the table and what it means, and writes the file. */
export async function runBench(bench: Bench): Promise<Results | undefined> {
  const machine = thisMachine(bench.name, bench.args)
  print(`${describeMachine(machine)}\n`)
  const notes: string[] = []
  const rows = await measureIn(bench, notes)
  if (rows === undefined) {
    process.exitCode = EXIT_INTERRUPTED
    return undefined
  }
  const isSecond = bench.second?.has ?? (() => false)
  const first = rows.filter((row) => !isSecond(row))
  print(`\n${resultTable(first, bench.columns)}\n`)
  if (bench.second !== undefined) {
    print(`${resultTable(rows.filter(isSecond), bench.second.columns)}\n`)
  }
  for (const line of bench.legend) print(line)
  for (const note of notes) print(`note: ${note}`)
  const results: Results = {
    schema: SCHEMA,
    benchmark: bench.name,
    machine,
    finishedAt: new Date().toISOString(),
    plan: bench.plan,
    rows,
    notes,
  }
  if (bench.json !== undefined) await writeResults(bench.json, results)
  return results
}

async function measureIn(bench: Bench, notes: string[]): Promise<readonly Row[] | undefined> {
  const root = await mkdtemp(join(tmpdir(), 'quorate-bench-'))
  const ends: (() => Promise<void> | void)[] = []
  let isOver = false
  // An interrupted measurement goes on for a while, and fails at everything that is gone: nobody wants to read that.
  const say = (text: string): void => {
    if (!isOver) process.stderr.write(`${text}\n`)
  }
  const context: BenchContext = {
    root,
    onEnd: (end) => {
      // What is started now would be ended by nobody.
      if (isOver) throw new Error('the benchmark was interrupted')
      ends.push(end)
    },
    note: (text) => {
      notes.push(text)
      say(`note: ${text}`)
    },
    progress: say,
  }
  try {
    if ((await statfs(root)).type === TMPFS) context.note(IN_MEMORY)
    const end = await untilInterrupted(bench.measure(context))
    return end === 'interrupted' ? undefined : end
  } finally {
    isOver = true
    for (const end of ends.reverse()) await end()
    await rm(root, { recursive: true, force: true })
  }
}
