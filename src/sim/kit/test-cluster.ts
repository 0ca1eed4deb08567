/**
 * A cluster on virtual time, driven by hand: the imperative side of the testing kit.
 *
 * Members are the production code on simulated machines. Time passes only in `run`, `advance` and the calls that wait
 * for something, so a test that waits ten seconds of the cluster's life takes milliseconds, and the same seed always
 * gives the same run.
 */
import type { OpenOptions } from '../../store/open-options.js'
import type { Store } from '../../store/store.js'
import { SimCluster } from '../sim-cluster.js'
import type { DiskOperation, PowerCutMode } from '../sim-disk.js'

/** How a TestCluster is made; everything has a default. */
export interface TestClusterOptions {
  /** Names of the members; default a, b and c. One alone has no network. */
  readonly members?: readonly string[]
  /** Default 1. */
  readonly seed?: number
  /** Options of all stores, besides those about members and folders. */
  readonly store?: Partial<OpenOptions>
}

const MEMBERS = ['a', 'b', 'c']
const PATIENCE_MS = 60_000

/** See the file's comment. */
export class TestCluster {
  readonly #cluster: SimCluster

  /** Starts the members; somebody leads when it resolves. */
  static async start({
    members = MEMBERS,
    seed = 1,
    store = {},
  }: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = await SimCluster.start(seed, members, store)
    await cluster.awaitLeader()
    return new TestCluster(cluster)
  }

  private constructor(cluster: SimCluster) {
    this.#cluster = cluster
  }

  get members(): readonly string[] {
    return this.#cluster.names
  }

  /** The member that leads; undefined while none does. */
  get leader(): string | undefined {
    return this.#cluster.leader()
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#cluster.world.now
  }

  /** The store of a member that is up. Its promises settle only while time passes: see `run`. */
  store(member: string): Store {
    return this.#cluster.store(member)
  }

  /** Lets time pass until `promise` settles, and gives its result; fails after a virtual minute. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.#cluster.run(promise)
  }

  /** Lets `ms` pass. */
  advance(ms: number): Promise<void> {
    return this.#cluster.world.advance(ms)
  }

  /** Lets time pass until somebody leads; resolves with who. */
  elected(): Promise<string> {
    return this.#cluster.awaitLeader()
  }

  /** Lets time pass until all members that are up have applied the same; fails after a virtual minute. */
  async converged(): Promise<void> {
    const stores = () => this.members.filter((name) => this.#cluster.isUp(name))
    const isAtRest = () => {
      const all = stores().map((name) => this.store(name).status())
      const last = Math.max(...all.map(({ lastIndex }) => lastIndex))
      return this.leader !== undefined && all.every(({ appliedIndex }) => appliedIndex === last)
    }
    if (await this.#cluster.world.runUntil(isAtRest, PATIENCE_MS)) return
    throw new Error(`the members did not converge within ${PATIENCE_MS} virtual ms`)
  }

  /** Ends a member's process as kill -9 does: what it wrote is with the system, synced or not. */
  kill(member: string): void {
    this.#cluster.kill(member)
  }

  /** Ends a member's process and the power of its machine; `mode` says what is left of what was not synced. */
  powerCut(member: string, mode: PowerCutMode): void {
    this.#cluster.powerCut(member, mode)
  }

  /** Starts a member whose process has ended. */
  restart(member: string): Promise<void> {
    return this.#cluster.restart(member)
  }

  /** The member stands still, as in a long garbage collection, until `resume`. */
  pause(member: string): void {
    this.#cluster.host(member).pause()
  }

  resume(member: string): void {
    this.#cluster.host(member).resume()
  }

  /** Members of different groups cannot reach each other, until `heal`. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#cluster.network.partition(groups)
  }

  /** Nothing passes from one member to another, until `heal`; the other direction is not touched. */
  cut(from: string, to: string): void {
    this.#cluster.network.cut(from, to)
  }

  /** Ends everything that was done to the network. */
  heal(): void {
    this.#cluster.network.healAll()
  }

  /** The next `operation` of a member on a file whose path contains `pathPart` fails with `code` (EIO, ENOSPC). */
  failDisk(member: string, operation: DiskOperation, code: string, pathPart: string): void {
    this.#cluster.host(member).disk.failNext(operation, code, pathPart)
  }

  /** A member's disk takes `factor` times as long for everything. */
  slowDisk(member: string, factor: number): void {
    this.#cluster.host(member).slow(factor)
  }

  /** A member's disk has `freeBytes` left; Infinity ends it. */
  fillDisk(member: string, freeBytes: number): void {
    const { disk } = this.#cluster.host(member)
    disk.capacityBytes = disk.usedBytes + freeBytes
  }

  /** A member's wall clock jumps. */
  stepClock(member: string, ms: number): void {
    this.#cluster.host(member).stepWall(ms)
  }

  /** Closes all members. */
  close(): Promise<void> {
    return this.#cluster.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
