/**
 * One simulated machine: its disk outlives the processes that run on it, everything else lives with one process.
 */
import type { Env } from '../env/env.js'
import { SimDatabases } from './sim-database.js'
import { type PowerCutMode, SimDisk } from './sim-disk.js'
import type { SimNetwork } from './sim-network.js'
import { SimRandom } from './sim-random.js'
import { SimTime } from './sim-time.js'
import type { SimWorld } from './world.js'

/** A machine with a disk and at most one process at a time. */
export class SimHost {
  readonly name: string
  disk: SimDisk
  databases: SimDatabases
  readonly #world: SimWorld
  readonly #network: SimNetwork
  #time: SimTime
  #lives = 0
  #rate = 1

  constructor(world: SimWorld, network: SimNetwork, name: string) {
    this.name = name
    this.#world = world
    this.#network = network
    this.disk = new SimDisk(world, name, {})
    this.databases = new SimDatabases(world, name)
    this.#time = new SimTime(world)
  }

  /** The environment of a new process: its chance is its own, also after a graceful end of the last one. */
  boot(): Env {
    this.#lives++
    const time = this.#time
    const deliver = (callback: () => void) => time.deliver(callback)
    this.disk.deliver = deliver
    this.databases.deliver = deliver
    return {
      disk: this.disk.mount(),
      databases: this.databases,
      network: this.#network.host(this.name, time),
      time,
      random: new SimRandom(this.#world, `${this.name}/${this.#lives}`),
    }
  }

  /** The process stands still, and nothing reaches it, until `resume`. */
  pause(): void {
    this.#time.pause()
  }

  resume(): void {
    this.#time.resume()
  }

  /** Disk and databases take `factor` times as long as they would. */
  slow(factor: number): void {
    this.disk.slowness = factor
    this.databases.slowness = factor
  }

  /** The clocks of this and every later process run `rate` times as fast as the world's. */
  drift(rate: number): void {
    this.#rate = rate
    this.#time.drift(rate)
  }

  /** The wall clock of the process jumps by `ms`. */
  stepWall(ms: number): void {
    this.#time.stepWall(ms)
  }

  /** Puts an empty disk into the machine, whose process has been ended. */
  wipe(): void {
    this.disk = new SimDisk(this.#world, this.name, {})
    this.databases = new SimDatabases(this.#world, this.name)
  }

  /** Ends the process as kill -9 does: what it wrote is there, synced or not. */
  kill(): void {
    this.#network.kill(this.name)
    this.disk.kill()
    this.databases.kill()
    this.#endTime()
  }

  /** Ends the process and the power: of what was not synced, `mode` says what is left. */
  powerCut(mode: PowerCutMode): void {
    this.#network.powerCut(this.name)
    this.disk.powerCut(mode)
    this.databases.powerCut()
    this.#endTime()
  }

  /** Nothing that the old process waits for ever comes. */
  #endTime(): void {
    this.#time.kill()
    this.#time = new SimTime(this.#world)
    this.#time.drift(this.#rate)
  }
}
