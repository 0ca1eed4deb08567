/**
 * The Store: an ordered key-value store in the application's own process, replicated when it has members.
 *
 * A Store owns the backend that serves it and one pipeline of writes. It assumes nothing about where the
 * backend is.
 */
import { EventEmitter } from 'node:events'
import type { Env } from '../env/env.js'
import { nodeEnv } from '../env/node-env.js'
import type {
  Backend,
  BackendEvents,
  MemberStatus,
  MembershipChange,
  Overload,
  RetainedCheckpoint,
} from '../member/backend.js'
import type { SpaceStatus } from '../member/free-space.js'
import { Member, type MemberParts } from '../member/member.js'
import type { Rebuilt } from '../member/open-state.js'
import type { BackupResult } from '../snapshot/backup.js'
import { Handle } from './handle.js'
import { LargeReads } from './large-reads.js'
import { StoreLevel } from './level/database.js'
import { type LevelOptions, resolveLevelOptions } from './level/options.js'
import {
  type BackupOptions,
  backup,
  type MaintenanceOptions,
  type RestoredStore,
  type RestoreOptions,
  type RetainOptions,
  restore,
  retain,
  type VerifiedBackup,
  verify,
} from './maintenance.js'
import { Members } from './members.js'
import type { StoreMetrics } from './metrics.js'
import {
  type OpenOptions,
  resolveMemberOptions,
  resolveSettings,
  type StoreSettings,
} from './open-options.js'
import { Reader } from './reader.js'
import { Session } from './session.js'
import { SessionState } from './session-state.js'
import { Tokens } from './token.js'
import { Uploads } from './uploads.js'
import { readDefaults, resolveView, type ViewOptions, writeDefaults } from './view.js'
import { WritePipeline } from './write-pipeline.js'
import { Writer, type WriteWays } from './writer.js'

/** What a Store emits. */
export interface StoreEvents {
  /** Another leader, or another term, is known; `leader` is undefined while there is none. */
  leader: [change: { readonly leader: string | undefined; readonly term: number }]
  /** The members, their parts (voter, learner) or their addresses are others now, as far as this member has applied. */
  membership: [change: MembershipChange]
  /** Calls are refused with QUORATE_OVERLOADED because a bound is reached; at most once a second for each bound. */
  overloaded: [overload: Overload]
  /** This member was removed from the cluster: its calls end with QUORATE_REMOVED. Only `close` is left. */
  removed: []
  /**
   * The state of this member is not that of the majority: they went apart after the log index `after`, and by `at`.
   * It is not served any more, and had again from the others.
   */
  diverged: [range: { readonly after: number; readonly at: number }]
  /** A stored value was damaged here, and was put back from the member `from`; reads were answered correctly. */
  repaired: [repair: { readonly key: Uint8Array; readonly from: string | undefined }]
  /**
   * The state of this member could not be used, and was had again: from the member `from`, or by replaying the whole
   * `log`. What could not be used is kept in the folder `setAside`, to be looked at. Nothing acknowledged is lost.
   */
  rebuilt: [rebuilt: Rebuilt]
  /** This member's disk has become low (see `storage.minFreeBytes`), or ample again. */
  space: [status: SpaceStatus]
  /** The member has stopped: its log failed or an invariant broke. Only `close` is left. */
  fatal: [error: Error]
}

/** LevelDB's while a folder is filled that nobody reads from. */
const RESTORE_MEMORY = { writeBufferBytes: 16 * 1024 * 1024, cacheBytes: 1024 * 1024 }

/** Makes a Store over an open backend; set by the class, whose constructor is private. */
let construct: (backend: Backend, settings: StoreSettings, emitter: StoreEmitter) => Store

/** What the events of a Store are emitted by. */
export type StoreEmitter = EventEmitter<StoreEvents>

/**
 * An ordered key-value store. Open one with `Store.open`, close it with `close` (or `await using`).
 *
 * Misuse (an unknown option, a key that is too long) is a TypeError or RangeError thrown at the call, before
 * anything is sent; everything else is a StoreError with a stable `code` and, for writes, an `outcome`.
 */
export class Store extends Handle {
  readonly #backend: Backend
  readonly #settings: StoreSettings
  readonly #tokens: Tokens
  readonly #ways: WriteWays
  readonly #emitter: StoreEmitter
  /** The members of the cluster: see who they are, add, remove, hand over leadership. */
  readonly members: Members

  static {
    construct = (backend, settings, emitter) => new Store(backend, settings, emitter)
  }

  private constructor(backend: Backend, settings: StoreSettings, emitter: StoreEmitter) {
    const tokens = new Tokens(backend.clusterId, settings.tokenKey)
    const pipeline = new WritePipeline(backend, settings, tokens)
    const ways = { pipeline, uploads: new Uploads(backend, pipeline, settings) }
    super(
      readerOf(backend, settings, undefined, tokens),
      writerOf(backend, ways, settings, undefined),
    )
    this.#tokens = tokens
    this.#backend = backend
    this.#settings = settings
    this.#ways = ways
    this.#emitter = emitter
    this.members = new Members(backend)
  }

  /**
   * Opens this process's member of a cluster, or a store of one member when `members` is not given. With `join`
   * and a new folder it waits until a running cluster has added it.
   *
   * Resolves once everything known to be committed here is applied; it does not wait for a leader. A single
   * member accepts writes milliseconds later; a cluster does so when a majority is up. Every acknowledged
   * write is fsynced on a majority of the members.
   *
   * @throws {StoreError} QUORATE_LOCKED another process has the folder; QUORATE_WRONG_CLUSTER and
   *   QUORATE_WRONG_MEMBER the folder is somebody else's; QUORATE_FORMAT it is of a newer version;
   *   QUORATE_CORRUPTION bytes are damaged (the message names the file); QUORATE_INSECURE a non-loopback
   *   address without `tls` or `secret`; QUORATE_NETWORK the address cannot be listened on. With `join` also
   *   QUORATE_TIMEOUT nobody added it in time; QUORATE_REMOVED and QUORATE_WRONG_MEMBER the name was used before;
   *   QUORATE_UNAUTHORIZED.
   * @throws {TypeError | RangeError} an option is unknown, of the wrong type or out of bounds.
   */
  static open(options: OpenOptions): Promise<Store> {
    const settings = resolveSettings(options)
    const { writeBufferBytes, cacheBytes } = resolveMemberOptions(options).storage
    return openOver(nodeEnv({ writeBufferBytes, cacheBytes }), options, settings, undefined)
  }

  /**
   * Begins a session, or with `token` continues one that began elsewhere. Costs nothing.
   * @throws {StoreError} QUORATE_BAD_TOKEN malformed, of another cluster, or not sealed by the `tokenKey`.
   */
  session(token?: string): Session {
    const position =
      token === undefined ? { index: 0, term: 0 } : this.#tokens.decode(requireToken(token))
    const state = new SessionState(position)
    const settings: StoreSettings = { ...this.#settings, consistency: 'session' }
    return new Session(
      readerOf(this.#backend, settings, state, this.#tokens),
      writerOf(this.#backend, this.#ways, settings, state),
      this.#tokens,
      state,
    )
  }

  /**
   * The same store with other defaults: reads and writes through it need no options of their own. Costs nothing,
   * holds nothing that needs closing.
   * @throws {TypeError | RangeError} an option is unknown or of a wrong value
   */
  view(options: ViewOptions): Handle {
    const { reads, writes } = resolveView(options, this.#settings)
    const { keyEncoding, maxValueBytes, maxGetBytes } = this.#settings
    return new Handle(
      new Reader(
        this.#backend,
        reads,
        options.keyEncoding ?? keyEncoding,
        undefined,
        this.#tokens,
        maxGetBytes,
      ),
      new Writer(this.#backend, this.#ways, writes, maxValueBytes, undefined),
    )
  }

  /**
   * The Store as an AbstractLevel: what is made for the Level ecosystem runs on it (sublevels, hooks, encodings,
   * iterators, snapshots). Costs nothing; several may live side by side, each with its own `prefix`.
   *
   * Its keys and values are text unless `keyEncoding` and `valueEncoding` say otherwise: read what it wrote with
   * `valueEncoding: 'utf8'` elsewhere. It is a session of its own: reads see what it wrote before. Errors have
   * abstract-level's codes where that has one, and are StoreErrors as those of `get` and `put` otherwise.
   * @throws {TypeError | RangeError} an option is unknown or of a wrong value
   */
  level<K = string, V = string>(options: LevelOptions<K, V> = {}): StoreLevel<K, V> {
    const settings = resolveLevelOptions(options, this.#settings.timeoutMs)
    const { timeoutMs } = settings
    const session = new SessionState({ index: 0, term: 0 })
    const writes = { ...writeDefaults(this.#settings), valueEncoding: 'binary', timeoutMs } as const
    const { maxValueBytes, maxGetBytes } = this.#settings
    const large = new LargeReads(this.#backend, maxGetBytes)
    const sink = new Writer(this.#backend, this.#ways, writes, maxValueBytes, session)
    return new StoreLevel(
      { backend: this.#backend, tokens: this.#tokens, sink, session, large },
      settings,
    )
  }

  /** Calls `listener` at each such event (see StoreEvents). Its errors are the process's, as with any EventEmitter. */
  on<Name extends keyof StoreEvents>(name: Name, listener: Listener<Name>): this {
    this.#emitter.on(name, listener as never)
    return this
  }

  /** Calls `listener` at the next such event only. */
  once<Name extends keyof StoreEvents>(name: Name, listener: Listener<Name>): this {
    this.#emitter.once(name, listener as never)
    return this
  }

  /** Calls `listener` no more. */
  off<Name extends keyof StoreEvents>(name: Name, listener: Listener<Name>): this {
    this.#emitter.off(name, listener as never)
    return this
  }

  /**
   * Makes the applied state durable in LevelDB and shortens the log; returns the index it holds. Happens by
   * itself as the log grows, and at `close`. Takes milliseconds per MiB written since the last one.
   * @throws {StoreError} QUORATE_NO_SPACE it did not reach the disk; nothing is lost, the log is kept.
   */
  checkpoint(): Promise<number>
  /**
   * Has the members retain the state with everything acknowledged before the call: each keeps a share of it as shards,
   * without anything going over the network, and any k of them are the whole (`quorate restore --from-cluster`).
   * Resolves when enough of them have theirs on disk that it survives what the cluster does; the one retained before
   * goes then. Large values that it refers to stay on the members as long as it is retained.
   * @throws {StoreError} QUORATE_TIMEOUT, QUORATE_ABORTED with outcome `unknown`: it may still be retained;
   *   QUORATE_NO_LEADER; QUORATE_OVERLOADED
   */
  checkpoint(options: RetainOptions): Promise<RetainedCheckpoint>
  checkpoint(options?: RetainOptions): Promise<number | RetainedCheckpoint> {
    return options === undefined ? this.#backend.checkpoint() : retain(this.#backend, options)
  }

  /**
   * Writes a backup into the folder `dest` while the Store goes on: one consistent state, read from a snapshot of
   * LevelDB, with a hash of every piece. Durable and complete when it resolves; before, `dest` is no backup. With
   * `since`, the folder of an earlier backup, only what has changed is written; each backup is complete in itself
   * all the same. Memory: a few MiB.
   *
   * @param dest is made; or it is empty, or holds what an attempt left that was ended: then it goes on from there.
   * @throws {StoreError} QUORATE_NOT_EMPTY `dest` holds something else; QUORATE_NO_LEADER, QUORATE_TIMEOUT (see
   *   `consistency`); QUORATE_ABORTED; QUORATE_CORRUPTION a value fails its checksum, or `since` is no backup;
   *   QUORATE_OVERLOADED; QUORATE_NOT_OPEN; QUORATE_STOPPED. Failures of `dest`'s disk are the system's own.
   */
  backup(dest: string, options: BackupOptions = {}): Promise<BackupResult> {
    return backup(this.#backend, this.#settings, dest, options)
  }

  /**
   * Reads all of a backup and checks every hash and every value; changes nothing.
   * @throws {StoreError} QUORATE_CORRUPTION saying what is damaged; QUORATE_FORMAT; QUORATE_ABORTED.
   */
  static verify(src: string, options: MaintenanceOptions = {}): Promise<VerifiedBackup> {
    return verify(nodeEnv(RESTORE_MEMORY), src, options)
  }

  /**
   * Makes a data folder of a backup: a new cluster of one member, with an id of its own, so that it never mixes with
   * the one that the backup is of. Open it with `Store.open({ dir })`, without `cluster`; others join it. All data
   * and log indexes are those of the backup; session tokens of the old cluster are refused.
   *
   * @param dir is made; it must be empty, or hold what an attempt left that was ended, which begins again.
   * @throws {StoreError} QUORATE_NOT_EMPTY; QUORATE_CORRUPTION the backup is damaged; QUORATE_NO_SPACE;
   *   QUORATE_LOCKED; QUORATE_ABORTED. A restore that failed leaves no folder that could be opened.
   */
  static restore(src: string, dir: string, options: RestoreOptions = {}): Promise<RestoredStore> {
    return restore(nodeEnv(RESTORE_MEMORY), src, dir, options)
  }

  /** This member as plain data, with `words` that say how it stands and what may fail next. */
  status(): MemberStatus {
    return this.#backend.status()
  }

  /**
   * Counts and latencies since the Store was opened, as plain data; `prometheusText` makes text of it. Costs some
   * 50 microseconds: ask every few seconds, not at every call.
   */
  metrics(): StoreMetrics {
    const { calls } = this.#backend
    return {
      calls: calls.report(),
      pendingWriteBytes: this.#ways.pipeline.pendingBytes + this.#ways.uploads.pendingBytes,
      member: this.#backend.metrics(),
    }
  }

  /**
   * Ends all calls under way (QUORATE_NOT_OPEN; writes that were sent have the outcome `unknown`), hands over
   * leadership within one election timeout, takes a checkpoint and releases the folder. Closing twice is the same
   * as once.
   */
  close(): Promise<void> {
    return this.#backend.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Opens a Store in a given world; what `Store.open` does in the real one. `watch` as in `Member.open`. */
export function openStore(
  env: Env,
  options: OpenOptions,
  watch?: (parts: MemberParts) => void,
): Promise<Store> {
  return openOver(env, options, resolveSettings(options), watch)
}

/** A Store over an open backend, which is the Store's from then on. */
export function storeOver(backend: Backend, settings: StoreSettings, emitter: StoreEmitter): Store {
  return construct(backend, settings, emitter)
}

/** What is called at an event. */
export type Listener<Name extends keyof StoreEvents> = (...args: StoreEvents[Name]) => void

async function openOver(
  env: Env,
  options: OpenOptions,
  settings: StoreSettings,
  watch: ((parts: MemberParts) => void) | undefined,
): Promise<Store> {
  const emitter: StoreEmitter = new EventEmitter()
  let store: Store | undefined
  let isRemoved = false
  const pending: Rebuilt[] = []
  const events: BackendEvents = {
    leader: (leader, term) => emitter.emit('leader', { leader, term }),
    membership: (change) => emitter.emit('membership', change),
    removed: () => {
      isRemoved = true
      emitter.emit('removed')
    },
    rebuilt: (rebuilt) => {
      if (store === undefined) pending.push(rebuilt)
      else emitter.emit('rebuilt', rebuilt)
    },
    diverged: (after, at) => emitter.emit('diverged', { after, at }),
    repaired: (key, from) => emitter.emit('repaired', { key, from }),
    space: (status) => emitter.emit('space', status),
    overloaded: (overload) => emitter.emit('overloaded', overload),
    fatal: (error) => emitter.emit('fatal', error),
  }
  const member = await Member.open(env, resolveMemberOptions(options), events, watch)
  store = construct(member, settings, emitter)
  // Known from the beginning; whoever opens it has to be there to hear of it.
  if (isRemoved) env.time.soon(() => emitter.emit('removed'))
  for (const rebuilt of pending) env.time.soon(() => emitter.emit('rebuilt', rebuilt))
  return store
}

function readerOf(
  backend: Backend,
  settings: StoreSettings,
  session: SessionState | undefined,
  tokens: Tokens,
): Reader {
  const { keyEncoding, maxGetBytes } = settings
  return new Reader(backend, readDefaults(settings), keyEncoding, session, tokens, maxGetBytes)
}

function writerOf(
  backend: Backend,
  ways: WriteWays,
  settings: StoreSettings,
  session: SessionState | undefined,
): Writer {
  return new Writer(backend, ways, writeDefaults(settings), settings.maxValueBytes, session)
}

function requireToken(token: unknown): string {
  if (typeof token === 'string') return token
  throw new TypeError('a session token is a string')
}
