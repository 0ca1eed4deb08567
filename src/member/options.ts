/**
 * Everything that can be set about a member, complete: defaults are applied once, where user options enter
 * (store/open-options.ts), and every bound of design D13 has its name here.
 */
import type { Logger } from '../base/logger.js'
import type { TlsOptions } from '../env/network.js'
import type { ClientRule } from '../transport/client-roles.js'

/** Settings of one member, fully populated. */
export interface MemberOptions {
  /** The data folder; created when missing. */
  readonly dir: string
  /** Undefined: what the data folder says, or `a` in a new one. */
  readonly id: string | undefined
  /** Addresses by member id, this member included; undefined for a lone member. */
  readonly members: Readonly<Record<string, string>> | undefined
  /** Distinguishes clusters whose members have the same names; part of the cluster id. */
  readonly cluster: string | undefined
  /** Where to listen; undefined: at the own address in `members`, or in the directory, or nowhere without one. */
  readonly listen: string | undefined
  /** Whom to ask to be let in when the folder is new; undefined: begin a cluster then. */
  readonly join: JoinOptions | undefined
  /** Of two members that are equally good leaders the one of higher priority leads; -100 to 100. */
  readonly priority: number
  /** How strong reads know that the leader leads: it asks a quorum, or counts on a lease (loyalty.ts). */
  readonly strongReads: 'quorum' | 'lease'
  readonly tls: TlsOptions | undefined
  readonly secret: Uint8Array | undefined
  /** Who may do what as a client; undefined: everybody who comes in everything. */
  readonly clients: readonly ClientRule[] | undefined
  /** Undefined: nothing is logged. */
  readonly logger: Logger | undefined
  readonly timing: TimingOptions
  readonly limits: LimitOptions
  readonly storage: StorageOptions
}

/** How a new member finds its cluster. */
export interface JoinOptions {
  readonly addresses: readonly string[]
  /** Where this member will listen. */
  readonly listen: string
  /** How long to wait until somebody has added this member. */
  readonly timeoutMs: number
}

/** Raft's clock. */
export interface TimingOptions {
  /** Length of a tick; everything below counts in whole ticks of it. */
  readonly tickMs: number
  /** Between two heartbeats of a leader. */
  readonly heartbeatMs: number
  /** The shortest election timeout; each one is drawn between this and twice this (Raft §5.2). */
  readonly electionMs: number
}

/** The bounds (design D13). What happens at each is said beside it. */
export interface LimitOptions {
  /** Largest value in bytes as stored; a larger one is a RangeError at the call. */
  readonly maxValueBytes: number
  /** Soft size of a request and of a log entry; a larger single command goes alone. */
  readonly maxRequestBytes: number
  /** Written but unanswered bytes of one Store; more is QUORATE_OVERLOADED. */
  readonly maxPendingBytes: number
  /** Reads waiting at once; more is QUORATE_OVERLOADED. */
  readonly maxPendingReads: number
  /** Views and scans open at once; more is QUORATE_OVERLOADED. Each keeps what it sees from being compacted. */
  readonly maxViews: number
  /** Watches open at once; more is QUORATE_OVERLOADED. */
  readonly maxWatches: number
  /** Bytes appended and not committed at a leader; writers are held back beyond it. */
  readonly maxUncommittedBytes: number
  /** Unacknowledged bytes sent to one follower; the leader pauses beyond it. */
  readonly maxInflightBytes: number
  /** Unacknowledged messages to one follower; the leader pauses beyond it. */
  readonly maxInflightMessages: number
  /** Frames queued for one member in bytes; further frames are dropped and sent anew by the protocol. */
  readonly maxQueuedBytes: number
  /** Newest entries kept in memory for followers; older ones are read from the log. */
  readonly entryCacheBytes: number
  /** What the last entries changed is remembered up to so many bytes; a watch that is further behind has lost track. */
  readonly watchHistoryBytes: number
  /** Entries handed to the state machine at a time. */
  readonly maxApplyBytes: number
  /** Client connections; more are refused. */
  readonly maxClients: number
  /** Snapshots sent to other members at once; more wait for their turn. */
  readonly maxSnapshotTransfers: number
  /** Bytes of snapshots that this member sends in a second, to all others together. */
  readonly snapshotBytesPerSecond: number
}

/** The disk. */
export interface StorageOptions {
  /** Size of a log segment. */
  readonly segmentBytes: number
  /** Log written since the last checkpoint that causes the next one; up to a fifth less or more. */
  readonly checkpointBytes: number
  /** Entries applied since the last checkpoint that cause the next one; up to a fifth less or more. */
  readonly checkpointEntries: number
  /** Time since the last checkpoint that causes the next one, if anything was applied; up to a fifth less or more. */
  readonly checkpointMs: number
  /**
   * Log that is kept at most behind the last checkpoint for members that lack it; one that lacks more is sent a
   * snapshot. A lone member keeps its log while all of it is no more than this: it is the only other copy. It is
   * read at every start.
   */
  readonly keepLogBytes: number
  /** With less free space no new writes are taken; with less than half of it nothing new is begun at all. */
  readonly minFreeBytes: number
  /** So fast what is stored of the state is read over and over, to find what rots before it is needed. */
  readonly scrubBytesPerSecond: number
  /** So often the leader has the members' states compared. */
  readonly compareMs: number
  /** A folder that log entries are copied into before the log lets go of them; undefined: none. */
  readonly archive?: string | undefined
  /** LevelDB's memtable. */
  readonly writeBufferBytes: number
  /** LevelDB's block cache. */
  readonly cacheBytes: number
}

/** The free space that only checkpoints may use, because they lead to more. */
export function reserveBytes({ minFreeBytes }: StorageOptions): number {
  return Math.floor(minFreeBytes / 2)
}

/** Room in a frame beside entries and values. */
const FRAME_OVERHEAD_BYTES = 65_536
const PIECE_BYTES = 262_144

/** The longest body of a frame between members: an entry is at most a request and a value beyond it, twice for room. */
export function maxFrameBytes(limits: LimitOptions): number {
  return 2 * (limits.maxValueBytes + limits.maxRequestBytes) + FRAME_OVERHEAD_BYTES
}

/** Pieces of snapshots are no larger: several of them fit into what may be queued beside other frames. */
export function maxPieceBytes(limits: LimitOptions): number {
  return Math.min(PIECE_BYTES, maxFrameBytes(limits) >> 1, limits.maxQueuedBytes >> 3)
}
