/**
 * Does a member's memory stay what it is: at full load, with a follower gone, and with one that stands still?
 *
 * 256 puts in flight at the leader all the time. A follower that is killed takes its connections with it; one that is
 * stopped keeps them, and takes nothing off them: what is meant for it would pile up in a system without bounds.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import type { MemberChild } from '../src/cli/processes/member-child.js'
import { pause } from '../src/cli/processes/process-cluster.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import type { Point } from './latencies.js'
import type { LoadOperations } from './load-operations.js'
import { leaderOf, startCluster } from './loaded-cluster.js'
import { median } from './measure.js'
import { figure, type Row } from './results.js'
import type { Workload } from './workload.js'

const HELP = `npm run bench -- memory [flags]

  --quick      some seconds: whether it works, not what it does
  --seconds N  seconds of load in each condition (120)
  --json FILE  write all figures and the memory over time there as well`

const QUICK_SECONDS = 4
const SAMPLE_EVERY_MS = 250
const IN_FLIGHT = 256
const GROWTH_MAX = 1.1
const DATA = { keyCount: 20_000, valueBytes: 128 }
const LOAD: Workload = {
  ...DATA,
  mix: { put: 1 },
  choice: 'uniform',
  level: 'strong',
  ack: 'quorum',
  batch: 1,
  seed: 1,
}

type Follower = MemberChild<LoadOperations>

/** What happens to one of the followers before the load begins, and afterwards. */
const CONDITIONS: readonly {
  readonly name: string
  readonly begin: (follower: Follower) => Promise<void>
}[] = [
  { name: 'all members up', begin: async () => {} },
  { name: 'a follower stands still', begin: async (follower) => follower.pause() },
  { name: 'a follower is gone', begin: (follower) => follower.kill() },
]

/** Runs the benchmark and prints its table. */
export async function memory(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '120' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const seconds = flags.quick ? QUICK_SECONDS : wholeNumber('seconds', flags.seconds, 2)
  await runBench({
    name: 'memory',
    args,
    plan: { seconds, inFlight: IN_FLIGHT, members: 3, ...DATA },
    json: flags.json,
    columns: ['put', 'second third', 'last third', 'most', 'growth'],
    legend: [
      `Resident memory of the leader's process, which holds its load as well, with ${IN_FLIGHT} puts in flight.`,
      'Thirds: medians of the samples of the second and of the last third of the time; growth: the last',
      `against the second. Flat: a growth of at most ${GROWTH_MAX}.`,
    ],
    measure: (context) => measureAll(seconds, context),
  })
}

async function measureAll(seconds: number, context: BenchContext): Promise<Row[]> {
  const rows: Row[] = []
  for (const { name, begin } of CONDITIONS) {
    const folder = `members-${rows.length}`
    const cluster = await startCluster(context, folder, 3, DATA)
    const leader = await leaderOf(cluster)
    const follower = cluster.living.find(({ id }) => id !== leader.id)!
    await begin(follower.child)
    rows.push(await measureOne(name, leader.child, seconds))
    context.progress(`${name}: done`)
    await cluster.kill()
  }
  return rows
}

async function measureOne(
  condition: string,
  leader: MemberChild<LoadOperations>,
  seconds: number,
): Promise<Row> {
  const load = leader.call('closed', { workload: LOAD, inFlight: IN_FLIGHT, ms: seconds * 1000 })
  const samples: Point[] = []
  const begun = performance.now()
  while (performance.now() - begun < seconds * 1000) {
    samples.push([(performance.now() - begun) / 1000, await leader.call('memory', undefined)])
    await pause(SAMPLE_EVERY_MS)
  }
  const { perSecond } = await load
  const bytes = samples.map(([, each]) => each)
  const third = Math.floor(bytes.length / 3)
  const [second, last] = [median(bytes.slice(third, 2 * third)), median(bytes.slice(-third))]
  return {
    labels: { condition, flat: last / second <= GROWTH_MAX ? 'yes' : 'no' },
    figures: {
      put: figure('per s', [perSecond]),
      'second third': figure('bytes', [second]),
      'last third': figure('bytes', [last]),
      most: figure('bytes', [Math.max(...bytes)]),
      growth: figure('x', [last / second]),
    },
    curves: { memory: samples },
  }
}
