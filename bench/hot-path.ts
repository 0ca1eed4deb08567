/**
 * What does a put, a get and a scan of 128 B cost: with one member, and in the leader of three, beside classic-level
 * alone; and what do the parts cost by themselves?
 *
 * Every system is a process of its own with its load generator inside. The systems take turns within each run,
 * so that drift of the machine meets all of them; the figures are medians over the runs.
 */
import { join } from 'node:path'
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { type LivingSeat, ProcessCluster } from '../src/cli/processes/process-cluster.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import type { HotPathOperations, Operation } from './hot-path-operations.js'
import { measureParts } from './hot-path-parts.js'
import type { Measurement } from './measure.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- hot-path [flags]

  --quick      one short run: whether it works, not what it does
  --runs N     runs (3)
  --ms N       milliseconds per measurement (1000)
  --json FILE  write all figures there as well`

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
  const others = (['one member', 'three processes'] as const).flatMap((system): Case[] => [
    {
      name: 'get eventual, view',
      inFlight: 64,
      system,
      operation: { kind: 'view get', level: 'eventual' },
      baseline: 'level get',
    },
    {
      name: 'scan strong',
      inFlight: 1,
      system,
      operation: { kind: 'scan', level: 'strong' },
      baseline: 'level scan',
    },
  ])
  return [
    level('level batch', 1),
    level('level getSync', 1),
    level('level scan', 1),
    ...IN_FLIGHT.flatMap((inFlight) => [
      level('level put', inFlight),
      level('level get', inFlight),
      ...stores(inFlight),
    ]),
    ...others,
  ]
}

const LEVEL_NAMES: Readonly<Record<Operation['kind'] & `level ${string}`, string>> = {
  'level put': 'put, sync',
  'level get': 'get',
  'level getSync': 'getSync',
  'level batch': 'batch of 1,000',
  'level scan': 'scan in blocks',
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
  await runBench({
    name: 'hot-path',
    args,
    plan: { runs: plan.runs, ms: plan.ms, valueBytes: 128 },
    json: flags.json,
    columns: ['per s', 'p50', 'p99', '× classic-level'],
    second: {
      columns: ['per s', 'p50 of 64', 'p99 of 64'],
      has: ({ labels }) => 'part' in labels,
    },
    legend: [
      'Medians of the runs with their range; 128 B values; every put is durable before it is acknowledged,',
      'except in the batches of classic-level. Each system runs in its own process together with its load;',
      'three processes share this machine. × compares with classic-level at the same number in flight.',
      'The second table: parts by themselves, 64 of each at a time, in one thread.',
    ],
    measure: async (context) => {
      const rows = await measureSystems(plan, context)
      return [...rows, ...(await measureParts(join(context.root, 'parts'), plan.ms))]
    },
  })
}

async function measureSystems(plan: Plan, context: BenchContext): Promise<Row[]> {
  const one = await clusterIn(join(context.root, 'one'), ['a'])
  const three = await clusterIn(join(context.root, 'three'), ['a', 'b', 'c'])
  context.onEnd(async () => {
    await Promise.all([one.kill(), three.kill()])
  })
  return measureAll(plan, context, one, three)
}

async function measureAll(
  plan: Plan,
  context: BenchContext,
  one: Cluster,
  three: Cluster,
): Promise<Row[]> {
  await Promise.all([one.start(), three.start()])
  const lone = await one.leader(LEADER_WITHIN_MS)
  await lone.child.call('fill', { levelDir: join(context.root, 'level') })
  const leader = await three.leader(LEADER_WITHIN_MS)
  await leader.child.call('fill', { levelDir: undefined })
  const cases = casesOf()
  const runs = new Map<Case, Measurement[]>(cases.map((one) => [one, []]))
  for (let run = 1; run <= plan.runs; run++) {
    for (const measured of cases) {
      const seat = measured.system === 'three processes' ? await leaderOf(three, leader) : lone
      runs.get(measured)!.push(await measureIn(seat, measured, plan.ms))
    }
    context.progress(`run ${run} of ${plan.runs} done`)
  }
  return rowsOf(runs)
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

function rowsOf(runs: ReadonlyMap<Case, readonly Measurement[]>): Row[] {
  const baselines = new Map<string, readonly Measurement[]>()
  return [...runs].map(([measured, all]) => {
    const { system, name, inFlight, operation, baseline } = measured
    // The cases of classic-level come before those that are compared with them.
    if (system === 'classic-level') baselines.set(`${operation.kind} ${inFlight}`, all)
    const compared = baselines.get(`${baseline} ${inFlight}`)!
    const perSecond = all.map((run) => run.perSecond)
    return {
      labels: { system, operation: name, 'in flight': inFlight },
      figures: {
        'per s': figure('per s', perSecond),
        p50: figure(
          'ms',
          all.map(({ p50Us }) => p50Us / 1000),
        ),
        p99: figure(
          'ms',
          all.map(({ p99Us }) => p99Us / 1000),
        ),
        '× classic-level': figure(
          'x',
          perSecond.map((each, run) => each / compared[run]!.perSecond),
        ),
      },
    }
  })
}
