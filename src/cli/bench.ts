/**
 * `quorate bench NAME`: the project's own benchmarks, on the machine, disk and versions of whoever asks.
 *
 * They are shipped beside the library and never loaded by it: each runs in a process of its own.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from './command-line.js'
import { EXIT_INTERRUPTED } from './interrupt.js'

export const BENCH_HELP = `quorate bench NAME [flags]

Runs one of the benchmarks of the project here; without a name, lists them. Each takes
  --quick      small and short: whether it works, not what it does
  --json FILE  write all figures there as well
  --help       its other flags
quorate bench report FILES... makes one HTML page of what --json wrote. docs/benchmarks.md says how to read it.
Data goes to the system's folder for temporary files: point TMPDIR at the disk that is meant.`

const PROGRAM = join(import.meta.dirname, '../../bench/run.js')

/** Runs the command; resolves with the exit code of the benchmark. */
export async function bench(args: readonly string[]): Promise<number> {
  if (!existsSync(PROGRAM)) throw new UsageError(`the benchmarks are not here: no ${PROGRAM}`)
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: 'inherit',
    env: { ...process.env, QUORATE_BENCH_COMMAND: 'quorate bench' },
  })
  // Ctrl-C reaches the benchmark as well: it takes its processes and folders away, and then ends.
  const pass = (signal: NodeJS.Signals): void => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  process.on('SIGINT', pass)
  process.on('SIGTERM', pass)
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? EXIT_INTERRUPTED
  } finally {
    process.off('SIGINT', pass)
    process.off('SIGTERM', pass)
  }
}
