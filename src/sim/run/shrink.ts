/**
 * Makes a failing schedule small: fast-check takes out events and eases circumstances as long as the same rule stays
 * broken; then kinds of faults are switched off one by one, to say which are needed, and what is left of the events
 * is tried without each of them.
 */
import type FastCheck from 'fast-check'
import type { Arbitrary } from 'fast-check'
import {
  type Action,
  effectiveEvents,
  type FaultClass,
  faultsAmong,
  type Schedule,
} from '../schedule/schedule.js'
import { ONE_RUN } from './seeds.js'
import type { RunReport } from './simulation.js'

/** A failing schedule, as small as it gets. */
export interface Shrunk<A extends Action> {
  readonly schedule: Schedule<A>
  readonly report: RunReport
  /** Without any one of these the rule holds. */
  readonly needs: readonly FaultClass[]
}

/** How long shrinking may take, in real milliseconds. */
export interface ShrinkBudget {
  readonly timeMs: number
}

/**
 * Shrinks the schedule that `schedules` gives for `seed`, which fails under `run`.
 * @returns undefined when it does not fail
 */
export async function shrinkSeed<A extends Action>(
  fc: typeof FastCheck,
  schedules: Arbitrary<Schedule<A>>,
  seed: number,
  run: (schedule: Schedule<A>) => Promise<RunReport>,
  { timeMs }: ShrinkBudget,
): Promise<Shrunk<A> | undefined> {
  const end = performance.now() + timeMs
  let found: Failing<A> | undefined
  let running: Promise<RunReport> | undefined
  const property = fc.asyncProperty(schedules, async (schedule) => {
    running = run(schedule)
    const report = await running
    const rule = report.violation?.rule
    if (rule === undefined || (found !== undefined && rule !== found.report.violation?.rule)) return
    found = { schedule, report }
    throw new Error(rule)
  })
  await fc.check(property, { ...ONE_RUN, seed, interruptAfterTimeLimit: FAST_CHECK_SHARE * timeMs })
  // When its time is up fast-check does not wait for the run under way, and two at a time cannot be.
  await running
  return found === undefined ? undefined : ablate(found, run, end)
}

interface Failing<A extends Action> {
  readonly schedule: Schedule<A>
  readonly report: RunReport
}

/** Of the time for shrinking, what fast-check gets. */
const FAST_CHECK_SHARE = 0.4

/** Switches off what is not needed, as long as there is time. */
async function ablate<A extends Action>(
  from: Failing<A>,
  run: (schedule: Schedule<A>) => Promise<RunReport>,
  end: number,
): Promise<Shrunk<A>> {
  const rule = from.report.violation?.rule
  let best = from
  const attempt = async (schedule: Schedule<A>): Promise<void> => {
    const report = await run(schedule)
    if (report.violation?.rule === rule) best = { schedule, report }
  }
  const happened = faultsAmong(effectiveEvents(from.schedule)).map(({ type }) => type)
  const needs = [...new Set(happened)]
  await attempt(withFaults(best.schedule, needs))
  for (const fault of needs) {
    const { faults } = best.schedule.knobs
    await attempt(
      withFaults(
        best.schedule,
        faults.filter((other) => other !== fault),
      ),
    )
  }
  for (const some of chunksOf(best.schedule.events)) {
    if (performance.now() > end) break
    const events = best.schedule.events.filter((event) => !some.includes(event))
    if (events.length < best.schedule.events.length) await attempt({ ...best.schedule, events })
  }
  return { ...best, needs: best.schedule.knobs.faults }
}

/** Halves of `all`, then quarters, and so on down to single ones; the last first. */
function* chunksOf<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let size = all.length >> 1; size >= 1; size >>= 1) {
    for (let end = all.length; end > 0; end -= size) yield all.slice(Math.max(0, end - size), end)
  }
}

function withFaults<A extends Action>(
  { seed, knobs, events }: Schedule<A>,
  faults: readonly FaultClass[],
): Schedule<A> {
  const allowed = { seed, knobs: { ...knobs, faults }, events }
  return { ...allowed, events: effectiveEvents(allowed) }
}
