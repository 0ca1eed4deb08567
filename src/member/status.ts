/** What a member's state means, in words for people: how it stands and what may fail next. */

import type { Role } from '../raft/types.js'
import type { MemberView } from './backend.js'

/** What the words are made from. */
export interface Standing {
  readonly id: string
  readonly role: Role | 'stopped'
  readonly leader: string | undefined
  readonly members: readonly MemberView[]
  readonly cause: Error | undefined
  readonly peersWantingSnapshot: readonly string[]
}

/** Entries a member may lag behind before it is worth a sentence. */
const LAG_WORTH_WORDS = 10_000

/** Sentences, the most important first. */
export function describeStanding(standing: Standing): string[] {
  if (standing.role === 'stopped') {
    return [
      `${standing.id} has stopped: ${standing.cause?.message ?? 'it was closed'}. ` +
        'What it acknowledged is on its disk; restart it once the cause is gone.',
    ]
  }
  const words = [describeLeadership(standing), ...describeQuorum(standing)]
  for (const member of standing.members) {
    if (member.lag !== undefined && member.lag > LAG_WORTH_WORDS) {
      words.push(`${member.id} is ${member.lag} entries behind and catching up.`)
    }
  }
  for (const id of standing.peersWantingSnapshot) {
    words.push(`${id} needs entries that the log does not hold any more; it cannot catch up.`)
  }
  return words
}

function describeLeadership(standing: Standing): string {
  if (standing.role === 'leader') return `${standing.id} leads.`
  if (standing.leader !== undefined) return `${standing.id} follows ${standing.leader}.`
  return `${standing.id} knows no leader: writes and strong reads wait, eventual reads are served.`
}

function describeQuorum(standing: Standing): string[] {
  const voters = standing.members.length
  if (voters === 1) return ['One member: no other copy of the data exists.']
  const up = standing.members.filter((member) => member.isUp || member.isSelf).length
  const quorum = Math.floor(voters / 2) + 1
  const down = standing.members.filter((member) => !member.isUp && !member.isSelf)
  const words: string[] = []
  if (down.length > 0) {
    words.push(`No connection to ${down.map((member) => member.id).join(' and ')}.`)
  }
  if (up < quorum) {
    words.push(`${up} of ${voters} members reachable from here, ${quorum} are needed to write.`)
  } else {
    const spare = up - quorum
    words.push(
      `${up} of ${voters} members reachable from here; ` +
        (spare === 0 ? 'the next loss stops writes.' : `can lose ${spare} more.`),
    )
  }
  if (voters % 2 === 0) {
    words.push(`${voters} members survive no more losses than ${voters - 1} would.`)
  }
  return words
}
