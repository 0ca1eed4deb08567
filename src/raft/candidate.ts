/**
 * What a candidate or pre-candidate does with each message.
 */
import { startVote } from './election.js'
import { hearLeader } from './follower.js'
import { becomeLeader } from './leader.js'
import type { CoreState } from './state.js'
import { type Message, NONE, type VoteResponseMessage } from './types.js'

/** Handles a message of the present term. */
export function stepCandidate(state: CoreState, message: Message): void {
  switch (message.type) {
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      state.becomeFollower(message.term, message.from)
      hearLeader(state, message)
      return
    case 'voteResponse':
      if (state.role === 'candidate') takeVote(state, message)
      return
    case 'preVoteResponse':
      // A grant is for the term that would be campaigned for; others are left over from an earlier round.
      if (state.role !== 'preCandidate') return
      if (message.reject || message.term === state.term + 1) takeVote(state, message)
      return
    default:
      return
  }
}

function takeVote(state: CoreState, { from, reject }: VoteResponseMessage): void {
  state.tracker.recordVote(from, reject ? 'rejected' : 'granted')
  switch (state.tracker.voteResult()) {
    case 'won':
      if (state.role === 'preCandidate') startVote(state, 'timeout')
      else becomeLeader(state)
      return
    case 'lost':
      state.becomeFollower(state.term, NONE)
      return
    case 'pending':
      return
  }
}
