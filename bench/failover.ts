/**
 * For how long is nothing answered when the leader goes, by level and by how it goes?
 *
 * An application beside each member, and one that is connected from outside, begin a write and a read of each level
 * every ten milliseconds. A gap is the longest time without an answer from when the fault begins, as the members that
 * are left see it (the worse of the two), and as the client sees it.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { pause, until } from '../src/cli/processes/process-cluster.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import { FAULTS, type FaultKind } from './faults.js'
import { wordsFlag } from './flags.js'
import { Generator } from './generator.js'
import { type Fault, gapOf, quantileOf, timelineOf } from './outage.js'
import { sharedNow } from './pace.js'
import { PROBED, type Probed, type ProbeLog } from './probes.js'
import { leaderOf, type ProxiedCluster, startProxied } from './proxied-cluster.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- failover [flags]

  --quick      two events of each kind: whether it works, not what it does
  --events N   events of each kind (30)
  --reads HOW  how strong reads are served: quorum, or lease (quorum)
  --json FILE  write all figures, gaps and timelines there as well`

const QUICK_EVENTS = 2
const BEFORE_MS = 600
const AFTER_MS = 400
const RECOVERED_WITHIN_MS = 20_000
const CAUGHT_UP_WITHIN_MS = 60_000

type Logs = Readonly<Record<Probed, ProbeLog>>

/** Who saw it. */
const WITNESSES = ['member', 'client'] as const

/** What one fault did. */
interface FaultEvent {
  readonly fault: Fault
  readonly survivors: readonly Logs[]
  readonly client: Logs
}

/** Runs the benchmark and prints its table. */
export async function failover(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    events: { type: 'string', default: '30' },
    reads: { type: 'string', default: 'quorum' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const events = flags.quick ? QUICK_EVENTS : wholeNumber('events', flags.events, 1)
  const [reads] = wordsFlag('reads', flags.reads, ['quorum', 'lease'])
  await runBench({
    name: 'failover',
    args,
    plan: { events, members: 3, reads: reads! },
    json: flags.json,
    columns: ['p50', 'p99', 'longest', 'failed'],
    second: { columns: ['value', 'aim'], has: ({ labels }) => 'must be' in labels },
    legend: [
      'Gaps without an answer, from when the fault of the leader begins; an operation of each kind begins every',
      '10 ms, so that a gap of that length is none. p50, p99 and the longest over the events; failed: operations',
      'of an event that ended with an error. Seen by a member that is left (the worse of two), and by a client.',
      'Timing as by default: a process that ends is noticed by its connections at once (with leases, as a silent',
      'one: after an election timeout), a silent one is waited for.',
    ],
    measure: (context) => measureAll(events, reads!, context),
  })
}

async function measureAll(
  events: number,
  strongReads: 'quorum' | 'lease',
  context: BenchContext,
): Promise<Row[]> {
  const cluster = await startProxied(context, { strongReads })
  const client = new Generator()
  context.onEnd(() => client.end())
  const rows: Row[] = []
  for (const kind of FAULTS) {
    const all: FaultEvent[] = []
    for (let event = 1; event <= events; event++) {
      try {
        all.push(await oneEvent(cluster, client, kind))
        context.progress(`${kind.name}: event ${event} of ${events}`)
      } catch (error) {
        context.note(`${kind.name}: event ${event} is not counted: ${String(error)}`)
        await restore(cluster)
      }
    }
    if (all.length === 0) continue
    for (const operation of PROBED) {
      for (const witness of WITNESSES) rows.push(rowOf(kind, operation, witness, all))
    }
  }
  return [...rows, ...aimRows(rows)]
}

async function oneEvent(
  cluster: ProxiedCluster,
  client: Generator,
  kind: FaultKind,
): Promise<FaultEvent> {
  await settled(cluster)
  const leader = await leaderOf(cluster)
  const left = cluster.members.filter((name) => name !== leader)
  await Promise.all(left.map((name) => cluster.call(name, 'startProbes', undefined)))
  await client.call('startProbes', { addresses: cluster.addresses })
  await pause(BEFORE_MS)
  const begunAt = sharedNow()
  await kind.begin(cluster, leader)
  const faultAt = sharedNow()
  // What was under way may still be answered; what is asked from here on shows that it goes on.
  const isOver = async (): Promise<boolean> => {
    const answers = await Promise.all([
      ...left.map((name) => cluster.call(name, 'probesAnsweredSince', faultAt + AFTER_MS)),
      client.call('probesAnsweredSince', faultAt + AFTER_MS),
    ])
    return answers.every((each) => each)
  }
  await until(RECOVERED_WITHIN_MS, 'operations were not answered again', isOver)
  await pause(AFTER_MS)
  const watchedUntil = sharedNow()
  const survivors = await Promise.all(
    left.map((name) => cluster.call(name, 'stopProbes', undefined)),
  )
  const seen = await client.call('stopProbes', undefined)
  await kind.end(cluster, leader)
  return { fault: { begunAt, watchedUntil }, survivors, client: seen }
}

/** After an event that went wrong: everybody is there again. */
async function restore(cluster: ProxiedCluster): Promise<void> {
  cluster.heal()
  for (const name of cluster.members) {
    if (!cluster.isAlive(name)) await cluster.restart(name)
    else if (!cluster.isRunning(name)) cluster.resume(name)
  }
}

/** All members are up and have applied the same. */
async function settled(cluster: ProxiedCluster): Promise<void> {
  await until(CAUGHT_UP_WITHIN_MS, 'the members did not catch up', async () => {
    const statuses = await Promise.all(
      cluster.members.map((name) => cluster.call(name, 'status', undefined)),
    )
    const last = Math.max(...statuses.map(({ lastIndex }) => lastIndex))
    const leads = statuses.filter(({ role }) => role === 'leader').length === 1
    return leads && statuses.every(({ appliedIndex }) => appliedIndex === last)
  })
}

function rowOf(
  kind: FaultKind,
  operation: Probed,
  witness: (typeof WITNESSES)[number],
  events: readonly FaultEvent[],
): Row {
  const seen = events.map(({ fault, survivors, client }) => {
    const logs = witness === 'client' ? [client] : survivors
    // The survivor with the longer gap speaks for both.
    const worst = logs
      .map((each) => each[operation])
      .sort((a, b) => gapOf(b.answeredAt, fault) - gapOf(a.answeredAt, fault))[0]!
    return { fault, ...worst }
  })
  const gaps = seen.map(({ answeredAt, fault }) => gapOf(answeredAt, fault))
  const failed = seen.map(({ failures }) => Object.values(failures).reduce((a, b) => a + b, 0))
  const lasted = events.map(({ fault }) => fault.watchedUntil - fault.begunAt)
  return {
    labels: { fault: kind.name, operation, 'seen by': witness },
    figures: {
      gap: figure('ms', gaps),
      p50: figure('ms', [quantileOf(gaps, 0.5)]),
      p99: figure('ms', [quantileOf(gaps, 0.99)]),
      longest: figure('ms', [Math.max(...gaps)]),
      failed: figure('count', failed),
      fault: figure('ms', lasted),
    },
    curves: {
      gaps: gaps
        .toSorted((a, b) => a - b)
        .map((gap, i): [number, number] => [(i + 1) / gaps.length, gap]),
      timeline: timelineOf(seen),
    },
  }
}

/** What the first acknowledged write after a kill -9 is to take at most. */
const AIMS = [
  { name: 'p50', ms: 300 },
  { name: 'p99', ms: 3_000 },
] as const

function aimRows(rows: readonly Row[]): Row[] {
  const kill = rows.find(
    ({ labels }) =>
      labels.fault === 'kill -9' && labels.operation === 'put' && labels['seen by'] === 'member',
  )
  if (kill === undefined) return []
  return AIMS.map(({ name, ms }) => {
    const value = kill.figures[name]!
    return {
      labels: {
        aim: `kill -9, gap until the next write, ${name}`,
        'must be': `at most ${ms} ms`,
        holds: value.median <= ms ? 'yes' : 'no',
      },
      figures: { value, aim: figure('ms', [ms]) },
    }
  })
}
