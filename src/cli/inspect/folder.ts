/** What is in a member's data folder, found out without changing anything. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StoreError } from '../../base/errors.js'
import type { Env } from '../../env/env.js'
import { type BatchListener, type LogSurvey, surveyLog } from '../../log/survey.js'
import { openDirectory } from '../../member/directory.js'
import { Generations, type InstallPlan } from '../../member/generations.js'
import { type Identity, readIdentity } from '../../member/identity.js'
import type { ConfState, LogIndex, Term } from '../../raft/types.js'
import type { MemberRecord } from '../../wire/directory.js'
import { openStateCopy } from './state-copy.js'

/** The state in LevelDB at its last flush: the checkpoint. */
export interface StateSurvey {
  readonly index: LogIndex
  readonly term: Term
  readonly sessions: number
  readonly conf: ConfState
  readonly members: readonly MemberRecord[]
}

/** A data folder as it was found. What could not be read is a StoreError in its place. */
export interface FolderSurvey {
  readonly dir: string
  /** Undefined when the folder is no member's. */
  readonly identity: Identity | StoreError | undefined
  readonly stateDir: string | StoreError
  readonly plan: InstallPlan | undefined
  /** Undefined when there is none. */
  readonly log: LogSurvey | undefined
  readonly state: StateSurvey | StoreError | undefined
  /** Databases that were set aside because they were damaged. */
  readonly setAside: readonly string[]
  readonly freeBytes: number
  /** The process that has the folder open, as far as its own note says. */
  readonly holder: number | undefined
}

const BROKEN_STATE = /^state(-\d+)?\.broken-\d+$/

/** Looks at everything in `dir`; reads the whole log once. */
export async function surveyFolder(
  env: Env,
  dir: string,
  onBatch?: BatchListener,
): Promise<FolderSurvey> {
  const { disk, databases } = env
  const names = await disk.list(dir)
  if (names === undefined) throw new StoreError('QUORATE_NOT_READY', `there is no folder ${dir}`)
  const identity = await orError(readIdentity(disk, dir))
  const generations = await orError(Generations.open(disk, databases, dir))
  const found = generations instanceof StoreError ? undefined : generations
  const stateDir = generations instanceof StoreError ? generations : generations.stateDir
  return {
    dir,
    identity,
    stateDir,
    plan: found?.plan,
    log: await surveyLog(disk, `${dir}/log`, onBatch),
    state: await surveyState(stateDir, identity, names),
    setAside: names.filter((name) => BROKEN_STATE.test(name)),
    freeBytes: await disk.freeBytes(dir),
    holder: await holderOf(dir),
  }
}

async function surveyState(
  stateDir: string | StoreError,
  identity: Identity | StoreError | undefined,
  names: readonly string[],
): Promise<StateSurvey | StoreError | undefined> {
  const isKnown = identity !== undefined && !(identity instanceof StoreError)
  if (!isKnown || stateDir instanceof StoreError) return undefined
  if (!names.some((name) => stateDir.endsWith(`/${name}`))) return undefined
  const copy = await openStateCopy(stateDir, identity).catch((error: unknown) =>
    asDamage(stateDir, error),
  )
  if (copy instanceof StoreError) return copy
  try {
    const { appliedIndex, appliedTerm, conf, members } = copy.machine
    const directory = openDirectory({ conf, members })
    const { sessions } = copy.machine.status()
    return { index: appliedIndex, term: appliedTerm, sessions, conf, members: directory.members }
  } finally {
    await copy.close()
  }
}

/** LevelDB has many ways to say that it cannot be opened. */
function asDamage(stateDir: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const { message, cause } = error instanceof Error ? error : new Error(String(error))
  const why = cause instanceof Error ? cause.message : message
  return new StoreError('QUORATE_CORRUPTION', `LevelDB in ${stateDir} does not open: ${why}`, {
    cause: error,
  })
}

async function orError<T>(work: Promise<T>): Promise<T | StoreError> {
  try {
    return await work
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
}

/** The lock's note may be old: a process of this machine counts only while it lives. */
async function holderOf(dir: string): Promise<number | undefined> {
  try {
    const { pid } = JSON.parse(await readFile(join(dir, 'lock', 'holder.json'), 'utf8'))
    process.kill(pid, 0)
    return pid
  } catch {
    return undefined
  }
}
