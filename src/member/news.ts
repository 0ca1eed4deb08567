/**
 * What members have proven about themselves and the directory does not say yet: which folder is theirs, and where
 * they listen. The leader puts it on record.
 */
import type { MemberRecord } from '../wire/directory.js'
import type { Identity } from './identity.js'
import type { MemberOptions } from './options.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'

/** What is known of a member beside its record. */
interface Facts {
  readonly connectedAddress: string | undefined
  readonly incarnation: string
}

/** The records that would have to change, as they would be then. */
export function newsOf(
  identity: Identity,
  options: MemberOptions,
  roster: Roster,
  peers: Peers,
): MemberRecord[] {
  return roster.members.flatMap((member) => {
    const isSelf = member.nodeId === roster.self
    const facts = isSelf
      ? ownFacts(identity, options, roster, member, peers)
      : peers.facts(member.nodeId)
    return facts === undefined ? [] : amend(member, facts)
  })
}

function amend(member: MemberRecord, facts: Facts): MemberRecord[] {
  const address = facts.connectedAddress ?? member.address
  const incarnation = member.incarnation ?? facts.incarnation
  const isKnown = address === member.address && incarnation === member.incarnation
  return isKnown ? [] : [{ ...member, address, incarnation }]
}

/**
 * Where others find this member is seen by them; it says so itself only when it was told by its options, or nobody
 * else knows. A member without others needs no record, until it can be found.
 */
function ownFacts(
  { id, incarnation }: Identity,
  { members }: MemberOptions,
  roster: Roster,
  own: MemberRecord,
  peers: Peers,
): Facts | undefined {
  const isAlone = roster.others.length === 0
  const isUnseen = own.address === undefined || isAlone
  const connectedAddress = members?.[id] ?? (isUnseen ? peers.reachableAt : undefined)
  const isFound = connectedAddress !== undefined && connectedAddress !== own.address
  return isAlone && !isFound ? undefined : { connectedAddress, incarnation }
}
