/**
 * What a member keeps on disk, opened in order and closed the other way round: the lock, whose folder it is,
 * the log and the state machine; and what the core learns from them.
 */
import { StoreError } from '../base/errors.js'
import type { DiskLock } from '../env/disk.js'
import type { Env } from '../env/env.js'
import { RaftLog } from '../log/raft-log.js'
import { StateMachine } from '../machine/state-machine.js'
import type { CoreInit, CoreOptions, NodeId } from '../raft/types.js'
import { changeConfiguration, firstConfiguration } from './directory.js'
import { claimIdentity, type Identity } from './identity.js'
import { joinCluster } from './join.js'
import type { MemberOptions } from './options.js'

/**
 * Clients remembered for exactly-once; the least recently used goes first, in log order. Not an option: it decides
 * what is evicted, which must be the same on all members.
 */
const MAX_SESSIONS = 4096

/** The open data folder of one member. */
export interface Storage {
  readonly lock: DiskLock
  readonly identity: Identity
  readonly log: RaftLog
  readonly machine: StateMachine
}

/**
 * Opens the data folder. The lock comes before anything is read or deleted (design D2).
 * @throws {StoreError} QUORATE_LOCKED, QUORATE_WRONG_MEMBER, QUORATE_WRONG_CLUSTER, QUORATE_FORMAT,
 *   QUORATE_CORRUPTION.
 */
export async function openStorage(env: Env, options: MemberOptions): Promise<Storage> {
  const { dir, join } = options
  await env.disk.makeDir(dir)
  const lock = await env.disk.lock(`${dir}/lock`)
  let log: RaftLog | undefined
  try {
    const identity = await claimIdentity(env.disk, env.random, dir, {
      id: options.id,
      members: options.members,
      cluster: options.cluster,
      join: join && ((incarnation) => joinCluster(env, options, join, incarnation)),
    })
    log = await openLog(env, options, identity)
    const machine = await StateMachine.open(env.databases, `${dir}/state`, {
      maxSessions: MAX_SESSIONS,
      initial: firstConfiguration(identity.firstMembers),
      confChange: changeConfiguration,
    })
    return { lock, identity, log, machine }
  } catch (error) {
    await log?.close()
    await lock.close()
    throw error
  }
}

/** Closes the data folder; the state machine takes a last checkpoint. */
export async function closeStorage(storage: Storage): Promise<void> {
  try {
    await storage.log.close()
    await storage.machine.close()
  } finally {
    await storage.lock.close()
  }
}

/**
 * What the core begins with. Everything applied is committed, also when the log's own hint is older (T-39).
 * @throws {StoreError} QUORATE_CORRUPTION when log and state do not meet: acknowledged entries are missing.
 */
export function coreInit({ log, machine }: Storage): CoreInit {
  const { hardState, previous, lastIndex, terms, tail } = log.recovered
  const applied = machine.appliedIndex
  if (applied > lastIndex || applied < previous.index) {
    throw new StoreError(
      'QUORATE_CORRUPTION',
      `the state holds index ${applied}, the log the entries ${previous.index + 1} to ${lastIndex}: ` +
        'acknowledged entries are missing between them',
    )
  }
  return {
    hardState: { ...hardState, commit: Math.max(hardState.commit, applied) },
    conf: machine.conf,
    previous,
    lastIndex,
    terms,
    tail,
    applied,
  }
}

/** The core's settings; times become whole ticks. */
export function coreOptions(options: MemberOptions, id: NodeId, seed: number): CoreOptions {
  const { timing, limits } = options
  return {
    id,
    seed,
    electionTicks: Math.max(2, Math.round(timing.electionMs / timing.tickMs)),
    heartbeatTicks: Math.max(1, Math.round(timing.heartbeatMs / timing.tickMs)),
    preVote: true,
    checkQuorum: true,
    reads: 'safe',
    forwardProposals: false,
    stepDownOnRemoval: true,
    maxBytesPerMessage: limits.maxRequestBytes,
    maxInflightMessages: limits.maxInflightMessages,
    maxInflightBytes: limits.maxInflightBytes,
    maxUncommittedBytes: limits.maxUncommittedBytes,
    maxApplyBytes: limits.maxApplyBytes,
    entryCacheBytes: limits.entryCacheBytes,
  }
}

function openLog(env: Env, options: MemberOptions, identity: Identity): Promise<RaftLog> {
  return RaftLog.open(
    env.disk,
    env.time,
    `${options.dir}/log`,
    { clusterId: Buffer.from(identity.clusterId, 'hex'), nodeId: identity.nodeId },
    {
      segmentBytes: options.storage.segmentBytes,
      maxWriteBytes: options.limits.maxRequestBytes,
      tailBytes: options.limits.entryCacheBytes,
    },
  )
}
