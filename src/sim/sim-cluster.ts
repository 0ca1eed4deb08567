/**
 * A whole cluster in one process on virtual time: the same member and store code as in production.
 */
import type { OpenOptions } from '../store/open-options.js'
import { openStore, type Store } from '../store/store.js'
import type { PowerCutMode } from './sim-disk.js'
import { SimHost } from './sim-host.js'
import { SimNetwork } from './sim-network.js'
import { simulatedErasure } from './simulated-codec.js'
import { SimWorld } from './world.js'

/** How long a call may take before a run counts as hung. */
const PATIENCE_MS = 60_000

const SECRET = 'a secret for simulations'

interface Life {
  readonly host: SimHost
  /** Whom to join: not a member of the beginning. */
  readonly join: readonly string[] | undefined
  store: Store | undefined
}

/** Members by name, each on a host of its own. */
export class SimCluster {
  readonly world: SimWorld
  readonly network: SimNetwork
  readonly #options: Partial<OpenOptions>
  readonly #addresses: Readonly<Record<string, string>>
  readonly #lives = new Map<string, Life>()

  /**
   * Starts a member on a host of its own for each name. A single one has no network, unless `options` say where it
   * listens: then others can join it.
   */
  static async start(
    seed: number,
    names: readonly string[],
    options: Partial<OpenOptions>,
  ): Promise<SimCluster> {
    const cluster = new SimCluster(new SimWorld(seed), names, options)
    for (const name of names) await cluster.restart(name)
    return cluster
  }

  private constructor(world: SimWorld, names: readonly string[], options: Partial<OpenOptions>) {
    this.world = world
    this.network = new SimNetwork(world)
    this.#options = options
    this.#addresses = Object.fromEntries(names.map((name) => [name, this.addressOf(name)]))
    for (const name of names) this.#addLife(name, undefined)
  }

  /** Where the member of this name listens. */
  addressOf(name: string): string {
    return `${name}:7100`
  }

  /** Starts a member on a new host that joins the others; resolves when one of them has added it. */
  async join(name: string, options: Partial<OpenOptions> = {}): Promise<void> {
    const join = this.names.map((other) => this.addressOf(other))
    this.#addLife(name, join)
    await this.#open(name, options)
  }

  /** Ends a member's process and puts an empty disk into its machine. */
  wipe(name: string): void {
    this.kill(name)
    this.host(name).wipe()
  }

  /** Takes a member and its host out of the cluster's view: whatever becomes of it does not matter any more. */
  forget(name: string): void {
    this.kill(name)
    this.#lives.delete(name)
  }

  get names(): string[] {
    return [...this.#lives.keys()]
  }

  /** The store of a running member. */
  store(name: string): Store {
    const { store } = this.#life(name)
    if (store === undefined) throw new Error(`${name} is down`)
    return store
  }

  host(name: string): SimHost {
    return this.#life(name).host
  }

  isUp(name: string): boolean {
    return this.#life(name).store !== undefined
  }

  /** The member that leads in the highest term known to a running one. */
  leader(): string | undefined {
    let best: { name: string; term: number } | undefined
    for (const [name, { store }] of this.#lives) {
      const status = store?.status()
      if (status?.role !== 'leader') continue
      if (best === undefined || status.term > best.term) best = { name, term: status.term }
    }
    return best?.name
  }

  /** Ends a member's process as kill -9 does. */
  kill(name: string): void {
    this.#life(name).host.kill()
    this.#life(name).store = undefined
  }

  /** Ends a member's process and the power of its machine. */
  powerCut(name: string, mode: PowerCutMode): void {
    this.#life(name).host.powerCut(mode)
    this.#life(name).store = undefined
  }

  /** Starts a member that is down. */
  async restart(name: string): Promise<void> {
    await this.run(this.#open(name, {}))
  }

  /** Starts a member that is down with these options and no others, but for the secret. */
  async reopen(name: string, options: OpenOptions): Promise<void> {
    const life = this.#life(name)
    const erasure = simulatedErasure(options.erasure)
    const all = { secret: SECRET, ...options, erasure }
    life.store = await this.run(openStore(life.host.boot(), all))
  }

  /** Lets time pass until `promise` settles; fails when it takes longer than a minute of virtual time. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, PATIENCE_MS)
  }

  /** Lets time pass until somebody leads. */
  async awaitLeader(): Promise<string> {
    await this.world.runUntil(() => this.leader() !== undefined, PATIENCE_MS)
    const leader = this.leader()
    if (leader === undefined) throw new Error('no leader emerged')
    return leader
  }

  /** Closes all running members. */
  async close(): Promise<void> {
    for (const life of this.#lives.values()) {
      if (life.store !== undefined) await this.run(life.store.close())
      life.store = undefined
    }
  }

  #addLife(name: string, join: readonly string[] | undefined): void {
    const host = new SimHost(this.world, this.network, name)
    this.#lives.set(name, { host, join, store: undefined })
  }

  async #open(name: string, more: Partial<OpenOptions>): Promise<void> {
    const life = this.#life(name)
    const isAlone = Object.keys(this.#addresses).length === 1
    const options: OpenOptions = {
      secret: SECRET,
      ...this.#options,
      dir: 'data',
      id: name,
      ...(life.join !== undefined
        ? { join: life.join, listen: this.addressOf(name) }
        : !isAlone && { members: this.#addresses }),
      ...more,
    }
    const erasure = simulatedErasure(options.erasure)
    life.store = await openStore(life.host.boot(), { ...options, erasure })
  }

  #life(name: string): Life {
    const life = this.#lives.get(name)
    if (life === undefined) throw new Error(`there is no member ${name}`)
    return life
  }
}
