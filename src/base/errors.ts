/**
 * Operating errors: what a caller of the Store can meet and handle.
 *
 * Misuse (a wrong type, a key that is too long) is a TypeError or RangeError thrown at the call; a broken
 * invariant is an InvariantError and stops the member. Everything else is a StoreError with a stable code.
 */

/** The stable codes of StoreError. Codes follow SemVer; messages are for people and may change. */
export type StoreErrorCode =
  /** The store is closed or closing, or was never opened. */
  | 'QUORATE_NOT_OPEN'
  /** No leader could be reached in time: less than a majority is up, or an election is under way. */
  | 'QUORATE_NO_LEADER'
  /** The call's `timeoutMs` passed first. For a write that was sent, the outcome is unknown. */
  | 'QUORATE_TIMEOUT'
  /** The caller's `signal` was aborted; `name` is `AbortError`. */
  | 'QUORATE_ABORTED'
  /** A bounded queue is full: wait and try again. */
  | 'QUORATE_OVERLOADED'
  /** The write's exactly-once record was evicted before its answer came. */
  | 'QUORATE_SESSION_EXPIRED'
  /** This member has not applied what a session token asks for, within the call's time. */
  | 'QUORATE_BEHIND_TOKEN'
  /** This member cannot prove within the call's time that its state is no older than `maxStalenessMs`. */
  | 'QUORATE_TOO_STALE'
  /** The write is committed, but was not applied at all the members that `ack` asks for within the call's time. */
  | 'QUORATE_ACK_TIMEOUT'
  /** The session token is malformed, of another cluster, or ahead of everything committed. */
  | 'QUORATE_BAD_TOKEN'
  /** The changes after a watch's position are not remembered any more: begin anew from a state. */
  | 'QUORATE_COMPACTED'
  /** The bytes of a watched value are none of its `valueEncoding`; `cause` says why. */
  | 'QUORATE_UNDECODABLE'
  /** The key is not as `ifRevision` or `ifAbsent` expects: read it again. */
  | 'QUORATE_CONFLICT'
  /** The lease does not exist, or not any more. */
  | 'QUORATE_NO_LEASE'
  /** The write would change more in one step than is allowed; see the message. */
  | 'QUORATE_TOO_LARGE'
  /** Too few members made the shards of a large value durable in time: nothing was written. */
  | 'QUORATE_UNDERCOVERED'
  /** Fewer shards of a large value than are needed can be had at present; the message says who has the others. */
  | 'QUORATE_BLOB_UNREADABLE'
  /** Another value has taken the place of the large one that was being read, and its shards have gone: read again. */
  | 'QUORATE_BLOB_GONE'
  /** The data folder is in use by another process. */
  | 'QUORATE_LOCKED'
  /** The data folder or the peer belongs to another cluster. */
  | 'QUORATE_WRONG_CLUSTER'
  /** The data folder or the peer belongs to another member. */
  | 'QUORATE_WRONG_MEMBER'
  /** Written by a newer version of the format: refused, never guessed. */
  | 'QUORATE_FORMAT'
  /** Bytes failed their checksum; the message names file and offset. */
  | 'QUORATE_CORRUPTION'
  /** A write or fsync of the log failed: the member has stopped. */
  | 'QUORATE_LOG_FAILED'
  /** Too little disk space is free: the write was not taken, or the member could not open, or had to stop. */
  | 'QUORATE_NO_SPACE'
  /** The member stopped because of an earlier fatal error, kept as `cause`. */
  | 'QUORATE_STOPPED'
  /** Listening on a non-loopback address needs TLS with client certificates or a shared secret. */
  | 'QUORATE_INSECURE'
  /** The folder that was to be written holds something already. */
  | 'QUORATE_NOT_EMPTY'
  /** The shared secrets of two sides differ, or only one of them has one. */
  | 'QUORATE_UNAUTHORIZED'
  /** What this client has proven about itself gives it a role that may not do that. */
  | 'QUORATE_FORBIDDEN'
  /** The address could not be listened on or connected to; or no member could be reached by a client in time. */
  | 'QUORATE_NETWORK'
  /** The name is a member's, or was one's: names are never used again. */
  | 'QUORATE_MEMBER_EXISTS'
  /** No member has this name. */
  | 'QUORATE_NO_MEMBER'
  /** The membership is not what `expectConfIndex` says any more: look at it again. */
  | 'QUORATE_CONF_CHANGED'
  /** A member or the cluster is not in the state that the call needs; the message says what is missing. */
  | 'QUORATE_NOT_READY'
  /** This member was removed from the cluster: its calls end, for good. */
  | 'QUORATE_REMOVED'

/**
 * What became of a write that failed: `none`, it certainly did not and will not happen; `unknown`, it may have
 * happened or still happen; `committed`, it happened and only what was asked beyond that failed.
 */
export type Outcome = 'none' | 'unknown' | 'committed'

/** Further fields of a StoreError. */
export interface StoreErrorOptions {
  /** Defaults to `none`. */
  readonly outcome?: Outcome
  /** Whether the same call may succeed if it is simply made again. Defaults to `false`. */
  readonly retryable?: boolean
  /** With QUORATE_OVERLOADED: after so long another attempt is worth it. */
  readonly retryAfterMs?: number | undefined
  /** With QUORATE_COMPACTED: the oldest position that a watch can go on from here. */
  readonly oldest?: number
  readonly cause?: unknown
}

/** An operating error with a stable `code`, the `outcome` of the write it ended, and whether to try again. */
export class StoreError extends Error {
  override readonly name: string
  /** Stable: what to tell errors apart by. */
  readonly code: StoreErrorCode
  /** What became of the write that it ended; `none` for everything else. */
  readonly outcome: Outcome
  /** Whether the same call may succeed if it is simply made again. */
  readonly retryable: boolean
  /** With QUORATE_OVERLOADED: after so long another attempt is worth it; undefined when that is not known. */
  readonly retryAfterMs: number | undefined
  /** With QUORATE_COMPACTED: the oldest position that a watch can go on from at the member that said so. */
  readonly oldest: number | undefined

  constructor(code: StoreErrorCode, message: string, options: StoreErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = code === 'QUORATE_ABORTED' ? 'AbortError' : 'StoreError'
    this.code = code
    this.outcome = options.outcome ?? 'none'
    this.retryable = options.retryable ?? false
    this.retryAfterMs = options.retryAfterMs
    this.oldest = options.oldest
  }
}
