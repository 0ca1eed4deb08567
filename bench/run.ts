/** `npm run bench -- NAME [flags]`: runs one benchmark. Each file here answers one question. */
import { UsageError } from '../src/cli/command-line.js'
import { core } from './core.js'
import { erasure } from './erasure.js'
import { hotPath } from './hot-path.js'
import { recovery } from './recovery.js'

interface Benchmark {
  readonly question: string
  readonly run: (args: readonly string[]) => Promise<void>
}

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  core: { question: 'what does consensus itself cost, without disk and network?', run: core },
  erasure: { question: 'how fast are large values coded and rebuilt?', run: erasure },
  recovery: {
    question: 'what do opening, checkpoints, snapshots and backups cost?',
    run: recovery,
  },
  'hot-path': { question: 'what does a put and a get of 128 B cost?', run: hotPath },
}

function names(): string {
  return Object.entries(BENCHMARKS)
    .map(([name, { question }]) => `  ${name.padEnd(10)}${question}`)
    .join('\n')
}

try {
  const [name, ...args] = process.argv.slice(2)
  const benchmark =
    name !== undefined && Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined
  if (benchmark === undefined) {
    const complaint = name === undefined ? 'which benchmark?' : `no benchmark '${name}'`
    throw new UsageError(`${complaint} There are:\n${names()}`)
  }
  await benchmark.run(args)
} catch (error) {
  const isUsage = error instanceof UsageError
  process.stderr.write(`bench: ${isUsage ? error.message : String((error as Error).stack)}\n`)
  process.exitCode = isUsage ? 2 : 1
}
