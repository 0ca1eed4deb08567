/** Everything a member touches outside its own memory, in one place. */
import type { Databases } from './database.js'
import type { Disk } from './disk.js'
import type { Network } from './network.js'
import type { Random } from './random.js'
import type { Time } from './time.js'

/** The outside world of one member; nodeEnv() in production, a SimHost's in simulation. */
export interface Env {
  readonly disk: Disk
  readonly databases: Databases
  readonly network: Network
  readonly time: Time
  readonly random: Random
}
