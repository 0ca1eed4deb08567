/**
 * What does each consistency level cost: by who serves it, and by how far the members are apart?
 *
 * Open loop: operations begin at times of their own (Poisson), decided in a process of its own, and latencies count
 * from the intended start. Nine of ten operations read at the level, one writes, so that a session has something to
 * wait for. The members stand behind fault proxies, which add the round trip; what they really add is measured in the
 * same run. Rates rise until the system does not keep up: the points together are the throughput-latency curve.
 */
import { join } from 'node:path'
import { parseFlags, UsageError, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import type { ReadLevel } from '../src/index.js'
import { type BenchContext, runBench } from './bench-run.js'
import { wordsFlag } from './flags.js'
import { Generator } from './generator.js'
import { aloneTarget, type Target, targetsOf } from './member-targets.js'
import type { PacedResult } from './open-loop.js'
import { isTooLate, type OpenLoad } from './pace.js'
import { leaderOf, startProxied } from './proxied-cluster.js'
import { figure, latencyFigures, type Row } from './results.js'
import { measureRoundTrip } from './round-trip.js'
import type { Workload } from './workload.js'

const HELP = `npm run bench -- levels [flags]

  --quick       two distances, two rates, one short run: whether it works, not what it does
  --rtt LIST    added round trips in ms (0,1,10,50)
  --rates LIST  operations per second, rising (200,1000,3000,6000,12000)
  --runs N      runs (3)
  --ms N        milliseconds per measurement (2000)
  --reads HOW   how strong reads are served: quorum, or lease (quorum)
  --json FILE   write all figures and curves there as well`

interface Level {
  readonly name: string
  readonly level: ReadLevel
  readonly bound?: number
}

/** The levels: those of the API, and eventual with a bound on its age. */
const LEVELS: readonly Level[] = [
  { name: 'strong', level: 'strong' },
  { name: 'session', level: 'session' },
  { name: 'eventual, 100 ms', level: 'eventual', bound: 100 },
  { name: 'eventual', level: 'eventual' },
]
/** Of the baseline, classic-level alone with synced puts: it does not look at a level. */
const NO_LEVEL: Level = { name: 'classic-level', level: 'eventual' }
/** Measured together in one load, and told apart: rates and what was done are those of both. */
const OPERATIONS = ['get', 'put'] as const
const KEY_COUNT = 10_000
const VALUE_BYTES = 128
const WARM_UP_SHARE = 0.25
/** Runs that are tried for each that is wanted. */
const ATTEMPTS = 2
/** With less of the offered load done, or a median above it, higher rates would say nothing new. */
const KEEPS_UP_SHARE = 0.9
const SLOW_P50_MS = 500

interface Plan {
  readonly rtts: readonly number[]
  readonly rates: readonly number[]
  readonly runs: number
  readonly ms: number
  /** How strong reads are served. */
  readonly reads: 'quorum' | 'lease'
  /** A quick run tells whether it works, also where its figures are worth nothing. */
  readonly keepsLate: boolean
}

/** Everything about one point of a curve but its figures. */
interface Case {
  readonly level: Level
  readonly target: Target
  readonly rttMs: number
  readonly perSecond: number
}

const QUICK: Omit<Plan, 'reads'> = {
  rtts: [0, 10],
  rates: [200, 1000],
  runs: 1,
  ms: 600,
  keepsLate: true,
}

/** Runs the benchmark and prints its table. */
export async function levels(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    rtt: { type: 'string', default: '0,1,10,50' },
    rates: { type: 'string', default: '200,1000,3000,6000,12000' },
    runs: { type: 'string', default: '3' },
    ms: { type: 'string', default: '2000' },
    reads: { type: 'string', default: 'quorum' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const [reads] = wordsFlag('reads', flags.reads, ['quorum', 'lease'])
  const plan: Plan = flags.quick
    ? { ...QUICK, reads: reads! }
    : {
        reads: reads!,
        rtts: numbers('rtt', flags.rtt),
        rates: numbers('rates', flags.rates),
        runs: wholeNumber('runs', flags.runs, 1),
        ms: wholeNumber('ms', flags.ms, 100),
        keepsLate: false,
      }
  await runBench({
    name: 'levels',
    args,
    plan: {
      rtts: plan.rtts,
      rates: plan.rates,
      runs: plan.runs,
      ms: plan.ms,
      reads: plan.reads,
      keys: KEY_COUNT,
      valueBytes: VALUE_BYTES,
      members: 3,
    },
    json: flags.json,
    columns: ['done', 'p50', 'p99', 'p99.9', 'lateness p99', 'errors'],
    legend: LEGEND,
    measure: (context) => measureAll(plan, context),
  })
}

const LEGEND = [
  'Open loop, 90 % get and 10 % put of 128 B, 10,000 keys; latencies from the intended start. Medians of',
  'the runs with their range. Three member processes, three proxies and the generator share this machine;',
  'a client is a process of its own, as far from the members as they are from each other. Below 1 ms the',
  'lateness of the generator is part of what is seen. Alone: classic-level in one process, with synced puts.',
]

function numbers(flag: string, text: string): number[] {
  const found = text.split(',').map(Number)
  if (found.some((each) => !Number.isFinite(each) || each < 0)) {
    throw new UsageError(`--${flag} takes numbers from 0 on with commas between, not '${text}'`)
  }
  return found
}

async function measureAll(plan: Plan, context: BenchContext): Promise<Row[]> {
  const cluster = await startProxied(context, { strongReads: plan.reads })
  const [generator, client] = [new Generator(), new Generator()]
  context.onEnd(() => {
    generator.end()
    client.end()
  })
  const leader = await leaderOf(cluster)
  await cluster.call(leader, 'fill', { keyCount: KEY_COUNT, valueBytes: VALUE_BYTES })
  const baseline = aloneTarget(generator, client, join(context.root, 'alone'))
  const rows = await curve(plan, { level: NO_LEVEL, target: baseline, rttMs: 0 }, context)
  for (const rttMs of plan.rtts) {
    cluster.spread(rttMs)
    const really = await measureRoundTrip(rttMs)
    context.note(
      `an added round trip of ${rttMs} ms is ${really.p50.toFixed(2)} ms in the median here`,
    )
    for (const target of await targetsOf(cluster, generator, client)) {
      for (const each of LEVELS) {
        const isLeased = each.level === 'strong' && plan.reads === 'lease'
        const level = isLeased ? { ...each, name: 'strong, lease' } : each
        rows.push(...(await curve(plan, { level, target, rttMs }, context)))
      }
    }
  }
  return rows
}

/** The points of one curve, up to the first rate that the system does not keep up with. */
async function curve(
  plan: Plan,
  at: Omit<Case, 'perSecond'>,
  context: BenchContext,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const perSecond of plan.rates) {
    const each: Case = { ...at, perSecond }
    const sound = await soundRuns(plan, each, context)
    if (sound.length === 0) break
    const found = OPERATIONS.map((operation) => rowOf(each, operation, sound))
    rows.push(...found)
    const { done, p50 } = found[0]!.figures
    context.progress(`${nameOf(each)}: get p50 ${p50!.median.toFixed(2)} ms`)
    if (done!.median < perSecond * KEEPS_UP_SHARE || p50!.median > SLOW_P50_MS) break
  }
  return rows
}

/**
 * As many runs as planned, if twice as many attempts have them: a run whose generator was late is made again, and so is
 * one that failed (another member leads now, a client lost its connection).
 */
async function soundRuns(plan: Plan, each: Case, context: BenchContext): Promise<PacedResult[]> {
  const sound: PacedResult[] = []
  let late = 0
  let attempts = 0
  for (; sound.length < plan.runs && attempts < ATTEMPTS * plan.runs; attempts++) {
    try {
      const result = await measureOne(plan, each, attempts)
      const isLate = isTooLate(result.lateness, result.latency.all)
      if (isLate) late++
      if (!isLate || plan.keepsLate) sound.push(result)
    } catch (error) {
      context.note(`${nameOf(each)}: a run failed: ${String(error)}`)
    }
  }
  if (late > 0) {
    const what = plan.keepsLate ? 'kept: it is quick' : 'left out'
    context.note(`${nameOf(each)}: the generator was late in ${late} of ${attempts} runs, ${what}`)
  }
  return sound
}

function nameOf({ level, target, rttMs, perSecond }: Case): string {
  return `${level.name}, ${target.role}, ${rttMs} ms, ${perSecond} per s`
}

function measureOne(plan: Plan, each: Case, run: number): Promise<PacedResult> {
  const { level, bound } = each.level
  const workload: Workload = {
    mix: { get: 0.9, put: 0.1 },
    keyCount: KEY_COUNT,
    choice: 'uniform',
    valueBytes: VALUE_BYTES,
    level,
    ...(bound !== undefined && { maxStalenessMs: bound }),
    ack: 'quorum',
    batch: 1,
    seed: run,
  }
  const warmUpMs = Math.round(plan.ms * WARM_UP_SHARE)
  const load: OpenLoad = { perSecond: each.perSecond, warmUpMs, ms: plan.ms, seed: run }
  return each.target.run(workload, load)
}

function rowOf(
  { level, target, rttMs, perSecond }: Case,
  operation: (typeof OPERATIONS)[number],
  runs: readonly PacedResult[],
): Row {
  const latencies = runs.flatMap(({ latency }) => latency[operation] ?? [])
  const late = runs.map(({ lateness }) => lateness.p99)
  const done = runs.map(({ donePerSecond }) => donePerSecond)
  return {
    labels: {
      operation,
      level: level.name,
      role: target.role,
      'rtt ms': rttMs,
      offered: perSecond,
    },
    figures: {
      done: figure('per s', done),
      ...latencyFigures(latencies),
      'lateness p99': figure('ms', late),
      errors: figure('count', runs.map(errorsOf)),
    },
    curves: { latency: latencies[0]?.curve ?? [] },
  }
}

function errorsOf({ errors, dropped }: PacedResult): number {
  return Object.values(errors).reduce((sum, each) => sum + each, dropped)
}
