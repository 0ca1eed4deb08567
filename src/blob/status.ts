/** The large values of a member as plain data: what it has, what it lacks, and what the others say about theirs. */
import type { CodecStatus } from '../erasure/choose.js'

/** What another member has said about its shards, or this one has counted. */
export interface MemberShards {
  readonly id: string
  readonly shards: number
  readonly bytes: number
  /** Parts whose own shard it is known to lack. */
  readonly missing: number
  /** Damaged shards that are not made anew yet. */
  readonly quarantined: number
  /** Whether it lacks nothing of what was written until about a second ago. */
  readonly isFull: boolean
}

/** See the file's comment. */
export interface BlobStatus {
  /** Large values in the state: as of the last walk through all, and those applied since. */
  readonly values: number
  /** Whether all of them were looked through since the start. */
  readonly isCounted: boolean
  /** Shards on this member's disk, and their bytes. */
  readonly shards: number
  readonly bytes: number
  /** Of the files that they lie in, bytes that nothing needs any more. */
  readonly deadBytes: number
  readonly segments: number
  /** Damaged shards that are not made anew yet. */
  readonly quarantined: number
  /** What the last start found: damaged places, and bytes of writes that never finished, which it cut off. */
  readonly recovered: { readonly damaged: number; readonly tornBytes: number }
  /** Parts whose own shard this member is known to lack. */
  readonly missing: number
  /** Shards made anew since the start, and attempts that failed. */
  readonly repaired: number
  readonly repairFailures: number
  /** Shards let go of since the start, because nothing refers to them any more. */
  readonly forgotten: number
  /** Of the leader: values that are to be coded anew for the members that there are now, and those that were. */
  readonly undercovered: number
  readonly respread: number
  /** Values that are being written and read here. */
  readonly uploads: number
  readonly fetches: number
  /** Shards on their way to others, in bytes. */
  readonly sendingBytes: number
  readonly cache: { readonly bytes: number; readonly hits: number; readonly misses: number }
  /** The walk over what is stored: complete rounds, bytes of the present one, damaged shards found. */
  readonly scrub: { readonly runs: number; readonly runBytes: number; readonly bad: number }
  /** What codes here; undefined until something was coded. */
  readonly codec: CodecStatus | undefined
  /** As far as they have said so; the own ones first. */
  readonly members: readonly MemberShards[]
}
