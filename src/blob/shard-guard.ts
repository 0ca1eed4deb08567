/** What is retained of older states, as far as it decides which shards may go; asked before any shard is let go of. */
import type { LogIndex } from '../raft/types.js'
import type { BlobId } from '../wire/manifest.js'
import { RETAINED_PROPOSER } from '../wire/retained.js'
import type { StoredShard } from './shard-index.js'
import type { Verdict } from './verdict.js'

/** See the file's comment. */
export interface ShardGuard {
  /** Nothing may go now: it is not known here what an older state that is retained refers to. */
  readonly isHeld: boolean
  /** Whether an older state that is retained refers to the blob. */
  isPinned(id: BlobId): boolean
  /** What is to become of a shard of a retained checkpoint, by the state that holds the entries up to `applied`. */
  verdictOf(id: BlobId, applied: LogIndex): Verdict
  /** A shard of a retained checkpoint was damaged, and is not in use any more. */
  onDamaged(shard: StoredShard): void
}

/** Of a member that retains nothing. */
export const NO_GUARD: ShardGuard = {
  isHeld: false,
  isPinned: () => false,
  verdictOf: () => 'wait',
  onDamaged: () => {},
}

/** Whether the blob is a retained checkpoint, and no value. */
export function isRetained({ proposer }: BlobId): boolean {
  return proposer === RETAINED_PROPOSER
}
