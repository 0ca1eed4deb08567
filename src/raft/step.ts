/**
 * The rules of terms, which come before those of roles (Raft §5.1).
 */
import { stepCandidate } from './candidate.js'
import { answerVote, isLoyal } from './election.js'
import { stepFollower } from './follower.js'
import { stepLeader } from './leader.js'
import type { CoreState } from './state.js'
import { type Message, NONE, type VoteMessage } from './types.js'

/** Takes in a message of another node, or of this node to itself. */
export function stepMessage(state: CoreState, message: Message): void {
  if (isAnswer(message) && state.tracker.find(message.from) === undefined) return
  // Proposals and read requests carry no term.
  if (message.term > state.term) {
    // A candidate of a later term does not disturb those who hear from a leader (thesis §4.2.3; trap T-28).
    if (isVote(message) && !message.transfer && isLoyal(state)) return
    enterTerm(state, message)
  } else if (message.term < state.term && message.term !== 0) {
    answerPast(state, message)
    return
  }
  if (isVote(message)) answerVote(state, message)
  else if (state.role === 'leader') stepLeader(state, message)
  else if (state.role === 'follower') stepFollower(state, message)
  else stepCandidate(state, message)
}

/** A message of a later term: this node is behind, except where the term is only asked about. */
function enterTerm(state: CoreState, message: Message): void {
  switch (message.type) {
    case 'preVote':
      return
    case 'preVoteResponse':
      // A grant is for the term we asked for; a refusal comes from a node that is really in it.
      if (message.reject) state.becomeFollower(message.term, NONE)
      return
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      state.becomeFollower(message.term, message.from)
      return
    default:
      state.becomeFollower(message.term, NONE)
  }
}

function answerPast(state: CoreState, message: Message): void {
  const { id: from, term, options, outbox } = state
  const to = message.from
  if (message.type === 'append' || message.type === 'heartbeat') {
    // A leader that is behind must hear of our term, or this node could never rejoin: with loyal voters it
    // cannot be elected, and it does not take orders from the past (trap T-29).
    if (!options.checkQuorum && !options.preVote) return
    const answer = { index: 0, reject: false, hintIndex: 0, hintTerm: 0, session: 0 }
    outbox.sendAfterAppend({ type: 'appendResponse', from, to, term, ...answer })
  } else if (message.type === 'preVote') {
    outbox.sendAfterAppend({ type: 'preVoteResponse', from, to, term, reject: true })
  }
}

function isVote(message: Message): message is VoteMessage {
  return message.type === 'vote' || message.type === 'preVote'
}

/** Whether `message` makes sense only from a member of this node's configuration. */
function isAnswer({ type }: Message): boolean {
  return (
    type === 'appendResponse' ||
    type === 'heartbeatResponse' ||
    type === 'voteResponse' ||
    type === 'preVoteResponse'
  )
}
