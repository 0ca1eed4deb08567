/**
 * What a member keeps on disk, opened in order and closed the other way round: the lock, whose folder it is,
 * the log and the state machine; and what the core learns from them.
 */
import { StoreError } from '../base/errors.js'
import { DEFAULT_SHARD_STORE, ShardStore } from '../blob/shard-store.js'
import type { DiskLock } from '../env/disk.js'
import type { Env } from '../env/env.js'
import { RaftLog } from '../log/raft-log.js'
import { isNoSpace } from '../log/segment.js'
import type { MachineRecovery, StateMachine } from '../machine/state-machine.js'
import type { CoreInit, CoreOptions, NodeId } from '../raft/types.js'
import { changeConfiguration, firstConfiguration } from './directory.js'
import type { Generations } from './generations.js'
import { claimIdentity, type Identity } from './identity.js'
import { joinCluster } from './join.js'
import { openState, type Rebuilt } from './open-state.js'
import { type MemberOptions, reserveBytes } from './options.js'

/**
 * Clients remembered for exactly-once; the least recently used goes first, in log order. Not an option: it decides
 * what is evicted, which must be the same on all members.
 */
export const MAX_SESSIONS = 4096

/** What is applied at a time after the database was opened again, and the time between two attempts to. */
const REPLAY_BYTES = 1_048_576
const REOPEN_MS = 500

/** The open data folder of one member. */
export interface Storage {
  readonly lock: DiskLock
  readonly identity: Identity
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly generations: Generations
  /** The shards of large values. */
  readonly shards: ShardStore
  /** What had to be done about the state; undefined when it was in order. */
  readonly rebuilt: Rebuilt | undefined
}

/** Where what comes of a snapshot is kept until it is loaded. */
export function incomingDir(dir: string): string {
  return `${dir}/incoming`
}

/** Where the shards of large values lie. */
export function shardsDir(dir: string): string {
  return `${dir}/blobs`
}

/** Where the descriptions of retained checkpoints lie. */
export function retainedDir(dir: string): string {
  return `${dir}/retained`
}

/**
 * Opens the data folder. The lock comes before anything is read or deleted (design D2).
 * @throws {StoreError} QUORATE_LOCKED, QUORATE_WRONG_MEMBER, QUORATE_WRONG_CLUSTER, QUORATE_FORMAT,
 *   QUORATE_CORRUPTION, QUORATE_NO_SPACE.
 */
export async function openStorage(env: Env, options: MemberOptions): Promise<Storage> {
  try {
    return await openFolder(env, options)
  } catch (error) {
    if (!isNoSpace(error)) throw error
    throw new StoreError('QUORATE_NO_SPACE', `the disk is too full to open ${options.dir}`, {
      retryable: true,
      cause: error,
    })
  }
}

async function openFolder(env: Env, options: MemberOptions): Promise<Storage> {
  const { dir, join } = options
  await env.disk.makeDir(dir)
  const lock = await env.disk.lock(`${dir}/lock`)
  try {
    const identity = await claimIdentity(env.disk, env.random, dir, {
      id: options.id,
      members: options.members,
      cluster: options.cluster,
      join: join && ((incarnation) => joinCluster(env, options, join, incarnation)),
    })
    const { segmentBytes } = options.storage
    const shardOptions = { ...DEFAULT_SHARD_STORE, segmentBytes }
    const shards = await ShardStore.open(env.disk, shardsDir(dir), shardOptions)
    try {
      const opened = await openState({
        env,
        options,
        identity,
        machine: {
          maxSessions: MAX_SESSIONS,
          historyBytes: options.limits.watchHistoryBytes,
          initial: firstConfiguration(identity.firstMembers),
          confChange: changeConfiguration,
        },
        incomingDir: incomingDir(dir),
        openLog: () => openLog(env, options, identity),
      })
      return { lock, identity, shards, ...opened }
    } catch (error) {
      await shards.close()
      throw error
    }
  } catch (error) {
    await lock.close()
    throw error
  }
}

/** How the state machine has its database again when it refuses to be written: from its last flush and the log. */
export function machineRecovery(env: Env, { log, generations }: Storage): MachineRecovery {
  return {
    open: () => env.databases.open(generations.stateDir),
    entries: (from, to) => log.read(from, to, REPLAY_BYTES),
    pause: () => new Promise((resolve) => env.time.after(REOPEN_MS, resolve)),
  }
}

/** Closes the data folder; the state machine takes a last checkpoint. */
export async function closeStorage(storage: Storage): Promise<void> {
  try {
    await storage.shards.close()
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
    reads: options.strongReads === 'lease' ? 'lease' : 'safe',
    forwardProposals: false,
    stepDownOnRemoval: true,
    maxBytesPerMessage: limits.maxRequestBytes,
    maxInflightMessages: limits.maxInflightMessages,
    maxInflightBytes: limits.maxInflightBytes,
    maxUncommittedBytes: limits.maxUncommittedBytes,
    maxApplyBytes: limits.maxApplyBytes,
    entryCacheBytes: limits.entryCacheBytes,
    commitNotice: 'afterApply',
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
      reserveBytes: reserveBytes(options.storage),
    },
  )
}
