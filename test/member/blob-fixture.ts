/** Clusters that store large values, small enough to be looked at, and what lies on their disks. */
import assert from 'node:assert/strict'
import type { BlobStatus } from '../../src/blob/status.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { ErasureOptions, OpenOptions } from '../../src/store/open-options.js'
import type { Shard } from '../../src/wire/shard.js'
import { decodeShardHead, openShard, shardLayout } from '../../src/wire/shard.js'

/** Parts of k KiB, shards of two blocks. */
export const SMALL: ErasureOptions = {
  threshold: 300,
  shardBytes: 1024,
  unitBytes: 512,
  stallMs: 300,
  graceMs: 2000,
  codec: 'javascript',
  inlineBytesMax: Number.POSITIVE_INFINITY,
}

/** Folder of the shards on a member's disk. */
export const SHARDS_DIR = 'data/blobs'

/** A cluster of these members, one of which leads. */
export async function blobCluster(
  seed: number,
  names: readonly string[],
  options: Partial<OpenOptions> = {},
): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, names, {
    valueEncoding: 'binary',
    erasure: SMALL,
    ...options,
  })
  await cluster.awaitLeader()
  return cluster
}

/** Bytes that tell by which name and where they were written. */
export function bytesOf(name: string, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + name.charCodeAt(0)) & 0xff
  bytes.write(name, 0, 'latin1')
  return bytes
}

export async function put(
  cluster: SimCluster,
  via: string,
  key: string,
  bytes: number,
): Promise<void> {
  await cluster.run(cluster.store(via).put(key, bytesOf(key, bytes)))
}

/** Fails unless every one of `names` reads what `put` wrote. */
export async function assertReadable(
  cluster: SimCluster,
  names: readonly string[],
  values: Readonly<Record<string, number>>,
): Promise<void> {
  for (const name of names) {
    for (const [key, bytes] of Object.entries(values)) {
      const read = await cluster.run(cluster.store(name).get(key))
      assert.ok(Buffer.isBuffer(read), `${key} at ${name}`)
      assert.ok(read.equals(bytesOf(key, bytes)), `${key} at ${name} is not what was written`)
    }
  }
}

/** The whole shards that lie in a member's files, needed or not. */
export function shardsAt(cluster: SimCluster, name: string): Shard[] {
  const { disk } = cluster.host(name)
  return disk.paths(SHARDS_DIR).flatMap((path) => shardsIn(disk.bytesOf(path)))
}

function shardsIn(bytes: Buffer): Shard[] {
  const found: Shard[] = []
  for (let at = bytes.indexOf('QSHD'); at !== -1; at = bytes.indexOf('QSHD', at + 1)) {
    try {
      const rest = bytes.subarray(at)
      found.push(openShard(rest.subarray(0, shardLayout(decodeShardHead(rest)).bytes)))
    } catch {
      // Some other bytes that look like the beginning of one.
    }
  }
  return found
}

/** Changes one bit in the middle of each file of shards. */
export function rotShards(cluster: SimCluster, name: string): void {
  const { disk } = cluster.host(name)
  for (const path of disk.paths(SHARDS_DIR)) {
    const bytes = disk.bytesOf(path)
    const at = bytes.indexOf('QSHD')
    if (at !== -1) disk.corrupt(path, at + 200, 0x10)
  }
}

/** What the members say about their shards. */
export function blobsAt(cluster: SimCluster, name: string): BlobStatus {
  return cluster.store(name).status().blobs
}
