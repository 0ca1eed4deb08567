/**
 * What does a put and a get of 128 B cost: with one member, and in the leader of three, beside classic-level
 * alone?
 *
 * Every system is a process of its own with its load generator inside. The systems take turns within each run,
 * so that drift of the machine meets all of them; the figures are medians over the runs.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { EXIT_INTERRUPTED, untilInterrupted } from '../src/cli/interrupt.js'
import { type LivingSeat, ProcessCluster } from '../src/cli/processes/process-cluster.js'
import { count, paint, print, table } from '../src/cli/terminal.js'
import type { HotPathOperations, Operation } from './hot-path-operations.js'
import { describeMachine, thisMachine } from './machine.js'
import { type Measurement, median } from './measure.js'

const HELP = `npm run bench -- hot-path [flags]

  --quick      one short run: whether it works, not what it does
  --runs N     runs (3)
  --ms N       milliseconds per measurement (1000)
  --json FILE  write the medians and every run there as well`

const IN_FLIGHT = [1, 64, 256]
const LEADER_WITHIN_MS = 30_000
const QUICK = { runs: 1, ms: 200 }

/** A row of the result: one operation of one system. */
interface Case {
  readonly name: string
  readonly inFlight: number
  readonly system: 'classic-level' | 'one member' | 'three processes'
  readonly operation: Operation
  /** The name of the case of classic-level that it is compared with. */
  readonly baseline: string
}

interface Plan {
  readonly runs: number
  readonly ms: number
}

type Cluster = ProcessCluster<HotPathOperations>

interface Result extends Case {
  readonly runs: readonly Measurement[]
  readonly median: Measurement
  /** Operations per second against the baseline at the same number in flight. */
  readonly ratio: number
}

function casesOf(): Case[] {
  const level = (kind: Operation['kind'] & `level ${string}`, inFlight: number): Case => {
    const system = 'classic-level'
    return { name: LEVEL_NAMES[kind], inFlight, system, operation: { kind }, baseline: kind }
  }
  const stores = (inFlight: number): Case[] =>
    (['put', 'strong', 'session', 'eventual'] as const).flatMap((what) =>
      (['one member', 'three processes'] as const).map((system) => ({
        name: what === 'put' ? 'put' : `get ${what}`,
        inFlight,
        system,
        operation: what === 'put' ? { kind: what } : { kind: 'get' as const, level: what },
        baseline: what === 'put' ? 'level put' : 'level get',
      })),
    )
  return [
    level('level batch', 1),
    level('level getSync', 1),
    ...IN_FLIGHT.flatMap((inFlight) => [
      level('level put', inFlight),
      level('level get', inFlight),
      ...stores(inFlight),
    ]),
  ]
}

const LEVEL_NAMES: Readonly<Record<Operation['kind'] & `level ${string}`, string>> = {
  'level put': 'put, sync',
  'level get': 'get',
  'level getSync': 'getSync',
  'level batch': 'batch of 1,000',
}

/** Runs the benchmark and prints its table. */
export async function hotPath(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string', default: '3' },
    ms: { type: 'string', default: '1000' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const plan = flags.quick
    ? QUICK
    : { runs: wholeNumber('runs', flags.runs, 1), ms: wholeNumber('ms', flags.ms, 10) }
  const machine = thisMachine('hot-path', args)
  print(describeMachine(machine))
  const results = await runAll(plan)
  if (results === undefined) {
    process.exitCode = EXIT_INTERRUPTED
    return
  }
  print(`\n${describeResults(results)}\n`)
  print(`Medians of ${plan.runs} runs of ${plan.ms} ms each; 128 B values; every put is durable`)
  print(
    'before it is acknowledged, except in the batches of classic-level. Each system runs in its',
  )
  print('own process together with its load; three processes share this machine. × compares with')
  print('classic-level at the same number in flight.')
  if (flags.json !== undefined) {
    await writeFile(
      flags.json,
      `${JSON.stringify({ schema: 1, machine, plan, results }, null, 2)}\n`,
    )
  }
}

/** The medians of all cases; undefined when the user ended it. */
async function runAll(plan: Plan): Promise<Result[] | undefined> {
  const root = await mkdtemp(join(tmpdir(), 'quorate-bench-'))
  const one = await clusterIn(join(root, 'one'), ['a'])
  const three = await clusterIn(join(root, 'three'), ['a', 'b', 'c'])
  try {
    const end = await untilInterrupted(measureAll(plan, one, three, join(root, 'level')))
    return end === 'interrupted' ? undefined : end
  } finally {
    await Promise.all([one.kill(), three.kill()])
    await rm(root, { recursive: true, force: true })
  }
}

async function measureAll(
  plan: Plan,
  one: Cluster,
  three: Cluster,
  levelDir: string,
): Promise<Result[]> {
  await Promise.all([one.start(), three.start()])
  const lone = await one.leader(LEADER_WITHIN_MS)
  await lone.child.call('fill', { levelDir })
  const leader = await three.leader(LEADER_WITHIN_MS)
  await leader.child.call('fill', { levelDir: undefined })
  const cases = casesOf()
  const runs = new Map<Case, Measurement[]>(cases.map((one) => [one, []]))
  for (let run = 1; run <= plan.runs; run++) {
    for (const measured of cases) {
      const seat = measured.system === 'three processes' ? await leaderOf(three, leader) : lone
      runs.get(measured)!.push(await measureIn(seat, measured, plan.ms))
    }
    print(paint('dim', `run ${run} of ${plan.runs} done`))
  }
  return resultsOf(runs)
}

/** `leader`, if it still leads: figures of a member that lost its office would be of something else. */
async function leaderOf(
  cluster: Cluster,
  leader: LivingSeat<HotPathOperations>,
): Promise<LivingSeat<HotPathOperations>> {
  const { id } = await cluster.leader(LEADER_WITHIN_MS)
  if (id !== leader.id) throw new Error(`${leader.id} lost its office to ${id}: run it again`)
  return leader
}

function clusterIn(root: string, memberIds: readonly string[]): Promise<Cluster> {
  const script = join(import.meta.dirname, 'hot-path-process.js')
  return ProcessCluster.create({ script, root, memberIds, store: { valueEncoding: 'binary' } })
}

function measureIn(
  seat: LivingSeat<HotPathOperations>,
  { operation, inFlight }: Case,
  ms: number,
): Promise<Measurement> {
  return seat.child.call('measure', { operation, inFlight, ms })
}

function resultsOf(runs: ReadonlyMap<Case, readonly Measurement[]>): Result[] {
  const medians = new Map<string, number>()
  return [...runs].map(([measured, all]) => {
    const middle: Measurement = {
      perSecond: median(all.map(({ perSecond }) => perSecond)),
      p50Us: median(all.map(({ p50Us }) => p50Us)),
      p99Us: median(all.map(({ p99Us }) => p99Us)),
    }
    // The cases of classic-level come before those that are compared with them.
    const key = `${measured.baseline} ${measured.inFlight}`
    if (measured.system === 'classic-level') medians.set(key, middle.perSecond)
    return { ...measured, runs: all, median: middle, ratio: middle.perSecond / medians.get(key)! }
  })
}

function describeResults(results: readonly Result[]): string {
  const rows = results.map(({ name, inFlight, system, median: middle, ratio, runs }) => [
    system,
    name,
    count(inFlight),
    count(middle.perSecond),
    microseconds(middle.p50Us),
    microseconds(middle.p99Us),
    ratio.toFixed(2),
    range(runs.map(({ perSecond }) => perSecond)),
  ])
  return table(['system', 'operation', 'in flight', 'per s', 'p50', 'p99', '×', 'runs'], rows)
}

function range(values: readonly number[]): string {
  return `${count(Math.min(...values))} to ${count(Math.max(...values))}`
}

function microseconds(value: number): string {
  return value < 1000
    ? `${value.toFixed(value < 10 ? 1 : 0)} µs`
    : `${(value / 1000).toFixed(1)} ms`
}
