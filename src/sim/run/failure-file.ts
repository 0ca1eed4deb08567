/**
 * A failure as a file: everything that repeats the run, and what went wrong. Fixed ones are kept in test/corpus and
 * run for ever.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClientEvent, HARMLESS, type Schedule } from '../schedule/schedule.js'
import type { Violation } from '../watch/findings.js'
import type { Shrunk } from './shrink.js'
import { formatTrace } from './trace.js'

const FORMAT = 1

/** What a failure file holds. */
export interface FailureFile {
  readonly format: number
  readonly violation: Violation
  /** Kinds of faults without any of which the rule holds. */
  readonly needs: readonly string[]
  /** The run in which it was found; its schedule was larger. */
  readonly foundBySeed: number
  readonly versions: Readonly<Record<string, string>>
  readonly schedule: Schedule
  readonly trace: readonly string[]
}

/** Writes the failure to `dir`, under a name that its schedule gives; returns the path. */
export async function writeFailure(
  dir: string,
  { schedule, report, needs }: Shrunk<ClientEvent>,
  foundBySeed: number,
  versions: Readonly<Record<string, string>>,
): Promise<string> {
  const file: FailureFile = {
    format: FORMAT,
    violation: report.violation!,
    needs,
    foundBySeed,
    versions: { node: process.version, ...versions },
    schedule,
    trace: formatTrace(report.trace).split('\n'),
  }
  const hash = createHash('sha256').update(JSON.stringify(schedule)).digest('hex').slice(0, 12)
  const path = join(dir, `${hash}.json`)
  await mkdir(dir, { recursive: true })
  await writeFile(path, `${JSON.stringify(file, undefined, 1)}\n`)
  return path
}

/** Reads a failure file. @throws {RangeError} when it is of another format */
export async function readFailure(path: string): Promise<FailureFile> {
  const file = JSON.parse(await readFile(path, 'utf8')) as FailureFile
  if (file.format !== FORMAT) throw new RangeError(`${path} has format ${file.format}`)
  // Older files do not know of every circumstance.
  const { schedule } = file
  return { ...file, schedule: { ...schedule, knobs: { ...HARMLESS, ...schedule.knobs } } }
}
