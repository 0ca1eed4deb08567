/**
 * Whether the shards of a large value are on enough members: the rule by which the state machine lets a manifest into
 * the state. Pure; it looks at manifests and members and never at shards.
 *
 * A part is covered in a set of voters C when k different shards of it are left whichever floor(|C| / 2) of them are
 * lost. No two members hold the same shard, so that is so exactly when k + floor(|C| / 2) of C hold one. Of an odd
 * number of voters no more than that may be lost anyway, of an even one fewer by one: so a part that was covered once
 * stays readable as long as a majority lives when a voter has come or gone since.
 */
import { StoreError } from '../base/errors.js'
import type { NodeId } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { decodeDirectory } from '../wire/directory.js'
import type { BlobPart, Manifest, ShardHolder } from '../wire/manifest.js'
import type { Configuration } from './state-machine.js'

/** A configuration as far as shards are concerned. */
export interface ShardMembers {
  readonly voters: readonly NodeId[]
  /** Empty unless the configuration is joint. */
  readonly votersOutgoing: readonly NodeId[]
  /** Of every member, learners included: which shard it holds of each part. */
  readonly slots: ReadonlyMap<NodeId, number>
}

/** @throws {StoreError} QUORATE_CORRUPTION when the directory is damaged */
export function shardMembersOf({ conf, members }: Configuration): ShardMembers {
  const { voters, votersOutgoing } = conf
  try {
    const slots = new Map(
      decodeDirectory(members).members.map(({ nodeId, slot }) => [nodeId, slot]),
    )
    return { voters, votersOutgoing, slots }
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_CORRUPTION', `the members: ${cause.message}`, { cause })
  }
}

/** How many of so many voters a part has to be readable without before it is accepted. */
export function sparedVoters(voters: number): number {
  return Math.floor(voters / 2)
}

/**
 * How many different shards are left of a part at least, whichever members may be lost: of both configurations when it
 * is joint, the worse one. It is covered when that is `dataShards` or more.
 *
 * @param holders members that made their shard durable, and which one it is: one that is not that of the member's slot
 *   now counts for nothing
 */
export function coverageOf(holders: readonly ShardHolder[], members: ShardMembers): number {
  const { voters, votersOutgoing, slots } = members
  const holding = new Set(holders.filter(({ node, slot }) => slots.get(node) === slot).map(nodeOf))
  const within = coverageIn(voters, holding)
  return votersOutgoing.length === 0
    ? within
    : Math.min(within, coverageIn(votersOutgoing, holding))
}

/** Whether every part of the blob is covered among `members`, by what its manifest says. */
export function isCovered({ members: listed, parts }: Manifest, members: ShardMembers): boolean {
  return parts.every(
    ({ durable, dataShards }) => coverageOf(holdersOf(durable, listed), members) >= dataShards,
  )
}

function holdersOf(
  durable: BlobPart['durable'],
  listed: readonly ShardHolder[],
): readonly ShardHolder[] {
  return listed.filter((_, i) => durable[i])
}

function coverageIn(voters: readonly NodeId[], holding: ReadonlySet<NodeId>): number {
  const held = voters.filter((node) => holding.has(node)).length
  return Math.max(0, held - sparedVoters(voters.length))
}

function nodeOf({ node }: ShardHolder): NodeId {
  return node
}
