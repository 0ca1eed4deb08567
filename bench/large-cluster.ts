/** Clusters that store large values, and what they hold on disk. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type LivingSeat, ProcessCluster, pause } from '../src/cli/processes/process-cluster.js'
import type { OpenOptions } from '../src/index.js'
import type { BenchContext } from './bench-run.js'
import type { LargeOperations } from './large-operations.js'

/** How large values are stored: as shards, or whole on every member. */
export type Storing = 'coded' | 'whole'

const MEMBERS: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
const LEADER_WITHIN_MS = 30_000
const CAUGHT_UP_MS = 60_000
/** What is cleaned up behind a checkpoint takes a moment. */
const SETTLE_MS = 1500
const BLOCK_BYTES = 512
const MIB = 1 << 20
/** Whole values of up to 16 MiB must pass. */
const LIMITS: NonNullable<OpenOptions['limits']> = {
  maxValueBytes: 16 * MIB,
  maxRequestBytes: 16 * MIB,
  maxQueuedBytes: 160 * MIB,
}
/** What the log holds goes with time: it is left out of what the disks hold for good. */
const LOG_DIR = 'log'
const CODE_ALL: NonNullable<OpenOptions['erasure']> = { threshold: 1024 }

/** What a cluster has sent and holds, in bytes. */
export interface Footprint {
  /** By the member that leads. */
  readonly sent: number
  /** On all disks together, without the logs. */
  readonly disk: number
}

/** One cluster, in processes of its own. */
export class LargeCluster {
  readonly #root: string
  readonly #cluster: ProcessCluster<LargeOperations>

  /** Starts it and waits for a leader; it ends with the benchmark, or before. */
  static async start(
    context: BenchContext,
    name: string,
    members: number,
    storing: Storing,
  ): Promise<LargeCluster> {
    const root = join(context.root, name)
    const cluster = await ProcessCluster.create<LargeOperations>({
      script: join(import.meta.dirname, 'large-process.js'),
      root,
      memberIds: MEMBERS.slice(0, members),
      store: {
        valueEncoding: 'binary',
        limits: LIMITS,
        erasure: storing === 'coded' ? CODE_ALL : false,
      },
    })
    context.onEnd(() => cluster.kill())
    await cluster.start()
    await cluster.leader(LEADER_WITHIN_MS)
    return new LargeCluster(root, cluster)
  }

  private constructor(root: string, cluster: ProcessCluster<LargeOperations>) {
    this.#root = root
    this.#cluster = cluster
  }

  get living(): readonly LivingSeat<LargeOperations>[] {
    return this.#cluster.living
  }

  leader(): Promise<LivingSeat<LargeOperations>> {
    return this.#cluster.leader(LEADER_WITHIN_MS)
  }

  /** Takes a checkpoint everywhere and counts. */
  async footprint(): Promise<Footprint> {
    const leader = await this.leader()
    const { lastIndex } = await leader.child.call('status', undefined)
    for (const seat of this.living) {
      await this.#cluster.caughtUp(seat, lastIndex, CAUGHT_UP_MS)
      await seat.child.call('checkpoint', undefined)
    }
    await pause(SETTLE_MS)
    const { member } = await leader.child.call('metrics', undefined)
    return { sent: member?.network.sentBytes ?? 0, disk: await bytesIn(this.#root) }
  }

  kill(): Promise<void> {
    return this.#cluster.kill()
  }
}

/** What the files of a folder take on its disk, all the way down but for logs. */
async function bytesIn(dir: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) bytes += entry.name === LOG_DIR ? 0 : await bytesIn(path)
    else bytes += await blocksOf(path)
  }
  return bytes
}

async function blocksOf(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * BLOCK_BYTES
  } catch {
    // Removed meanwhile.
    return 0
  }
}
