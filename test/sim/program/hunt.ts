/**
 * Plants each bug in a copy of the compiled code and runs seeds from there until one breaks a rule.
 *
 * Nothing in the library knows of this: a bug is a change of text (mutants.ts).
 */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UsageError } from '../../../src/cli/command-line.js'
import { describeViolation, FAILURES_DIR, runsOf, type Settings } from './commands.js'
import type { Job } from './jobs.js'
import { MUTANTS, type Mutant } from './mutants.js'
import { recordStatus } from './status-file.js'
import { runJobs } from './workers.js'

/** A bug that so many seeds do not find is not found. */
const SEEDS_MAX = 200
/** A planted bug may make a run hang; an ordinary one takes a second, or many on a machine with much else to do. */
const RUN_MS = 120_000
const SHRINK_MS = 30_000

const DIST = join(import.meta.dirname, '../../..')
const ROOT = join(DIST, '..')

/** How a bug was found. */
interface Catch {
  readonly seeds: number
  readonly seconds: number
  readonly by: string
  /** The smallest run that shows it, if one was asked for. */
  readonly path: string | undefined
}

/** Plants the bugs whose name contains `name`, or all. */
export async function hunt(name: string, settings: Settings): Promise<number> {
  const chosen = MUTANTS.filter((each) => name === 'all' || each.name.includes(name))
  if (chosen.length === 0) throw new UsageError(`no planted bug has a name with '${name}' in it`)
  const dir = await mkdtemp(join(tmpdir(), 'quorate-mutants-'))
  const found: Catch[] = []
  try {
    for (const each of chosen) {
      const caught = await findBug(dir, each, settings)
      if (caught !== undefined) found.push(caught)
      say(describeCatch(each, caught))
    }
  } finally {
    await rm(dir, { recursive: true })
  }
  const seconds = found.map((each) => each.seconds).sort((a, b) => a - b)
  say(
    `${found.length} of ${chosen.length} planted bugs found, ` +
      `median ${(seconds[seconds.length >> 1] ?? 0).toFixed(1)} s`,
  )
  const isAll = chosen.length === MUTANTS.length
  if (isAll) await recordStatus({ mutants: { found: found.length, planted: chosen.length } })
  return found.length === chosen.length ? 0 : 1
}

async function findBug(dir: string, bug: Mutant, settings: Settings): Promise<Catch | undefined> {
  const copy = join(dir, 'dist')
  await rm(copy, { recursive: true, force: true })
  await cp(DIST, copy, { recursive: true })
  await linkPackage(dir)
  await plant(copy, bug)
  const begun = performance.now()
  let runs = 0
  let caught: Catch | undefined
  let seed: number | undefined
  const options = {
    script: join(copy, 'test/sim/program/worker.js'),
    count: settings.jobs,
    jobMs: RUN_MS,
  }
  await runJobs(runsOf(SEEDS_MAX, settings), options, (job, answer) => {
    runs++
    const result = answer?.type === 'run' ? answer.result : undefined
    if (result !== undefined && result.violation === undefined) return 'go on'
    const seconds = (performance.now() - begun) / 1000
    caught ??= { seeds: runs, seconds, by: describeViolation(result), path: undefined }
    seed ??= job.seed
    return 'stop'
  })
  if (caught === undefined || seed === undefined || !settings.keeps) return caught
  return { ...caught, path: await shrink(options.script, seed, bug) }
}

/** Shrinks the run of `seed` where the bug is planted; the path of its file. */
async function shrink(script: string, seed: number, bug: Mutant): Promise<string | undefined> {
  const versions = { planted: bug.name }
  const job: Job = { type: 'shrink', seed, timeMs: SHRINK_MS, dir: FAILURES_DIR, versions }
  let path: string | undefined
  await runJobs([job], { script, count: 1, jobMs: 10 * SHRINK_MS }, (_job, answer) => {
    if (answer?.type === 'shrink') path = answer.path
    return 'go on'
  })
  return path
}

/** What the copy needs around it to be a package. */
async function linkPackage(dir: string): Promise<void> {
  for (const name of ['package.json', 'node_modules']) {
    await rm(join(dir, name), { force: true })
    await symlink(join(ROOT, name), join(dir, name))
  }
}

async function plant(dist: string, { name, edits }: Mutant): Promise<void> {
  for (const { file, find, replace } of edits) {
    const path = join(dist, 'src', file)
    const text = await readFile(path, 'utf8')
    const parts = text.split(find)
    if (parts.length !== 2) {
      throw new Error(`'${name}': ${file} has ${parts.length - 1} times, not once: ${find}`)
    }
    await writeFile(path, parts.join(replace))
  }
}

function describeCatch({ name }: Mutant, caught: Catch | undefined): string {
  if (caught === undefined) return `NOT FOUND in ${SEEDS_MAX} seeds  ${name}`
  const { seeds, seconds, by, path } = caught
  const words = by.split('\n')[0]!.slice(0, 110)
  const head = `${String(seeds).padStart(4)} seeds ${seconds.toFixed(1).padStart(6)} s  ${name}`
  return [head, words, ...(path === undefined ? [] : [path])].join(`\n${' '.repeat(19)}`)
}

function say(words: string): void {
  process.stdout.write(`${words}\n`)
}
