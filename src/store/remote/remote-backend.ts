/**
 * The members of a cluster as a Store sees them from another process: one backend over several connections.
 *
 * Writes and strong reads go to the leader where it is known and connected, weak reads where the balance says. Whatever
 * changes nothing is asked again elsewhere when a member fails; requests are sent again under their numbers.
 */
import { StoreError } from '../../base/errors.js'
import type { Disk } from '../../env/disk.js'
import type {
  AppliedWhere,
  Backend,
  BackendEvents,
  BackupRequest,
  LinkHandlers,
  MemberStatus,
  PendingRead,
  RequestLink,
  StateView,
  ViewRequest,
  WatchCursor,
  WatchRequest,
} from '../../member/backend.js'
import { CallMeters } from '../../member/call-meters.js'
import type { LogIndex } from '../../raft/types.js'
import { type BackupOptions, type BackupResult, writeBackup } from '../../snapshot/backup.js'
import type { ClientWorld } from '../../transport/client.js'
import { mayAct } from '../../transport/client-roles.js'
import {
  asMembershipAnswer,
  type MembershipAnswer,
  type MembershipRequest,
} from '../../wire/membership.js'
import { RemoteState } from '../remote-state.js'
import { type Asking, askOnce, attempt, isElsewhere } from './asking.js'
import type { MemberLink } from './member-link.js'
import { Pool, type PoolOptions } from './pool.js'
import { RemoteReads } from './remote-reads.js'
import { RemoteRequests } from './remote-requests.js'
import { openRemoteView } from './remote-view.js'
import { RemoteWatch } from './remote-watch.js'
import { type Bounds, boundsOf, StatusCache } from './status-cache.js'

const TICK_MS = 50
const CHECKPOINT_MS = 60_000

/** The outside world of a client. */
export interface RemoteWorld extends ClientWorld {
  /** For backups. */
  readonly disk: Disk
}

/** What the owner of a remote backend hears. */
export interface RemoteEvents extends Pick<BackendEvents, 'leader' | 'membership'> {
  /** The last call. */
  closed(): void
}

/** See the file's comment. */
export class RemoteBackend implements Backend {
  readonly calls: CallMeters = new CallMeters()
  readonly #world: RemoteWorld
  readonly #events: RemoteEvents
  readonly #pool: Pool
  readonly #reads: RemoteReads
  readonly #requests: RemoteRequests
  readonly #status: StatusCache
  readonly #asking: Asking
  #appliedIndex: LogIndex = 0
  #ended: unknown
  #known: { leader: string | undefined; term: number; members: Pool['members'] }
  /** Those who wait for another look at the members. */
  #later: (() => void)[] = []

  constructor(world: RemoteWorld, options: PoolOptions, events: RemoteEvents) {
    this.#world = world
    this.#events = events
    this.#known = { leader: undefined, term: 0, members: [] }
    const ended = () => this.#ended
    this.#asking = {
      now: () => world.time.now(),
      get ended() {
        return ended()
      },
      later: () => new Promise((resolve) => this.#later.push(resolve)),
    }
    const seen = (index: LogIndex) => this.#see(index)
    this.#requests = new RemoteRequests({
      forWrites: (present) => this.#pool.forWrites(present),
      seen,
    })
    this.#reads = new RemoteReads({
      now: () => world.time.now(),
      forWeak: (without) => this.#pool.forWeak(without),
      forStrong: (without) => this.#pool.forStrong(without),
      seen,
    })
    this.#pool = new Pool(world, options, {
      changed: () => this.#changed(),
      answers: (answers) => this.#requests.onAnswers(answers),
      reset: (link, requests) => this.#requests.onReset(link, requests),
      gather: (link) => this.#requests.gather(link),
    })
    this.#status = new StatusCache(() => world.time.now())
    this.#tickLater()
  }

  /**
   * Resolves when a member has said how it stands, with the bounds to keep to.
   * @throws {StoreError} why none could be reached in time, or ever
   */
  async ready(deadline: number): Promise<Bounds> {
    for (;;) {
      const link = this.#pool.links.find(({ news }) => news !== undefined)
      if (link?.news !== undefined) {
        if (!mayAct(link.news.role, 'read')) throw noRole()
        await this.#status.refresh(this.#pool.links)
        return boundsOf(link.news)
      }
      const { refusal } = this.#pool
      if (refusal !== undefined) throw refusal
      if (this.now() >= deadline) throw this.#unreachable()
      await this.#asking.later()
    }
  }

  get clusterId(): Uint8Array {
    return this.#pool.clusterId!
  }

  now(): number {
    return this.#world.time.now()
  }

  newClientId(): Uint8Array {
    return this.#world.random.bytes(8, 'client id')
  }

  /** The newest state that is known to be applied by any member. */
  get appliedIndex(): LogIndex {
    return this.#appliedIndex
  }

  openLink(handlers: LinkHandlers): RequestLink {
    const link = this.#requests.open(handlers)
    if (this.#ended !== undefined) handlers.end(this.#ended)
    return link
  }

  read(read: PendingRead): void {
    if (this.#ended === undefined) this.#reads.add(read)
    else read.fail(this.#ended)
  }

  /**
   * A view that is to be cut exactly goes to the member that has the requests: it is registered there before any
   * request that is sent later.
   */
  openView(request: ViewRequest): Promise<StateView> {
    const { deadline, signal, level, cut } = request
    const pool = this.#pool
    const pick = (without: MemberLink | undefined): MemberLink | undefined => {
      const { way } = this.#requests
      if (cut === 'exact' && way !== undefined && way !== without) return way
      return level === 'strong' ? pool.forStrong(without) : pool.forWeak(without)
    }
    return attempt(this.#asking, { deadline, signal, pick }, async (link) => {
      const view = await openRemoteView(link, request, this.now())
      this.#see(view.served.index)
      return view
    })
  }

  watch(request: WatchRequest): WatchCursor {
    const { links, forWeak } = {
      links: () => this.#pool.links,
      forWeak: (without: MemberLink | undefined) => this.#pool.forWeak(without),
    }
    const { now, later } = this.#asking
    const ended = () => this.#ended
    const route = {
      now,
      later,
      forWeak,
      get links() {
        return links()
      },
      get ended() {
        return ended()
      },
    }
    return new RemoteWatch(route, request)
  }

  /** `here` is the member that takes the requests. */
  awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const pick = (without: MemberLink | undefined): MemberLink | undefined => {
      const { way } = this.#requests
      return way !== undefined && way !== without ? way : this.#pool.forStrong(without)
    }
    const applied = attempt(this.#asking, { deadline, signal, pick }, async (link) => {
      const remainingMs = Math.max(0, deadline - this.now())
      await askOnce(link, { type: 'applied', index, where, remainingMs }, deadline, signal)
    })
    return applied.catch((error: unknown) => {
      throw asUnconfirmed(error, index)
    })
  }

  async askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer> {
    const deadline = this.now() + request.timeoutMs
    const answer = await this.#call('members', request, deadline, signal)
    return asMembershipAnswer(request.type, answer)
  }

  /** Of the member that weak reads go to. */
  async checkpoint(): Promise<LogIndex> {
    const deadline = this.now() + CHECKPOINT_MS
    const index = await this.#call('checkpoint', undefined, deadline, undefined)
    if (typeof index === 'number') return index
    throw new StoreError('QUORATE_FORMAT', 'the member answers checkpoint with no index')
  }

  /** Fetches the state from one member, and writes it here. */
  async backup(
    dest: string,
    options: BackupOptions,
    { level, deadline, signal }: BackupRequest,
  ): Promise<BackupResult> {
    const pool = this.#pool
    const pick = (without: MemberLink | undefined): MemberLink | undefined =>
      level === 'strong' ? pool.forStrong(without) : pool.forWeak(without)
    return attempt(this.#asking, { deadline, signal, pick }, (link) => {
      // A session of nothing that was read or written asks for no more than what is there.
      const atLeast = level === 'strong' ? level : 'eventual'
      const state = new RemoteState(link, atLeast, Math.ceil(deadline - this.now()))
      return writeBackup(this.#world.disk, state, dest, options)
    })
  }

  /** As one of the members has told it lately; `words` say which, and when. */
  status(): MemberStatus {
    return this.#status.last(this.#pool.links)
  }

  /** The members have their own. */
  metrics(): undefined {
    return undefined
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    const error = new StoreError('QUORATE_NOT_OPEN', 'the store was closed')
    this.#ended = error
    this.#requests.end(error)
    this.#reads.end(error)
    this.#pool.close()
    this.#wakeLater()
    this.#events.closed()
  }

  /** A call to one member. Only what is known not to have happened is asked again elsewhere. */
  #call(
    method: string,
    params: unknown,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const pick = (without: MemberLink | undefined): MemberLink | undefined => {
      const { way } = this.#requests
      return way !== undefined && way !== without ? way : this.#pool.forStrong(without)
    }
    return attempt(this.#asking, { deadline, signal, pick }, async (link) => {
      const answer = link.call(method, params, deadline - this.now())
      try {
        return await abortable(answer, signal)
      } catch (error) {
        throw isElsewhere(error) && isFinal(error) ? new FinalAnswer(error) : error
      }
    }).catch((error: unknown) => {
      throw error instanceof FinalAnswer ? error.error : error
    })
  }

  #see(index: LogIndex): void {
    if (index > this.#appliedIndex) this.#appliedIndex = index
  }

  #changed(): void {
    if (this.#ended !== undefined) return
    for (const { news } of this.#pool.links) this.#see(news!.appliedIndex)
    this.#requests.look()
    this.#tellOwner()
    this.#wakeLater()
  }

  #tellOwner(): void {
    const { id: leader, term } = this.#pool.leader
    const { members, confIndex } = this.#pool
    const before = this.#known
    this.#known = { leader, term, members }
    if (leader !== before.leader || term !== before.term) this.#events.leader(leader, term)
    if (members !== before.members) this.#events.membership({ confIndex, members })
  }

  #tickLater(): void {
    this.#world.time.after(TICK_MS, () => {
      if (this.#ended !== undefined) return
      this.#tick(this.now())
      this.#tickLater()
    })
  }

  #tick(now: number): void {
    this.#pool.tick(now)
    this.#requests.look()
    this.#requests.tick(now)
    this.#reads.tick(now)
    this.#status.tick(now, this.#pool.links)
    this.#wakeLater()
  }

  #wakeLater(): void {
    const later = this.#later
    this.#later = []
    for (const resolve of later) resolve()
  }

  #unreachable(): StoreError {
    const { lastError } = this.#pool
    const why = lastError?.message ?? 'nobody answered'
    return new StoreError('QUORATE_NETWORK', `no member could be reached in time: ${why}`, {
      cause: lastError,
      retryable: true,
    })
  }
}

function noRole(): StoreError {
  const message = 'nothing that this client proves gives it a role: see the option clients'
  return new StoreError('QUORATE_FORBIDDEN', message)
}

/** Whether a call is not to be made again by itself: its answer is lost, or it is an answer about somebody else. */
function isFinal({ code, outcome }: StoreError): boolean {
  return outcome !== 'none' || code === 'QUORATE_NOT_READY'
}

/** Keeps an error from being taken for one that another member may not have. */
class FinalAnswer extends Error {
  readonly error: StoreError

  constructor(error: StoreError) {
    super(error.message)
    this.error = error
  }
}

/** The write is committed, whatever became of the question where it is applied. */
function asUnconfirmed(error: unknown, index: LogIndex): unknown {
  if (!(error instanceof StoreError) || error.code === 'QUORATE_NOT_OPEN') return error
  if (error.code === 'QUORATE_ABORTED' || error.code === 'QUORATE_ACK_TIMEOUT') return error
  const message = `entry ${index} is committed; where it is applied is not known: ${error.message}`
  return new StoreError('QUORATE_ACK_TIMEOUT', message, { outcome: 'committed', cause: error })
}

async function abortable<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer
  let onAbort = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () =>
      reject(
        new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
          outcome: 'unknown',
          cause: signal.reason,
        }),
      )
  })
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([answer, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
