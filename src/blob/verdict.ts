/**
 * What may become of a shard on this member's disk, decided by the applied state alone: pure.
 *
 * An entry may put a blob into force only if it is of the blob's own term (machine/interpreter.ts). So a blob that
 * nothing refers to never will be referred to again, if an entry of a later term is applied (G1: the entries of a term
 * precede those of every later one), or if it was in force before (G4: introduced once, for one key).
 */
import type { LogIndex, Term } from '../raft/types.js'
import { type BlobId, isSameBlob, type Manifest } from '../wire/manifest.js'

/** `wait`: an entry that is still to come may refer to it. */
export type Verdict = 'live' | 'dead' | 'wait'

/** What is known about a shard in one state. */
export interface ShardFacts {
  readonly id: BlobId
  readonly part: number
  /** What stands under the shard's key in the state; undefined unless it is a large value. */
  readonly manifest: Manifest | undefined
  /** The last entry that the state holds. */
  readonly applied: { readonly index: LogIndex; readonly term: Term }
  /** An entry by which the blob was in force; undefined when none is known. */
  readonly introducedAt: LogIndex | undefined
}

/** What the state says about the shard. */
export function judge({ id, part, manifest, applied, introducedAt }: ShardFacts): Verdict {
  if (manifest !== undefined && isSameBlob(manifest.id, id)) {
    return manifest.parts.some(({ number }) => number === part) ? 'live' : 'dead'
  }
  if (id.term < applied.term) return 'dead'
  // What was applied after this state was taken says nothing about it.
  return introducedAt !== undefined && introducedAt <= applied.index ? 'dead' : 'wait'
}
