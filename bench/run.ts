/**
 * `npm run bench -- NAME [flags]`, `quorate bench NAME [flags]`: runs one benchmark. Each file here answers one
 * question.
 */
import { UsageError } from '../src/cli/command-line.js'

interface Benchmark {
  readonly question: string
  /** Each is loaded when it is asked for: the published package has not all that the others need. */
  readonly load: () => Promise<(args: readonly string[]) => Promise<void>>
}

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  cost: {
    question: 'which messages, fsyncs and round trips does each level cost?',
    load: async () => (await import('./cost.js')).cost,
  },
  ycsb: {
    question: 'what do the workloads of YCSB cost at each level?',
    load: async () => (await import('./ycsb.js')).ycsb,
  },
  writes: {
    question: 'what do acknowledgements, batches and writes in flight cost?',
    load: async () => (await import('./writes.js')).writes,
  },
  scale: {
    question: 'how does cost grow with members, keys, values and watchers?',
    load: async () => (await import('./scale.js')).scale,
  },
  'hot-path': {
    question: 'what does a put and a get of 128 B cost?',
    load: async () => (await import('./hot-path.js')).hotPath,
  },
  core: {
    question: 'what does consensus itself cost, without disk and network?',
    load: async () => (await import('./core.js')).core,
  },
  erasure: {
    question: 'how fast are large values coded and rebuilt?',
    load: async () => (await import('./erasure.js')).erasure,
  },
  'large-values': {
    question: 'what do large values cost as shards, beside whole ones on every member?',
    load: async () => (await import('./large-values.js')).largeValues,
  },
  compare: {
    question: 'how fast beside classic-level, lmdb, Redis and etcd?',
    load: async () => (await import('./compare.js')).compare,
  },
  failover: {
    question: 'for how long is nothing answered when the leader goes?',
    load: async () => (await import('./failover.js')).failover,
  },
  staleness: {
    question: 'how old are eventual reads?',
    load: async () => (await import('./staleness.js')).staleness,
  },
  memory: {
    question: "does a member's memory stay what it is, whatever its followers do?",
    load: async () => (await import('./memory.js')).memory,
  },
  levels: {
    question: 'what does each level cost, by role and distance?',
    load: async () => (await import('./levels.js')).levels,
  },
  recovery: {
    question: 'what do opening, checkpoints, snapshots and backups cost?',
    load: async () => (await import('./recovery.js')).recovery,
  },
  report: {
    question: 'one page of what the others wrote with --json',
    load: async () => (await import('./report.js')).report,
  },
}

function names(): string {
  return Object.entries(BENCHMARKS)
    .map(([name, { question }]) => `  ${name.padEnd(14)}${question}`)
    .join('\n')
}

async function main([name, ...args]: readonly string[]): Promise<void> {
  const benchmark =
    name !== undefined && Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined
  if (benchmark === undefined) {
    const complaint = name === undefined ? 'which benchmark?' : `no benchmark '${name}'`
    throw new UsageError(`${complaint} There are:\n${names()}`)
  }
  const run = await benchmark.load()
  await run(args)
}

function report(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`bench: ${error.message}\n`)
    return 2
  }
  if (isMissingPackage(error)) {
    process.stderr.write(
      `bench: ${error.message}\nInstall that package; quorate does without it.\n`,
    )
    return 1
  }
  process.stderr.write(`bench: ${error instanceof Error ? error.stack : String(error)}\n`)
  return 1
}

function isMissingPackage(error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_MODULE_NOT_FOUND' && /package/.test((error as Error).message)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = report(error)
}
