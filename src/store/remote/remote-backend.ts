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
  Blobs,
  LinkHandlers,
  MemberStatus,
  PendingRead,
  ReadLevel,
  RequestLink,
  RetainedCheckpoint,
  RetainRequest,
  StateView,
  ViewRequest,
  WatchCursor,
  WatchRequest,
} from '../../member/backend.js'
import { CallMeters } from '../../member/call-meters.js'
import type { LogIndex } from '../../raft/types.js'
import type { BackupOptions, BackupResult } from '../../snapshot/backup.js'
import type { ClientWorld } from '../../transport/client.js'
import { mayAct } from '../../transport/client-roles.js'
import type { MembershipAnswer, MembershipRequest } from '../../wire/membership.js'
import { askOnce, attempt } from './asking.js'
import type { MemberLink } from './member-link.js'
import { Pool, type PoolOptions } from './pool.js'
import { type BlobRoute, RemoteBlobs } from './remote-blobs.js'
import { RemoteCalls } from './remote-calls.js'
import { RemoteReads } from './remote-reads.js'
import { RemoteRequests } from './remote-requests.js'
import { openRemoteView } from './remote-view.js'
import { RemoteWatch, type WatchRoute } from './remote-watch.js'
import { type Bounds, boundsOf, StatusCache } from './status-cache.js'

const TICK_MS = 50

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
  readonly blobs: Blobs
  readonly #world: RemoteWorld
  readonly #events: RemoteEvents
  readonly #pool: Pool
  readonly #reads: RemoteReads
  readonly #requests: RemoteRequests
  readonly #calls: RemoteCalls
  readonly #status: StatusCache
  readonly #route: WatchRoute
  /** As the first member has told. */
  #thresholdBytes = Number.POSITIVE_INFINITY
  #appliedIndex: LogIndex = 0
  #ended: unknown
  #known: { leader: string | undefined; term: number; members: Pool['members'] }
  /** Those who wait for another look at the members. */
  #later: (() => void)[] = []

  constructor(world: RemoteWorld, options: PoolOptions, events: RemoteEvents) {
    this.#world = world
    this.#events = events
    this.#known = { leader: undefined, term: 0, members: [] }
    this.#route = this.#newRoute()
    this.blobs = new RemoteBlobs(this.#blobRoute())
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
    this.#calls = new RemoteCalls(world.disk, this.#route, {
      forCall: (without) => this.#forCall(without),
      forBackup: (level, without) => this.#forLevel(level, without),
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
        this.#thresholdBytes = link.news.blobThresholdBytes ?? this.#thresholdBytes
        return boundsOf(link.news)
      }
      const { refusal } = this.#pool
      if (refusal !== undefined) throw refusal
      if (this.now() >= deadline) throw this.#unreachable()
      await this.#route.later()
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
    const pick = (without: MemberLink | undefined): MemberLink | undefined =>
      cut === 'exact' ? this.#forCall(without) : this.#forLevel(level, without)
    return attempt(this.#route, { deadline, signal, pick }, async (link) => {
      const view = await openRemoteView(link, request, this.now())
      this.#see(view.served.index)
      return view
    })
  }

  watch(request: WatchRequest): WatchCursor {
    return new RemoteWatch(this.#route, request)
  }

  /** `here` is the member that takes the requests. */
  awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const pick = (without: MemberLink | undefined): MemberLink | undefined => this.#forCall(without)
    const applied = attempt(this.#route, { deadline, signal, pick }, async (link) => {
      const remainingMs = Math.max(0, deadline - this.now())
      await askOnce(link, { type: 'applied', index, where, remainingMs }, deadline, signal)
    })
    return applied.catch((error: unknown) => {
      throw asUnconfirmed(error, index)
    })
  }

  askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer> {
    return this.#calls.askMembership(request, signal)
  }

  /** Of the member that takes the requests. */
  checkpoint(): Promise<LogIndex> {
    return this.#calls.checkpoint()
  }

  /** Fetches the state from one member, and writes it here. */
  retain(request: RetainRequest): Promise<RetainedCheckpoint> {
    return this.#calls.retain(request)
  }

  backup(dest: string, options: BackupOptions, request: BackupRequest): Promise<BackupResult> {
    return this.#calls.backup(dest, options, request)
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

  #forLevel(level: ReadLevel, without: MemberLink | undefined): MemberLink | undefined {
    return level === 'strong' ? this.#pool.forStrong(without) : this.#pool.forWeak(without)
  }

  /** The member that takes the requests, if possible. */
  #forCall(without: MemberLink | undefined): MemberLink | undefined {
    const { way } = this.#requests
    return way !== undefined && way !== without ? way : this.#pool.forStrong(without)
  }

  #newRoute(): WatchRoute {
    const ended = () => this.#ended
    const links = () => this.#pool.links
    return {
      now: () => this.now(),
      get ended() {
        return ended()
      },
      get links() {
        return links()
      },
      forWeak: (without) => this.#pool.forWeak(without),
      later: () => new Promise((resolve) => this.#later.push(resolve)),
    }
  }

  #blobRoute(): BlobRoute {
    const route = this.#route
    const thresholdBytes = (): number => this.#thresholdBytes
    return {
      now: () => this.now(),
      get ended() {
        return route.ended
      },
      get thresholdBytes() {
        return thresholdBytes()
      },
      forWeak: (without) => this.#pool.forWeak(without),
      forCall: (without) => this.#forCall(without),
      later: () => route.later(),
    }
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

/** The write is committed, whatever became of the question where it is applied. */
function asUnconfirmed(error: unknown, index: LogIndex): unknown {
  if (!(error instanceof StoreError) || error.code === 'QUORATE_NOT_OPEN') return error
  if (error.code === 'QUORATE_ABORTED' || error.code === 'QUORATE_ACK_TIMEOUT') return error
  const message = `entry ${index} is committed; where it is applied is not known: ${error.message}`
  return new StoreError('QUORATE_ACK_TIMEOUT', message, { outcome: 'committed', cause: error })
}
