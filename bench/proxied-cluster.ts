/** A cluster of three that is loaded, with a fault proxy in front of each member. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../src/cli/processes/process-cluster.js'
import { SpawnedCluster } from '../src/cli/processes/spawned-cluster.js'
import type { OpenOptions } from '../src/index.js'
import type { BenchContext } from './bench-run.js'
import type { LoadOperations } from './load-operations.js'

/** Members in processes of their own, reached through proxies. */
export type ProxiedCluster = SpawnedCluster<LoadOperations>

const LEADER_WITHIN_MS = 30_000

/** Starts it; it ends with the benchmark. */
export async function startProxied(
  context: BenchContext,
  store: Pick<OpenOptions, 'strongReads'>,
): Promise<ProxiedCluster> {
  const dir = join(context.root, 'members')
  await mkdir(dir)
  const cluster: ProxiedCluster = await SpawnedCluster.start<LoadOperations>({
    dir,
    store: { valueEncoding: 'binary', ...store },
    script: join(import.meta.dirname, 'load-process.js'),
  })
  context.onEnd(() => cluster.close())
  return cluster
}

/** The name of the member that leads in the highest term; waits until one does. */
export async function leaderOf(cluster: ProxiedCluster): Promise<string> {
  let leader: string | undefined
  await until(LEADER_WITHIN_MS, 'no leader was elected', async () => {
    const running = cluster.members.filter((member) => cluster.isRunning(member))
    const statuses = await Promise.all(
      running.map((name) => cluster.call(name, 'status', undefined)),
    )
    leader = statuses
      .filter(({ role }) => role === 'leader')
      .sort((a, b) => b.term - a.term)
      .map(({ id }) => id)[0]
    return leader !== undefined
  })
  return leader!
}
