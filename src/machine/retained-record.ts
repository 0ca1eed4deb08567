/**
 * What the replicated state says about retained checkpoints, and how the leader's commands change it. Pure.
 *
 * Invariants:
 *   1. at most one is being made, and at most one is durable: a newer one that is begun takes the place of one that is
 *      being made, and one that has become durable that of the durable one before
 *   2. one is durable only if it was being made: what a leader says late, of one that was given up, changes nothing
 */
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { EntryId } from '../raft/types.js'
import { DecodeError, type Retain, type Retained } from '../wire/command.js'
import { decodeRetained, NOTHING_RETAINED, type RetainedRecord } from '../wire/retained.js'
import { type ShardMembers, sparedVoters } from './coverage.js'

/** The record in a database, from what it has under RETAINED_KEY. @throws {StoreError} QUORATE_CORRUPTION */
export function readRetained(bytes: Uint8Array | undefined): RetainedRecord {
  if (bytes === undefined) return NOTHING_RETAINED
  try {
    return decodeRetained(asBuffer(bytes))
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_CORRUPTION', cause.message, { cause })
  }
}

/** The largest k with which shards at all voters are enough, of both halves of a joint configuration. */
export function dataShardsMax({ voters, votersOutgoing }: ShardMembers): number {
  const most = (count: number): number => Math.max(1, count - sparedVoters(count))
  const within = most(voters.length)
  return votersOutgoing.length === 0 ? within : Math.min(within, most(votersOutgoing.length))
}

/** The state at `entry` is to be retained by `members`. */
export function begun(
  before: RetainedRecord,
  { dataShards }: Retain,
  { index, term }: EntryId,
  members: ShardMembers,
): RetainedRecord {
  const holders = [...members.slots].map(([node, slot]) => ({ node, slot }))
  const making = {
    index,
    term,
    dataShards: Math.max(1, Math.min(dataShards, dataShardsMax(members))),
    members: holders.sort((a, b) => a.slot - b.slot),
  }
  return { making, durable: before.durable }
}

/** Enough members have it; undefined when it is not the one that is being made. */
export function confirmed(
  { making }: RetainedRecord,
  { index, root }: Retained,
): RetainedRecord | undefined {
  if (making?.index !== index) return undefined
  return { making: undefined, durable: { ...making, root: asBuffer(root).toString('hex') } }
}
