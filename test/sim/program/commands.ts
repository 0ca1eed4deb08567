/** The commands of the simulation program that run seeds. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { ownWorkload } from '../../../src/sim/run/clients.js'
import { readFailure } from '../../../src/sim/run/failure-file.js'
import { runSealed } from '../../../src/sim/run/sealed-run.js'
import { ownSchedules, scheduleOf } from '../../../src/sim/run/seeds.js'
import { addTally, newTally, shortfalls, type Tally } from '../../../src/sim/run/tally.js'
import { formatTrace } from '../../../src/sim/run/trace.js'
import type { Schedule } from '../../../src/sim/schedule/schedule.js'
import type { Job, RunResult } from './jobs.js'
import { recordStatus } from './status-file.js'
import { runJobs, type WorkersOptions } from './workers.js'

/** How a command is carried out. */
export interface Settings {
  readonly from: number
  readonly jobs: number
  /** Whether runs that show planted bugs are shrunk and kept. */
  readonly keeps: boolean
}

/** Fewer runs than this are not enough to tell whether everything that should happen happened. */
const ENOUGH_RUNS = 100
/** Where failure files are written. */
export const FAILURES_DIR = 'failures'
const FAILURES_SHOWN = 5
/** A run takes about half a second. */
const RUN_MS = 120_000
const SHRINK_MS = 120_000
const VERSIONS = { fastCheck: fc.__version }

/** Runs `count` seeds. */
export async function seeds(count: number, settings: Settings): Promise<number> {
  const begun = performance.now()
  const tally = newTally()
  const failed: number[] = []
  say(`seeds ${settings.from} to ${settings.from + count - 1}, ${settings.jobs} at a time`)
  await runJobs(runsOf(count, settings), workers(settings), (job, answer) => {
    const result = answer?.type === 'run' ? answer.result : undefined
    if (result?.tally !== undefined) addTally(tally, result.tally)
    if (result?.violation === undefined && result !== undefined) return 'go on'
    failed.push(job.seed)
    say(`seed ${job.seed}: ${describeViolation(result)}`)
    return failed.length < FAILURES_SHOWN ? 'go on' : 'stop'
  })
  const seconds = (performance.now() - begun) / 1000
  say(describeTally(tally, seconds))
  const short = tally.runs >= ENOUGH_RUNS ? shortfalls(tally) : []
  for (const words of short) say(`too little: ${words}`)
  await shrinkAll(failed, settings)
  const line = await recordStatus({
    seeds: tally.runs,
    clusterHours: tally.virtualMs / 3_600_000,
    crashImages: tally.crashes,
    violations: failed.length,
  })
  say(`${line}; ${failed.length} violations`)
  return failed.length + short.length === 0 ? 0 : 1
}

/** Runs one seed here, and prints what happened. */
export async function repeat(seed: number, settings: Settings): Promise<number> {
  const isBroken = await show(scheduleOf(fc, ownSchedules(fc), seed))
  if (isBroken) await shrinkAll([seed], settings)
  return isBroken ? 1 : 0
}

/** Runs the schedule of a failure file. */
export async function replay(path: string): Promise<number> {
  const { schedule, violation, needs } = await readFailure(path)
  say(`${path}: ${violation.rule}; needs ${needs.join(' + ') || 'no faults'}`)
  return (await show(schedule)) ? 1 : 0
}

/** Runs each seed twice, in different processes, and compares what happened inside. */
export async function determinism(count: number, settings: Settings): Promise<number> {
  const hashes: Map<number, string>[] = []
  for (let round = 0; round < 2; round++) {
    const found = new Map<number, string>()
    await runJobs(runsOf(count, settings), workers(settings), (job, answer) => {
      const result = answer?.type === 'run' ? answer.result : undefined
      found.set(
        job.seed,
        result === undefined ? 'none' : `${result.traceHash} ${result.historyHash}`,
      )
      return 'go on'
    })
    hashes.push(found)
  }
  const [first, second] = hashes as [Map<number, string>, Map<number, string>]
  const different = [...first].filter(([seed, hash]) => second.get(seed) !== hash)
  for (const [seed, hash] of different) say(`seed ${seed}: ${hash}, then ${second.get(seed)}`)
  say(`${count - different.length} of ${count} seeds have the same trace and history hash twice`)
  await recordStatus({ determinism: { seeds: count, different: different.length } })
  return different.length === 0 ? 0 : 1
}

/** Runs each seed on simulated and on real files, and compares what clients saw. */
export async function realDisk(count: number, settings: Settings): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-real-disk-'))
  const jobs = Array.from({ length: count }, (_, at): Job => {
    return { type: 'realDisk', seed: settings.from + at, dir }
  })
  let different = 0
  try {
    await runJobs(jobs, workers(settings), (job, answer) => {
      if (answer?.type === 'realDisk' && areEqual(answer.simulated, answer.real)) return 'go on'
      different++
      if (answer?.type !== 'realDisk') say(`seed ${job.seed}: the process died or hung`)
      else say(`seed ${job.seed}: simulated ${sum(answer.simulated)}; real ${sum(answer.real)}`)
      return 'go on'
    })
  } finally {
    await rm(dir, { recursive: true })
  }
  say(
    `${count - different} of ${count} seeds give clients the same history on real files and LevelDB`,
  )
  await recordStatus({ realDisk: { seeds: count, different } })
  return different === 0 ? 0 : 1
}

function areEqual(one: RunResult, other: RunResult): boolean {
  const isFine = one.violation === undefined && other.violation === undefined
  return isFine && one.historyHash === other.historyHash && one.traceHash === other.traceHash
}

function sum(result: RunResult): string {
  return `${result.traceHash} ${result.historyHash} ${describeViolation(result)}`
}

/** Jobs that run `count` seeds. */
export function* runsOf(count: number, { from }: Settings): Generator<Job> {
  for (let seed = from; seed < from + count; seed++) yield { type: 'run', seed }
}

/** A result in one sentence. */
export function describeViolation(result: RunResult | undefined): string {
  if (result === undefined) return 'the process died or hung'
  const { violation } = result
  if (violation === undefined) return 'ok'
  return `${violation.rule}, after ${violation.atMs.toFixed(0)} ms: ${violation.message}`
}

function workers({ jobs }: Settings): WorkersOptions {
  return { script: join(import.meta.dirname, 'worker.js'), count: jobs, jobMs: RUN_MS }
}

async function show(schedule: Schedule): Promise<boolean> {
  const keepTrace = Number.MAX_SAFE_INTEGER
  const { trace, violation, tally, traceHash, historyHash } = await runSealed(schedule, {
    ...ownWorkload,
    keepTrace,
  })
  say(formatTrace(trace))
  say(`trace ${traceHash}, history ${historyHash}, ${tally.events} events, ${tally.checks} checks`)
  say(describeViolation({ violation, tally, traceHash, historyHash }))
  return violation !== undefined
}

async function shrinkAll(failed: readonly number[], settings: Settings): Promise<void> {
  const shrinks = failed.map((seed): Job => {
    return { type: 'shrink', seed, timeMs: SHRINK_MS, dir: FAILURES_DIR, versions: VERSIONS }
  })
  const options = { ...workers(settings), jobMs: 5 * SHRINK_MS }
  await runJobs(shrinks, options, (job, answer) => {
    if (answer?.type !== 'shrink') say(`seed ${job.seed} could not be shrunk`)
    else say(`seed ${job.seed} shrunk: ${answer.summary}${repeatWith(answer.path)}`)
    return 'go on'
  })
}

function repeatWith(path: string | undefined): string {
  return path === undefined ? '' : `\n  npm run sim -- --replay ${path}`
}

function describeTally(tally: Tally, seconds: number): string {
  const { reads, faults } = tally
  const per = (count: number) => count.toLocaleString('en-US')
  const fired = Object.entries(faults).map(([name, count]) => `${name} ${count}`)
  return [
    `${per(tally.runs)} runs in ${seconds.toFixed(0)} s, ${per(tally.events)} events`,
    `${(tally.virtualMs / 3_600_000).toFixed(2)} cluster-hours, ` +
      `${(tally.memberMs / 3_600_000).toFixed(2)} member-hours`,
    `${per(tally.checks)} checks of rules`,
    `calls answered: ${per(tally.writes)} writes; reads: strong ${per(reads.strong)}, ` +
      `session ${per(reads.session)}, eventual ${per(reads.eventual)}`,
    `calls failed ${per(tally.failedCalls)}, of unknown outcome ${per(tally.unknownCalls)}; ` +
      `weak reads that were stale ${per(tally.staleReads)}`,
    `leaders ${per(tally.leaders)}, crashes ${per(tally.crashes)}, ` +
      `checkpoints asked for ${per(tally.checkpoints)}, ` +
      `logs shortened ${per(tally.compactions)}, snapshots installed ${per(tally.snapshots)}, ` +
      `states rebuilt ${per(tally.rebuilds)}, ` +
      `tokens carried ${per(tally.tokens)}`,
    `decisions: done ${per(tally.decisions.then)}, not done ${per(tally.decisions.else)}, ` +
      `refused ${per(tally.decisions.refused)}; clears ${per(tally.clears)}, ` +
      `expiring values ${per(tally.expiring)}, leases ${per(tally.leases)}`,
    `watches: entries ${per(tally.watchedEntries)}, resumed ${per(tally.watchesResumed)}, ` +
      `came too late ${per(tally.watchesCompacted)}`,
    `large values ${per(tally.largeValues)}`,
    `members changed ${per(tally.memberChanges)}, leaderships handed over ${per(tally.transfers)}`,
    `faults: ${fired.join(', ')}`,
    `searches for a linearization given up: ${tally.undecided} of ${2 * tally.runs} ` +
      '(the check from the inside decides all)',
  ].join('\n')
}

function say(words: string): void {
  process.stdout.write(`${words}\n`)
}
