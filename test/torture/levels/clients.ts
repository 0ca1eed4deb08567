/**
 * The clients of the level torture: at every member, and through `connect` at all of them, some that write, some that
 * read at strong, some that read what the member has, and sessions that wander from one to another with their tokens.
 * All of them live in this process: one clock, one order of events, one history.
 *
 * Keys come in groups of three that are used for a moment and then never again: the calls of a group are few enough
 * for the search from the outside. Batches, scans and getMany stay within a group. Every put has its own value.
 */
import { keyedBelow } from '../../../src/base/prng.js'
import { pause } from '../../../src/cli/processes/process-cluster.js'
import { type OnBehind, StoreError, type StoreErrorCode } from '../../../src/index.js'
import type { Operation, Read, ReadLevel, Write, WriteAck } from '../../../src/sim/history.js'
import type { RecordedCall, Recorder } from '../../../src/sim/recorder.js'
import type { LevelAnswer, LevelRequest } from './operations.js'
import type { Tally } from './tally.js'

/** What a client does. */
type Trade = 'writer' | 'strong' | 'weak'

const TRADES: readonly Trade[] = ['writer', 'writer', 'strong', 'weak', 'weak']
const SESSIONS = 6
const GROUPS = 8
const CALLS_PER_GROUP = 60
const KEYS = ['a', 'b', 'c'] as const
const TIMEOUTS_MS = [100, 400, 1_200]
const PAUSE_MS_MAX = 6
const FAILED_PAUSE_MS = 20
const SESSION_BURST_MAX = 3
/** Tokens of other sessions that one may begin with. */
const TOKENS_KEPT = 32
const ACKS: readonly WriteAck[] = [
  ...(['quorum', 'quorum', 'quorum', 'leader', 'applied', 'applied', 'all'] as const),
  { members: 2 },
]
const ON_BEHIND: readonly OnBehind[] = ['wait', 'wait', 'forward', 'fail']
const BOUNDS_MS = [30, 150, 600]
/** Of the reads that may have a bound, one in so many has. */
const BOUNDED_ONE_IN = 3
/** A session goes on elsewhere once in so many steps. */
const WANDER_ONE_IN = 12

/** What a member under faults may answer. */
const EXPECTED: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>([
  'QUORATE_NOT_OPEN',
  'QUORATE_NO_LEADER',
  'QUORATE_TIMEOUT',
  'QUORATE_OVERLOADED',
  'QUORATE_STOPPED',
  'QUORATE_BEHIND_TOKEN',
  'QUORATE_TOO_STALE',
  'QUORATE_ACK_TIMEOUT',
  'QUORATE_NETWORK',
])

/** Where clients call: a member, or a Store that is connected to all of them. */
export interface Venue {
  /** Undefined: whichever member serves. */
  readonly member: string | undefined
  call(request: LevelRequest): Promise<LevelAnswer>
}

/** A session at one venue; somewhere else it goes on under another name. */
interface Stay {
  readonly name: string
  readonly venue: Venue
  /** What it had seen when it came here. */
  readonly from: readonly string[]
  /** Where it stands, as of its last answer. */
  token: string | undefined
}

/** The clients of one cluster; see the file's comment. */
export class LevelClients {
  readonly #venues: readonly Venue[]
  readonly #recorder: Recorder
  readonly #tally: Tally
  readonly #seed: number
  readonly #tokens: string[] = []
  #draws = 0
  #stays = 0
  #values = 0
  #calls = 0
  #isOver = false

  constructor(venues: readonly Venue[], recorder: Recorder, tally: Tally, seed: number) {
    this.#venues = venues
    this.#recorder = recorder
    this.#tally = tally
    this.#seed = seed
  }

  /** Calls until `stop`, and then until everything has been answered. */
  async run(): Promise<void> {
    this.#isOver = false
    const residents = this.#venues.flatMap((venue) =>
      TRADES.map((trade) => this.#reside(venue, trade)),
    )
    const wanderers = Array.from({ length: SESSIONS }, () => this.#wander())
    await Promise.all([...residents, ...wanderers])
  }

  stop(): void {
    this.#isOver = true
  }

  async #reside(venue: Venue, trade: Trade): Promise<void> {
    while (!this.#isOver) {
      const operation = trade === 'writer' ? this.#write() : this.#read(this.#levelFor(trade))
      const isAnswered = await this.#call(venue, operation, undefined)
      await pause(isAnswered ? this.#below(PAUSE_MS_MAX) : FAILED_PAUSE_MS)
    }
  }

  /** One session: some calls at a venue, several of them at once, and then on to another one. */
  async #wander(): Promise<void> {
    let stay = this.#enter(undefined)
    while (!this.#isOver) {
      if (this.#below(WANDER_ONE_IN) === 0) stay = this.#enter(stay)
      const burst = Array.from({ length: 1 + this.#below(SESSION_BURST_MAX) }, () => {
        const operation = this.#below(2) === 0 ? this.#write() : this.#get(this.#sessionLevel())
        return this.#call(stay.venue, operation, stay)
      })
      const answered = await Promise.all(burst)
      if (answered.every((isAnswered) => isAnswered)) await pause(this.#below(PAUSE_MS_MAX))
      else {
        await pause(FAILED_PAUSE_MS)
        stay = this.#enter(stay)
      }
    }
  }

  /** Begins a stay at some venue, which has seen what the one before has seen, and now and then another one too. */
  #enter(before: Stay | undefined): Stay {
    const venue = this.#venues[this.#below(this.#venues.length)]!
    const name = `s${++this.#stays}`
    if (before?.token !== undefined) {
      this.#recorder.token('export', before.name, before.token)
      this.#tokens.push(before.token)
      if (this.#tokens.length > TOKENS_KEPT) this.#tokens.shift()
    }
    const from = before?.token === undefined ? [] : [before.token]
    if (this.#tokens.length > 0 && this.#below(4) === 0) {
      from.push(this.#tokens[this.#below(this.#tokens.length)]!)
    }
    for (const token of from) this.#recorder.token('import', name, token)
    return { name, venue, from, token: before?.token }
  }

  /** True when it was answered well. */
  async #call(venue: Venue, operation: Operation, stay: Stay | undefined): Promise<boolean> {
    const timeoutMs = TIMEOUTS_MS[this.#below(TIMEOUTS_MS.length)]!
    const session = stay && { name: stay.name, tokens: stay.from }
    const node = venue.member === undefined ? {} : { node: venue.member }
    const caller = { ...node, ...(session && { session: session.name }) }
    const recorded = this.#recorder.invoke(operation, caller)
    try {
      const answer = await venue.call({
        operation,
        onBehind: ON_BEHIND[this.#below(ON_BEHIND.length)]!,
        timeoutMs,
        ...(session && { session }),
      })
      recorded.ok({ ...node, ...answer.result })
      if (stay !== undefined) stay.token = answer.token
      this.#tally.answered(operation, answer.role)
      return true
    } catch (error) {
      this.#fail(recorded, operation, error)
      return false
    }
  }

  #fail(recorded: RecordedCall, operation: Operation, error: unknown): void {
    if (!(error instanceof StoreError) || !EXPECTED.has(error.code)) throw error
    this.#tally.failed(operation, error.code)
    if ('level' in operation || error.outcome === 'none') recorded.fail(error.code)
    else recorded.info(error.code)
  }

  #write(): Write {
    const group = this.#group()
    const ack = ACKS[this.#below(ACKS.length)]!
    const key = this.#keyOf(group)
    const kind = this.#below(10)
    if (kind === 0) return { f: 'del', key, ack }
    if (kind > 3) return { f: 'put', key, value: this.#value(), ack }
    const value = this.#value()
    const changes = KEYS.map((name) => ({ type: 'put', key: group + name, value }) as const)
    return { f: 'batch', changes: changes.slice(this.#below(2)), ack }
  }

  #read(level: ReadLevel): Read {
    const kind = this.#below(10)
    if (kind > 2) return this.#get(level)
    const group = this.#group()
    if (kind > 0) return { f: 'getMany', keys: KEYS.map((name) => group + name), level }
    return { f: 'scan', gte: group, lt: `${group}z`, level }
  }

  /** Only a get says at which index it was served, which is what a bound is held against. */
  #get(level: ReadLevel): Read {
    const get = { f: 'get', key: this.#keyOf(this.#group()), level } as const
    if (level === 'strong' || this.#below(BOUNDED_ONE_IN) > 0) return get
    return { ...get, maxStalenessMs: BOUNDS_MS[this.#below(BOUNDS_MS.length)]! }
  }

  #levelFor(trade: 'strong' | 'weak'): ReadLevel {
    return trade === 'strong' ? 'strong' : this.#below(8) === 0 ? 'session' : 'eventual'
  }

  #sessionLevel(): ReadLevel {
    const drawn = this.#below(10)
    return drawn === 0 ? 'strong' : drawn === 1 ? 'eventual' : 'session'
  }

  /** The prefix of one of the groups in use; each is given up after its calls. */
  #group(): string {
    const era = Math.floor(this.#calls++ / (GROUPS * CALLS_PER_GROUP))
    return `g${String(era).padStart(5, '0')}.${this.#below(GROUPS)}.`
  }

  #keyOf(group: string): string {
    return group + KEYS[this.#below(KEYS.length)]!
  }

  #value(): string {
    return `v${++this.#values}`
  }

  #below(bound: number): number {
    return keyedBelow(this.#seed, bound, 'client', this.#draws++)
  }
}
