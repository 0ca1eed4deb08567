/**
 * A run from which the real world is kept out, and which hears of everything that goes wrong in it: leaks of time,
 * chance and I/O, and promises that reject without an owner.
 */
import type { Action, Schedule } from '../schedule/schedule.js'
import { seal } from './seal.js'
import { type RunReport, type RunSetup, runSchedule } from './simulation.js'

/** Carries out `schedule`. Nothing else may run in this process meanwhile. */
export async function runSealed<A extends Action>(
  schedule: Schedule<A>,
  setup: RunSetup<A>,
): Promise<RunReport> {
  const strays: string[] = []
  const onStray = (error: unknown) => {
    strays.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  process.on('unhandledRejection', onStray)
  const unseal = seal(setup.mirror === undefined ? 'none' : 'files', (name) =>
    strays.push(`${name} was called`),
  )
  try {
    const report = await runSchedule(schedule, setup)
    if (strays.length === 0) return report
    const violation = { rule: 'D1 nothing leaks in', message: strays[0]!, atMs: 0 } as const
    return { ...report, violation }
  } finally {
    unseal()
    process.off('unhandledRejection', onStray)
  }
}
