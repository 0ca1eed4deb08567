/** A worker process: carries out one job at a time for the simulation program. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { unreachable } from '../../../src/base/assert.js'
import { ownWorkload } from '../../../src/sim/run/clients.js'
import { writeFailure } from '../../../src/sim/run/failure-file.js'
import { runSealed } from '../../../src/sim/run/sealed-run.js'
import { ownSchedules, scheduleOf } from '../../../src/sim/run/seeds.js'
import { shrinkSeed } from '../../../src/sim/run/shrink.js'
import type { RunReport } from '../../../src/sim/run/simulation.js'
import type { Schedule } from '../../../src/sim/schedule/schedule.js'
import type { Answer, Job, RunResult } from './jobs.js'

const TRACE_TAIL = 200

const schedules = ownSchedules(fc)

function run(schedule: Schedule, keepTrace: number): Promise<RunReport> {
  return runSealed(schedule, { ...ownWorkload, keepTrace })
}

function resultOf({ violation, tally, traceHash, historyHash }: RunReport): RunResult {
  return { violation, tally, traceHash, historyHash }
}

async function shrink(job: Job & { readonly type: 'shrink' }): Promise<Answer> {
  const { seed, timeMs, dir, versions } = job
  const shrunk = await shrinkSeed(fc, schedules, seed, (schedule) => run(schedule, TRACE_TAIL), {
    timeMs,
  })
  if (shrunk === undefined) {
    return { type: 'shrink', path: undefined, summary: 'it does not fail when run again' }
  }
  const path = await writeFailure(dir, shrunk, seed, versions)
  const { schedule, needs, report } = shrunk
  const summary =
    `${report.violation?.rule}, in ${schedule.events.length} events; ` +
    `needs ${needs.length === 0 ? 'no faults' : needs.join(' + ')}`
  return { type: 'shrink', path, summary }
}

/** The same schedule without and with real files beside the simulated ones. */
async function compare(seed: number, dir: string): Promise<Answer> {
  const schedule = scheduleOf(fc, schedules, seed)
  const simulated = await runSealed(schedule, { ...ownWorkload, keepTrace: 0 })
  const mirror = join(dir, String(seed))
  try {
    const real = await runSealed(schedule, { ...ownWorkload, keepTrace: 0, mirror })
    return { type: 'realDisk', simulated: resultOf(simulated), real: resultOf(real) }
  } finally {
    await rm(mirror, { recursive: true, force: true })
  }
}

async function carryOut(job: Job): Promise<Answer> {
  switch (job.type) {
    case 'run': {
      const report = await run(scheduleOf(fc, schedules, job.seed), 0)
      return { type: 'run', result: resultOf(report) }
    }
    case 'shrink':
      return shrink(job)
    case 'realDisk':
      return compare(job.seed, job.dir)
    default:
      return unreachable(job)
  }
}

process.on('message', (job: Job) => {
  carryOut(job).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exit(1)
    },
  )
})
process.on('disconnect', () => process.exit(0))
