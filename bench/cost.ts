/**
 * What does an operation cost at each level: messages, bytes, fsyncs and round trips, counted in the simulator?
 *
 * Exact and the same on every machine: test/bench/cost.test.ts holds the counts.
 */
import { parseFlags } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { runBench } from './bench-run.js'
import { type CostRow, countCosts } from './cost-operations.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- cost [flags]

  --quick      three members only
  --json FILE  write all figures there as well`

const SIZES = [1, 3, 5]

/** Runs the benchmark and prints its table. */
export async function cost(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const sizes = flags.quick ? [3] : SIZES
  await runBench({
    name: 'cost',
    args,
    plan: { members: sizes, valueBytes: 128 },
    json: flags.json,
    columns: ['round trips', 'messages', 'fsyncs', 'bytes'],
    legend: [
      'Counted, not measured: a simulated network, values of 128 B. Round trips: until the caller has its',
      'answer. Messages: frames between processes, of everything that the operation sets off, also after the',
      'answer. Fsyncs: on all members together. Bytes: of the messages. Several calls of one turn share most',
      'of it: the figures are those of all of them together.',
    ],
    measure: async () => {
      const rows: CostRow[] = []
      for (const members of sizes) rows.push(...(await countCosts(members)))
      return rows.map(rowOf)
    },
  })
}

function rowOf({ members, caller, operation, cost: counted }: CostRow): Row {
  return {
    labels: { members: String(members), caller, operation },
    figures: {
      'round trips': figure('count', [counted.roundTrips]),
      messages: figure('count', [counted.messages]),
      fsyncs: figure('count', [counted.fsyncs]),
      bytes: figure('bytes', [counted.bytes]),
    },
  }
}
