/** What a member's state means, in words for people: how it stands and what may fail next. */

import type { BlobStatus } from '../blob/status.js'
import type { Role } from '../raft/types.js'
import type { MemberView, SnapshotStatus } from './backend.js'
import type { DivergedRange } from './divergence.js'
import type { SpaceStatus } from './free-space.js'
import type { Standing } from './roster.js'

/** What the words are made from. */
export interface Situation {
  readonly id: string
  readonly role: Role | 'stopped'
  readonly standing: Standing
  readonly leader: string | undefined
  readonly members: readonly MemberView[]
  readonly cause: Error | undefined
  readonly snapshots: SnapshotStatus
  readonly space: SpaceStatus
  readonly blobs: BlobStatus
  /** Why log entries could not be copied into the archive. */
  readonly archiveFailure: Error | undefined
  /** Whether the state can be read and written: not while its database is being opened again. */
  readonly isStateOpen: boolean
  /** What of the state is damaged on disk. */
  readonly rotten: string | undefined
  /** Where the members' states went apart without a majority for any. */
  readonly disputed: DivergedRange | undefined
  /** Committed entries that are not applied here yet. */
  readonly unapplied: number
  /** The slowest write of the log within the last minute, when it was slow. */
  readonly slowWriteMs: number | undefined
  /** Members that are not connected because one side refuses the other, with the reason. */
  readonly refusals: readonly string[]
}

/** Entries a member may lag behind before it is worth a sentence. */
const LAG_WORTH_WORDS = 10_000

/** Sentences, the most important first. */
export function describeStanding(situation: Situation): string[] {
  const { id, role, standing, cause } = situation
  if (role === 'stopped') {
    return [
      `${id} has stopped: ${cause?.message ?? 'it was closed'}. ` +
        'What it acknowledged is on its disk; restart it once the cause is gone.',
    ]
  }
  if (standing === 'removed') {
    return [`${id} was removed from the cluster: it serves nothing any more. Its folder may go.`]
  }
  const words = [describeLeadership(situation)]
  // Before its log tells who the others are it can say nothing about them.
  if (standing !== 'joining') words.push(...describeQuorum(situation))
  words.push(...describeDamage(situation))
  words.push(...describeBlobs(situation))
  words.push(...describeSpace(situation))
  if (situation.archiveFailure !== undefined) {
    const { message } = situation.archiveFailure
    words.push(`The archive takes no entries, so the log is not shortened: ${message}.`)
  }
  for (const refusal of situation.refusals) words.push(`No connection to ${refusal}.`)
  for (const member of situation.members) {
    if (member.lag !== undefined && member.lag > LAG_WORTH_WORDS) {
      words.push(`${member.id} is ${member.lag} entries behind and catching up.`)
    }
  }
  words.push(...describePace(situation))
  words.push(...describeSnapshots(situation))
  return words
}

function describePace({ id, unapplied, slowWriteMs }: Situation): string[] {
  const words: string[] = []
  if (unapplied > LAG_WORTH_WORDS) {
    words.push(`${id} has ${unapplied} committed entries yet to apply.`)
  }
  if (slowWriteMs !== undefined) {
    const ms = Math.round(slowWriteMs)
    words.push(
      `The disk of ${id} is slow: a write of the log took ${ms} ms within the last minute.`,
    )
  }
  return words
}

function describeDamage({ isStateOpen, disputed, rotten }: Situation): string[] {
  const words: string[] = []
  if (rotten !== undefined) words.push(`The state is damaged: ${rotten}.`)
  if (disputed !== undefined) {
    words.push(
      `The states of the members went apart after index ${disputed.after}, by ${disputed.at}, and nobody can tell ` +
        'which is right: no majority has the same.',
    )
  }
  if (!isStateOpen) {
    words.push('The state could not be written and is being opened again; reads wait for it.')
  }
  return words
}

function describeBlobs({ id, blobs }: Situation): string[] {
  const words: string[] = []
  const { missing, undercovered } = blobs
  if (missing > 0) {
    words.push(`${id} lacks ${missing} of its shards of large values and makes them anew.`)
  }
  if (undercovered > 0) {
    words.push(`${undercovered} large values are being coded anew for the members there are now.`)
  }
  return words
}

function describeSpace({ id, space }: Situation): string[] {
  const words: string[] = []
  if (space.isLow) {
    const free = space.freeBytes === undefined ? '' : `: ${mebibytes(space.freeBytes)} MiB are free`
    words.push(`The disk of ${id} is nearly full${free}.`)
  }
  if (space.refusesWrites) words.push('New writes are refused until there is more disk space.')
  return words
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / (1024 * 1024))
}

function describeSnapshots({ id, snapshots }: Situation): string[] {
  const words = snapshots.sending.map(({ to, phase, bytes, totalBytes }) =>
    phase === 'failed'
      ? `${to} lacks more than the log holds, and could not be sent the state; it is tried again.`
      : `${to} lacks more than the log holds and is sent the state${shareOf(bytes, totalBytes)}.`,
  )
  const { receiving, rebuilding } = snapshots
  if (rebuilding !== undefined) {
    words.push(`The state of ${id} is had again and not served until then: ${rebuilding}.`)
  }
  if (receiving !== undefined) {
    const { from, index, bytes, totalBytes } = receiving
    words.push(`Takes in the state at index ${index} from ${from}${shareOf(bytes, totalBytes)}.`)
  }
  return words
}

function shareOf(bytes: number, totalBytes: number): string {
  return totalBytes === 0 ? '' : `, ${Math.floor((100 * bytes) / totalBytes)} % of it so far`
}

function describeLeadership({ id, role, standing, leader }: Situation): string {
  if (role === 'leader') return `${id} leads.`
  if (standing === 'joining') return `${id} waits for a leader to bring it the log.`
  const part = standing === 'learner' ? ' as a learner, without a vote' : ''
  if (leader !== undefined) return `${id} follows ${leader}${part}.`
  return `${id} knows no leader: writes and strong reads wait, eventual reads are served.`
}

function describeQuorum(situation: Situation): string[] {
  const { members } = situation
  const voters = members.filter((member) => member.as === 'voter')
  const words: string[] = []
  const down = members.filter((member) => !member.isUp && !member.isSelf)
  if (down.length > 0) {
    words.push(`No connection to ${down.map((member) => member.id).join(' and ')}.`)
  }
  if (voters.length === 1) {
    if (members.length === 1) words.push('One member: no other copy of the data exists.')
    else words.push('One voter: without it nothing is written.')
    return words
  }
  const up = voters.filter((member) => member.isUp || member.isSelf).length
  const quorum = Math.floor(voters.length / 2) + 1
  const all = voters.length === members.length ? 'members' : 'voters'
  const reachable = `${up} of ${voters.length} ${all} reachable from here`
  if (up < quorum) words.push(`${reachable}, ${quorum} are needed to write.`)
  else if (up === quorum) words.push(`${reachable}; the next loss stops writes.`)
  else words.push(`${reachable}; can lose ${up - quorum} more.`)
  if (voters.length % 2 === 0) {
    words.push(`${voters.length} ${all} survive no more losses than ${voters.length - 1} would.`)
  }
  return words
}
