/**
 * What does it cost to store large values as shards, beside storing them whole on every member?
 *
 * Two clusters stand side by side, one that codes everything and one that codes nothing, and take turns: what the
 * machine does meanwhile meets both. Every put is of a fresh key, by the application that embeds the leader. What is
 * sent and what is on the disks is counted when everything is where it is to be: after a checkpoint of every member,
 * without the log, which lets go of what lies behind that.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { type Bench, type BenchContext, runBench } from './bench-run.js'
import { numbersFlag, wordsFlag } from './flags.js'
import { type Footprint, LargeCluster, type Storing } from './large-cluster.js'
import type { LargePutsResult } from './large-operations.js'
import { measureStream } from './large-stream.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- large-values [flags]

  --quick         small and short: whether it works, not what it does
  --part LIST     of puts,stream (both)
  --members LIST  members, 1 to 7 (3,5)
  --values LIST   KiB of each value (64,256,1024,4096,16384)
  --runs N        runs (3)
  --mib N         MiB of values in each run (48)
  --stream-mib N  MiB of the stream (1024)
  --json FILE     write all figures there as well`

const PARTS = ['puts', 'stream'] as const
const STORINGS: readonly Storing[] = ['coded', 'whole']
const KIB = 1024
const MIB = 1024 * KIB
/** More would wait in queues, of both kinds alike. */
const IN_FLIGHT_MAX = 8
const IN_FLIGHT_BYTES = 16 * MIB
/** A run has so many puts at least: its 99th percentile is their slowest then. */
const COUNT_MIN = 6

interface Plan {
  readonly parts: readonly (typeof PARTS)[number][]
  readonly members: readonly number[]
  readonly kib: readonly number[]
  readonly runs: number
  readonly runMib: number
  readonly streamMib: number
}

const PUT_COLUMNS = ['MB per s', 'p50', 'p99', 'sent per byte', 'on disk per byte', '× whole']
const STREAM_COLUMNS = ['MB per s', 'idle', 'most', 'above idle']

const LEGEND: readonly string[] = [
  'MB/s of values, acknowledged at quorum; latencies of single puts, some at a time. Sent: by the leader; on',
  'disk: on all members together, without their logs; both per byte of the values, over all runs. × compares',
  'coded with whole, run by run. Aims at 3 members: on disk at most 1.55, sent at most 1.10, and at 1 MiB at',
  'least 1.5 times as fast. Stream: resident memory while one value is stored and read; the aim is less than',
  '100 MiB above idle, on every member.',
]

/** Runs the benchmark and prints its tables. */
export async function largeValues(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    part: { type: 'string', default: 'puts,stream' },
    members: { type: 'string' },
    values: { type: 'string' },
    runs: { type: 'string' },
    mib: { type: 'string' },
    'stream-mib': { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const { quick } = flags
  const plan: Plan = {
    parts: wordsFlag('part', flags.part, PARTS),
    members: numbersFlag('members', flags.members ?? (quick ? '3' : '3,5')),
    kib: numbersFlag('values', flags.values ?? (quick ? '64,1024' : '64,256,1024,4096,16384')),
    runs: wholeNumber('runs', flags.runs ?? (quick ? '1' : '3'), 1),
    runMib: wholeNumber('mib', flags.mib ?? (quick ? '8' : '48'), 1),
    streamMib: wholeNumber('stream-mib', flags['stream-mib'] ?? (quick ? '32' : '1024'), 1),
  }
  await runBench({
    name: 'large-values',
    args,
    plan: { ...plan },
    json: flags.json,
    ...tablesOf(plan),
    legend: LEGEND,
    measure: (context) => measureAll(context, plan),
  })
}

/** Each part has a table of its own. */
function tablesOf({ parts }: Plan): Pick<Bench, 'columns' | 'second'> {
  const has = ({ labels }: Row): boolean => labels.way !== undefined
  if (!parts.includes('puts')) return { columns: STREAM_COLUMNS }
  if (!parts.includes('stream')) return { columns: PUT_COLUMNS }
  return { columns: PUT_COLUMNS, second: { columns: STREAM_COLUMNS, has } }
}

async function measureAll(context: BenchContext, plan: Plan): Promise<readonly Row[]> {
  const rows: Row[] = []
  if (plan.parts.includes('puts')) {
    for (const members of plan.members) {
      for (const kib of plan.kib) rows.push(...(await measurePuts(context, plan, members, kib)))
    }
  }
  if (plan.parts.includes('stream')) {
    rows.push(...(await measureStream(context, 3, plan.streamMib * MIB)))
  }
  return rows
}

/** Both clusters at one size. */
async function measurePuts(
  context: BenchContext,
  plan: Plan,
  members: number,
  kib: number,
): Promise<readonly Row[]> {
  const subjects: Subject[] = []
  for (const storing of STORINGS) {
    const name = `${storing}-${members}-${kib}`
    const cluster = await LargeCluster.start(context, name, members, storing)
    subjects.push(new Subject(storing, cluster, kib * KIB))
  }
  for (const subject of subjects) await subject.begin()
  const count = Math.max(COUNT_MIN, Math.ceil((plan.runMib * KIB) / kib))
  for (let run = 1; run <= plan.runs; run++) {
    for (const subject of subjects) await subject.run(run, count)
  }
  for (const subject of subjects) await subject.end()
  context.progress(`${members} members, ${kib} KiB: done`)
  const whole = subjects.find(({ storing }) => storing === 'whole')!
  return subjects.map((subject) => ({
    labels: { members, KiB: kib, stored: subject.storing },
    figures: { ...subject.figures, '× whole': figure('x', subject.against(whole)) },
  }))
}

/** One cluster, and what came of its runs. */
class Subject {
  readonly storing: Storing
  readonly #cluster: LargeCluster
  readonly #valueBytes: number
  readonly #runs: LargePutsResult[] = []
  #before: Footprint | undefined
  #after: Footprint | undefined

  constructor(storing: Storing, cluster: LargeCluster, valueBytes: number) {
    this.storing = storing
    this.#cluster = cluster
    this.#valueBytes = valueBytes
  }

  /** Warms up, and counts from there. */
  async begin(): Promise<void> {
    await this.#put('warm', COUNT_MIN)
    this.#before = await this.#cluster.footprint()
  }

  async run(run: number, count: number): Promise<void> {
    this.#runs.push(await this.#put(`run${run}/`, count))
  }

  async end(): Promise<void> {
    this.#after = await this.#cluster.footprint()
    await this.#cluster.kill()
  }

  get figures(): Row['figures'] {
    const each = (share: number) => this.#runs.map((run) => percentile(run.latenciesMs, share))
    return {
      'MB per s': figure('count', this.#megabytesPerSecond),
      p50: figure('ms', each(0.5)),
      p99: figure('ms', each(0.99)),
      'sent per byte': figure('x', [this.#perByte('sent')]),
      'on disk per byte': figure('x', [this.#perByte('disk')]),
    }
  }

  /** How many times as fast as `other`, by run. */
  against(other: Subject): readonly number[] {
    const theirs = other.#megabytesPerSecond
    return this.#megabytesPerSecond.map((each, run) => each / theirs[run]!)
  }

  get #megabytesPerSecond(): readonly number[] {
    return this.#runs.map((run) => this.#bytesOf(run) / run.seconds / 1e6)
  }

  #bytesOf({ latenciesMs }: LargePutsResult): number {
    return latenciesMs.length * this.#valueBytes
  }

  #perByte(what: keyof Footprint): number {
    const stored = this.#runs.reduce((all, run) => all + this.#bytesOf(run), 0)
    return (this.#after![what] - this.#before![what]) / stored
  }

  async #put(prefix: string, count: number): Promise<LargePutsResult> {
    const leader = await this.#cluster.leader()
    const valueBytes = this.#valueBytes
    const inFlight = Math.min(IN_FLIGHT_MAX, Math.max(1, Math.floor(IN_FLIGHT_BYTES / valueBytes)))
    return leader.child.call('putMany', { prefix, valueBytes, count, inFlight })
  }
}

function percentile(all: readonly number[], share: number): number {
  const sorted = all.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}
