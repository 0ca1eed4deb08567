/**
 * `npm run sim`: simulated clusters under faults, by seed. docs/testing.md explains what is checked.
 *
 * Exit code 1 when a rule was broken, when runs that should be equal differ, when a planted bug was not found, or
 * when the runs were too harmless to prove anything.
 */
import { availableParallelism } from 'node:os'
import { parseFlags, UsageError, wholeNumber } from '../../src/cli/command-line.js'
import { determinism, realDisk, repeat, replay, seeds } from './program/commands.js'
import { hunt } from './program/hunt.js'

const HELP = `npm run sim -- [one command] [flags]

  --seeds N         run N seeds, the first is --from (default: 100 from a drawn one)
  --seed S          run one seed and print its trace; shrink it if it fails
  --replay FILE     run a failure file and print its trace
  --determinism N   run N seeds twice and compare what happened inside
  --real-disk N     run N seeds on simulated and on real files and LevelDB, and compare what clients saw
  --mutants [NAME]  plant bugs, one at a time, and look for them

  --from S          the first seed
  --keep            with --mutants: also shrink what shows each bug, and write it to failures/
  --jobs N          worker processes (2, or as many as there are cores if fewer)`

async function main(args: readonly string[]): Promise<number> {
  const flags = parseFlags(withDefaults(args), {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    replay: { type: 'string' },
    determinism: { type: 'string' },
    'real-disk': { type: 'string' },
    mutants: { type: 'string' },
    from: { type: 'string' },
    jobs: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) {
    process.stdout.write(`${HELP}\n`)
    return 0
  }
  const drawn = String(Math.floor(Math.random() * 2 ** 31))
  const settings = {
    from: wholeNumber('from', flags.from ?? (flags.seeds === undefined ? drawn : '1'), 0),
    jobs: wholeNumber('jobs', flags.jobs ?? String(Math.min(2, availableParallelism())), 1),
    keeps: flags.keep,
  }
  if (flags.seed !== undefined) return repeat(wholeNumber('seed', flags.seed, 0), settings)
  if (flags.replay !== undefined) return replay(flags.replay)
  if (flags.determinism !== undefined) {
    return determinism(wholeNumber('determinism', flags.determinism, 1), settings)
  }
  if (flags['real-disk'] !== undefined) {
    return realDisk(wholeNumber('real-disk', flags['real-disk'], 1), settings)
  }
  if (flags.mutants !== undefined) return hunt(flags.mutants, settings)
  return seeds(wholeNumber('seeds', flags.seeds ?? '100', 1), settings)
}

/** `--mutants` alone means all of them. */
function withDefaults(args: readonly string[]): string[] {
  return args.flatMap((arg, at) => {
    const next = args[at + 1]
    return arg === '--mutants' && (next === undefined || next.startsWith('--'))
      ? [arg, 'all']
      : [arg]
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
