/** The pictures of each benchmark: which of its figures and curves are drawn, and what a reader should see in them. */
import type { Results, Row } from '../results.js'
import { drawCompare, drawLargeValues, drawScale, drawWrites, drawYcsb } from './bar-views.js'
import { drawCosts } from './cost-view.js'
import { drawFailover, drawLevels, drawMemory, drawStaleness } from './curve-views.js'

/** What the page says and shows of a benchmark besides its table. */
export interface View {
  readonly title: string
  /** How to read the pictures, in a sentence or two. */
  readonly hint: string
  /** HTML. */
  readonly draw: (rows: readonly Row[]) => string
}

/** In the order of the page. */
export const VIEWS: Readonly<Record<string, View>> = {
  compare: {
    title: 'Beside what you would run instead',
    hint: 'Everything was measured in one run on one machine, under the same closed loops.',
    draw: drawCompare,
  },
  levels: {
    title: 'What each consistency level costs',
    hint:
      'Throughput against latency: lines are medians, dashed lines the 99th percentile, and each point is a ' +
      'rate at which operations arrived by themselves. A line ends where the system no longer kept up. By ' +
      'percentile: how long the slowest operations took, at the highest rate that all levels kept up with.',
    draw: drawLevels,
  },
  staleness: {
    title: 'How old weak reads are',
    hint:
      'Eventual reads of another member, and of a client, while a third writes. Age: the time since the first ' +
      'acknowledged write that a read did not see; 0 when it saw all.',
    draw: drawStaleness,
  },
  failover: {
    title: 'What a failure of the leader costs',
    hint:
      'Over time: answers to operations that begin every ten milliseconds, as a mean of all events; shaded ' +
      'from the fault until everything was answered again. Gaps: the share of the events with a gap of at ' +
      'most so long.',
    draw: drawFailover,
  },
  ycsb: {
    title: "YCSB's workloads",
    hint: 'Operations per second of all members together, beside classic-level alone, which does not replicate.',
    draw: drawYcsb,
  },
  writes: {
    title: 'Acknowledgements, batches and writes in flight',
    hint: 'One line for each acknowledgement; more in flight share the fsyncs of one another.',
    draw: drawWrites,
  },
  scale: {
    title: 'How cost grows',
    hint: 'One thing grows at a time; everything else stays.',
    draw: drawScale,
  },
  memory: {
    title: 'Memory at full load',
    hint: 'A line that goes on rising would be a leak, or a queue without a bound.',
    draw: drawMemory,
  },
  cost: {
    title: 'What an operation sends and syncs',
    hint:
      'Counted in the simulator: the same on every machine. Round trips until the caller has its answer; messages, ' +
      'fsyncs and bytes of everything that the operation sets off on all members together.',
    draw: drawCosts,
  },
  'hot-path': {
    title: 'The hot path',
    hint: 'Closed loops, and parts of them by themselves.',
    draw: none,
  },
  core: { title: 'Consensus itself', hint: 'Without disk and network.', draw: none },
  'large-values': {
    title: 'Large values as shards',
    hint: 'Coded: a shard of each value at every member. Whole: every member stores all of it. By turns.',
    draw: drawLargeValues,
  },
  erasure: {
    title: 'Coding large values',
    hint: 'Bytes of the value for each second of processor time.',
    draw: none,
  },
  recovery: {
    title: 'Opening, checkpoints, snapshots and backups',
    hint: 'What copies the state stands beside cp -r of the same folder.',
    draw: none,
  },
}

/** Their tables say it all. */
function none(): string {
  return ''
}

/** A benchmark that is not known shows its table. */
export function viewOf(benchmark: string): View {
  const view = Object.hasOwn(VIEWS, benchmark) ? VIEWS[benchmark] : undefined
  return view ?? { title: benchmark, hint: '', draw: none }
}

/** Benchmarks in the order of the page; those without a view after the others. */
export function inOrder(all: readonly Results[]): readonly Results[] {
  const names = Object.keys(VIEWS)
  const place = ({ benchmark }: Results): number => {
    const at = names.indexOf(benchmark)
    return at === -1 ? names.length : at
  }
  return [...all].sort((a, b) => place(a) - place(b))
}
