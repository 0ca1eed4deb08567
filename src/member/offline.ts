/**
 * The data folder of a member that is not running, opened for maintenance: lock, identity, log and state machine, and
 * nothing that talks to anybody.
 *
 * Opening changes the folder no more than any start does: the end of a write that never finished is cut off the log,
 * and LevelDB begins at its last flush.
 */
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { lonePart, needsOthers } from '../blob/lone-parts.js'
import { DEFAULT_SHARD_STORE, ShardStore } from '../blob/shard-store.js'
import type { Env } from '../env/env.js'
import { RaftLog } from '../log/raft-log.js'
import { StateMachine } from '../machine/state-machine.js'
import type { ConfState, Entry, LogIndex } from '../raft/types.js'
import { type BackupOptions, type BackupResult, writeBackup } from '../snapshot/backup.js'
import { Image } from '../snapshot/image.js'
import type { LargeReader } from '../snapshot/large-values.js'
import { decodeManifest } from '../wire/manifest.js'
import { changeConfiguration, firstConfiguration } from './directory.js'
import { Generations } from './generations.js'
import { type Identity, readIdentity } from './identity.js'
import { MAX_SESSIONS, shardsDir } from './storage.js'

const MIB = 1024 * 1024
const LOG_OPTIONS = { segmentBytes: 64 * MIB, maxWriteBytes: MIB, tailBytes: 0 }
const READ_BYTES = MIB

interface Closable {
  close(): Promise<void>
}

/** An open folder; must be closed. */
export interface OfflineMember {
  readonly identity: Identity
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly shards: ShardStore
  close(): Promise<void>
}

/**
 * Opens the folder of a member that is not running.
 * @throws {StoreError} QUORATE_NOT_READY it is no member's folder, or an installation in it has to be completed by a
 *   start; QUORATE_LOCKED the member is running; QUORATE_CORRUPTION; QUORATE_FORMAT
 */
export async function openOffline(env: Env, dir: string): Promise<OfflineMember> {
  if ((await readIdentity(env.disk, dir)) === undefined) {
    throw new StoreError('QUORATE_NOT_READY', `${dir} is no member's data folder`)
  }
  const lock = await env.disk.lock(`${dir}/lock`)
  let log: RaftLog | undefined
  let shards: ShardStore | undefined
  try {
    const identity = (await readIdentity(env.disk, dir))!
    const { stateDir, plan } = await Generations.open(env.disk, env.databases, dir)
    if (plan !== undefined) {
      throw new StoreError(
        'QUORATE_NOT_READY',
        `a snapshot is being installed in ${dir}: start the member once, to let it end`,
      )
    }
    const owner = { clusterId: Buffer.from(identity.clusterId, 'hex'), nodeId: identity.nodeId }
    log = await RaftLog.open(env.disk, env.time, `${dir}/log`, owner, LOG_OPTIONS)
    shards = await ShardStore.open(env.disk, shardsDir(dir), DEFAULT_SHARD_STORE)
    const machine = await StateMachine.open(env.databases, stateDir, {
      maxSessions: MAX_SESSIONS,
      historyBytes: 0,
      initial: firstConfiguration(identity.firstMembers),
      confChange: changeConfiguration,
    })
    const all = [log, shards, machine, lock]
    return { identity, log, machine, shards, close: () => closeAll(all) }
  } catch (error) {
    await log?.close()
    await shards?.close()
    await lock.close()
    throw error
  }
}

/** Closes one after the other, also after one that fails. */
async function closeAll([first, ...others]: readonly Closable[]): Promise<void> {
  try {
    await first?.close()
  } finally {
    if (others.length > 0) await closeAll(others)
  }
}

/** The log's entries from `from` to `to`, in pieces. @throws {StoreError} QUORATE_CORRUPTION when some are gone */
export async function* entriesOf(
  log: RaftLog,
  from: LogIndex,
  to: LogIndex,
): AsyncGenerator<Entry[], void, undefined> {
  for (let next = from; next <= to; ) {
    const entries = await log.read(next, to, READ_BYTES)
    const last = entries.at(-1)
    if (last === undefined) {
      throw new StoreError('QUORATE_CORRUPTION', `entry ${next} is missing from the log`)
    }
    yield entries
    next = last.index + 1
  }
}

/**
 * Applies what the folder itself shows to be committed: for the only voter everything that is durable, for others up to
 * the newest commit that it heard of.
 */
async function applyCommitted({ identity, log, machine }: OfflineMember): Promise<void> {
  const { hardState, lastIndex } = log.recovered
  for (;;) {
    const { appliedIndex } = machine
    const commit = isOnlyVoter(machine.conf, identity) ? lastIndex : hardState.commit
    if (appliedIndex >= commit) return
    const [entries] = await takeFirst(entriesOf(log, appliedIndex + 1, commit))
    const change = entries.findIndex(({ kind }) => kind !== 'normal')
    // What is committed after a change of the configuration is another question.
    await machine.apply(change === -1 ? entries : entries.slice(0, change + 1))
  }
}

async function takeFirst<T>(items: AsyncIterable<T>): Promise<[T]> {
  for await (const item of items) return [item]
  throw new StoreError('QUORATE_CORRUPTION', 'the log ends before its commit')
}

function isOnlyVoter(conf: ConfState, { nodeId }: Identity): boolean {
  return conf.voters.join() === String(nodeId) && conf.votersOutgoing.length === 0
}

/** Reads the large values that the folder has alone. */
function loneReader(shards: ShardStore): LargeReader {
  return async ({ key, manifest: encoded, start, end }) => {
    const manifest = decodeManifest(encoded)
    const [part] = manifest.parts
    const bytes = part && (await lonePart(shards, { key: asBuffer(key), manifest }, part))
    if (bytes === undefined) throw needsOthers(key)
    return bytes.subarray(start, end)
  }
}

/** What a backup of a folder holds, and what it may lack. */
export interface OfflineBackup extends BackupResult {
  /** Entries in the log of which the folder does not show that they are committed: they are not in the backup. */
  readonly unproven: number
}

/**
 * Backs up the folder of a member that is not running: its state with everything that it knows to be committed.
 * @throws {StoreError} as `openOffline` and `writeBackup`; QUORATE_BLOB_UNREADABLE for a large value of which other
 *   members have needed shards
 */
export async function backupFolder(
  env: Env,
  dir: string,
  dest: string,
  options: BackupOptions,
): Promise<OfflineBackup> {
  const member = await openOffline(env, dir)
  try {
    await applyCommitted(member)
    const { identity, log, machine, shards } = member
    const snapshot = await machine.pin(machine.appliedIndex)
    if (snapshot === undefined) throw new StoreError('QUORATE_NOT_READY', 'the state is moving')
    const image = new Image(snapshot, identity.clusterId)
    try {
      const source = { scan: image.scan.bind(image), fetch: loneReader(shards) }
      const result = await writeBackup(env.disk, source, dest, options)
      return { ...result, unproven: log.recovered.lastIndex - machine.appliedIndex }
    } finally {
      await image.close()
    }
  } finally {
    await member.close()
  }
}
