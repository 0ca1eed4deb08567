/**
 * How old are eventual reads, in milliseconds and in entries: at rest, under load, over distance and when the leader
 * goes?
 *
 * One member writes a growing number every 5 ms; another member and a client read it every 2 ms at the level
 * `eventual`. A read is as old as the first acknowledged write that it does not see. The share of reads that saw
 * everything which was acknowledged so long before is the probability of consistency over time after a write
 * (t-visibility of PBS).
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { pause } from '../src/cli/processes/process-cluster.js'
import { print } from '../src/cli/terminal.js'
import { type Age, agesOf, consistentAfter, distributionOf } from './ages.js'
import { type BenchContext, runBench } from './bench-run.js'
import { Generator } from './generator.js'
import type { ClosedLoad } from './load-operations.js'
import { quantileOf } from './outage.js'
import { leaderOf, type ProxiedCluster, startProxied } from './proxied-cluster.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- staleness [flags]

  --quick      one short run: whether it works, not what it does
  --runs N     runs (3)
  --ms N       milliseconds per measurement (5000)
  --json FILE  write all figures and curves there as well`

const QUICK = { runs: 1, ms: 1_000 }
const KEY_COUNT = 10_000
const VALUE_BYTES = 128

interface Plan {
  readonly runs: number
  readonly ms: number
}

/** What goes on while it is read. */
interface Condition {
  readonly name: string
  readonly rttMs: number
  readonly meanwhile: 'nothing' | 'puts' | 'kill of the leader'
}

const CONDITIONS: readonly Condition[] = [
  { name: 'at rest', rttMs: 0, meanwhile: 'nothing' },
  { name: 'under load', rttMs: 0, meanwhile: 'puts' },
  { name: 'at rest, 10 ms apart', rttMs: 10, meanwhile: 'nothing' },
  { name: 'under load, 10 ms apart', rttMs: 10, meanwhile: 'puts' },
  { name: 'kill -9 of the leader', rttMs: 0, meanwhile: 'kill of the leader' },
]

const LOAD: Omit<ClosedLoad, 'ms'> = {
  inFlight: 64,
  workload: {
    mix: { put: 1 },
    keyCount: KEY_COUNT,
    choice: 'uniform',
    valueBytes: VALUE_BYTES,
    level: 'strong',
    ack: 'quorum',
    batch: 1,
    seed: 1,
  },
}

const READERS = ['member', 'client'] as const
type Ages = Readonly<Record<(typeof READERS)[number], readonly Age[]>>

/** Runs the benchmark and prints its table. */
export async function staleness(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string', default: '3' },
    ms: { type: 'string', default: '5000' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const plan: Plan = flags.quick
    ? QUICK
    : { runs: wholeNumber('runs', flags.runs, 1), ms: wholeNumber('ms', flags.ms, 200) }
  await runBench({
    name: 'staleness',
    args,
    plan: { ...plan, members: 3 },
    json: flags.json,
    columns: ['reads', 'age p50', 'age p99', 'age max', 'entries p99', 'saw all', 'after 10 ms'],
    legend: [
      'Age of a read: since the first acknowledged write that it does not see; 0 when it saw all. Entries: how',
      'far its state was behind the last acknowledged write in the log. Saw all: the share of reads that saw',
      'everything acknowledged before; after 10 ms: everything acknowledged 10 ms before. The writer is a',
      'member (the leader, except where that is killed), readers another member and a client.',
    ],
    measure: (context) => measureAll(plan, context),
  })
}

async function measureAll(plan: Plan, context: BenchContext): Promise<Row[]> {
  const cluster = await startProxied(context, {})
  const client = new Generator()
  context.onEnd(() => client.end())
  await cluster.call(await leaderOf(cluster), 'fill', {
    keyCount: KEY_COUNT,
    valueBytes: VALUE_BYTES,
  })
  const rows: Row[] = []
  for (const condition of CONDITIONS) {
    cluster.spread(condition.rttMs)
    const runs: Ages[] = []
    for (let run = 0; run < plan.runs; run++) {
      runs.push(await measureOne(cluster, client, condition, plan.ms))
      context.progress(`${condition.name}: run ${run + 1} of ${plan.runs}`)
    }
    for (const reader of READERS) rows.push(rowOf(condition, reader, runs))
  }
  return rows
}

async function measureOne(
  cluster: ProxiedCluster,
  client: Generator,
  { meanwhile }: Condition,
  ms: number,
): Promise<Ages> {
  const leader = await leaderOf(cluster)
  const [one, other] = cluster.members.filter((name) => name !== leader) as [string, string]
  const isKill = meanwhile === 'kill of the leader'
  const writer = isKill ? one : leader
  await cluster.call(writer, 'startWriter', undefined)
  await cluster.call(other, 'startReader', undefined)
  await client.call('startReader', { addresses: cluster.addresses })
  if (meanwhile === 'puts') await cluster.call(leader, 'closed', { ...LOAD, ms })
  else if (isKill) {
    await pause(ms / 2)
    await cluster.kill(leader)
    await pause(ms / 2)
  } else await pause(ms)
  const seen = await cluster.call(other, 'stopReader', undefined)
  const seenByClient = await client.call('stopReader', undefined)
  const writes = await cluster.call(writer, 'stopWriter', undefined)
  if (isKill) await cluster.restart(leader)
  return { member: agesOf(writes, seen), client: agesOf(writes, seenByClient) }
}

function rowOf({ name }: Condition, reader: (typeof READERS)[number], runs: readonly Ages[]): Row {
  const all = runs.map((run) => run[reader])
  const ms = all.map((ages) => ages.map((age) => age.ms))
  const entries = all.map((ages) => ages.map((age) => age.entries))
  const share = (after: number): number[] =>
    ms.map((ages) => ages.filter((age) => age <= after).length / ages.length)
  const quantiles = (values: readonly (readonly number[])[], quantile: number): number[] =>
    values.map((each) => quantileOf(each, quantile))
  const together = all.flat()
  return {
    labels: { condition: name, reader },
    figures: {
      reads: figure(
        'count',
        all.map((ages) => ages.length),
      ),
      'age p50': figure('ms', quantiles(ms, 0.5)),
      'age p99': figure('ms', quantiles(ms, 0.99)),
      'age max': figure('ms', quantiles(ms, 1)),
      'entries p99': figure('count', quantiles(entries, 0.99)),
      'entries max': figure('count', quantiles(entries, 1)),
      'saw all': figure('share', share(0)),
      'after 10 ms': figure('share', share(10)),
    },
    curves: {
      consistent: consistentAfter(together),
      'age ms': distributionOf(together.map((age) => age.ms)),
      'age entries': distributionOf(together.map((age) => age.entries)),
    },
  }
}
