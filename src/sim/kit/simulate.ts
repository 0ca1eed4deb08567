/**
 * Runs a user's own workload on simulated clusters, under faults, and shrinks what breaks its invariants.
 *
 * Besides the workload's own checks every rule of quorate itself is checked, so a failure names whose it is.
 */

import type FastCheck from 'fast-check'
import type { Arbitrary } from 'fast-check'
import { StoreError } from '../../base/errors.js'
import type { OpenOptions } from '../../store/open-options.js'
import type { Store } from '../../store/store.js'
import type { HistoryEvent } from '../history.js'
import type { Cluster } from '../run/cluster.js'
import type { Seat } from '../run/seat.js'
import { scheduleOf } from '../run/seeds.js'
import { type Shrunk, shrinkSeed } from '../run/shrink.js'
import { type RunReport, type RunSetup, runSchedule } from '../run/simulation.js'
import { addTally, newTally, type Tally } from '../run/tally.js'
import type { Workload } from '../run/workload.js'
import { knobsArbitrary, scheduleArbitrary } from '../schedule/arbitraries.js'
import {
  FAULT_CLASSES,
  type FaultClass,
  type Knobs,
  type Schedule,
  type Step,
} from '../schedule/schedule.js'
import { loadFastCheck } from './fast-check.js'
import { type Sometimes, sometimes } from './sometimes.js'

/** What the steps of a run are given besides a store. */
export interface RunContext {
  /** Virtual milliseconds since the start. */
  now(): number
  /** A draw below `bound`, a function of the run's seed and `keys`; use it in place of Math.random. */
  below(bound: number, ...keys: readonly (number | string)[]): number
  /** Notes whether something that should happen in some run happened; see `simulate`. */
  readonly sometimes: Sometimes
}

/** The clients of one run; they remember what they were told, and judge the end. */
export interface Clients<S> {
  /** Called once, before any fault, with the store of the first leader. */
  setup?(store: Store): Promise<void>
  /**
   * Carries out one step through `store`, some member of the cluster. It may never settle: the member may be killed
   * meanwhile. A StoreError that it throws is an operating error and does not count; anything else fails the run.
   */
  step(store: Store, step: S): Promise<void>
  /**
   * Called for every member when the faults are over and all agree; throw when an invariant is broken. The cluster
   * has lost its power once more by then.
   */
  check(store: Store): Promise<void>
}

/** A workload of yours. */
export interface UserWorkload<S> {
  /** What the steps are drawn from: records of plain data, which shrink. */
  steps(fc: typeof FastCheck): Arbitrary<S>
  /** New clients, for each run. */
  clients(context: RunContext): Clients<S>
}

/** How `simulate` runs; everything has a default. */
export interface SimulateOptions {
  /** How many runs; default 50. */
  readonly runs?: number
  /** Of the first run; the next ones have the following numbers. Default 1. */
  readonly seed?: number
  /** The most steps and faults in a run; default 200. */
  readonly events?: number
  /** How many members; default 1, 3 or 5, drawn for each run. */
  readonly members?: 1 | 3 | 5
  /** Kinds of faults that may happen; default all. Each run has some of them. */
  readonly faults?: readonly FaultClass[]
  /** Options of all stores, besides those about members and folders. */
  readonly store?: Partial<OpenOptions>
  /** How long a failure may be shrunk, in real milliseconds; default 30,000. */
  readonly shrinkMs?: number
}

/** An invariant was broken; the message shows the smallest run that does it. */
export class SimulationFailure extends Error {
  override readonly name: string = 'SimulationFailure'
  readonly seed: number
  readonly report: RunReport

  constructor(seed: number, shrunk: Shrunk<UserStep<unknown>>) {
    super(describeFailure(seed, shrunk))
    this.seed = seed
    this.report = shrunk.report
  }
}

/** A step of a user's workload in a schedule. */
interface UserStep<S> {
  readonly type: 'step'
  readonly member: number
  readonly step: S
}

const RUNS = 50
const FIRST_SEED = 1
const EVENTS = 200
/** So that some calls meet each other, and some find peace. */
const EVENT_EVERY_MS = 40
const SHRINK_MS = 30_000
const TRACE_TAIL = 40
const MEMBER_MAX = 4

/**
 * Runs `workload` on simulated clusters; resolves with what happened in them, counted. Needs fast-check 4. In one
 * process one run at a time; nothing of the workload may use real time, chance or I/O, or runs do not repeat.
 *
 * @throws {SimulationFailure} for the first run that breaks an invariant, shrunk
 * @throws {Error} when something noted with `context.sometimes` never happened in any run
 */
export async function simulate<S>(
  workload: UserWorkload<S>,
  options: SimulateOptions = {},
): Promise<Tally> {
  const fc = await loadFastCheck()
  const coverage = sometimes()
  const schedules = userSchedules(fc, workload, options)
  const setup: RunSetup<UserStep<S>> = {
    workload: (cluster) => new UserClients(cluster, workload, coverage),
    store: options.store ?? {},
    readValue: (bytes) => bytes.toString('latin1'),
    keepTrace: TRACE_TAIL,
  }
  const run = (schedule: Schedule<UserStep<S>>) => runSchedule(schedule, setup)
  const { runs = RUNS, seed: firstSeed = FIRST_SEED, shrinkMs: timeMs = SHRINK_MS } = options
  const tally = newTally()
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const report = await run(scheduleOf(fc, schedules, seed))
    addTally(tally, report.tally)
    if (report.violation === undefined) continue
    const shrunk = await shrinkSeed(fc, schedules, seed, run, { timeMs })
    if (shrunk === undefined) {
      throw new Error(
        `seed ${seed} broke a rule and did not when it was run again: the workload is not a function of its seed`,
      )
    }
    throw new SimulationFailure(seed, shrunk)
  }
  coverage.assertAll()
  return tally
}

function userSchedules<S>(
  fc: typeof FastCheck,
  workload: UserWorkload<S>,
  { events = EVENTS, members, faults = FAULT_CLASSES }: SimulateOptions,
): Arbitrary<Schedule<UserStep<S>>> {
  const knobs = fc
    .tuple(knobsArbitrary(fc), fc.subarray([...faults]))
    .map(([drawn, some]): Knobs => ({ ...drawn, faults: some, ...(members && { members }) }))
  const actions = fc.record({
    type: fc.constant('step' as const),
    member: fc.nat(MEMBER_MAX),
    step: workload.steps(fc),
  })
  return scheduleArbitrary<UserStep<S>>(fc, {
    maxEvents: events,
    durationMs: events * EVENT_EVERY_MS,
    actions,
    knobs,
    faults,
  })
}

/** A user's clients as a workload of the simulator. */
class UserClients<S> implements Workload<UserStep<S>> {
  readonly #cluster: Cluster
  readonly #clients: Clients<S>
  readonly #open = new Map<Promise<void>, Seat>()

  constructor(cluster: Cluster, workload: UserWorkload<S>, coverage: Sometimes) {
    this.#cluster = cluster
    const { world } = cluster
    this.#clients = workload.clients({
      now: () => world.now,
      below: (bound, ...keys) => world.below(bound, 'workload', ...keys),
      sometimes: coverage,
    })
  }

  get openCalls(): number {
    return this.#open.size
  }

  async setup(): Promise<void> {
    if (this.#clients.setup === undefined) return
    await this.#cluster.until(() => this.#cluster.leader !== undefined)
    const store = this.#cluster.leader?.store
    if (store === undefined) return
    const done = this.#clients.setup(store)
    await this.#cluster.finish(done, 'U1 invariant of the workload', 'setup')
  }

  act({ member, step }: Step & UserStep<S>): void {
    const { trace } = this.#cluster
    const seat = this.#cluster.seatOf(member)
    if (seat.store === undefined) return
    trace.note(seat.name, JSON.stringify(step), undefined)
    const call = this.#clients.step(seat.store, step)
    this.#open.set(call, seat)
    call.then(
      () => this.#end(call, undefined),
      (error: unknown) => this.#end(call, error),
    )
  }

  abandon(seat: Seat): void {
    for (const [call, at] of this.#open) if (at === seat) this.#open.delete(call)
  }

  /** Only who wrote a step knows how long it may take. */
  checkOverdue(): void {}

  async judge(): Promise<void> {
    for (const { name, store } of this.#cluster.living) {
      const checked = this.#clients.check(store!)
      await this.#cluster.finish(checked, 'U1 invariant of the workload', name)
    }
  }

  history(): readonly HistoryEvent[] {
    return this.#cluster.recorder.finish()
  }

  #end(call: Promise<void>, error: unknown): void {
    if (!this.#open.delete(call) || error === undefined) return
    const { tally, findings } = this.#cluster
    if (error instanceof StoreError) tally.failedCalls++
    else findings.report('U1 invariant of the workload', describeError(error))
  }
}

function describeFailure(
  seed: number,
  { schedule, report, needs }: Shrunk<UserStep<unknown>>,
): string {
  const { rule, message } = report.violation!
  const { knobs, events } = schedule
  const lines = events.map(({ id: _id, atMs, ...what }) => {
    const isStep = what.type === 'step'
    const words = isStep
      ? `${JSON.stringify(what.step)} at member ${what.member}`
      : JSON.stringify(what)
    return `  at ${String(atMs).padStart(5)} ms  ${words}`
  })
  return [
    `${rule}: ${message}`,
    `needs ${needs.length === 0 ? 'no faults' : needs.join(' + ')}; the smallest run found:`,
    `  ${JSON.stringify(knobs)}`,
    ...lines,
    `to repeat it: simulate(workload, { seed: ${seed}, runs: 1 })`,
  ].join('\n')
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
