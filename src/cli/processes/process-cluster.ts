/**
 * A cluster whose members are processes of this machine, on loopback ports and real disk, each in a folder of
 * its own below one root. What the demo, the torture test and the benchmarks run on.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { StoreError } from '../../base/errors.js'
import type { OpenOptions } from '../../index.js'
import { MemberChild } from './member-child.js'
import type { MemberOperations, Operations } from './operations.js'

const PORTS_FROM = 20_000
const PORTS_TO = 30_000
const POLL_MS = 10

/** A member's place in the cluster; the process in it may change. */
export interface Seat<O extends Operations> {
  readonly id: string
  readonly dir: string
  readonly address: string
  /** Addresses to join a running cluster at; undefined for a member of the beginning. */
  readonly join: readonly string[] | undefined
  /** Undefined before the first start. */
  child: MemberChild<O> | undefined
}

/** A seat whose process runs. */
export type LivingSeat<O extends Operations> = Seat<O> & { readonly child: MemberChild<O> }

/** What all members have in common: the child's program and the settings of its store. */
export interface ClusterOptions {
  /** The path of the child's program. */
  readonly script: string
  readonly root: string
  readonly memberIds: readonly string[]
  /** Passed to Store.open, besides dir, id and members. */
  readonly store: Omit<OpenOptions, 'dir' | 'id' | 'members'>
}

/** The program of members that serve MemberOperations. */
export const MEMBER_SCRIPT: string = join(import.meta.dirname, 'member-process.js')

/** Members as child processes; whoever starts it closes it. */
export class ProcessCluster<O extends MemberOperations> {
  readonly #options: ClusterOptions
  readonly #firstMembers: Readonly<Record<string, string>>
  #seats: readonly Seat<O>[]
  #isKilled = false

  private constructor(options: ClusterOptions, seats: readonly Seat<O>[]) {
    this.#options = options
    this.#firstMembers = Object.fromEntries(seats.map(({ id, address }) => [id, address]))
    this.#seats = seats
  }

  /** The places of the members, in the order in which they came. */
  get seats(): readonly Seat<O>[] {
    return this.#seats
  }

  /** Chooses ports; starts nothing yet. */
  static async create<O extends MemberOperations>(
    options: ClusterOptions,
  ): Promise<ProcessCluster<O>> {
    const ports = await freePorts(options.memberIds.length)
    const seats = options.memberIds.map((id, i) => ({
      id,
      dir: join(options.root, id),
      address: `127.0.0.1:${ports[i]}`,
      join: undefined,
      child: undefined,
    }))
    return new ProcessCluster(options, seats)
  }

  /** Makes a place for a new member that is to join the others; starts nothing yet. */
  async addSeat(id: string): Promise<Seat<O>> {
    const [port] = await freePorts(1)
    const seat: Seat<O> = {
      id,
      dir: join(this.#options.root, id),
      address: `127.0.0.1:${port}`,
      join: this.#seats.map(({ address }) => address),
      child: undefined,
    }
    this.#seats = [...this.#seats, seat]
    return seat
  }

  /** Ends the process in a seat with kill -9 and takes the seat away. */
  async dropSeat(seat: Seat<O>): Promise<void> {
    this.#seats = this.#seats.filter((other) => other !== seat)
    if (seat.child?.isAlive) await seat.child.kill()
  }

  /** Starts every member and waits until each has opened its store; see `leader` for what comes next. */
  async start(): Promise<void> {
    await Promise.all(this.seats.map((seat) => this.restart(seat)))
  }

  /** The seats whose process runs. */
  get living(): readonly LivingSeat<O>[] {
    return this.seats.filter((seat): seat is LivingSeat<O> => seat.child?.isAlive === true)
  }

  /** Starts a new process in a seat that has none, or whose process has ended. */
  async restart(seat: Seat<O>): Promise<void> {
    if (this.#isKilled) throw new StoreError('QUORATE_STOPPED', 'the cluster was ended')
    const { memberIds, store } = this.#options
    const { id, dir, join: addresses, address: listen } = seat
    seat.child = new MemberChild<O>(this.#options.script)
    if (addresses !== undefined) {
      return seat.child.open({ ...store, dir, id, listen, join: addresses })
    }
    if (memberIds.length === 1) return seat.child.open({ ...store, dir, id })
    return seat.child.open({ ...store, dir, id, members: this.#firstMembers })
  }

  /** The member that says of itself that it leads, the one in the highest term if several do. */
  async currentLeader(): Promise<LivingSeat<O> | undefined> {
    const asked = this.living.filter(({ child }) => child.isRunning)
    const answers = await Promise.allSettled(
      asked.map(async (seat) => ({ seat, ...(await seat.child.call('status', undefined)) })),
    )
    // Who does not answer (it is just being killed, or still opening) does not lead.
    return answers
      .flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
      .filter(({ role }) => role === 'leader')
      .sort((one, other) => other.term - one.term)[0]?.seat
  }

  /** Waits until a member leads. */
  async leader(timeoutMs: number): Promise<LivingSeat<O>> {
    let found: LivingSeat<O> | undefined
    await until(timeoutMs, 'no leader was elected', async () => {
      if (this.#isKilled) throw new StoreError('QUORATE_STOPPED', 'the cluster was ended')
      found = await this.currentLeader()
      return found !== undefined
    })
    return found!
  }

  /** Waits until `seat` has applied everything up to `index`. */
  async caughtUp(seat: LivingSeat<O>, index: number, timeoutMs: number): Promise<void> {
    await until(timeoutMs, `member ${seat.id} has not caught up`, async () => {
      const { appliedIndex } = await seat.child.call('status', undefined)
      return appliedIndex >= index
    })
  }

  /** Closes every member in good order. */
  async close(): Promise<void> {
    await Promise.all(this.living.map(({ child }) => child.close()))
  }

  /** kill -9 for all that is left, paused ones too; from then on nothing can be started. */
  async kill(): Promise<void> {
    this.#isKilled = true
    await Promise.all(this.living.map(({ child }) => child.kill()))
  }
}

/** Asks `condition` until it holds; after `timeoutMs` a StoreError with `complaint` as its message. */
export async function until(
  timeoutMs: number,
  complaint: string,
  condition: () => Promise<boolean>,
): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) {
      throw new StoreError('QUORATE_TIMEOUT', `${complaint} within ${timeoutMs} ms`)
    }
    await pause(POLL_MS)
  }
}

/** Lets `ms` pass. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * Ports that nobody listens on. They lie below the range from which systems take the ports of outgoing
 * connections: a member that is down must find its port free again, and a connection to a port in that range
 * on which nobody listens can even meet itself.
 */
export async function freePorts(wanted: number): Promise<number[]> {
  const found: number[] = []
  while (found.length < wanted) {
    const port = PORTS_FROM + Math.floor(Math.random() * (PORTS_TO - PORTS_FROM))
    if (!found.includes(port) && (await isFree(port))) found.push(port)
  }
  return found
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
