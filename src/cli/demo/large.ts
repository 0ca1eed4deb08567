/**
 * The large files of the demo: stored as shards while all members are up, which shows what that takes on their disks
 * and between them, and read again while one of them is down.
 */
import type { MemberOperations } from '../processes/operations.js'
import { type ProcessCluster, pause } from '../processes/process-cluster.js'
import { bytes, count, milliseconds, paint, print } from '../terminal.js'
import type { InputFile } from './input.js'
import { Load } from './load.js'
import { type Verification, verify } from './verify.js'

/** Files of more bytes are stored as shards: the default of `erasure.threshold`, with room for the encoding. */
const LARGE_BYTES = 262_144
const WRITES_IN_FLIGHT = 4
/** Until what was sent has arrived everywhere, and is counted. */
const SETTLE_MS = 10_000
const POLL_MS = 50

type Cluster = ProcessCluster<MemberOperations>

/** Whether a file is stored as shards. */
export function isLarge({ bytes: size }: InputFile): boolean {
  return size > LARGE_BYTES
}

/** Stores `files`, and says what it took beside plain copies. */
export async function storeLarge(cluster: Cluster, files: readonly InputFile[]): Promise<Load> {
  const load = new Load(cluster, files)
  if (files.length === 0) return load
  const before = await traffic(cluster)
  const begun = performance.now()
  await load.run(WRITES_IN_FLIGHT, () => undefined)
  const took = performance.now() - begun
  await settled(cluster)
  const sent = (await traffic(cluster)) - before
  const total = load.acknowledgedBytes
  const stored = await storedBytes(cluster)
  const copies = cluster.living.length
  const times = (some: number): string => `${(some / total).toFixed(2)} times`
  print(
    `Stored ${count(files.length)} large files, ${bytes(total)}, as shards in ${milliseconds(took)}: ` +
      `${paint('green', times(stored))} their bytes on all disks together, ${paint('green', times(sent))} ` +
      `sent between members; plain copies: ${copies} times, and again in each log, and ${copies - 1} times sent`,
  )
  return load
}

/** Kills a member that does not lead, and reads `load` from the others. */
export async function readWithOneDown(cluster: Cluster, load: Load): Promise<Verification> {
  const statuses = await Promise.all(
    cluster.living.map(async (seat) => ({ seat, ...(await seat.child.call('status', undefined)) })),
  )
  const follower = statuses.find(({ role }) => role !== 'leader')
  if (follower === undefined) throw new Error('every member leads')
  await follower.seat.child.kill()
  const begun = performance.now()
  const { token } = load.position
  const verification = await verify(cluster, load.acknowledged, token, () => undefined)
  const took = milliseconds(performance.now() - begun)
  print(
    `${paint('red', `kill -9 ${follower.seat.id}`)}: the large files read from the other members, ` +
      `at every level, in ${took}`,
  )
  return verification
}

async function traffic(cluster: Cluster): Promise<number> {
  const all = cluster.living.map(({ child }) => child.call('sentBytes', undefined))
  return (await Promise.all(all)).reduce((sum, sent) => sum + sent, 0)
}

async function storedBytes(cluster: Cluster): Promise<number> {
  const all = cluster.living.map(({ child }) => child.call('status', undefined))
  return (await Promise.all(all)).reduce((sum, { blobs }) => sum + blobs.bytes, 0)
}

/** A put is acknowledged before the last shard has arrived: waits until nothing is on its way any more. */
async function settled(cluster: Cluster): Promise<void> {
  const until = performance.now() + SETTLE_MS
  while (performance.now() < until) {
    const all = cluster.living.map(({ child }) => child.call('status', undefined))
    if ((await Promise.all(all)).every(({ blobs }) => blobs.sendingBytes === 0)) return
    await pause(POLL_MS)
  }
}
