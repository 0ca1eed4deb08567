/**
 * How fast is quorate beside what a user would run instead, on this machine and in this run?
 *
 * Closed loops, as users of such systems write them. All systems run from the beginning and take turns within each run,
 * so that drift of the machine meets all of them; a ratio is taken within a run, and the median of the ratios is shown.
 * Each begins when what the one before left behind is done (quiet.ts).
 * Every acknowledged write is on a disk (of a majority, where there are several members), except in classic-level's
 * unsynced batches.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { type BenchContext, runBench } from './bench-run.js'
import { AIMS, type Aim, judge } from './compare-aims.js'
import { type Case, casesOf, type Measured } from './compare-cases.js'
import { startSystems } from './compare-systems.js'
import { untilQuiet } from './quiet.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- compare [flags]

  --quick      one short run: whether it works, and the ratios roughly
  --runs N     runs (5)
  --ms N       milliseconds per measurement (2000)
  --json FILE  write all figures there as well

What is compared with is used where it is there: redis-server and etcd on the PATH, the
packages etcd3 and lmdb in the folder that QUORATE_BENCH_PEERS names, in the current folder
or among npm's global packages.`

const QUICK = { runs: 1, ms: 500 }

/** Runs the benchmark and prints its tables. */
export async function compare(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    ms: { type: 'string', default: '2000' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const plan = flags.quick
    ? QUICK
    : { runs: wholeNumber('runs', flags.runs, 1), ms: wholeNumber('ms', flags.ms, 50) }
  await runBench({
    name: 'compare',
    args,
    plan: { ...plan, keys: 20_000, valueBytes: 128 },
    json: flags.json,
    columns: ['per s', 'p50', 'p99', 'value'],
    second: { columns: ['ratio', 'aim'], has: ({ labels }) => 'must be' in labels },
    legend: [
      'Closed loops; 128 B values, 20,000 keys; medians of the runs with their range. A system that lives in',
      'a process shares it with its load; clients are processes of their own; all share this machine. Redis',
      'syncs its log before it answers (one server, no replication), etcd is three servers with the client',
      'etcd3. Ratios are taken within each run. What a kill -9 costs is told by failover, memory by memory.',
    ],
    measure: (context) => measureAll(plan, context),
  })
}

async function measureAll(
  { runs, ms }: { readonly runs: number; readonly ms: number },
  context: BenchContext,
): Promise<Row[]> {
  const systems = await startSystems(context)
  const cases = casesOf(systems)
  const measured = new Map<Case, Measured[]>(cases.map((each) => [each, []]))
  let unquiet = 0
  for (let run = 1; run <= runs; run++) {
    for (const each of cases) {
      if (!(await untilQuiet())) unquiet++
      measured.get(each)!.push(await each.measure(ms))
      context.progress(`run ${run} of ${runs}: ${each.system}, ${each.operation}`)
    }
  }
  if (unquiet > 0) context.note(`${unquiet} measurements were begun while the machine was busy`)
  return [...[...measured].map(([each, all]) => rowOf(each, all)), ...aimRows(measured)]
}

function rowOf({ system, operation, inFlight }: Case, runs: readonly Measured[]): Row {
  const labels = { system, operation, 'in flight': inFlight }
  const values = runs.flatMap((run) => ('value' in run ? [run.value] : []))
  const loops = runs.flatMap((run) => ('perSecond' in run ? [run] : []))
  if (loops.length === 0) {
    return { labels, figures: { value: figure('ms', values) } }
  }
  return {
    labels,
    figures: {
      'per s': figure(
        'per s',
        loops.map(({ perSecond }) => perSecond),
      ),
      p50: figure(
        'ms',
        loops.map(({ p50Us }) => p50Us / 1000),
      ),
      p99: figure(
        'ms',
        loops.map(({ p99Us }) => p99Us / 1000),
      ),
    },
  }
}

/** A row for each aim whose both sides were measured. */
function aimRows(measured: ReadonlyMap<Case, readonly Measured[]>): Row[] {
  const byId = new Map([...measured].map(([{ id }, runs]) => [id, runs]))
  return AIMS.flatMap((aim: Aim): Row[] => {
    const ratios = judge(aim, byId)
    if (ratios === undefined) return []
    const ratio = figure(aim.of === undefined ? 'ms' : 'x', ratios)
    const holds = aim.sense === 'at least' ? ratio.median >= aim.bound : ratio.median <= aim.bound
    return [
      {
        labels: {
          aim: aim.name,
          compared: aim.comparedWith,
          'must be': `${aim.sense} ${aim.bound}`,
          holds: holds ? 'yes' : 'no',
        },
        figures: { ratio, aim: figure(ratio.unit, [aim.bound]) },
      },
    ]
  })
}
