/**
 * What does a write cost by acknowledgement, puts per batch and writes in flight?
 *
 * At the leader, by the application that embeds it, in a closed loop; beside classic-level alone with synced writes of
 * the same size, as many in flight.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import { numbersFlag } from './flags.js'
import { Generator } from './generator.js'
import { ClosedRuns, type LoadedCluster, leaderOf, startCluster } from './loaded-cluster.js'
import type { Row } from './results.js'
import type { Workload } from './workload.js'

const HELP = `npm run bench -- writes [flags]

  --quick          small and short: whether it works, not what it does
  --members N      members, 1 to 7 (3)
  --value BYTES    of each value (128)
  --batch LIST     puts per call (1,16,256)
  --in-flight LIST calls at a time (1,16,64,256)
  --runs N         runs (3)
  --ms N           milliseconds per measurement (1000)
  --json FILE      write all figures there as well`

const ACKS = ['leader', 'quorum', 'applied', 'all'] as const

interface Plan {
  readonly members: number
  readonly valueBytes: number
  readonly keyCount: number
  readonly batches: readonly number[]
  readonly inFlight: readonly number[]
  readonly runs: number
  readonly ms: number
}

interface Case {
  readonly ack: (typeof ACKS)[number] | 'classic-level'
  readonly batch: number
  readonly inFlight: number
  readonly runs: ClosedRuns
}

/** Runs the benchmark and prints its table. */
export async function writes(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    members: { type: 'string', default: '3' },
    value: { type: 'string', default: '128' },
    batch: { type: 'string' },
    'in-flight': { type: 'string' },
    runs: { type: 'string' },
    ms: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const { quick } = flags
  const plan: Plan = {
    members: wholeNumber('members', flags.members, 1),
    valueBytes: wholeNumber('value', flags.value, 1),
    keyCount: quick ? 1_000 : 100_000,
    batches: numbersFlag('batch', flags.batch ?? (quick ? '1,16' : '1,16,256')),
    inFlight: numbersFlag('in-flight', flags['in-flight'] ?? (quick ? '1,64' : '1,16,64,256')),
    runs: wholeNumber('runs', flags.runs ?? (quick ? '1' : '3'), 1),
    ms: wholeNumber('ms', flags.ms ?? (quick ? '200' : '1000'), 10),
  }
  await runBench({
    name: 'writes',
    args,
    plan: { ...plan },
    json: flags.json,
    columns: ['per s', 'p50', 'p99', '× classic-level'],
    legend: [
      `Medians of ${plan.runs} runs of ${plan.ms} ms: puts of ${plan.valueBytes} B per second; latencies are of calls.`,
      'In flight: calls at a time, each after another (a closed loop). All acknowledgements but leader mean:',
      'fsynced on a majority. × compares with classic-level alone, synced, with as many puts per call and in',
      'flight.',
    ],
    measure: (context) => measureAll(context, plan),
  })
}

async function measureAll(context: BenchContext, plan: Plan): Promise<readonly Row[]> {
  const cluster = await startCluster(context, 'members', plan.members, plan)
  const generator = new Generator()
  context.onEnd(() => generator.end())
  const cases = casesOf(plan)
  for (let run = 1; run <= plan.runs; run++) {
    for (const one of cases) await measureOne(context, plan, run, one, cluster, generator)
    context.progress(`run ${run} of ${plan.runs} done`)
  }
  return cases.map((one) => {
    const { ack, batch, inFlight, runs } = one
    const baseline = cases.find((other) => isBaseline(other, one))!
    return {
      labels: { ack, 'puts per call': batch, 'in flight': inFlight },
      figures: { ...runs.figures, '× classic-level': runs.against(baseline.runs) },
    }
  })
}

/** Baselines stand beside what is compared with them, so that drift of the machine meets both. */
function casesOf({ batches, inFlight }: Plan): readonly Case[] {
  return batches.flatMap((batch) =>
    inFlight.flatMap((calls) =>
      (['classic-level', ...ACKS] as const).map((ack) => ({
        ack,
        batch,
        inFlight: calls,
        runs: new ClosedRuns(),
      })),
    ),
  )
}

function isBaseline(one: Case, { batch, inFlight }: Case): boolean {
  return one.ack === 'classic-level' && one.batch === batch && one.inFlight === inFlight
}

async function measureOne(
  context: BenchContext,
  plan: Plan,
  run: number,
  { ack, batch, inFlight, runs }: Case,
  cluster: LoadedCluster,
  generator: Generator,
): Promise<void> {
  const { keyCount, valueBytes, ms } = plan
  const workload: Workload = {
    mix: { put: 1 },
    keyCount,
    choice: 'uniform',
    valueBytes,
    level: 'strong',
    ack: ack === 'classic-level' ? 'quorum' : ack,
    batch,
    seed: run,
  }
  const what = `${ack}, ${batch} puts per call, ${inFlight} in flight`
  await runs.measure(context, what, async () => {
    if (ack === 'classic-level') {
      return generator.call('alone', { dir: `${context.root}/level`, workload, inFlight, ms })
    }
    const leader = await leaderOf(cluster)
    return leader.child.call('closed', { workload, inFlight, ms })
  })
}
