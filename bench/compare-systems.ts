/** Starts everything that is compared: our members, a client, and the other systems that are there. */
import { join } from 'node:path'
import type { MemberChild } from '../src/cli/processes/member-child.js'
import { ProcessCluster } from '../src/cli/processes/process-cluster.js'
import type { BenchContext } from './bench-run.js'
import { Child } from './child.js'
import { Generator } from './generator.js'
import type { LoadOperations } from './load-operations.js'
import type { PeerOperations } from './peer-process.js'
import { startEtcd, startRedis } from './peer-servers.js'
import { PEERS, type PeerName, versionOf, whatIsMissing } from './peers.js'

export const KEY_COUNT = 20_000
export const VALUE_BYTES = 128
const LEADER_WITHIN_MS = 30_000

/** What the comparison measures. Members are asked for anew each time: who leads may change. */
export interface Systems {
  readonly lone: () => MemberChild<LoadOperations>
  readonly leader: () => MemberChild<LoadOperations>
  readonly follower: () => MemberChild<LoadOperations>
  readonly addresses: readonly string[]
  readonly client: Generator
  readonly peers: ReadonlyMap<PeerName, Child<PeerOperations>>
  /** A process that measures the disk. */
  readonly disk: Child<PeerOperations>
  /** A path at which nothing is yet. */
  newFolder(): string
  /** In a process of its own, which has done nothing before. */
  firstPut(): Promise<number>
}

type Cluster = ProcessCluster<LoadOperations>

/** Starts and fills all of them; they end with the benchmark. */
export async function startSystems(context: BenchContext): Promise<Systems> {
  const peers = await startPeers(context)
  const one = await startCluster(context, 'one', ['a'])
  const three = await startCluster(context, 'three', ['a', 'b', 'c'])
  const client = new Generator()
  context.onEnd(() => client.end())
  const disk = startChild(context)
  let folders = 0
  const newFolder = (): string => join(context.root, `folder-${folders++}`)
  const leaderId = (await three.leader(LEADER_WITHIN_MS)).id
  const seat = (cluster: Cluster, fits: (id: string) => boolean) => () =>
    cluster.living.find(({ id }) => fits(id))!.child
  return {
    lone: seat(one, () => true),
    leader: seat(three, (id) => id === leaderId),
    follower: seat(three, (id) => id !== leaderId),
    addresses: three.seats.map(({ address }) => address),
    client,
    peers,
    disk,
    newFolder,
    firstPut: async () => {
      const child = new Child<PeerOperations>(PEER_SCRIPT)
      try {
        return await child.call('firstPut', { dir: newFolder() })
      } finally {
        child.end()
      }
    },
  }
}

const PEER_SCRIPT = join(import.meta.dirname, 'peer-process.js')

function startChild(context: BenchContext): Child<PeerOperations> {
  const child = new Child<PeerOperations>(PEER_SCRIPT)
  context.onEnd(() => child.end())
  return child
}

async function startCluster(
  context: BenchContext,
  name: string,
  memberIds: readonly string[],
): Promise<Cluster> {
  const cluster: Cluster = await ProcessCluster.create({
    script: join(import.meta.dirname, 'load-process.js'),
    root: join(context.root, name),
    memberIds,
    store: { valueEncoding: 'binary' },
  })
  context.onEnd(() => cluster.kill())
  await cluster.start()
  const leader = await cluster.leader(LEADER_WITHIN_MS)
  await leader.child.call('fill', { keyCount: KEY_COUNT, valueBytes: VALUE_BYTES })
  return cluster
}

async function startPeers(context: BenchContext): Promise<Map<PeerName, Child<PeerOperations>>> {
  const found = new Map<PeerName, Child<PeerOperations>>()
  for (const peer of PEERS) {
    const missing = whatIsMissing(peer)
    if (missing !== undefined) {
      context.note(`${peer} is skipped: ${missing}`)
      continue
    }
    const ports = await startServers(context, peer)
    const child = startChild(context)
    const dir = join(context.root, `${peer}-data`)
    await child.call('open', { peer, dir, ports, keyCount: KEY_COUNT, valueBytes: VALUE_BYTES })
    context.note(`${peer} is ${versionOf(peer)}`)
    found.set(peer, child)
  }
  return found
}

/** The ports of a peer's servers; none where it has no servers. */
async function startServers(context: BenchContext, peer: PeerName): Promise<readonly number[]> {
  if (peer !== 'etcd' && peer !== 'redis') return []
  const start = peer === 'etcd' ? startEtcd : startRedis
  const servers = await start(join(context.root, peer))
  context.onEnd(() => servers.end())
  return servers.ports
}
