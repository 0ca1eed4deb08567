/** The real world: the operating system's disk, network and clock, and LevelDB. */
import type { Env } from './env.js'
import { LevelDatabases } from './level-database.js'
import { NodeDisk } from './node-disk.js'
import { NodeNetwork } from './node-network.js'
import { NodeRandom } from './node-random.js'
import { NodeTime } from './node-time.js'

/** What LevelDB is given. */
export interface NodeEnvOptions {
  readonly writeBufferBytes: number
  readonly cacheBytes: number
}

/** The environment of a member in production. */
export function nodeEnv(options: NodeEnvOptions): Env {
  return {
    disk: new NodeDisk(),
    databases: new LevelDatabases(options),
    network: new NodeNetwork(),
    time: new NodeTime(),
    random: new NodeRandom(),
  }
}
