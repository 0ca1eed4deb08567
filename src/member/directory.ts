/**
 * What configuration entries make of the configuration and of the directory of members that belongs to it: pure,
 * and the same on every member.
 *
 * Invariants:
 *   1. the directory lists exactly the members of the configuration
 *   2. names and numbers are never used again: those of removed members are kept in `removed`
 *   3. a change that breaks a rule here changes nothing at all, on any member (trap T-55)
 *   4. a member keeps the slot that it was given when it came: the lowest one that nobody had, also none of those who
 *      go with the same change. So no two members ever hold the same shard
 */
import { StoreError } from '../base/errors.js'
import type { Configuration } from '../machine/state-machine.js'
import { decodeConfChange } from '../raft/conf-change.js'
import { changeConf, membersOf } from '../raft/membership.js'
import type { ConfChangeV2, ConfState, Entry, LogIndex, NodeId } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import {
  type Directory,
  decodeDirectory,
  decodeRecords,
  encodeDirectory,
  type MemberFacts,
  type MemberRecord,
} from '../wire/directory.js'
import { SLOT_MAX } from '../wire/manifest.js'
import type { FirstMember } from './identity.js'

/** The configuration that the log begins with. */
export function firstConfiguration(firstMembers: readonly FirstMember[]): Configuration {
  const members = firstMembers.map(({ nodeId, id, address }, slot) => ({
    nodeId,
    id,
    address,
    incarnation: undefined,
    slot,
  }))
  return {
    conf: {
      voters: firstMembers.map(({ nodeId }) => nodeId),
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
    members: encodeDirectory({ confIndex: 0, members, removed: [] }),
  }
}

/**
 * What `entry` makes of `before`; `before` itself when it changes nothing.
 * @throws {StoreError} QUORATE_FORMAT when it is of a newer version: it must not be skipped (trap T-68).
 */
export function changeConfiguration(before: Configuration, entry: Entry): Configuration {
  const change = changeOf(entry)
  const result = changeConf(before.conf, change)
  if ('refused' in result) return before
  const directory = decodeDirectory(before.members)
  const after = changeDirectory(directory, change, result.conf, entry.index)
  return after === undefined ? before : { conf: result.conf, members: encodeDirectory(after) }
}

/** The change in a configuration entry. @throws {StoreError} QUORATE_FORMAT when it is of a newer version. */
export function changeOf(entry: Entry): ConfChangeV2 {
  const change = decodeConfChange(entry.data)
  if (change !== undefined) return change
  throw new StoreError(
    'QUORATE_FORMAT',
    `entry ${entry.index} changes the configuration in a way that this version does not know`,
  )
}

/** The directory of an open state. @throws {StoreError} QUORATE_CORRUPTION when it is not that of `conf`. */
export function openDirectory({ conf, members }: Configuration): Directory {
  let directory: Directory
  try {
    directory = decodeDirectory(members)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_CORRUPTION', `the members: ${cause.message}`, { cause })
  }
  const listed = directory.members.map(({ nodeId }) => nodeId).join()
  if (listed === membersOf(conf).join()) return directory
  throw new StoreError('QUORATE_CORRUPTION', `the configuration does not belong to nodes ${listed}`)
}

/**
 * The incarnations that stand in `entries`, committed or not: a leader has seen each of them, and a member never gets
 * another one. Known before they are applied, they keep a lost folder out from the start (trap T-14).
 */
export function incarnationsIn(entries: readonly Entry[]): Map<NodeId, string> {
  const found = new Map<NodeId, string>()
  for (const entry of entries) {
    if (entry.kind === 'normal') continue
    for (const { nodeId, incarnation } of recordsOf(changeOf(entry), entry.index)) {
      if (incarnation !== undefined) found.set(nodeId, incarnation)
    }
  }
  return found
}

/** The number of the next new member. */
export function nextNode({
  members,
  removed,
}: {
  readonly members: readonly Pick<MemberFacts, 'nodeId'>[]
  readonly removed: Directory['removed']
}): NodeId {
  return 1 + [...members, ...removed].reduce((most, { nodeId }) => Math.max(most, nodeId), 0)
}

/** Whether `id` is, or was, a member's name. */
export function isNameTaken({ members, removed }: Directory, id: string): boolean {
  return [...members, ...removed].some((member) => member.id === id)
}

/** The directory after `change`, which led to `conf`; undefined when it breaks a rule. */
function changeDirectory(
  before: Directory,
  change: ConfChangeV2,
  conf: ConfState,
  index: LogIndex,
): Directory | undefined {
  const known = new Map(before.members.map((member) => [member.nodeId, member]))
  const records = recordsOf(change, index)
  for (const record of records) {
    const present = known.get(record.nodeId)
    const isRight =
      present === undefined ? isNew(before, [...known.values()], record) : present.id === record.id
    const slot = present?.slot ?? freeSlot([...known.values()])
    if (!isRight || slot > SLOT_MAX) return undefined
    known.set(record.nodeId, { ...record, slot })
  }
  const nodes = membersOf(conf)
  if (nodes.some((node) => !known.has(node))) return undefined
  if (records.some(({ nodeId }) => !nodes.includes(nodeId))) return undefined
  const members = nodes.map((node) => known.get(node)!)
  const gone = before.members.filter(({ nodeId }) => !nodes.includes(nodeId))
  const removed = [...before.removed, ...gone.map(({ nodeId, id }) => ({ nodeId, id }))]
  const isUpdate = change.steps.length > 0 && change.steps.every(({ kind }) => kind === 'update')
  const isVisible = !isUpdate || addressesOf(members) !== addressesOf(before.members)
  return { confIndex: isVisible ? index : before.confIndex, members, removed }
}

/** The lowest slot that none of `members` has; SLOT_MAX + 1 when there is none. */
function freeSlot(members: readonly MemberRecord[]): number {
  const taken = new Set(members.map(({ slot }) => slot))
  let slot = 0
  while (taken.has(slot)) slot++
  return slot
}

function recordsOf(change: ConfChangeV2, index: LogIndex): MemberFacts[] {
  try {
    return decodeRecords(change.context)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_FORMAT', `entry ${index}: ${cause.message}`, { cause })
  }
}

/** Whether a member that was not there before `record` has a name and a number that nobody ever had. */
function isNew(before: Directory, members: readonly MemberRecord[], record: MemberFacts): boolean {
  const present = { ...before, members }
  return record.nodeId >= nextNode(present) && !isNameTaken(present, record.id)
}

function addressesOf(members: readonly MemberRecord[]): string {
  return members.map(({ address }) => address ?? '').join('\n')
}
