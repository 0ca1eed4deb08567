/**
 * A cluster of real processes with a fault proxy in front of each: the testing kit's way to kill -9, SIGSTOP and cut
 * off members that run on real disks and sockets. Nothing here is deterministic: record a history and let the
 * checkers judge it.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { OpenOptions } from '../../index.js'
import { FaultPlan, FaultProxy } from './fault-proxy.js'
import { MemberChild } from './member-child.js'
import type { Operations } from './operations.js'
import { freePorts } from './process-cluster.js'
import type { StoreOperations } from './store-operations.js'

/** How a SpawnedCluster is made. */
export interface SpawnOptions {
  /** The data folders of the members are made in here. */
  readonly dir: string
  /** Names of the members; default a, b and c. */
  readonly members?: readonly string[]
  /** Options of all stores, besides those about members and folders. */
  readonly store?: Omit<OpenOptions, 'dir' | 'id' | 'members' | 'listen'>
  /** The path of a program that calls `hostMember` with operations of yours; default: StoreOperations. */
  readonly script?: string
}

interface Member<O extends Operations> {
  readonly id: string
  readonly port: number
  readonly proxy: FaultProxy
  child: MemberChild<O> | undefined
}

const MEMBERS = ['a', 'b', 'c']
const STORE_PROCESS = join(import.meta.dirname, 'store-process.js')

/** See the file's comment. Close it, or the processes stay. */
export class SpawnedCluster<O extends Operations = StoreOperations> {
  readonly #options: SpawnOptions
  readonly #plan: FaultPlan
  readonly #members: ReadonlyMap<string, Member<O>>
  readonly #addresses: Readonly<Record<string, string>>

  /** Starts a process for each member and waits until each has opened its store. */
  static async start<O extends Operations = StoreOperations>(
    options: SpawnOptions,
  ): Promise<SpawnedCluster<O>> {
    const ids = options.members ?? MEMBERS
    const ports = await freePorts(ids.length)
    const plan = new FaultPlan()
    const members = new Map<string, Member<O>>()
    const addresses: Record<string, string> = {}
    for (const [at, id] of ids.entries()) {
      const proxy = new FaultProxy(id, ports[at]!, plan)
      members.set(id, { id, port: ports[at]!, proxy, child: undefined })
      addresses[id] = `127.0.0.1:${await proxy.listen()}`
    }
    const cluster = new SpawnedCluster<O>(options, plan, members, addresses)
    await Promise.all(ids.map((id) => cluster.restart(id)))
    return cluster
  }

  private constructor(
    options: SpawnOptions,
    plan: FaultPlan,
    members: ReadonlyMap<string, Member<O>>,
    addresses: Readonly<Record<string, string>>,
  ) {
    this.#options = options
    this.#plan = plan
    this.#members = members
    this.#addresses = addresses
  }

  get members(): readonly string[] {
    return [...this.#members.keys()]
  }

  /** Where the members are reached: the addresses of their proxies. */
  get addresses(): readonly string[] {
    return Object.values(this.#addresses)
  }

  /** Whether the member has a process, paused or not. */
  isAlive(member: string): boolean {
    return this.#memberOf(member).child?.isAlive === true
  }

  /** Whether its process can answer calls: there is one, and it is not paused. */
  isRunning(member: string): boolean {
    return this.#memberOf(member).child?.isRunning === true
  }

  /** Carries out an operation in a member's process. */
  call<K extends keyof O & string>(
    member: string,
    operation: K,
    request: Parameters<O[K]>[1],
  ): Promise<Awaited<ReturnType<O[K]>>> {
    return this.#childOf(member).call(operation, request)
  }

  /** kill -9. */
  kill(member: string): Promise<void> {
    return this.#childOf(member).kill()
  }

  /** Starts a new process for a member whose process has ended. */
  async restart(id: string): Promise<void> {
    const member = this.#memberOf(id)
    const dir = join(this.#options.dir, id)
    await mkdir(dir, { recursive: true })
    const { store, script = STORE_PROCESS } = this.#options
    member.child = new MemberChild<O>(script)
    const listen = `127.0.0.1:${member.port}`
    await member.child.open({ ...store, dir, id, members: this.#addresses, listen })
  }

  /** SIGSTOP: the process stands still, and its connections stay. */
  pause(member: string): void {
    this.#childOf(member).pause()
  }

  /** SIGCONT. */
  resume(member: string): void {
    this.#childOf(member).resume()
  }

  /** Members of different groups cannot reach each other, until `heal`. */
  partition(groups: readonly (readonly string[])[]): void {
    for (const [at, group] of groups.entries()) {
      const others = groups.filter((_, i) => i !== at).flat()
      for (const from of group) for (const to of others) this.#plan.cut(from, to)
    }
    this.#apply()
  }

  /** Nothing passes from one member to another, until `heal`; the other direction is not touched. */
  cut(from: string, to: string): void {
    this.#plan.cut(from, to)
    this.#apply()
  }

  /** Lets pass again what goes from one member to another. */
  mend(from: string, to: string): void {
    this.#plan.mend(from, to)
    this.#apply()
  }

  /**
   * What goes from one member to another takes so many milliseconds longer, until `heal`; not finer than Node's
   * timers.
   */
  slow(from: string, to: string, ms: number): void {
    this.#plan.slow(from, to, ms)
    this.#apply()
  }

  /** All members are so many milliseconds of round trip further from each other; stays when others are healed. */
  spread(roundTripMs: number): void {
    this.#plan.slowAll(roundTripMs / 2)
    this.#apply()
  }

  /** Ends all cuts and `slow`. */
  heal(): void {
    this.#plan.healAll()
    this.#apply()
  }

  /** Breaks the connections between two members, with what is under way. */
  break(a: string, b: string): void {
    this.#memberOf(a).proxy.break(b)
    this.#memberOf(b).proxy.break(a)
  }

  /** Ends all processes, with kill -9 where they do not run or do not close. */
  async close(): Promise<void> {
    this.heal()
    for (const { child, proxy } of this.#members.values()) {
      if (child?.isRunning === true) await child.close()
      else if (child?.isAlive === true) await child.kill()
      await proxy.close()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #apply(): void {
    for (const { proxy } of this.#members.values()) proxy.apply()
  }

  #memberOf(id: string): Member<O> {
    const member = this.#members.get(id)
    if (member === undefined) throw new RangeError(`there is no member ${id}`)
    return member
  }

  #childOf(id: string): MemberChild<O> {
    const { child } = this.#memberOf(id)
    if (child === undefined) throw new RangeError(`${id} was never started`)
    return child
  }
}
