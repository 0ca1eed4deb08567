/**
 * Everything that can be set about a member, complete: defaults are applied once, where user options enter
 * (store/open-options.ts), and every bound of design D13 has its name here.
 */
import type { Logger } from '../base/logger.js'
import type { TlsOptions } from '../env/network.js'
import type { ClientRule } from '../transport/client-roles.js'
import { KEY_BYTES_MAX } from '../wire/command.js'

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
  readonly coding: CodingOptions
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
  /** Largest value in bytes that is stored whole; a larger one is stored as shards, or is a RangeError at the call. */
  readonly maxValueBytes: number
  /** Large values that one `get` or `getMany` brings into memory, all together; more is QUORATE_TOO_LARGE. */
  readonly maxGetBytes: number
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
  /** Size of a segment of the log, and of one of shards. */
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

/** Large values, which are stored as shards (src/blob), with their bounds. */
export interface CodingOptions {
  /** Values of more bytes are stored as shards; Infinity: none are written so, those that are there are served. */
  readonly thresholdBytes: number
  /** The largest k: so many shards at most are needed to read a value. */
  readonly dataShardsMax: number
  /** So many of the members that are reachable are not waited for; undefined: 1 from five voters on, else 0. */
  readonly slack: number | undefined
  /** Bytes of data in one shard at most; see maxShardBytes. */
  readonly shardBytes: number
  /** A shard is verified, and read, in blocks of so many bytes. */
  readonly unitBytes: number
  /** The backend of the codec (erasure/choose.ts); undefined: the fastest. */
  readonly codec: string | undefined
  /** Larger operations leave the thread; undefined: what pays with the backend. */
  readonly inlineBytesMax: number | undefined
  /** A part of which nothing more becomes durable for so long is stored in another way, or has failed. */
  readonly uploadStallMs: number
  /** Data of parts on their way to be stored, of all uploads together; beyond it writers are held back. */
  readonly maxUploadBytes: number
  /** Shards sent to one member and not acknowledged; more wait here. */
  readonly maxUnackedBytes: number
  /** Shards of other members on their way to the disk; more are answered `busy`, and sent again. */
  readonly maxReceivedBytes: number
  /** Shards that reads and repairs have asked for, all together; more wait. */
  readonly maxFetchBytes: number
  /** Decoded parts kept in memory for reads. */
  readonly cacheBytes: number
  /** What nothing refers to any more is kept for so long, for those who read an older state. */
  readonly graceMs: number
  /** So fast lost shards are made anew, and values are coded anew. */
  readonly repairBytesPerSecond: number
  /** So fast stored shards are read over and over, to find what rots before it is needed. */
  readonly scrubBytesPerSecond: number
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

/** Room in a frame beside the data of a shard: its key, its header, and a 64th of it for the sums of its blocks. */
const SHARD_OVERHEAD_BYTES = KEY_BYTES_MAX + 2048
const SUMS_SHARE = 64

/** The data of a shard is no longer: it fits into one frame, and into what may be on its way to a member. */
export function maxShardBytes(limits: LimitOptions, coding: CodingOptions): number {
  const room = Math.min(maxFrameBytes(limits), coding.maxUnackedBytes) - SHARD_OVERHEAD_BYTES
  return Math.min(coding.shardBytes, room - Math.ceil(room / SUMS_SHARE))
}

/** The longest manifest: it has to fit into a request, with its key. */
export function maxManifestBytes(limits: LimitOptions): number {
  return limits.maxRequestBytes >> 1
}

/** Pieces of snapshots are no larger: several of them fit into what may be queued beside other frames. */
export function maxPieceBytes(limits: LimitOptions): number {
  return Math.min(PIECE_BYTES, maxFrameBytes(limits) >> 1, limits.maxQueuedBytes >> 3)
}
