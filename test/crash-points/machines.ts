/**
 * Simulated machines that can be taken down all at once: what a power cut of the whole room would leave of their
 * disks, and the same room again on what was left.
 */
import type { Env } from '../../src/env/env.js'
import type { MemberParts } from '../../src/member/member.js'
import type { HardState } from '../../src/raft/types.js'
import type { SimDatabases } from '../../src/sim/sim-database.js'
import type { DiskImage, PowerCutMode } from '../../src/sim/sim-disk.js'
import { SimHost } from '../../src/sim/sim-host.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import { SimWorld } from '../../src/sim/world.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import { openStore, type Store } from '../../src/store/store.js'

/** What is left of one machine. */
interface MachineImage {
  readonly options: OpenOptions
  readonly disk: DiskImage
  readonly databases: ReturnType<SimDatabases['image']>
}

/** What is left of all of them, by name. */
export type RoomImage = ReadonlyMap<string, MachineImage>

interface Machine {
  readonly host: SimHost
  readonly options: OpenOptions
  store: Store | undefined
}

/** How long anything may take, in virtual milliseconds, before it counts as hung. */
const PATIENCE_MS = 60_000
const POLL_MS = 5

/** The machines of one room. */
export class Machines {
  readonly world: SimWorld
  readonly network: SimNetwork
  /** Called when a disk operation that changes something begins, and when it has happened. */
  onBoundary: (() => void) | undefined
  /** Terms and votes that are durable, by machine. */
  readonly votes: Map<string, HardState> = new Map()
  /** Terms and votes as they were found when the logs were opened last. */
  readonly foundVotes: Map<string, HardState> = new Map()
  readonly #machines = new Map<string, Machine>()

  constructor(seed: number) {
    this.world = new SimWorld(seed)
    this.network = new SimNetwork(this.world)
  }

  /** The room after the power came back. */
  static restored(image: RoomImage, seed: number): Machines {
    const machines = new Machines(seed)
    for (const [name, { options, disk, databases }] of image) {
      machines.add(name, options)
      const { host } = machines.#machine(name)
      host.disk.restore(disk)
      host.databases.restore(databases)
    }
    return machines
  }

  get names(): string[] {
    return [...this.#machines.keys()]
  }

  /** Puts a machine into the room; nothing runs on it. */
  add(name: string, options: OpenOptions): void {
    const host = new SimHost(this.world, this.network, name)
    host.disk.onBoundary = () => this.onBoundary?.()
    this.#machines.set(name, { host, options, store: undefined })
  }

  host(name: string): SimHost {
    return this.#machine(name).host
  }

  /** The store on a machine, which must be open. */
  store(name: string): Store {
    const { store } = this.#machine(name)
    if (store === undefined) throw new Error(`nothing runs on ${name}`)
    return store
  }

  isUp(name: string): boolean {
    return this.#machine(name).store !== undefined
  }

  /** Opens the store of a machine; rejects as that does. */
  async start(name: string): Promise<void> {
    const machine = this.#machine(name)
    const { host, options } = machine
    machine.store = await openStore(host.boot(), options, (parts) => this.#watch(name, parts))
  }

  /** The environment of one more process on a machine, for what is done without a store. */
  boot(name: string): Env {
    return this.#machine(name).host.boot()
  }

  /** Ends the process of a machine, and its power when there is a `mode`. */
  stop(name: string, mode?: PowerCutMode): void {
    const machine = this.#machine(name)
    if (mode === undefined) machine.host.kill()
    else machine.host.powerCut(mode)
    machine.store = undefined
  }

  /** Whether a power cut now could lose anything. */
  get hasUnsynced(): boolean {
    return [...this.#machines.values()].some(({ host }) => host.disk.hasUnsynced)
  }

  /** What a power cut in this moment would leave; changes nothing. */
  image(mode: PowerCutMode, salt: number): RoomImage {
    const image = new Map<string, MachineImage>()
    for (const [name, { host, options }] of this.#machines) {
      const disk = host.disk.image(mode, salt)
      image.set(name, { options, disk, databases: host.databases.image() })
    }
    return image
  }

  /** Of the members that run, the one that leads in the highest term. */
  get leader(): string | undefined {
    let best: { name: string; term: number } | undefined
    for (const [name, { store }] of this.#machines) {
      const status = store?.status()
      if (status?.role !== 'leader' || status.term <= (best?.term ?? 0)) continue
      best = { name, term: status.term }
    }
    return best?.name
  }

  /** Resolves after `ms`; for workloads, whose time somebody else lets pass. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.world.schedule(ms, resolve)
    })
  }

  /** Resolves when `condition` holds; for workloads. */
  async until(condition: () => boolean): Promise<void> {
    const end = this.world.now + PATIENCE_MS
    while (!condition()) {
      if (this.world.now > end) throw new Error(`still not so: ${condition}`)
      await this.pause(POLL_MS)
    }
  }

  /** Lets time pass until `promise` settles. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, PATIENCE_MS)
  }

  /** A vote that an append has made durable must never be forgotten: see `check`. */
  #watch(name: string, { log }: MemberParts): void {
    this.foundVotes.set(name, log.recovered.hardState)
    const append = log.append.bind(log)
    log.append = async (write) => {
      await append(write)
      if (write.hardState !== undefined) this.votes.set(name, write.hardState)
    }
  }

  #machine(name: string): Machine {
    const machine = this.#machines.get(name)
    if (machine === undefined) throw new Error(`there is no machine ${name}`)
    return machine
  }
}
