/** Clients on simulated hosts of their own. */
import { SimCluster } from '../../../src/sim/sim-cluster.js'
import { SimHost } from '../../../src/sim/sim-host.js'
import { connectOver } from '../../../src/store/remote/connect.js'
import { type ConnectOptions, resolveConnect } from '../../../src/store/remote/connect-options.js'
import type { Store } from '../../../src/store/store.js'

export const NAMES: readonly string[] = ['a', 'b', 'c']
const SECRET = 'a secret for simulations'

/** Three members of which one leads. */
export async function three(
  seed: number,
  options: Parameters<typeof SimCluster.start>[2] = {},
): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, NAMES, options)
  await cluster.awaitLeader()
  return cluster
}

/** A client on the host `client` that is told where the members `of` are. */
export function connected(
  cluster: SimCluster,
  of: readonly string[] = NAMES,
  options: ConnectOptions = {},
): Promise<Store> {
  return connectedFrom(cluster, 'client', of, options)
}

/** The same on a host of this name. */
export function connectedFrom(
  cluster: SimCluster,
  host: string,
  of: readonly string[],
  options: ConnectOptions,
): Promise<Store> {
  const world = new SimHost(cluster.world, cluster.network, host).boot()
  const addresses = of.map((name) => cluster.addressOf(name))
  const settings = resolveConnect(addresses, { secret: SECRET, ...options })
  return cluster.run(connectOver(world, settings, () => undefined))
}

export function others(cluster: SimCluster, name: string): string[] {
  return cluster.names.filter((other) => other !== name)
}
