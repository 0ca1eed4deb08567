/**
 * What does consensus itself cost: three bare cores in one process, without log, network and state machine?
 *
 * Every proposal of 128 B is an entry of its own, which is the worst case: a member packs the writes of a turn
 * into one. "Durable" and "applied" are answered at once, and messages are handed over as objects, so what is
 * left is the cores' own work.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print } from '../src/cli/terminal.js'
import { RaftCore } from '../src/raft/core.js'
import type { CoreInit, CoreOptions, Input, NodeId } from '../src/raft/types.js'
import { runBench } from './bench-run.js'
import { figure, type Row } from './results.js'

const HELP = `npm run bench -- core [flags]

  --quick        one short run: whether it works, not what it does
  --runs N       runs (5)
  --proposals N  proposals per run (300000)
  --batch N      proposals per turn (64)
  --json FILE    write all figures there as well`

const QUICK = { runs: 1, proposals: 20_000 }
const WARM_UP = 20_000
const PROPOSAL_BYTES = 128
const NODES: readonly NodeId[] = [1, 2, 3]
const LEADER: NodeId = 1

const OPTIONS: Omit<CoreOptions, 'id' | 'seed'> = {
  electionTicks: 30,
  heartbeatTicks: 3,
  preVote: true,
  checkQuorum: true,
  reads: 'safe',
  forwardProposals: false,
  stepDownOnRemoval: true,
  maxBytesPerMessage: 1 << 20,
  maxInflightMessages: 256,
  maxInflightBytes: 8 << 20,
  maxUncommittedBytes: 64 << 20,
  maxApplyBytes: 4 << 20,
  entryCacheBytes: 32 << 20,
  commitNotice: 'afterApply',
}

const INIT: CoreInit = {
  hardState: { term: 0, vote: 0, commit: 0 },
  conf: { voters: NODES, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  previous: { index: 0, term: 0 },
  lastIndex: 0,
  terms: [],
  tail: [],
  applied: 0,
}

/** Three cores that are each other's world. */
class BareCluster {
  readonly #cores = new Map<NodeId, RaftCore>(
    NODES.map((id) => [id, new RaftCore({ ...OPTIONS, id, seed: id }, INIT)]),
  )
  steps = 0
  committed = 0

  constructor() {
    this.step(LEADER, { type: 'campaign' })
    this.settle()
  }

  get leader(): RaftCore {
    return this.#cores.get(LEADER)!
  }

  step(id: NodeId, input: Input): void {
    this.steps++
    this.#cores.get(id)!.step(input)
  }

  /** Carries effects out until none is left. */
  settle(): void {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const [id, core] of this.#cores) {
        if (!core.hasReady()) continue
        isBusy = true
        this.#carryOut(id, core)
      }
    }
  }

  #carryOut(id: NodeId, core: RaftCore): void {
    const { messages, append, apply } = core.ready()
    for (const message of messages) this.step(message.to, { type: 'receive', message })
    if (append !== undefined) {
      for (const message of append.responses) {
        if (message.to !== id) this.step(message.to, { type: 'receive', message })
      }
      this.step(id, { type: 'appendDone', id: append.id })
    }
    if (apply !== undefined) {
      const { entries } = apply
      if (id === LEADER) this.committed += entries.length
      this.step(id, { type: 'applyDone', index: entries[entries.length - 1]!.index })
    }
  }
}

interface Run {
  readonly proposalsPerSecond: number
  readonly stepsPerSecond: number
  readonly bytesPerProposal: number
}

function run(proposals: number, batch: number): Run {
  const cluster = new BareCluster()
  const data = Buffer.alloc(PROPOSAL_BYTES, 7)
  const before = cluster.committed
  const stepsBefore = cluster.steps
  const heap = new HeapMeter()
  const begun = performance.now()
  for (let proposed = 0; proposed < proposals; proposed += batch) {
    for (let i = 0; i < batch; i++) {
      const entries = [{ kind: 'normal' as const, data }]
      cluster.step(LEADER, { type: 'propose', token: proposed + i, entries })
    }
    cluster.settle()
    heap.look()
  }
  const seconds = (performance.now() - begun) / 1000
  const committed = cluster.committed - before
  if (committed < proposals) throw new Error(`only ${committed} of ${proposals} were committed`)
  return {
    proposalsPerSecond: committed / seconds,
    stepsPerSecond: (cluster.steps - stepsBefore) / seconds,
    bytesPerProposal: heap.allocated / committed,
  }
}

/** Adds up what the heap grows between looks; what a collection takes away in between is missed, so look often. */
class HeapMeter {
  allocated = 0
  #last = process.memoryUsage().heapUsed
  #looks = 0

  look(): void {
    if (++this.#looks % 8 !== 0) return
    const now = process.memoryUsage().heapUsed
    if (now > this.#last) this.allocated += now - this.#last
    this.#last = now
  }
}

/** Runs the benchmark and prints its table. */
export async function core(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    proposals: { type: 'string', default: '300000' },
    batch: { type: 'string', default: '64' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const batch = wholeNumber('batch', flags.batch, 1)
  const { runs, proposals } = flags.quick
    ? QUICK
    : {
        runs: wholeNumber('runs', flags.runs, 1),
        proposals: wholeNumber('proposals', flags.proposals, 1),
      }
  await runBench({
    name: 'core',
    args,
    plan: { runs, proposals, batch },
    json: flags.json,
    columns: ['proposals', 'steps', 'allocated'],
    legend: [
      'Three cores, one entry of 128 B per proposal; proposals and steps per second of one process, and bytes',
      'of heap per proposal.',
    ],
    measure: async () => {
      run(Math.min(proposals, WARM_UP), batch)
      return [
        rowOf(
          batch,
          Array.from({ length: runs }, () => run(proposals, batch)),
        ),
      ]
    },
  })
}

function rowOf(batch: number, runs: readonly Run[]): Row {
  const all = (pick: (run: Run) => number): readonly number[] => runs.map(pick)
  return {
    labels: { 'proposals per turn': batch },
    figures: {
      proposals: figure(
        'per s',
        all(({ proposalsPerSecond }) => proposalsPerSecond),
      ),
      steps: figure(
        'per s',
        all(({ stepsPerSecond }) => stepsPerSecond),
      ),
      allocated: figure(
        'bytes',
        all(({ bytesPerProposal }) => bytesPerProposal),
      ),
    },
  }
}
