/** Where a benchmark ran: figures mean nothing without it. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'

/** The database may lie beside this package, or below it. */
const require = createRequire(import.meta.url)

/** The machine, the versions and the command, as plain data. */
export interface Machine {
  readonly command: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  readonly quorate: string
  readonly classicLevel: string
}

/** Describes this machine; `name` is the benchmark's. */
export function thisMachine(name: string, args: readonly string[]): Machine {
  return {
    command: [process.env.QUORATE_BENCH_COMMAND ?? 'npm run bench --', name, ...args].join(' '),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    quorate: versionIn(join(import.meta.dirname, '../../package.json')),
    classicLevel: versionIn(require.resolve('classic-level/package.json')),
  }
}

/** Two lines for people. */
export function describeMachine(machine: Machine): string {
  const { cpu, cores, memoryGiB, system, node, quorate, classicLevel } = machine
  return (
    `${machine.command}\n` +
    `${cpu}, ${cores} cores, ${memoryGiB} GiB; ${system}; node ${node}, ` +
    `quorate ${quorate}, classic-level ${classicLevel}`
  )
}

function versionIn(path: string): string {
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
