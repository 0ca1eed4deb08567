/** The ways in which a leader goes, and what brings it back. */
import type { ProxiedCluster } from './proxied-cluster.js'

/** A fault of the leader. */
export interface FaultKind {
  readonly name: string
  readonly begin: (cluster: ProxiedCluster, leader: string) => Promise<void>
  readonly end: (cluster: ProxiedCluster, leader: string) => Promise<void>
}

/** All of them. */
export const FAULTS: readonly FaultKind[] = [
  {
    name: 'kill -9',
    begin: (cluster, leader) => cluster.kill(leader),
    end: (cluster, leader) => cluster.restart(leader),
  },
  {
    name: 'graceful close',
    begin: async (cluster, leader) => {
      await cluster.call(leader, 'close', undefined as never)
      await cluster.kill(leader)
    },
    end: (cluster, leader) => cluster.restart(leader),
  },
  {
    name: 'pause (SIGSTOP)',
    begin: async (cluster, leader) => cluster.pause(leader),
    end: async (cluster, leader) => cluster.resume(leader),
  },
  {
    name: 'partition',
    begin: async (cluster, leader) => {
      cluster.partition([[leader], cluster.members.filter((name) => name !== leader)])
    },
    end: async (cluster) => cluster.heal(),
  },
]
