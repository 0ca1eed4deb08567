/**
 * What a follower does with each message; candidates use the same handlers once they follow a leader.
 */
import { unreachable } from '../base/assert.js'
import { campaign } from './election.js'
import type { CoreState } from './state.js'
import {
  type AppendMessage,
  type HeartbeatMessage,
  type LogIndex,
  type Message,
  NONE,
  type SnapshotMessage,
  type SnapshotMeta,
  type Term,
} from './types.js'

/** Handles a message of the present term. */
export function stepFollower(state: CoreState, message: Message): void {
  switch (message.type) {
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      // Two leaders in one term cannot be; what claims to come from a second one is not believed.
      if (state.leader === NONE || state.leader === message.from) hearLeader(state, message)
      return
    case 'readIndexResponse':
      if (message.from !== state.leader) return
      for (const token of state.forwardedReads.answered(message.context)) {
        state.outbox.serveRead(token, message.index)
      }
      return
    case 'transferLeader':
      if (state.leader !== NONE) {
        state.outbox.send({ ...message, to: state.leader, term: state.term })
      }
      return
    case 'forgetLeader':
      forgetLeader(state)
      return
    case 'timeoutNow':
      campaign(state, 'transfer')
      return
    case 'propose':
      if (state.leader !== NONE && state.options.forwardProposals) {
        state.outbox.send({ ...message, to: state.leader })
      }
      return
    case 'readIndex':
      // Not handed on: its context is the asker's, and the asker asks the leader itself.
      return
    case 'vote':
    case 'preVote':
    case 'voteResponse':
    case 'preVoteResponse':
    case 'appendResponse':
    case 'heartbeatResponse':
      return
    default:
      unreachable(message)
  }
}

/** Handles what only the leader of the present term sends. */
export function hearLeader(
  state: CoreState,
  message: AppendMessage | HeartbeatMessage | SnapshotMessage,
): void {
  // Also an append that will be refused: the leader is alive (trap T-30).
  state.electionElapsed = 0
  state.follow(message.from)
  switch (message.type) {
    case 'append':
      handleAppend(state, message)
      return
    case 'heartbeat':
      handleHeartbeat(state, message)
      return
    case 'snapshot':
      handleSnapshot(state, message)
  }
}

/** Forgets the leader without a campaign, so that this node may vote for another at once. */
export function forgetLeader(state: CoreState): void {
  // A lease counts on the loyalty of its voters.
  if (state.options.reads === 'safe') state.follow(NONE)
}

function handleAppend(state: CoreState, message: AppendMessage): void {
  const { log } = state
  const { prevIndex, prevTerm, entries } = message
  // Without a configuration the changes among the entries would start from nothing, and this node could come
  // to think that it is alone. It refuses the very first position: that asks for a snapshot.
  if (prevIndex === 0 && state.tracker.peers.length === 0) {
    refuse(state, message)
    return
  }
  if (prevIndex < log.commitIndex) {
    // What is committed here is in every later leader's log; an answer would vouch for what is not.
    if (!contradicts(state, prevIndex, prevTerm)) acknowledge(state, message, log.commitIndex)
    return
  }
  switch (log.append(prevIndex, prevTerm, entries)) {
    case 'appended': {
      const verified = prevIndex + entries.length
      // Only what this message has verified: there may be an unverified tail behind it (trap T-8).
      log.commitTo(Math.min(message.commit, verified))
      acknowledge(state, message, verified)
      return
    }
    case 'mismatch':
      refuse(state, message)
      return
    case 'conflict':
      // No leader replaces a committed entry: the message is not what it claims to be.
      return
  }
}

/** Says where the logs may agree, so that the leader skips a whole term at a time (Raft §5.3). */
function refuse(state: CoreState, message: AppendMessage): void {
  const { log } = state
  const { prevIndex, prevTerm } = message
  const hintIndex = log.lastIndexAtMost(Math.min(prevIndex, log.lastIndex), prevTerm)
  state.outbox.sendAfterAppend({
    type: 'appendResponse',
    from: state.id,
    to: message.from,
    term: state.term,
    index: prevIndex,
    reject: true,
    hintIndex,
    hintTerm: log.termAt(hintIndex) ?? 0,
    session: message.session,
  })
}

function acknowledge(
  state: CoreState,
  message: AppendMessage | SnapshotMessage,
  index: LogIndex,
): void {
  state.outbox.sendAfterAppend({
    type: 'appendResponse',
    from: state.id,
    to: message.from,
    term: state.term,
    index,
    reject: false,
    hintIndex: 0,
    hintTerm: 0,
    session: message.session,
  })
}

function handleHeartbeat(state: CoreState, message: HeartbeatMessage): void {
  // Beyond the end of the log means that this node has lost entries it once acknowledged. It cannot commit
  // what it does not have; the leader must see from the answers that something is wrong (trap T-14).
  if (message.commit <= state.log.lastIndex) state.log.commitTo(message.commit)
  state.outbox.send({
    type: 'heartbeatResponse',
    from: state.id,
    to: message.from,
    term: state.term,
    context: message.context,
  })
}

function handleSnapshot(state: CoreState, message: SnapshotMessage): void {
  const { log } = state
  const { index, term } = message.snapshot
  if (index <= log.commitIndex && contradicts(state, index, term)) return
  const isRestored = restore(state, message.snapshot)
  acknowledge(state, message, isRestored ? log.lastIndex : log.commitIndex)
}

/** Whether a committed position is known to have another term than `term`: then one of the two logs is wrong. */
function contradicts({ log }: CoreState, index: LogIndex, term: Term): boolean {
  const known = log.termAt(index)
  return known !== undefined && known !== term
}

/** Replaces log and configuration by those of a snapshot, when it is ahead of what is committed here. */
function restore(state: CoreState, snapshot: SnapshotMeta): boolean {
  const { log, tracker } = state
  const { conf, index, term } = snapshot
  if (index <= log.commitIndex) return false
  const members = [...conf.voters, ...conf.votersOutgoing, ...conf.learners]
  if (!members.includes(state.id)) return false
  if (log.termAt(index) === term) {
    // The log leads there already: nothing is replaced, all of it up to there is committed (trap T-17).
    log.commitTo(index)
    return false
  }
  // Whatever else the log holds conflicts with the snapshot, or lies before it (trap T-16).
  log.restore(snapshot)
  tracker.switchTo(conf, new Set(members), index)
  return true
}
