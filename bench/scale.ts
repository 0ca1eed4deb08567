/**
 * How does cost grow: with members, keys, the size of values, and watchers?
 *
 * One thing grows at a time, everything else stays as at the base; each point has a cluster of its own, and stands
 * beside classic-level alone with as many keys of that size.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { unreachable } from '../src/base/assert.js'
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import { wordsFlag } from './flags.js'
import { Generator } from './generator.js'
import { ClosedRuns, type LoadedCluster, leaderOf, startCluster } from './loaded-cluster.js'
import { figure, type Row } from './results.js'
import type { Watched } from './watchers.js'
import type { Workload } from './workload.js'

const HELP = `npm run bench -- scale [flags]

  --quick      small and short: whether it works, not what it does
  --grow LIST  of members,keys,values,watchers (all)
  --runs N     runs (3)
  --ms N       milliseconds per measurement (1000)
  --json FILE  write all figures there as well`

const GROWING = ['members', 'keys', 'values', 'watchers'] as const
const IN_FLIGHT = 64
/** Of values: more than a Store lets wait would be refused. */
const IN_FLIGHT_BYTES = 16 << 20
/** So many bytes of values there are at most where values grow. */
const DATA_BYTES = 256 << 20

/** Where a point stands, in everything that can grow. */
interface Point {
  readonly grows: string
  readonly at: number
  readonly members: number
  readonly keyCount: number
  readonly valueBytes: number
  readonly watchers: number
  readonly watched: Watched
}

interface Plan {
  readonly grow: readonly (typeof GROWING)[number][]
  readonly runs: number
  readonly ms: number
  readonly sizes: Readonly<Record<(typeof GROWING)[number], readonly number[]>>
  readonly keyCount: number
}

const FULL: Plan['sizes'] = {
  members: [1, 3, 5, 7],
  keys: [10_000, 100_000, 1_000_000, 10_000_000],
  values: [16, 128, 1024, 16_384, 262_144, 1_048_576],
  watchers: [0, 10, 100, 1000],
}
const QUICK: Plan['sizes'] = {
  members: [1, 3],
  keys: [1_000, 10_000],
  values: [128, 16_384],
  watchers: [0, 100],
}

/** Runs the benchmark and prints its table. */
export async function scale(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    grow: { type: 'string', default: GROWING.join(',') },
    runs: { type: 'string' },
    ms: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const { quick } = flags
  const plan: Plan = {
    grow: wordsFlag('grow', flags.grow, GROWING),
    runs: wholeNumber('runs', flags.runs ?? (quick ? '1' : '3'), 1),
    ms: wholeNumber('ms', flags.ms ?? (quick ? '200' : '1000'), 10),
    sizes: quick ? QUICK : FULL,
    keyCount: quick ? 1_000 : 100_000,
  }
  await runBench({
    name: 'scale',
    args,
    plan: { grow: plan.grow, runs: plan.runs, ms: plan.ms, keyCount: plan.keyCount },
    json: flags.json,
    columns: ['put', 'put p99', 'get strong', 'get eventual', '× put', '× get', 'memory'],
    legend: [
      `Medians of ${plan.runs} runs of ${plan.ms} ms: operations per second at the leader, ${IN_FLIGHT} in flight`,
      '(of large values as many as 16 MiB are).',
      `At the base 3 members on this machine, ${plan.keyCount} keys of 128 B, no watchers; keys grow at a`,
      'lone member. × compares with classic-level alone with as many keys of that size: put with synced',
      'put, eventual get with get. Memory: of the leader.',
    ],
    measure: (context) => measureAll(context, plan),
  })
}

async function measureAll(context: BenchContext, plan: Plan): Promise<readonly Row[]> {
  const generator = new Generator()
  context.onEnd(() => generator.end())
  const rows: Row[] = []
  for (const point of plan.grow.flatMap((what) => pointsOf(what, plan))) {
    rows.push(await measurePoint(context, plan, point, generator))
    context.progress(`${point.grows} ${point.at} done`)
  }
  return rows
}

/** The points of one thing that grows. */
function pointsOf(what: (typeof GROWING)[number], { sizes, keyCount }: Plan): readonly Point[] {
  const base = {
    members: 3,
    keyCount,
    valueBytes: 128,
    watchers: 0,
    watched: 'everything',
  } as const
  return sizes[what].flatMap((at): Point[] => {
    switch (what) {
      case 'members':
        return [{ ...base, grows: what, at, members: at }]
      case 'keys':
        return [{ ...base, grows: what, at, members: 1, keyCount: at }]
      case 'values': {
        const keys = Math.min(keyCount, Math.floor(DATA_BYTES / at))
        return [{ ...base, grows: 'value bytes', at, valueBytes: at, keyCount: keys }]
      }
      case 'watchers':
        return (['a key each', 'everything'] as const).map((watched) => ({
          ...base,
          grows: `watchers of ${watched}`,
          at,
          watchers: at,
          watched,
        }))
      default:
        return unreachable(what)
    }
  })
}

async function measurePoint(
  context: BenchContext,
  plan: Plan,
  point: Point,
  generator: Generator,
): Promise<Row> {
  const name = `${point.grows} ${point.at}`
  const cluster = await startCluster(context, name, point.members, point)
  const { watchers, watched } = point
  if (watchers > 0) {
    const leader = await leaderOf(cluster)
    await leader.child.call('watch', { watchers, watched })
  }
  const runs = newRuns()
  for (let run = 1; run <= plan.runs; run++) {
    await measureOnce(context, plan, point, run, runs, cluster, generator)
  }
  const leader = await leaderOf(cluster)
  const memory = await leader.child.call('memory', undefined)
  await cluster.kill()
  await rm(join(context.root, name), { recursive: true })
  return {
    labels: { grows: point.grows, to: point.at, members: point.members },
    figures: {
      put: runs.put.figures['per s'],
      'put p99': runs.put.figures.p99,
      'get strong': runs.strong.figures['per s'],
      'get eventual': runs.eventual.figures['per s'],
      '× put': runs.put.against(runs.plainPut),
      '× get': runs.eventual.against(runs.plainGet),
      memory: figure('bytes', [memory]),
    },
  }
}

type Runs = Readonly<Record<'put' | 'strong' | 'eventual' | 'plainPut' | 'plainGet', ClosedRuns>>

function newRuns(): Runs {
  return {
    put: new ClosedRuns(),
    strong: new ClosedRuns(),
    eventual: new ClosedRuns(),
    plainPut: new ClosedRuns(),
    plainGet: new ClosedRuns(),
  }
}

async function measureOnce(
  context: BenchContext,
  { ms }: Plan,
  point: Point,
  run: number,
  runs: Runs,
  cluster: LoadedCluster,
  generator: Generator,
): Promise<void> {
  const { keyCount, valueBytes, grows, at } = point
  const inFlight = Math.max(1, Math.min(IN_FLIGHT, Math.floor(IN_FLIGHT_BYTES / valueBytes)))
  const load = (mix: Workload['mix'], level: Workload['level']): Workload => ({
    mix,
    level,
    keyCount,
    valueBytes,
    choice: 'uniform',
    ack: 'quorum',
    batch: 1,
    seed: run,
  })
  const put = load({ put: 1 }, 'strong')
  const strong = load({ get: 1 }, 'strong')
  const eventual = load({ get: 1 }, 'eventual')
  const dir = join(context.root, `level ${keyCount} ${valueBytes}`)
  const alone = (workload: Workload) => () =>
    generator.call('alone', { dir, workload, inFlight, ms })
  const stored = (workload: Workload) => async () => {
    const leader = await leaderOf(cluster)
    return leader.child.call('closed', { workload, inFlight, ms })
  }
  const what = `${grows} ${at}`
  await runs.plainPut.measure(context, what, alone(put))
  await runs.put.measure(context, what, stored(put))
  await runs.plainGet.measure(context, what, alone(eventual))
  await runs.eventual.measure(context, what, stored(eventual))
  await runs.strong.measure(context, what, stored(strong))
}
