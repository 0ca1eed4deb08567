/**
 * What a message from another node must be before the core looks at it (trap T-70).
 *
 * The wire codec has checked bytes and lengths; here the numbers are checked against each other, so that no
 * message can break an invariant of the log, however wrong its sender is. It costs a few comparisons per entry.
 */
import type {
  AppendMessage,
  ConfState,
  Entry,
  EntryKind,
  Message,
  NodeId,
  ProposedEntry,
  SnapshotMeta,
} from './types.js'

/** Terms and indexes beyond this leave no room to count on. */
const NUMBER_MAX = 2 ** 52

/** Whether `message` can be stepped by the node `self`. */
export function isAcceptable(message: Message, self: NodeId): boolean {
  const { from, to, term } = message
  if (to !== self || from === self || !isPositive(from) || !isNatural(term)) return false
  // Only what a follower hands on has no term: it says nothing of the sender's.
  if (term === 0 && message.type !== 'propose' && message.type !== 'readIndex') return false
  return hasSoundBody(message)
}

function hasSoundBody(message: Message): boolean {
  switch (message.type) {
    case 'append':
      return isSoundAppend(message)
    case 'appendResponse':
      return (
        isNatural(message.index) &&
        isNatural(message.hintIndex) &&
        isNatural(message.hintTerm) &&
        isNatural(message.session)
      )
    case 'vote':
    case 'preVote':
      return isNatural(message.lastIndex) && isNatural(message.lastTerm)
    case 'heartbeat':
      return isNatural(message.commit) && isNatural(message.context)
    case 'heartbeatResponse':
    case 'readIndex':
      return isNatural(message.context)
    case 'readIndexResponse':
      return isNatural(message.context) && isNatural(message.index)
    case 'snapshot':
      return isNatural(message.session) && isSoundSnapshot(message.snapshot, message.term)
    case 'propose':
      return message.entries.length > 0 && message.entries.every(isSoundProposal)
    case 'voteResponse':
    case 'preVoteResponse':
    case 'timeoutNow':
    case 'transferLeader':
    case 'forgetLeader':
      return true
    default:
      // A message from a newer version.
      return false
  }
}

function isSoundAppend(message: AppendMessage): boolean {
  const { prevIndex, prevTerm, entries, commit, session, term } = message
  if (!isNatural(prevIndex) || !isNatural(prevTerm) || prevTerm > term) return false
  if (!isNatural(commit) || !isNatural(session)) return false
  let lastTerm = prevTerm
  for (let i = 0; i < entries.length; i++) {
    const entry: Entry = entries[i]!
    if (entry.index !== prevIndex + 1 + i || !isPositive(entry.term)) return false
    if (entry.term < lastTerm || entry.term > term || !isKind(entry.kind)) return false
    lastTerm = entry.term
  }
  return true
}

function isSoundSnapshot({ index, term, conf }: SnapshotMeta, senderTerm: number): boolean {
  return isPositive(index) && isPositive(term) && term <= senderTerm && isSoundConf(conf)
}

/** Whether `conf` keeps the invariants of a configuration (membership.ts). */
function isSoundConf(conf: ConfState): boolean {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = conf
  const lists = [voters, votersOutgoing, learners, learnersNext]
  if (!lists.every((ids) => ids.every(isPositive) && new Set(ids).size === ids.length)) return false
  if (voters.length === 0) return false
  if (autoLeave && votersOutgoing.length === 0) return false
  if (learners.some((id) => voters.includes(id) || votersOutgoing.includes(id))) return false
  return learnersNext.every((id) => votersOutgoing.includes(id) && !voters.includes(id))
}

function isSoundProposal({ kind }: ProposedEntry): boolean {
  return isKind(kind)
}

function isKind(kind: EntryKind): boolean {
  return kind === 'normal' || kind === 'confChangeV2' || kind === 'confChange'
}

function isNatural(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= NUMBER_MAX
}

function isPositive(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= NUMBER_MAX
}
