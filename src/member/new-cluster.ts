/**
 * Founds a new cluster of one member in a folder of its own, from a state that another cluster had: what restoring a
 * backup and recovering from a lost quorum come down to.
 *
 * The new cluster has an id that was drawn for it, so that its members and those of the old one never take each other
 * for their own; others join it as they join any cluster. Data, revisions, sessions and log index are those of the
 * old state; the configuration is one voter, and the log begins behind the state. Large values become shards of that
 * one member; those whose bytes are not to be had stay in the state and cannot be read.
 *
 * The mark `restoring` is in the folder, durably, before anything else, and `member.json` is written when all the rest
 * is durable. So whatever a power cut leaves is no member's folder and says so when it is opened, or is complete. An
 * attempt that was cut short is begun again from nothing.
 */
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { type PartSource, resealValues, type UnreadableValues } from '../blob/reseal.js'
import { DEFAULT_SHARD_STORE, ShardStore } from '../blob/shard-store.js'
import type { Database } from '../env/database.js'
import type { Env } from '../env/env.js'
import { RaftLog } from '../log/raft-log.js'
import { MEMBERS_KEY, META_KEY, RETAINED_KEY } from '../machine/key-space.js'
import { type Configuration, StateMachine } from '../machine/state-machine.js'
import { decodeStateRecord, encodeStateRecord } from '../machine/state-record.js'
import { type Entry, type EntryId, type LogIndex, NONE } from '../raft/types.js'
import type { ChunkReader } from '../snapshot/image-records.js'
import { loadImage } from '../snapshot/load-image.js'
import { UNFINISHED } from '../snapshot/whole-file.js'
import { encodeDirectory } from '../wire/directory.js'
import type { ImageManifest } from '../wire/image.js'
import { changeConfiguration, firstConfiguration } from './directory.js'
import {
  drawIdentity,
  type Identity,
  RESTORE_MARK,
  readIdentity,
  writeIdentity,
} from './identity.js'
import { writeSmallFile } from './small-file.js'
import { MAX_SESSIONS, shardsDir } from './storage.js'

const MIB = 1024 * 1024
const LOG_OPTIONS = { segmentBytes: 64 * MIB, maxWriteBytes: MIB, tailBytes: 0 }
/** Made by the lock and by the attempt before: not a reason to refuse a folder that has the mark. */
const LOCK = 'lock'
/** Of the only member. */
const FIRST_SLOT = 0
/** So many blobs may be numbered from a number that was drawn. */
const SEQ_ROOM = 2 ** 20

/** The state that a new cluster begins with. */
export interface ClusterSource {
  /** Undefined: the state is made of all entries from the first on. */
  readonly image: { readonly manifest: ImageManifest; readonly read: ChunkReader } | undefined
  /** In force before the first entry; not needed with an image, which has its own. */
  readonly initial: Configuration | undefined
  /** What is to be applied on top of the image: the entries from `from` on, without a gap. */
  entries(from: LogIndex): AsyncIterable<readonly Entry[]>
  /** The bytes of the state's large values. */
  readonly largeParts: PartSource
}

/** A cluster that was founded, and the entry after which it goes on. */
export interface NewCluster extends EntryId {
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly id: string
  readonly unreadable: UnreadableValues
}

/**
 * Fills the folder `dir`, which must be empty or absent, or hold what is left of an attempt before.
 * @throws {StoreError} QUORATE_NOT_EMPTY; QUORATE_LOCKED; QUORATE_NO_SPACE; what the source throws. Nothing that was
 *   there before is touched then, and the folder is no member's.
 */
export async function foundCluster(
  env: Env,
  dir: string,
  id: string,
  source: ClusterSource,
): Promise<NewCluster> {
  await refuseOthers(env, dir)
  await env.disk.makeDir(dir)
  const lock = await env.disk.lock(`${dir}/${LOCK}`)
  try {
    await refuseOthers(env, dir)
    await writeSmallFile(env.disk, dir, RESTORE_MARK, Buffer.from(`${id}\n`))
    await env.databases.remove(`${dir}/state`)
    await env.disk.removeDir(`${dir}/log`)
    await env.disk.removeDir(shardsDir(dir))
    const identity = await drawIdentity(env.random, id)
    const { unreadable, ...entry } = await makeState(env, dir, identity, source)
    await makeLog(env, `${dir}/log`, identity, entry)
    // Nothing that makes it a member's folder may be durable before what it consists of.
    await env.disk.syncDir(dir)
    await writeIdentity(env.disk, dir, identity)
    await env.disk.remove(`${dir}/${RESTORE_MARK}`)
    await env.disk.syncDir(dir)
    return { clusterId: identity.clusterId, id, ...entry, unreadable }
  } finally {
    await lock.close()
  }
}

async function refuseOthers({ disk }: Env, dir: string): Promise<void> {
  const names = (await disk.list(dir)) ?? []
  if ((await readIdentity(disk, dir)) !== undefined) {
    throw new StoreError('QUORATE_NOT_EMPTY', `${dir} is a member's data folder already`)
  }
  if (names.includes(RESTORE_MARK)) return
  const stray = names.find((name) => name !== LOCK && name !== `${RESTORE_MARK}${UNFINISHED}`)
  if (stray === undefined) return
  throw new StoreError('QUORATE_NOT_EMPTY', `${dir} is not empty: it holds ${stray}`)
}

/** Makes the state, durably; returns the entry that it stands after. */
async function makeState(
  env: Env,
  dir: string,
  identity: Identity,
  { image, initial, entries, largeParts }: ClusterSource,
): Promise<EntryId & Pick<NewCluster, 'unreadable'>> {
  const database = await env.databases.open(`${dir}/state`)
  try {
    if (image !== undefined) await loadImage(image.manifest, image.read, database)
    // Never closed: it would close the database, which is still needed.
    const machine = await StateMachine.over(database, {
      maxSessions: MAX_SESSIONS,
      historyBytes: 0,
      initial: initial ?? firstConfiguration([]),
      confChange: changeConfiguration,
    })
    for await (const some of entries(machine.appliedIndex + 1)) await machine.apply(some)
    const entry = { index: machine.appliedIndex, term: machine.appliedTerm }
    const unreadable = await makeShards(env, dir, identity, { database, entry, largeParts })
    await makeOwn(database, identity, entry)
    return { ...entry, unreadable }
  } finally {
    await database.close()
  }
}

/** Makes the large values of the state shards of this member, durably; says which it cannot. */
async function makeShards(
  { disk, random }: Env,
  dir: string,
  { clusterId, nodeId }: Identity,
  state: Pick<ClusterSource, 'largeParts'> & { database: Database; entry: EntryId },
): Promise<UnreadableValues> {
  const store = await ShardStore.open(disk, shardsDir(dir), DEFAULT_SHARD_STORE)
  try {
    const owner = {
      clusterId: Buffer.from(clusterId, 'hex'),
      nodeId,
      slot: FIRST_SLOT,
      term: state.entry.term,
      firstSeq: random.u32('blob') * SEQ_ROOM,
    }
    return await resealValues(state.database, store, owner, state.largeParts)
  } finally {
    await store.close()
  }
}

/** Makes `identity` the only member of what is in the database. */
async function makeOwn(database: Database, identity: Identity, { index }: EntryId): Promise<void> {
  const record = database.get(META_KEY)
  if (record === undefined) {
    throw new StoreError('QUORATE_NOT_READY', 'there is no state: nothing was ever applied')
  }
  const { conf } = firstConfiguration(identity.firstMembers)
  const members = identity.firstMembers.map(({ nodeId, id }) => ({
    nodeId,
    id,
    address: undefined,
    incarnation: undefined,
    slot: FIRST_SLOT,
  }))
  const batch = database.batch()
  batch.put(META_KEY, encodeStateRecord({ ...decodeStateRecord(asBuffer(record)), conf }))
  // What the old cluster retains are shards of its members.
  if (database.get(RETAINED_KEY) !== undefined) batch.del(RETAINED_KEY)
  batch.put(MEMBERS_KEY, encodeDirectory({ confIndex: index, members, removed: [] }))
  await batch.write()
  if (await database.flush()) return
  throw new StoreError('QUORATE_NO_SPACE', 'the state did not reach the disk', { retryable: true })
}

/** Makes a log that begins after `entry`, in its term: terms never fall (Raft §5.1). */
async function makeLog(env: Env, dir: string, identity: Identity, entry: EntryId): Promise<void> {
  const owner = {
    clusterId: Buffer.from(identity.clusterId, 'hex'),
    nodeId: identity.nodeId,
  }
  const log = await RaftLog.open(env.disk, env.time, dir, owner, LOG_OPTIONS)
  try {
    const hardState = { term: entry.term, vote: NONE, commit: 0 }
    await log.append({ entries: [], hardState, mustSync: true })
    await log.compactTo(entry.index, entry.term)
  } finally {
    await log.close()
  }
}
