/**
 * What a Store needs from whoever serves it: the member in this process, or later one behind a socket.
 *
 * Calls are made of plain objects that are completed in place rather than of promises, because they are the
 * hot path: one object per operation, and everything of one turn of the event loop travels together.
 */
import type { StoreError } from '../base/errors.js'
import type { FetchRequest } from '../blob/fetch.js'
import type { BlobStatus } from '../blob/status.js'
import type { UploadRequest } from '../blob/upload.js'
import type { KeyRange } from '../env/database.js'
import type { LogIndex, Role, Term } from '../raft/types.js'
import type { BackupOptions, BackupResult } from '../snapshot/backup.js'
import type { AnswerStatus } from '../wire/forward.js'
import type { MemberPart, MembershipAnswer, MembershipRequest } from '../wire/membership.js'
import type { ReadCall } from '../wire/read-call.js'
import type { CallMeters } from './call-meters.js'
import type { SpaceStatus } from './free-space.js'
import type { MemberMetrics } from './metrics.js'
import type { Rebuilt } from './open-state.js'
import type { Standing } from './roster.js'

/** How strong a read is (design D6; docs/consistency.md). */
export type ReadLevel = ReadCall['level']

/** A value as it is stored, with the log index of its last change. */
export interface StoredValue {
  /** Of a coded value its manifest (wire/manifest.ts). */
  readonly value: Buffer
  readonly revision: LogIndex
  /** The value lies in shards elsewhere. */
  readonly isCoded?: true
}

/** What a read does at a member whose state is not as new as it asks (docs/consistency.md). */
export type OnBehind = ReadCall['onBehind']

/** A position in the log: the index, and the term of the entry there. */
export interface ReadPosition {
  readonly index: LogIndex
  readonly term: Term
}

/** Where a read was served; may be computed when looked at, so only on the turn on which it is handed over. */
export interface Served extends ReadPosition {
  /** The id of the member whose state it was. */
  readonly servedBy: string
  readonly role: Role
  /** Every write acknowledged so many ms before is in the state, proven on that member's clock; undefined: unknown. */
  readonly stalenessMs: number | undefined
}

/** Which state may serve a read. */
export interface ReadDemand {
  readonly level: ReadLevel
  /** The state holds at least this index: a session's position; 0 asks for nothing. */
  readonly minIndex: LogIndex
  /** The term of the entry at `minIndex` as a token says; 0 when that is not known. */
  readonly minTerm: Term
  /** The state is proven to be at most so old; Infinity asks for nothing. */
  readonly maxStalenessMs: number
  readonly onBehind: OnBehind
  /** On the backend's clock. */
  readonly deadline: number
}

/** One read under way. Exactly one of `complete` and `fail` is called, once. */
export interface PendingRead extends ReadDemand {
  readonly keys: readonly Uint8Array[]
  /** True when the caller has given up (aborted): the backend forgets the read without a word. */
  readonly abandoned: boolean
  /** `values` stands in the order of `keys`. */
  complete(values: readonly (StoredValue | undefined)[], served: Served): void
  fail(error: unknown): void
}

/** A run through a range of keys; must be closed. */
export interface ScanCursor {
  /** The next entries, at least one unless the end is reached; stops near `maxEntries` or `maxBytes`. */
  next(
    maxEntries: number,
    maxBytes: number,
  ): Promise<readonly (readonly [key: Uint8Array, stored: StoredValue])[]>
  close(): Promise<void>
}

/** What a view asks for. */
export interface ViewRequest extends ReadDemand {
  /**
   * `exact`: when `minIndex` is not applied yet, the view is cut at that index and not at a later one (at the end of
   * the batch that holds it, when that is being written already: nothing in it was proposed after this call).
   * Registered before `openView` returns. `newest`: any state that satisfies the demand.
   */
  readonly cut: 'newest' | 'exact'
  readonly signal: AbortSignal | undefined
}

/** One state, whatever is written meanwhile; must be closed. */
export interface StateView {
  readonly served: Served
  /** In the order of `keys`. */
  getMany(keys: readonly Uint8Array[]): Promise<readonly (StoredValue | undefined)[]>
  /** Closed by its owner before the view is. */
  cursor(range: KeyRange, reverse: boolean): ScanCursor
  close(): Promise<void>
}

/** A view of this process, which can be read on this turn of the event loop as well. */
export interface LocalView extends StateView {
  /** @throws {StoreError} QUORATE_CORRUPTION */
  get(key: Uint8Array): StoredValue | undefined
}

/** What a backend in this process can do at once, from its present state. */
export interface LocalReads {
  /** @throws {StoreError} QUORATE_NOT_READY, QUORATE_CORRUPTION, and what ends the backend */
  get(key: Uint8Array): StoredValue | undefined
  /** @throws {StoreError} QUORATE_OVERLOADED, QUORATE_NOT_READY, and what ends the backend */
  view(): LocalView
}

/** Which state a backup must hold at least. */
export type BackupRequest = Pick<ReadDemand, 'level' | 'minIndex' | 'deadline'> & {
  readonly signal: AbortSignal | undefined
}

/** One change of a watched key. */
export interface Change {
  readonly type: 'put' | 'del'
  readonly key: Uint8Array
  /** Undefined when it was deleted; of a coded value its manifest. */
  readonly value: Uint8Array | undefined
  /** The value lies in shards elsewhere. */
  readonly isCoded?: true
}

/** What one entry of the log changed; never cut in two. */
export interface EntryChanges extends ReadPosition {
  readonly changes: readonly Change[]
}

/** The next changes of a watch. */
export interface WatchBlock {
  /** In the order of the log; empty when nothing in the range has changed. */
  readonly entries: readonly EntryChanges[]
  /** Everything up to here was looked at: where to go on from. */
  readonly through: ReadPosition
}

/** What a watch asks for. */
export interface WatchRequest {
  readonly range: KeyRange
  /** Changes of the entries after this one; one that is not committed yet is waited for. */
  readonly after: LogIndex
  /** The term of the entry there as a token says; 0 when that is not known. */
  readonly afterTerm: Term
  readonly signal: AbortSignal | undefined
}

/** Changes as they are applied; must be closed. Nothing is collected for it: it is a position in a bounded history. */
export interface WatchCursor {
  /**
   * What came after the position, near `maxBytes`, as soon as there is something; a block without entries now and
   * then, when nothing in the range has changed. One call at a time.
   * @throws {StoreError} QUORATE_COMPACTED the history does not go back so far (any more); QUORATE_BAD_TOKEN the
   *   position is ahead of everything committed; QUORATE_ABORTED closed, or by the signal; and what ends the backend
   */
  next(maxBytes: number): Promise<WatchBlock>
  /** The `next` under way fails with QUORATE_ABORTED. */
  close(): void
}

/** Where an entry has to be applied. */
export type AppliedWhere = 'here' | 'all' | { readonly members: number }

/** What became of a request sent through a link. */
export interface LinkAnswer {
  readonly seq: number
  readonly status: AnswerStatus
  readonly index: LogIndex
  readonly term: Term
  /** The result bytes of its commands that have one, in order (wire/command.ts). */
  readonly results: Uint8Array
}

/** What the owner of a link hears. */
export interface LinkHandlers {
  /** Called once in the next turn after `wake`: send what has been collected. */
  flush(): void
  answer(answer: LinkAnswer): void
  /** Everything sent and not answered may be lost: send it again, in order. */
  reset(): void
  /** Called about every 50 ms: let calls time out. */
  tick(now: number): void
  /** The backend has ended; nothing more will be answered. */
  end(error: unknown): void
}

/** A client's ordered way to the leader, wherever that is. */
export interface RequestLink {
  /** Whether there is somebody to send to; when it turns true, `reset` is called. */
  readonly isReady: boolean
  /** Why no new write is taken at present: to be thrown before anything is sent. Undefined when they are. */
  readonly refusal: StoreError | undefined
  /** Asks for `flush` at the end of this turn of the event loop. */
  wake(): void
  /** Sends a request (wire/command.ts) that must not change afterwards. It may be lost: see `reset`. */
  send(request: Buffer, seq: number): void
  close(): void
}

/** What is known of one member. */
export interface MemberView {
  readonly id: string
  /** Where others reach it; undefined for a lone member that nobody needs to reach. */
  readonly address: string | undefined
  /** Learners receive the log and do not vote. */
  readonly as: MemberPart
  readonly isSelf: boolean
  readonly isLeader: boolean
  /** Whether this member has a proven connection to it. */
  readonly isUp: boolean
  /** What the leader knows to be in its log; only the leader's status has it. */
  readonly matchIndex: LogIndex | undefined
  /** Entries of the leader's log that it does not have yet; only the leader's status has it. */
  readonly lag: number | undefined
}

/** Snapshots of the state between members. */
export interface SnapshotStatus {
  /** States that came from others and were put into force here since the start. */
  readonly installed: number
  /** States that were sent from here and put into force elsewhere since the start. */
  readonly sent: number
  readonly sending: readonly {
    readonly to: string
    readonly phase: 'waiting' | 'preparing' | 'sending' | 'ending' | 'failed'
    /** The state is that after this entry; 0 before it is fixed. */
    readonly index: LogIndex
    /** What the receiver has, and has to have. */
    readonly bytes: number
    readonly totalBytes: number
  }[]
  /** Why the state here is being had again, and not served until it is; undefined when it is in order. */
  readonly rebuilding: string | undefined
  readonly receiving:
    | {
        readonly from: string
        readonly index: LogIndex
        readonly bytes: number
        readonly totalBytes: number
      }
    | undefined
}

/** A member as plain data; `words` says it for people, with what may fail next. */
export interface MemberStatus {
  readonly id: string
  /** Hexadecimal. */
  readonly clusterId: string
  readonly role: Role | 'stopped'
  /** Its part in the cluster: `joining` until the log has told it that it is a member. */
  readonly standing: Standing
  readonly term: Term
  readonly leader: string | undefined
  readonly commitIndex: LogIndex
  readonly appliedIndex: LogIndex
  /** The state up to here is on disk in LevelDB; the log before it may go. */
  readonly checkpointIndex: LogIndex
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  /** The index of the last change of the members that is applied here. */
  readonly confIndex: LogIndex
  readonly log: {
    readonly segments: number
    readonly bytes: number
    readonly writes: number
    readonly fsyncs: number
    /** Bytes of a torn last write that recovery cut off at the last open. */
    readonly tornBytes: number
  }
  readonly sessions: number
  /** Where it listens; undefined for a lone member without a port. */
  readonly address: string | undefined
  readonly members: readonly MemberView[]
  readonly snapshots: SnapshotStatus
  readonly space: SpaceStatus
  readonly blobs: BlobStatus
  /** Undefined while no checkpoint is retained. */
  readonly retained?: RetainedStatus | undefined
  /** Connections refused on the port since the start, by reason. */
  readonly rejectedConnections: Readonly<Record<string, number>>
  readonly words: readonly string[]
}

/** A bound that calls run into (design D13). */
export interface Overload {
  readonly what: 'reads' | 'views' | 'forwarded reads' | 'writes'
  /** When trying again may be worth it. */
  readonly retryAfterMs: number
}

/** The members after a change that is in force here. */
export interface MembershipChange {
  /** The log index of the change. */
  readonly confIndex: LogIndex
  readonly members: readonly Pick<MemberView, 'id' | 'address' | 'as'>[]
}

/** Facts about a backend that its owner may want to act on. */
export interface BackendEvents {
  /** The members, their parts or their addresses are others now. */
  membership(change: MembershipChange): void
  leader(leader: string | undefined, term: Term): void
  /** This member is none any more: its calls have ended. */
  removed(): void
  /** This member's state went apart from that of the majority after `after`, by `at`; it is not served any more. */
  diverged(after: LogIndex, at: LogIndex): void
  /** What was stored under `key` was damaged; the bytes of `from` are in its place. */
  repaired(key: Uint8Array, from: string | undefined): void
  /** The state could not be used and was had again. */
  rebuilt(rebuilt: Rebuilt): void
  /** The disk has become low, or ample again. */
  space(status: SpaceStatus): void
  /** Calls are refused because a bound is reached; told at most once a second for each. */
  overloaded(overload: Overload): void
  /** The member has stopped and says why. */
  fatal(error: Error): void
}

/** A large value on its way to the members: parts of it are coded and stored while the rest is still coming. */
export interface BlobUpload {
  /**
   * Takes the next bytes, which are copied; resolves when more may follow. One call at a time.
   * @throws {StoreError} QUORATE_NO_LEADER, QUORATE_TIMEOUT, QUORATE_UNDERCOVERED too few members store shards in time,
   *   QUORATE_TOO_LARGE more than a manifest can describe, QUORATE_ABORTED; always of outcome `none`
   */
  write(bytes: Uint8Array): Promise<void>
  /** The encoded manifest (wire/manifest.ts), once every part is durable at enough members. @throws as `write` */
  finish(): Promise<Uint8Array>
  /** Nothing refers to it, nor ever will: its shards may go. Never called after a write of the manifest was sent. */
  drop(): void
}

/** The large values of a backend. */
export interface Blobs {
  /** Values of more bytes than this are stored as shards; Infinity: none are. */
  readonly thresholdBytes: number
  /** @throws {StoreError} QUORATE_OVERLOADED; what ends the backend */
  upload(request: UploadRequest): BlobUpload
  /**
   * The bytes asked for, in memory of their own; bounded by FETCH_BYTES_MAX.
   * @throws {StoreError} QUORATE_BLOB_UNREADABLE fewer shards than needed can be had: `message` names the members that
   *   are missing, `retryable` while they may return; QUORATE_BLOB_GONE: another value has taken the place of this one
   *   and its shards have gone: look the manifest up again; QUORATE_TIMEOUT, QUORATE_ABORTED
   */
  fetch(request: FetchRequest): Promise<Buffer>
}

/** A fetch is for so many bytes at most. */
export const FETCH_BYTES_MAX = 1_048_576

/** Until when a retained checkpoint is waited for. */
export interface RetainRequest {
  readonly deadline: number
  readonly signal: AbortSignal | undefined
}

/** A state that enough members have as shards of their own. */
export interface RetainedCheckpoint {
  /** It holds exactly the entries up to here. */
  readonly index: LogIndex
  /** Of its image: two states are the same exactly if their roots are. 16 hexadecimal digits. */
  readonly root: string
}

/** Retained checkpoints as one member knows them. */
export interface RetainedStatus {
  /** Of the durable one; undefined while there is none. */
  readonly index: LogIndex | undefined
  readonly root: string | undefined
  /** So many members are enough to read it. */
  readonly dataShards: number
  /** Of its shards on this member's disk. */
  readonly bytes: number
  /** How this member stands: `diverged` when it made another one than the others did. */
  readonly here: 'making' | 'whole' | 'lacking' | 'diverged'
  /** Members that have all of their shards, as far as they have said so. */
  readonly heldBy: readonly string[]
  /** The one that is to take its place. */
  readonly making: LogIndex | undefined
  /** Why this member could not make its shards. */
  readonly failure: string | undefined
}

/** Whoever serves a Store. */
export interface Backend {
  readonly clusterId: Uint8Array
  /** Counts what is asked of it; the Store's side counts. */
  readonly calls: CallMeters
  /** The backend's clock, for deadlines: monotonic milliseconds. */
  now(): number
  /** 8 unpredictable bytes, never the same twice. */
  newClientId(): Uint8Array
  openLink(handlers: LinkHandlers): RequestLink
  /** Everything up to here is applied where this backend reads. */
  readonly appliedIndex: LogIndex
  read(read: PendingRead): void
  /** Undefined when the backend is in another process. */
  readonly local?: LocalReads
  openView(request: ViewRequest): Promise<StateView>
  watch(request: WatchRequest): WatchCursor
  /**
   * Resolves when the committed entry at `index` is applied here, at all voters, or at so many of them.
   * @throws {StoreError} QUORATE_ACK_TIMEOUT (outcome `committed`), QUORATE_ABORTED
   */
  awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void>
  /**
   * Asks the leader, wherever that is, about the members, or to change them.
   * @throws {StoreError} see store/members.ts
   */
  askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer>
  readonly blobs: Blobs
  /** Makes the applied state durable in the database; returns the index it holds. */
  checkpoint(): Promise<LogIndex>
  /**
   * Has the members retain the state with everything acknowledged before the call, as shards; resolves when it is
   * durable at enough of them, and the one before may go.
   * @throws {StoreError} QUORATE_TIMEOUT, QUORATE_ABORTED (outcome `unknown`), QUORATE_OVERLOADED
   */
  retain(request: RetainRequest): Promise<RetainedCheckpoint>
  /** Writes a backup into the folder `dest`, from a state as `request` asks for. */
  backup(dest: string, options: BackupOptions, request: BackupRequest): Promise<BackupResult>
  /** A call was refused because a bound on the Store's side is reached; undefined where nobody is to be told. */
  overloaded?(overload: Overload): void
  status(): MemberStatus
  /** The member in numbers; undefined where there is none in this process. */
  metrics(): MemberMetrics | undefined
  close(): Promise<void>
}
