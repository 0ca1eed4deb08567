/** Who carries out an open load: a member whose role is known, or a client that is connected from outside. */
import type { Generator } from './generator.js'
import type { PacedResult } from './open-loop.js'
import type { OpenLoad } from './pace.js'
import { leaderOf, type ProxiedCluster } from './proxied-cluster.js'
import type { Workload } from './workload.js'

/** Something that can be loaded; the generator is another process in any case. */
export interface Target {
  readonly role: 'leader' | 'follower' | 'client' | 'alone'
  /** @throws {Error} when the member has another role by now */
  run(workload: Workload, load: OpenLoad): Promise<PacedResult>
}

/** classic-level by itself in a process, which knows no levels: what the others are compared with. */
export function aloneTarget(generator: Generator, alone: Generator, dir: string): Target {
  return {
    role: 'alone',
    run: async (workload, load) => {
      const port = await alone.call('listenAlone', { dir, workload, load })
      const lateness = await generator.call('drive', { port, load })
      return { ...(await alone.call('result', undefined)), lateness }
    },
  }
}

/** The leader, a follower and a client of `cluster`, each loaded by `generator`. */
export async function targetsOf(
  cluster: ProxiedCluster,
  generator: Generator,
  client: Generator,
): Promise<Target[]> {
  const leader = await leaderOf(cluster)
  const follower = cluster.members.find((name) => name !== leader)!
  return [
    memberTarget(cluster, generator, leader, 'leader'),
    memberTarget(cluster, generator, follower, 'follower'),
    {
      role: 'client',
      run: async (workload, load) => {
        const { addresses } = cluster
        const port = await client.call('listen', { addresses, workload, load })
        const lateness = await generator.call('drive', { port, load })
        return { ...(await client.call('result', undefined)), lateness }
      },
    },
  ]
}

function memberTarget(
  cluster: ProxiedCluster,
  generator: Generator,
  member: string,
  role: 'leader' | 'follower',
): Target {
  return {
    role,
    run: async (workload, load) => {
      const port = await cluster.call(member, 'listen', { workload, load })
      const lateness = await generator.call('drive', { port, load })
      const result = await cluster.call(member, 'result', undefined)
      const status = await cluster.call(member, 'status', undefined)
      if (status.role !== role) throw new Error(`${member} is ${status.role} now: run it again`)
      return { ...result, lateness }
    },
  }
}
