/**
 * The connections of a client: one to each member, kept up, and the choice which of them to ask.
 *
 * The members are those at the addresses given and those that the members themselves name; a member reached at two
 * addresses has one connection. At most CONNECTIONS_MAX are kept, the leader's among them. A lost one is dialed again
 * at once, a failed one after a while, longer each time (50 ms to 2 s) and never two clients in step.
 */
import { equalBytes } from '../../base/bytes.js'
import { StoreError } from '../../base/errors.js'
import type { ClientOptions, ClientWorld } from '../../transport/client.js'
import { isProtected } from '../../transport/protection.js'
import type { ClientNews, NewsMember } from '../../wire/client-news.js'
import type { Answer } from '../../wire/forward.js'
import { type Balance, choose, eligibleOf } from './balance.js'
import { MemberLink } from './member-link.js'

const CONNECTIONS_MAX = 8
const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 2_000
const RETRY_STEPS_MAX = 6
/** A connection that lived shorter than this counts as a failure: something ends it again and again. */
const STABLE_MS = 1_000

/** How a pool connects and chooses. */
export interface PoolOptions extends ClientOptions {
  readonly addresses: readonly string[]
  readonly balance: Balance
}

/** What the owner of a pool hears. */
export interface PoolHandlers {
  /** A connection came or went, or a member told something new. */
  changed(): void
  answers(answers: readonly Answer[]): void
  /** The way of `link` to the leader is new, as to requests of this number. */
  reset(link: MemberLink, requests: number): void
  /** What was asked of `link` in this turn is about to leave. */
  gather(link: MemberLink): void
}

/** Where a member may be reached. */
interface Endpoint {
  readonly address: string
  readonly origin: 'given' | 'learned'
  /** Who was found there, or should be. */
  memberId: string | undefined
  link: MemberLink | undefined
  upSince: number | undefined
  failures: number
  retryAt: number
  lastError: StoreError | undefined
}

/** Who leads, as the members tell. */
export interface KnownLeader {
  readonly id: string | undefined
  readonly term: number
}

/** See the file's comment. */
export class Pool {
  readonly #world: ClientWorld
  readonly #options: PoolOptions
  readonly #handlers: PoolHandlers
  #endpoints: Endpoint[]
  /** Of connections whose member serves reads and is neither ejected nor slow. */
  #eligible: readonly MemberLink[] = []
  #clusterId: Uint8Array | undefined
  #members: readonly NewsMember[] = []
  #confIndex = -1
  #leader: KnownLeader = { id: undefined, term: 0 }
  #count = 0
  #last: MemberLink | undefined
  #isClosed = false

  constructor(world: ClientWorld, options: PoolOptions, handlers: PoolHandlers) {
    this.#world = world
    this.#options = options
    this.#handlers = handlers
    this.#endpoints = options.addresses.map((address) => newEndpoint(address, 'given', undefined))
    this.#dial()
  }

  /** Of the first member that was reached; all others must be of the same. */
  get clusterId(): Uint8Array | undefined {
    return this.#clusterId
  }

  get leader(): KnownLeader {
    return this.#leader
  }

  /** The members as the one that knows most tells. */
  get members(): readonly NewsMember[] {
    return this.#members
  }

  /** The log index of the last change of `members`; -1 before anything is known. */
  get confIndex(): number {
    return this.#confIndex
  }

  /** Connections that can be used. */
  get links(): MemberLink[] {
    return this.#endpoints.flatMap(({ link }) => (link?.news === undefined ? [] : [link]))
  }

  /** Why nobody could be reached, when that will not pass soon; undefined while there is hope. */
  get refusal(): StoreError | undefined {
    const errors = this.#endpoints.map(({ lastError }) => lastError)
    const isHopeless = errors.every((error) => error !== undefined && !isPassing(error))
    return isHopeless ? errors[0] : undefined
  }

  /** Why the last attempt failed. */
  get lastError(): StoreError | undefined {
    return this.#endpoints.findLast(({ lastError }) => lastError !== undefined)?.lastError
  }

  /** The connection to the leader; undefined when there is none. */
  get leaderLink(): MemberLink | undefined {
    const { id } = this.#leader
    return this.links.find(({ news }) => news!.memberId === id && news!.isReady)
  }

  /** A member for a weak read, by the balance chosen; not `without` unless undefined is all there is. */
  forWeak(without: MemberLink | undefined): MemberLink | undefined {
    const eligible =
      without === undefined && this.#eligible.every(isUsable)
        ? this.#eligible
        : eligibleOf(this.links.filter((link) => isUsable(link) && link !== without))
    const { random } = this.#world
    const turn = {
      count: this.#count++,
      last: this.#last,
      draw: () => random.u32('balance') / 0x1_0000_0000,
    }
    this.#last = choose(this.#options.balance, eligible, turn)
    return this.#last
  }

  /** A member for a strong read: the leader, which needs nobody else to tell it where the log ends. */
  forStrong(without: MemberLink | undefined): MemberLink | undefined {
    const leader = this.leaderLink
    if (leader !== undefined && leader !== without && isUsable(leader)) return leader
    return this.forWeak(without)
  }

  /** A member to send requests to: the leader, or as `present` one that knows it. */
  forWrites(present: MemberLink | undefined): MemberLink | undefined {
    const leader = this.leaderLink
    if (leader !== undefined) return leader
    if (present?.news?.isReady === true) return present
    return this.links.find(({ news }) => news!.isReady)
  }

  tick(now: number): void {
    for (const { link } of this.#endpoints) link?.tick(now)
    this.#choose()
    this.#dial()
  }

  close(): void {
    this.#isClosed = true
    for (const { link } of this.#endpoints) link?.close()
  }

  /** Connects where that is due and wanted. */
  #dial(): void {
    const now = this.#world.time.now()
    let room = CONNECTIONS_MAX - this.#endpoints.filter(({ link }) => link !== undefined).length
    for (const endpoint of this.#byImportance()) {
      if (endpoint.link !== undefined || now < endpoint.retryAt) continue
      if (room <= 0 && !this.#makesRoom(endpoint)) return
      room--
      this.#connect(endpoint)
    }
  }

  #byImportance(): Endpoint[] {
    const { id } = this.#leader
    const rank = ({ memberId, origin }: Endpoint) =>
      memberId !== undefined && memberId === id ? 0 : origin === 'given' ? 1 : 2
    return this.#endpoints.toSorted((a, b) => rank(a) - rank(b))
  }

  /** The leader is worth the connection to somebody else. */
  #makesRoom({ memberId }: Endpoint): boolean {
    if (memberId === undefined || memberId !== this.#leader.id) return false
    const spare = this.#byImportance().findLast(({ link }) => link !== undefined)
    spare?.link?.close()
    return spare !== undefined
  }

  #connect(endpoint: Endpoint): void {
    const link = new MemberLink(this.#world, endpoint.address, this.#options, {
      up: (memberId, clusterId) => this.#up(endpoint, memberId, clusterId),
      news: (news) => this.#onNews(endpoint, news),
      answers: (answers) => this.#handlers.answers(answers),
      reset: (requests) => this.#handlers.reset(link, requests),
      gather: () => this.#handlers.gather(link),
      ended: (error) => this.#ended(endpoint, error),
    })
    endpoint.link = link
  }

  #up(endpoint: Endpoint, memberId: string, clusterId: Uint8Array): void {
    this.#clusterId ??= clusterId
    endpoint.memberId = memberId
    if (!equalBytes(this.#clusterId, clusterId)) {
      const message = `${endpoint.address} is of another cluster`
      endpoint.lastError = new StoreError('QUORATE_WRONG_CLUSTER', message)
      endpoint.link?.close()
      return
    }
    const isDouble = this.#endpoints.some(
      (other) => other !== endpoint && other.memberId === memberId && other.upSince !== undefined,
    )
    if (isDouble) endpoint.link?.close()
    else endpoint.upSince = this.#world.time.now()
  }

  #ended(endpoint: Endpoint, error: StoreError): void {
    const now = this.#world.time.now()
    const { upSince, memberId } = endpoint
    const wasStable = upSince !== undefined && now - upSince >= STABLE_MS
    const wrongCluster = endpoint.lastError?.code === 'QUORATE_WRONG_CLUSTER'
    endpoint.link = undefined
    endpoint.upSince = undefined
    if (!wrongCluster) endpoint.lastError = error
    endpoint.failures = wasStable ? 0 : endpoint.failures + 1
    endpoint.retryAt = now + this.#retryMs(endpoint)
    // The same member may be found elsewhere, too.
    for (const other of this.#endpoints) {
      if (other !== endpoint && other.memberId === memberId && other.link === undefined) {
        other.retryAt = Math.min(other.retryAt, now)
      }
    }
    this.#choose()
    if (!this.#isClosed) this.#handlers.changed()
  }

  #retryMs({ failures, lastError, memberId }: Endpoint): number {
    const isElsewhere = this.#endpoints.some(
      (other) => other.upSince !== undefined && other.memberId === memberId,
    )
    if (isElsewhere) return Number.POSITIVE_INFINITY
    if (failures === 0) return 0
    const isPatient = lastError !== undefined && !isPassing(lastError)
    const steps = isPatient ? RETRY_STEPS_MAX : Math.min(failures - 1, RETRY_STEPS_MAX)
    const limit = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** steps)
    return limit / 2 + (this.#world.random.u32('retry') % 1_000) * (limit / 2_000)
  }

  #onNews(endpoint: Endpoint, news: ClientNews): void {
    endpoint.lastError = undefined
    if (news.leader !== undefined && news.term >= this.#leader.term) {
      this.#leader = { id: news.leader, term: news.term }
    } else if (news.term > this.#leader.term) {
      this.#leader = { id: undefined, term: news.term }
    }
    if (news.confIndex > this.#confIndex) {
      this.#confIndex = news.confIndex
      this.#learn(news.members)
    }
    this.#choose()
    this.#handlers.changed()
  }

  /** The members are these now: new addresses are dialed, learned ones of others given up. */
  #learn(members: readonly NewsMember[]): void {
    this.#members = members
    const addresses = new Set(members.map(({ address }) => address))
    for (const endpoint of this.#endpoints) {
      if (endpoint.origin === 'learned' && !addresses.has(endpoint.address)) endpoint.link?.close()
    }
    this.#endpoints = this.#endpoints.filter(
      ({ origin, address }) => origin === 'given' || addresses.has(address),
    )
    for (const { id, address } of members) {
      if (address === undefined || !isProtected(address, this.#options)) continue
      if (this.#endpoints.some((endpoint) => endpoint.address === address)) continue
      const isUp = this.#endpoints.some(({ memberId, upSince }) => {
        return memberId === id && upSince !== undefined
      })
      const endpoint = newEndpoint(address, 'learned', id)
      this.#endpoints.push(isUp ? { ...endpoint, retryAt: Number.POSITIVE_INFINITY } : endpoint)
    }
  }

  #choose(): void {
    this.#eligible = eligibleOf(this.links.filter(isUsable))
  }
}

function newEndpoint(
  address: string,
  origin: 'given' | 'learned',
  memberId: string | undefined,
): Endpoint {
  const unknown = { link: undefined, upSince: undefined, lastError: undefined }
  return { address, origin, memberId, failures: 0, retryAt: 0, ...unknown }
}

function isUsable(link: MemberLink): boolean {
  return link.news?.isServing === true && !link.isFull
}

/** Whether an error may be over soon. */
function isPassing({ code }: StoreError): boolean {
  return code === 'QUORATE_NETWORK' || code === 'QUORATE_OVERLOADED' || code === 'QUORATE_NOT_OPEN'
}
