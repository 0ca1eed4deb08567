/**
 * A simulated cluster that is watched: members on machines of their own, the network between them, and what is
 * counted and noted about them.
 */
import { join } from 'node:path'
import type { Env } from '../../env/env.js'
import type { LimitOptions, TimingOptions } from '../../member/options.js'
import type { ErasureOptions, OpenOptions } from '../../store/open-options.js'
import { Mirror } from '../real/mirror.js'
import { Recorder } from '../recorder.js'
import { type Knobs, WHOEVER_LEADS } from '../schedule/schedule.js'
import { SimHost } from '../sim-host.js'
import { type Latency, SimNetwork } from '../sim-network.js'
import { simulatedErasure } from '../simulated-codec.js'
import { ClusterWatch } from '../watch/cluster-watch.js'
import type { ShardMachines } from '../watch/coded-values.js'
import { Findings, type Rule } from '../watch/findings.js'
import { MemberWatch } from '../watch/member-watch.js'
import type { ReadValue } from '../watch/model-machine.js'
import { ShardsOnDisk } from '../watch/shards-on-disk.js'
import { WatchedDatabases } from '../watch/watched-database.js'
import { SimWorld } from '../world.js'
import { Administration } from './administration.js'
import { describeInput } from './describe.js'
import { Seat } from './seat.js'
import { newTally, type Tally } from './tally.js'
import { Trace } from './trace.js'
import { SHARD_BYTES, THRESHOLD_BYTES } from './values.js'

/** How a cluster is made, besides its knobs. */
export interface ClusterSetup {
  /** So many lines of the trace are kept. */
  readonly keepTrace: number
  /** Settings of all stores; what a run decides itself goes before them. */
  readonly store: Partial<OpenOptions>
  readonly readValue: ReadValue
  /** A folder for real files and LevelDBs that do what the simulated ones do; the run is the same, and slower. */
  readonly mirror?: string
}

/** The data folder of every member, on its own disk. */
export const DIR = 'data'

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as const
/** Machines beside those of the first members, where members may be changed. */
const SPARES = 3
/** How long a newcomer waits to be let in. */
const JOIN_MS = 10_000
/** Clients that members remember (member/storage.ts). */
const SESSIONS_MAX = 4096
/** Segments are filled and left behind in a short run, too. */
const SEGMENT_BYTES = 65_536
const LATENCIES: Readonly<Record<Knobs['latency'], Latency>> = {
  lan: { minMs: 0.1, maxMs: 0.5 },
  wan: { minMs: 20, maxMs: 60 },
  uneven: { minMs: 0.1, maxMs: 80 },
}
const SLOW_DISK = 8
/** Every bound is met: entries are fetched from the log, writers are held back, windows are full. */
const TIGHT_LIMITS: Partial<LimitOptions> = {
  maxValueBytes: 65_536,
  maxRequestBytes: 4096,
  maxUncommittedBytes: 8192,
  maxInflightBytes: 16_384,
  maxInflightMessages: 4,
  maxQueuedBytes: 262_144,
  entryCacheBytes: 8192,
  watchHistoryBytes: 16_384,
  maxApplyBytes: 4096,
}
/** Values of some kilobytes have several parts, and what is replaced goes within a run. */
const SMALL_SHARDS: ErasureOptions = {
  threshold: THRESHOLD_BYTES,
  shardBytes: SHARD_BYTES,
  unitBytes: 512,
  stallMs: 300,
  graceMs: 500,
}
/** What a healed cluster gets to do anything in: several election timeouts. */
const PATIENCE_MS = 30_000
const POLL_MS = 100
/** What calls of the run itself get. */
const CALLS_MS = 300_000

/** See the file's comment. */
export class Cluster {
  readonly knobs: Knobs
  readonly world: SimWorld
  readonly network: SimNetwork
  readonly findings: Findings
  readonly trace: Trace
  readonly recorder: Recorder
  readonly tally: Tally = newTally()
  readonly watch: ClusterWatch
  readonly seats: readonly Seat[]
  readonly administration: Administration
  readonly #setup: ClusterSetup
  readonly #mirrors: Mirror[] = []

  constructor(seed: number, knobs: Knobs, setup: ClusterSetup, onEnd: (seat: Seat) => void) {
    const world = new SimWorld(seed)
    const now = () => world.now
    this.knobs = knobs
    this.world = world
    this.network = new SimNetwork(world, LATENCIES[knobs.latency])
    this.findings = new Findings(now)
    this.trace = new Trace(now, setup.keepTrace)
    this.recorder = new Recorder(now)
    this.#setup = setup
    const names = NAMES.slice(0, knobs.members)
    const machines = this.#shardMachines()
    this.watch = new ClusterWatch(this.findings, names, SESSIONS_MAX, setup.readValue, machines)
    const spares = knobs.faults.includes('membership') ? SPARES : 0
    const ended = (seat: Seat) => {
      this.administration.abandon(seat)
      onEnd(seat)
    }
    this.seats = NAMES.slice(0, knobs.members + spares).map((name) => this.#newSeat(name, ended))
    this.administration = new Administration({
      ...this,
      members: () => this.watch.members,
      addressOf: (name) => this.#addressOf(name),
    })
  }

  /** The members that may still come back. */
  get living(): Seat[] {
    const { members } = this.watch
    return this.seats.filter(({ name, state }) => state !== 'lost' && members.has(name))
  }

  /** Who carries out the `member` of a client's call: who is there, as long as nobody else has come. */
  seatOf(member: number): Seat {
    const leader = member >= WHOEVER_LEADS ? this.leader : undefined
    if (leader !== undefined) return leader
    const seat = this.seats[member % this.seats.length]!
    return seat.state === 'spare' ? this.seats[member % this.knobs.members]! : seat
  }

  /** Who leads, of several the one in the highest term. */
  get leader(): Seat | undefined {
    const leaders = this.living.flatMap((seat) => {
      const status = seat.store?.status()
      return status?.role === 'leader' ? [{ seat, term: status.term }] : []
    })
    return leaders.sort((a, b) => b.term - a.term)[0]?.seat
  }

  /** Whether all members are up and have applied everything that any has in its log. */
  get isAtRest(): boolean {
    const stores = this.living.map(({ store }) => store?.status())
    const last = Math.max(...stores.map((status) => status?.lastIndex ?? 0))
    return stores.every((status) => status?.appliedIndex === last)
  }

  /** How each member stands, for messages. */
  get standings(): unknown[] {
    return this.seats.map(({ name, state, store }) => {
      const status = store?.status()
      return [name, state, status?.role, status?.term, status?.appliedIndex, status?.lastIndex]
    })
  }

  /** Lets `ms` pass, or less if a rule is broken. */
  async pass(ms: number): Promise<void> {
    await this.world.runUntil(() => this.findings.violation !== undefined, ms)
  }

  /** Lets time pass until `condition` holds; false when a rule is broken or patience ends before. */
  until(condition: () => boolean): Promise<boolean> {
    return this.#untilWithin(PATIENCE_MS, condition)
  }

  async #untilWithin(patienceMs: number, condition: () => boolean): Promise<boolean> {
    const end = this.world.now + patienceMs
    while (!condition()) {
      if (this.findings.violation !== undefined || this.world.now >= end) return false
      await this.pass(POLL_MS)
    }
    return true
  }

  /** Lets time pass until `promise` settles; `undefined`, and `rule` broken, when it rejects or does not. */
  async finish<T>(promise: Promise<T>, rule: Rule, who: string): Promise<T | undefined> {
    const outcome: { value?: T; error?: unknown; isSettled: boolean } = { isSettled: false }
    promise.then(
      (value) => Object.assign(outcome, { value, isSettled: true }),
      (error: unknown) => Object.assign(outcome, { error, isSettled: true }),
    )
    const isSettled = await this.#untilWithin(CALLS_MS, () => outcome.isSettled)
    if (this.findings.violation !== undefined) return undefined
    this.findings.expect(
      isSettled && outcome.error === undefined,
      rule,
      () => `${who}: ${isSettled ? describeError(outcome.error) : 'no answer'}`,
    )
    return outcome.value
  }

  /** Real files follow what was done to the simulated ones by force. */
  async copyDamage(): Promise<void> {
    for (const mirror of this.#mirrors) await mirror.copyDamage()
  }

  /** Ends what the run has open in the real world. */
  async end(): Promise<void> {
    for (const mirror of this.#mirrors) await mirror.end()
  }

  /** The disks of the seats, as those look at them who judge large values. */
  #shardMachines(): ShardMachines {
    const known = new Map<string, ShardsOnDisk>()
    const seatOf = (name: string) => this.seats.find((seat) => seat.name === name)!
    return {
      names: () => this.seats.map(({ name }) => name),
      isDamaged: (name) => seatOf(name).isShardLost,
      shardsOf: (name) => {
        const shards = known.get(name) ?? new ShardsOnDisk(seatOf(name))
        known.set(name, shards)
        return shards
      },
    }
  }

  #newSeat(name: string, onEnd: (seat: Seat) => void): Seat {
    const { world, knobs, findings } = this
    const host = new SimHost(world, this.network, name)
    if (knobs.disk === 'slow') host.slow(SLOW_DISK)
    host.drift(1 + ((world.below(3, 'drift', name) - 1) * knobs.driftPpm) / 1_000_000)
    const watch = new MemberWatch(name, this.watch, (input, core) => {
      if (input.type === 'compacted') this.tally.compactions++
      const what = describeInput(input)
      if (what !== undefined) this.trace.note(name, what, core)
    })
    const { mirror: root } = this.#setup
    const mirror = root === undefined ? undefined : new Mirror(world, host, join(root, name))
    if (mirror !== undefined) this.#mirrors.push(mirror)
    const seat: Seat = new Seat(world, findings, {
      host,
      options: this.#optionsOf(name),
      isSpare: !this.watch.members.has(name),
      isAdded: () => this.watch.members.has(name),
      boot: () => watched(host, mirror?.boot() ?? host.boot(), watch, findings),
      watch: (parts) => watch.attach(parts),
      onEnd: () => onEnd(seat),
      onRebuilt: () => this.tally.rebuilds++,
      onNote: (what) => this.trace.note(name, what, undefined),
    })
    return seat
  }

  #optionsOf(name: string): OpenOptions {
    const { checkpointBytes, keepLogBytes, limits, protection, strongReads } = this.knobs
    const { storage, erasure, ...store } = this.#setup.store
    return {
      timing: timingOf(this.knobs),
      strongReads,
      ...(limits === 'tight' && { limits: TIGHT_LIMITS }),
      ...store,
      storage: { segmentBytes: SEGMENT_BYTES, checkpointBytes, keepLogBytes, ...storage },
      erasure: simulatedErasure(erasure === false ? false : { ...this.#erasure, ...erasure }),
      ...(protection === 'secret' && { secret: 'a secret for simulations' }),
      dir: DIR,
      id: name,
      ...this.#peersOf(name),
    }
  }

  get #erasure(): ErasureOptions {
    return this.knobs.largeValues === 'none' ? {} : SMALL_SHARDS
  }

  /** Whom a member knows from the beginning, or asks to be let in. */
  #peersOf(name: string): Partial<OpenOptions> {
    const first = [...this.watch.members]
    const addresses = first.map((each) => [each, this.#addressOf(each)] as const)
    const listen = this.#addressOf(name)
    if (!first.includes(name)) {
      // Those of the beginning may be gone by then.
      const others = NAMES.filter((each) => each !== name).map((each) => this.#addressOf(each))
      return { listen, join: others, joinTimeoutMs: JOIN_MS }
    }
    return first.length > 1 ? { members: Object.fromEntries(addresses) } : { listen }
  }

  #addressOf(name: string): string {
    if (this.knobs.protection === 'secret') return `${name}:7100`
    return `127.0.0.1:${7101 + (NAMES as readonly string[]).indexOf(name)}`
  }
}

function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Raft's clock in a run. */
export function timingOf({ elections }: Knobs): TimingOptions {
  return elections === 'quick'
    ? { tickMs: 10, heartbeatMs: 50, electionMs: 300 }
    : { tickMs: 50, heartbeatMs: 150, electionMs: 1500 }
}

function watched(host: SimHost, env: Env, watch: MemberWatch, findings: Findings): Env {
  const databases = new WatchedDatabases(env.databases, (dir) => host.databases.contents(dir), {
    unplaced: () =>
      findings.report('S2 state and index move together', `${host.name} wrote effects alone`),
    state: (digest) => watch.state(digest),
  })
  return { ...env, databases }
}
