/**
 * Hostile connections by the thousand to a live member in a process of its own, while it serves others: it must go
 * on, keep its memory, and let in who behaves.
 */
import { join } from 'node:path'
import { MemberChild } from '../../../src/cli/processes/member-child.js'
import { freePorts, pause, until } from '../../../src/cli/processes/process-cluster.js'
import { bytes } from '../../../src/cli/terminal.js'
import { NodeNetwork } from '../../../src/env/node-network.js'
import { NodeRandom } from '../../../src/env/node-random.js'
import { NodeTime } from '../../../src/env/node-time.js'
import { connect, type OpenOptions } from '../../../src/index.js'
import { ClientConnection } from '../../../src/transport/client.js'
import { Draws } from '../draws.js'
import { attackAt } from './attacks.js'
import { HostileListener } from './hostile-listener.js'
import type { Target } from './stranger.js'
import type { Memory, TargetOperations } from './target-process.js'

/** What to do. */
export interface WireFuzzSettings {
  readonly seed: number
  /** At least so many. */
  readonly frames: number
  /** The memory is looked at so many times. */
  readonly phases: number
  /** Whether members and clients share a secret. */
  readonly secret: Buffer | undefined
  /** The member's data folder. */
  readonly dir: string
}

/** What came of it. */
export interface WireFuzzResult {
  readonly frames: number
  readonly connections: number
  /** Times that the member dialed and met somebody hostile. */
  readonly dials: number
  /** Connections that the member refused or closed, by its reasons. */
  readonly refused: Readonly<Record<string, number>>
  readonly served: Served
  /** At the end of each phase. */
  readonly memory: readonly Memory[]
}

/** What those got who behaved. */
export interface Served {
  /** Writes and strong reads in the member's process. */
  calls: number
  /** Writes and strong reads through `connect`, which also tries the learner that is none. */
  connectedCalls: number
  /** Calls through one connection that was there before all others. */
  remoteCalls: number
  /** Connections that were made while the attacks went on, and called once; and attempts that were turned away. */
  newcomers: number
  turnedAway: number
}

const ATTACKERS = 24
const QUIET_MS = 500
const CALL_EVERY_MS = 10
const NEWCOMER_EVERY_MS = 200
const NEWCOMER_TRIES = 10
const CONNECT_MS = 5_000
const TIMEOUT_MS = 10_000
const OPEN_MS = 30_000
/** Terms that are nobody's any more when the fuzz begins. */
const STARTS = 3
const MIB = 1_048_576
/** Between the medians of the first and the second half of a run. */
const GROWTH_MAX: Readonly<Memory> = { rss: 32 * MIB, heapUsed: 4 * MIB, external: 16 * MIB }
/** What is kept in memory on purpose is full after the warm-up. */
const STORE: Omit<OpenOptions, 'dir'> = {
  timing: { tickMs: 20, heartbeatMs: 60, electionMs: 300 },
  limits: { entryCacheBytes: MIB, watchHistoryBytes: MIB },
  storage: { writeBufferBytes: MIB, cacheBytes: MIB, segmentBytes: 4 * MIB, keepLogBytes: 0 },
}
const SCRIPT = join(import.meta.dirname, 'target-process.js')
const LEARNER = 'b'
const LEARNER_NODE = 2

/** Fuzzes one member. @throws when it ends, or a call of those who behave fails */
export async function fuzzWire(settings: WireFuzzSettings): Promise<WireFuzzResult> {
  const fuzz = new WireFuzz(settings)
  try {
    await fuzz.open()
    return await fuzz.run()
  } finally {
    await fuzz.close()
  }
}

class WireFuzz {
  readonly #settings: WireFuzzSettings
  readonly #draws: Draws
  readonly #hostile: HostileListener
  readonly #memory: Memory[] = []
  readonly #served: Served = {
    calls: 0,
    connectedCalls: 0,
    remoteCalls: 0,
    newcomers: 0,
    turnedAway: 0,
  }
  #child: MemberChild<TargetOperations> | undefined
  #target: Target | undefined
  #frames = 0
  #connections = 0
  #isOver = false

  constructor(settings: WireFuzzSettings) {
    this.#settings = settings
    this.#draws = new Draws(settings.seed)
    this.#hostile = new HostileListener(new Draws(settings.seed + 1))
  }

  /** Starts the member some times, so that it has old terms, with a learner that nobody but strangers will be. */
  async open(): Promise<void> {
    const { dir, secret } = this.#settings
    const [port, learnerPort] = (await freePorts(2)) as [number, number]
    for (let start = 1; start <= STARTS; start++) {
      await this.#child?.close()
      this.#child = new MemberChild<TargetOperations>(SCRIPT)
      const listen = `127.0.0.1:${port}`
      await this.#child.open({ ...STORE, dir, id: 'a', listen, ...(secret && { secret }) })
      await until(OPEN_MS, 'no leader', async () => (await this.#status()).role === 'leader')
    }
    await this.#hostile.listen(learnerPort)
    await this.#call('addLearner', { id: LEARNER, address: `127.0.0.1:${learnerPort}` })
    const { clusterId } = await this.#status()
    this.#target = {
      port,
      secret,
      clusterId: Buffer.from(clusterId, 'hex'),
      node: 1,
      learner: { id: LEARNER, node: LEARNER_NODE, incarnation: '00000000000000b1' },
    }
    this.#hostile.pretendToBe(this.#target)
  }

  async run(): Promise<WireFuzzResult> {
    const good = [
      this.#serveHere(),
      this.#serveConnected(),
      this.#serveRemotely(),
      this.#serveNewcomers(),
    ]
    try {
      await Promise.race([this.#attackInPhases(), Promise.all(good)])
    } finally {
      this.#isOver = true
    }
    await Promise.all(good)
    const { rejectedConnections: refused, role } = await this.#status()
    if (role !== 'leader') throw new Error(`the member ended as ${role}`)
    return {
      frames: this.#frames,
      connections: this.#connections,
      dials: this.#hostile.dials,
      refused,
      served: this.#served,
      memory: this.#memory,
    }
  }

  async close(): Promise<void> {
    this.#isOver = true
    await this.#hostile.close()
    if (this.#child?.isAlive) await this.#child.kill()
  }

  /** After each phase there is a moment of quiet in which the memory is looked at; the first is the warm-up. */
  async #attackInPhases(): Promise<void> {
    const { frames, phases } = this.#settings
    for (let phase = 1; phase <= phases && !this.#isOver; phase++) {
      const until = (frames * phase) / phases
      await Promise.all(Array.from({ length: ATTACKERS }, () => this.#attack(until)))
      await pause(QUIET_MS)
      this.#memory.push(await this.#call('memory', undefined))
    }
  }

  async #attack(until: number): Promise<void> {
    while (this.#frames < until && !this.#isOver) {
      const attack = attackAt(this.#connections++, this.#draws)
      const sent = await attack.run(this.#target!, this.#draws)
      this.#frames += sent
    }
  }

  async #serveHere(): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const [key, value] = [`key${i % 100}`, `value${i}`]
      await this.#call('put', { key, value })
      const found = await this.#call('get', { key })
      if (found !== value) throw new Error(`${key} is ${String(found)} and not ${value}`)
      this.#served.calls += 2
      await pause(CALL_EVERY_MS)
    }
  }

  async #serveConnected(): Promise<void> {
    const { secret } = this.#settings
    const options = { timeoutMs: TIMEOUT_MS, ...(secret && { secret }) }
    await using store = await connect(`127.0.0.1:${this.#target!.port}`, options)
    for (let i = 0; !this.#isOver; i++) {
      const key = `connected${i % 100}`
      await store.put(key, i)
      const found = await store.get(key)
      if (found !== i) throw new Error(`${key} is ${String(found)} and not ${i}`)
      this.#served.connectedCalls += 2
      await pause(CALL_EVERY_MS)
    }
  }

  async #serveRemotely(): Promise<void> {
    const connection = await this.#connect()
    while (!this.#isOver) {
      await connection.call('status', undefined, CONNECT_MS)
      this.#served.remoteCalls++
      await pause(CALL_EVERY_MS)
    }
    connection.close()
  }

  /** Who is turned away because too many knock at once tries again, as clients do. */
  async #serveNewcomers(): Promise<void> {
    while (!this.#isOver) {
      for (let tries = 1; ; tries++) {
        try {
          const connection = await this.#connect()
          await connection.call('status', undefined, CONNECT_MS)
          connection.close()
          this.#served.newcomers++
          break
        } catch (error) {
          this.#served.turnedAway++
          if (tries >= NEWCOMER_TRIES) throw error
        }
      }
      await pause(NEWCOMER_EVERY_MS)
    }
  }

  #connect(): Promise<ClientConnection> {
    const { secret } = this.#settings
    const options = { tls: undefined, secret, timeoutMs: CONNECT_MS }
    const address = `127.0.0.1:${this.#target!.port}`
    return ClientConnection.connect(NETWORK, TIME, RANDOM, address, options)
  }

  #status(): ReturnType<TargetOperations['status']> {
    return this.#call('status', undefined)
  }

  #call<K extends keyof TargetOperations & string>(
    operation: K,
    request: Parameters<TargetOperations[K]>[1],
  ): Promise<Awaited<ReturnType<TargetOperations[K]>>> {
    return this.#child!.call(operation, request)
  }
}

const NETWORK = new NodeNetwork()
const TIME = new NodeTime()
const RANDOM = new NodeRandom()

/** Why the memory is not flat, in words; undefined when it is: it may grow by what caches and the log may hold. */
export function judgeMemory(samples: readonly Memory[]): string | undefined {
  const half = samples.length >> 1
  for (const [name, growthMax] of Object.entries(GROWTH_MAX) as [keyof Memory, number][]) {
    const early = median(samples.slice(0, half).map((sample) => sample[name]))
    const late = median(samples.slice(half).map((sample) => sample[name]))
    if (late - early > growthMax) {
      return `${name} grew from ${bytes(early)} to ${bytes(late)}, more than ${bytes(growthMax)}`
    }
  }
  return undefined
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}
