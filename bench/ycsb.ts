/**
 * YCSB's workloads A to F by level, acknowledgement, number of members and size of values.
 *
 * The load comes from the applications that embed the members, in equal parts, in closed loops: what the cluster does
 * together. Beside classic-level alone under the same workload.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import { numbersFlag, wordsFlag } from './flags.js'
import { Generator } from './generator.js'
import { ClosedRuns, type LoadedCluster, startCluster } from './loaded-cluster.js'
import type { Measurement } from './measure.js'
import type { Row } from './results.js'
import type { Workload } from './workload.js'

const HELP = `npm run bench -- ycsb [flags]

  --quick           small and short: whether it works, not what it does
  --workloads LIST  of A,B,C,D,E,F (all)
  --levels LIST     of strong,session,eventual (all)
  --acks LIST       of quorum,applied,all (all; workload C does not write)
  --members LIST    numbers of members, 1 to 7 (1,3,5)
  --values LIST     sizes of values in bytes (100,1024,65536)
  --in-flight N     operations at a time, of all members together (64)
  --runs N          runs (3)
  --ms N            milliseconds per measurement (1000)
  --json FILE       write all figures there as well`

/** The core workloads of YCSB: what is done in which shares, and to which keys. */
const WORKLOADS: Readonly<Record<Name, Pick<Workload, 'mix' | 'choice'>>> = {
  A: { mix: { get: 0.5, put: 0.5 }, choice: 'zipfian' },
  B: { mix: { get: 0.95, put: 0.05 }, choice: 'zipfian' },
  C: { mix: { get: 1 }, choice: 'zipfian' },
  D: { mix: { get: 0.95, insert: 0.05 }, choice: 'latest' },
  E: { mix: { scan: 0.95, insert: 0.05 }, choice: 'zipfian' },
  F: { mix: { get: 0.5, change: 0.5 }, choice: 'zipfian' },
}
const NAMES = ['A', 'B', 'C', 'D', 'E', 'F'] as const
const LEVELS = ['strong', 'session', 'eventual'] as const
const ACKS = ['quorum', 'applied', 'all'] as const
/** So many bytes of values there are at most. */
const DATA_BYTES = 128 << 20
const KEYS_MAX = 100_000
const QUICK_KEYS = 1_000

type Name = (typeof NAMES)[number]

interface Level {
  readonly level: (typeof LEVELS)[number]
  readonly ack: (typeof ACKS)[number]
}

interface Plan {
  readonly workloads: readonly Name[]
  readonly levels: readonly (typeof LEVELS)[number][]
  readonly acks: readonly (typeof ACKS)[number][]
  readonly members: readonly number[]
  readonly values: readonly number[]
  readonly keysMax: number
  readonly inFlight: number
  readonly runs: number
  readonly ms: number
}

/** One cluster with one size of values. */
interface Setting {
  readonly members: number
  readonly valueBytes: number
  readonly keyCount: number
}

interface Case {
  readonly name: Name
  /** Undefined: classic-level alone. */
  readonly store: Level | undefined
  readonly runs: ClosedRuns
}

/** Runs the benchmark and prints its table. */
export async function ycsb(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    workloads: { type: 'string', default: NAMES.join(',') },
    levels: { type: 'string', default: LEVELS.join(',') },
    acks: { type: 'string' },
    members: { type: 'string' },
    values: { type: 'string' },
    'in-flight': { type: 'string', default: '64' },
    runs: { type: 'string' },
    ms: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const { quick } = flags
  const plan: Plan = {
    workloads: wordsFlag('workloads', flags.workloads, NAMES),
    levels: wordsFlag('levels', flags.levels, LEVELS),
    acks: wordsFlag('acks', flags.acks ?? (quick ? 'quorum' : ACKS.join(',')), ACKS),
    members: numbersFlag('members', flags.members ?? (quick ? '3' : '1,3,5')),
    values: numbersFlag('values', flags.values ?? (quick ? '1024' : '100,1024,65536')),
    keysMax: quick ? QUICK_KEYS : KEYS_MAX,
    inFlight: wholeNumber('in-flight', flags['in-flight'], 1),
    runs: wholeNumber('runs', flags.runs ?? (quick ? '1' : '3'), 1),
    ms: wholeNumber('ms', flags.ms ?? (quick ? '200' : '1000'), 10),
  }
  await runBench({
    name: 'ycsb',
    args,
    plan: { ...plan },
    json: flags.json,
    columns: ['per s', 'p50', 'p99', '× classic-level'],
    legend: [
      `Medians of ${plan.runs} runs of ${plan.ms} ms: operations per second of all members together, with`,
      `${plan.inFlight} in flight, shared out among the members, each after another (closed loops).`,
      'p50 and p99: of the member where they are highest. A read-modify-write of F is one operation.',
      '× compares with classic-level alone, synced, under the same workload with as many in flight.',
    ],
    measure: (context) => measureAll(context, plan),
  })
}

async function measureAll(context: BenchContext, plan: Plan): Promise<readonly Row[]> {
  const rows: Row[] = []
  const generator = new Generator()
  context.onEnd(() => generator.end())
  for (const valueBytes of plan.values) {
    const keyCount = Math.max(1, Math.min(plan.keysMax, Math.floor(DATA_BYTES / valueBytes)))
    for (const members of plan.members) {
      const setting = { members, valueBytes, keyCount }
      rows.push(...(await measureSetting(context, plan, setting, generator)))
    }
  }
  return rows
}

async function measureSetting(
  context: BenchContext,
  plan: Plan,
  setting: Setting,
  generator: Generator,
): Promise<readonly Row[]> {
  const { members, valueBytes } = setting
  const name = `${members}-${valueBytes}`
  const cluster = await startCluster(context, name, members, setting)
  const cases = casesOf(plan)
  for (let run = 1; run <= plan.runs; run++) {
    for (const one of cases) {
      await one.runs.measure(context, describe(one, setting), () =>
        loadOnce(context, plan, setting, run, one, cluster, generator),
      )
    }
    context.progress(
      `${members} members, values of ${valueBytes} B: run ${run} of ${plan.runs} done`,
    )
  }
  await cluster.kill()
  await rm(join(context.root, name), { recursive: true })
  return rowsOf(cases, setting)
}

function casesOf({ workloads, levels, acks }: Plan): readonly Case[] {
  return workloads.flatMap((name) => {
    const acksOf = isReadOnly(name) ? acks.slice(0, 1) : acks
    const stores = levels.flatMap((level) => acksOf.map((ack) => ({ level, ack })))
    return [undefined, ...stores].map((store) => ({ name, store, runs: new ClosedRuns() }))
  })
}

function describe({ name, store }: Case, { members, valueBytes }: Setting): string {
  const on = store === undefined ? 'classic-level' : `${store.level}, ack ${store.ack}`
  return `${name}, ${on}, ${members} members, values of ${valueBytes} B`
}

function isReadOnly(name: Name): boolean {
  return WORKLOADS[name].mix.get === 1
}

async function loadOnce(
  context: BenchContext,
  { inFlight, ms }: Plan,
  { valueBytes, keyCount }: Setting,
  run: number,
  { name, store }: Case,
  cluster: LoadedCluster,
  generator: Generator,
): Promise<Measurement> {
  const { mix, choice } = WORKLOADS[name]
  const load = { mix, choice, keyCount, valueBytes, batch: 1 }
  if (store === undefined) {
    const workload: Workload = { ...load, level: 'strong', ack: 'quorum', seed: run }
    const dir = join(context.root, `level-${valueBytes}`)
    return generator.call('alone', { dir, workload, inFlight, ms })
  }
  const seats = cluster.living
  const each = Math.max(1, Math.round(inFlight / seats.length))
  const parts = seats.map(({ child }, i) => {
    const workload: Workload = { ...load, ...store, seed: run * 16 + i }
    return child.call('closed', { workload, inFlight: each, ms })
  })
  return together(await Promise.all(parts))
}

function together(parts: readonly Measurement[]): Measurement {
  return {
    perSecond: parts.reduce((sum, { perSecond }) => sum + perSecond, 0),
    p50Us: Math.max(...parts.map(({ p50Us }) => p50Us)),
    p99Us: Math.max(...parts.map(({ p99Us }) => p99Us)),
  }
}

function rowsOf(cases: readonly Case[], { members, valueBytes }: Setting): readonly Row[] {
  return cases.map(({ name, store, runs }) => {
    const baseline = cases.find((other) => other.name === name && other.store === undefined)!
    return {
      labels: {
        'value bytes': valueBytes,
        members: store === undefined ? '—' : members,
        workload: name,
        level: store?.level ?? 'classic-level',
        ack: store === undefined || isReadOnly(name) ? '—' : store.ack,
      },
      figures: { ...runs.figures, '× classic-level': runs.against(baseline.runs) },
    }
  })
}
