/**
 * The state and the log of a data folder, opened so that they fit together: an installation that a crash cut short is
 * carried out to its end, and a state that is damaged or lost is had again, from the log or from another member.
 *
 * What is never made up for is a log that ends before the state does: acknowledged entries are missing then, and the
 * member refuses to start.
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { RaftLog } from '../log/raft-log.js'
import { type MachineOptions, StateMachine } from '../machine/state-machine.js'
import { NONE, type Term } from '../raft/types.js'
import { incarnationsIn, openDirectory } from './directory.js'
import { Generations, type InstallPlan } from './generations.js'
import type { Identity } from './identity.js'
import type { MemberOptions } from './options.js'
import { type FetchedState, fetchState } from './rebuild.js'
import { Roster } from './roster.js'

/** A state that could not be used, and where it came from again. */
export interface Rebuilt {
  readonly why: string
  /** The name of a member, or `log`. */
  readonly from: string
  /** Where the state that could not be used is kept; undefined when there was none. */
  readonly setAside: string | undefined
}

/** What `openState` works with. */
export interface StateParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly identity: Identity
  readonly machine: MachineOptions
  readonly incomingDir: string
  /** Opens the log anew: what it recovered is then what it holds. */
  openLog(): Promise<RaftLog>
}

/** Log and state, fitting together. */
export interface OpenedState {
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly generations: Generations
  readonly rebuilt: Rebuilt | undefined
}

/**
 * Opens log and state.
 * @throws {StoreError} QUORATE_CORRUPTION the log is damaged, or ends before the state, or the state is lost and
 *   nobody has another copy; QUORATE_FORMAT; QUORATE_NO_SPACE; QUORATE_LOG_FAILED
 */
export async function openState(parts: StateParts): Promise<OpenedState> {
  const { env, options } = parts
  const generations = await Generations.open(env.disk, env.databases, options.dir)
  if (generations.plan !== undefined) await finishInstallation(parts, generations, generations.plan)
  const [log, found] = await openBoth(parts, generations)
  try {
    if (found instanceof StateMachine) {
      const misfit = await misfitOf(found, log)
      if (misfit === undefined) return { log, machine: found, generations, rebuilt: undefined }
      const isEmpty = found.appliedIndex === 0
      await found.close()
      return await rebuild(parts, generations, log, misfit, isEmpty ? 'remove' : 'setAside')
    }
    return await rebuild(parts, generations, log, found.message, 'setAside')
  } catch (error) {
    await log.close()
    throw error
  }
}

/** Carries out the rest of an installation that was begun before a crash. */
async function finishInstallation(
  parts: StateParts,
  generations: Generations,
  { index, term }: InstallPlan,
): Promise<void> {
  const log = await parts.openLog()
  try {
    await log.compactTo(index, term)
    await generations.commit()
  } finally {
    await log.close()
  }
}

/** The log and the state, or what is wrong with the state; neither waits for the other. */
async function openBoth(
  parts: StateParts,
  generations: Generations,
): Promise<[RaftLog, StateMachine | StoreError]> {
  const [log, state] = await Promise.allSettled([
    parts.openLog(),
    openMachine(parts, generations),
  ] as const)
  if (log.status === 'fulfilled' && state.status === 'fulfilled') return [log.value, state.value]
  if (log.status === 'fulfilled') await log.value.close()
  if (state.status === 'fulfilled' && state.value instanceof StateMachine) await state.value.close()
  throw log.status === 'rejected' ? log.reason : (state as PromiseRejectedResult).reason
}

/** The state, or what is wrong with it. */
async function openMachine(
  { env, machine: options }: StateParts,
  generations: Generations,
): Promise<StateMachine | StoreError> {
  await generations.cleanUp()
  try {
    const machine = await StateMachine.open(env.databases, generations.stateDir, options)
    try {
      openDirectory(machine)
    } catch (error) {
      await machine.close()
      throw error
    }
    return machine
  } catch (error) {
    if (error instanceof StoreError && error.code === 'QUORATE_CORRUPTION') return error
    throw error
  }
}

/** Why the state does not continue into the log; undefined when it does. */
async function misfitOf(machine: StateMachine, log: RaftLog): Promise<string | undefined> {
  const { previous, lastIndex } = log.recovered
  const applied = machine.appliedIndex
  if (applied > lastIndex) {
    await machine.close()
    throw new StoreError(
      'QUORATE_CORRUPTION',
      `the state holds index ${applied}, the log the entries ${previous.index + 1} to ${lastIndex}: ` +
        'acknowledged entries are missing at its end',
    )
  }
  if (applied >= previous.index) return undefined
  return applied === 0
    ? 'the state is gone'
    : `the state ends at index ${applied}, the log begins after ${previous.index}`
}

/** Has the state again: by replaying a log that holds everything, or else from another member. */
async function rebuild(
  parts: StateParts,
  generations: Generations,
  log: RaftLog,
  why: string,
  what: 'remove' | 'setAside',
): Promise<OpenedState> {
  const { env, machine: options } = parts
  const former = generations.stateDir
  const setAside = what === 'setAside' ? await generations.nameAside() : undefined
  if (setAside === undefined) await env.databases.remove(former)
  else await generations.setAside(former, setAside)
  if (log.recovered.previous.index === 0) {
    const machine = await StateMachine.open(env.databases, former, options)
    return { log, machine, generations, rebuilt: { why, from: 'log', setAside } }
  }
  const { manifest, database, from } = await fetchElsewhere(parts, generations, log, why)
  try {
    await rememberTerm(log, manifest.term)
    await generations.begin({ index: manifest.index, term: manifest.term })
    await log.compactTo(manifest.index, manifest.term)
    await generations.commit()
    await log.close()
    const machine = await StateMachine.over(database, options)
    const rebuilt = { why, from, setAside }
    return { log: await parts.openLog(), machine, generations, rebuilt }
  } catch (error) {
    await database.close()
    throw error
  }
}

/** No log may end in a later term than the one that is remembered. */
async function rememberTerm(log: RaftLog, term: Term): Promise<void> {
  const { hardState } = log.recovered
  if (hardState.term >= term) return
  const next = { term, vote: NONE, commit: hardState.commit }
  await log.append({ entries: [], hardState: next, mustSync: true })
}

async function fetchElsewhere(
  { env, options, identity, machine, incomingDir }: StateParts,
  generations: Generations,
  log: RaftLog,
  why: string,
): Promise<FetchedState> {
  const { previous, tail } = log.recovered
  const roster = new Roster(identity.nodeId, machine.initial, incarnationsIn(tail))
  const atLeast = previous.index
  try {
    return await fetchState({ env, options, identity, roster, generations, incomingDir, atLeast })
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'QUORATE_NOT_READY') throw cause
    throw new StoreError(
      'QUORATE_CORRUPTION',
      `the state in ${generations.stateDir} cannot be used (${why}), the log goes back to ${atLeast} only, and ` +
        `${cause.message}: start it while other members run, or restore a backup`,
      { cause },
    )
  }
}
