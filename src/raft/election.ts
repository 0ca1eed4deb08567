/**
 * Campaigns and votes (Raft §5.2, §5.4.1; pre-vote: thesis §9.6; transfer: thesis §3.10).
 */
import type { CoreState } from './state.js'
import { NONE, type Term, type VoteMessage } from './types.js'

/** Why a node campaigns: because it is leaderless, or because the leader hands over to it. */
export type CampaignCause = 'timeout' | 'transfer'

/** Starts a campaign unless this node leads or must not lead. */
export function campaign(state: CoreState, cause: CampaignCause): void {
  if (state.role === 'leader' || !state.isPromotable) return
  // A change that is committed but not in force here yet may have given the vote to others (trap T-50).
  if (state.log.hasUnappliedConfChange) return
  // A transfer needs no pre-vote: the leader itself says that it is time.
  if (cause === 'timeout' && state.options.preVote) startPreVote(state)
  else startVote(state, cause)
}

/** The pre-vote is won: campaign in earnest. */
export function startVote(state: CoreState, cause: CampaignCause): void {
  state.becomeCandidate()
  requestVotes(state, 'vote', state.term, cause)
}

/** Answers a request for a vote or a pre-vote, of this term or for a later one. */
export function answerVote(state: CoreState, message: VoteMessage): void {
  const { type, from, term } = message
  const isForFuture = type === 'preVote' && term > state.term
  const canVote =
    state.vote === from || (state.vote === NONE && state.leader === NONE) || isForFuture
  // Learners vote too: one that was promoted may not know it yet (trap T-51).
  const isGranted = canVote && state.log.isUpToDate(message.lastTerm, message.lastIndex)
  state.outbox.sendAfterAppend({
    type: type === 'vote' ? 'voteResponse' : 'preVoteResponse',
    from: state.id,
    to: from,
    // A grant is for the term asked for; a refusal tells ours, so that a node behind catches up (trap T-24).
    term: isGranted ? term : state.term,
    reject: !isGranted,
  })
  if (isGranted && type === 'vote') {
    state.electionElapsed = 0
    state.vote = from
  }
}

/** Whether this node is loyal to a leader it heard from lately, so that it ignores candidates (thesis §4.2.3). */
export function isLoyal(state: CoreState): boolean {
  const { checkQuorum, electionTicks } = state.options
  if (state.loyalTicks > 0) return true
  return checkQuorum && state.leader !== NONE && state.electionElapsed < electionTicks
}

/** A campaign that is asked for. Under leases not by those whose loyalty a leader may count on. */
export function campaignOnRequest(state: CoreState): void {
  if (state.options.reads === 'safe' || !isLoyal(state)) campaign(state, 'timeout')
}

/** A tick of a node that does not lead. */
export function tickElection(state: CoreState): void {
  state.electionElapsed++
  if (state.loyalTicks > 0) state.loyalTicks--
  state.dropReads(state.forwardedReads.tick(state.options.electionTicks))
  if (!state.isPromotable || state.electionElapsed < state.electionTimeout) return
  state.electionElapsed = 0
  // After a hurried timeout the next one is longer; an ordinary one is drawn by the change of role.
  if (state.electionTimeout < state.options.electionTicks) state.drawElectionTimeout()
  campaign(state, 'timeout')
}

function startPreVote(state: CoreState): void {
  state.becomePreCandidate()
  // For the next term, without entering it.
  requestVotes(state, 'preVote', state.term + 1, 'timeout')
}

function requestVotes(
  state: CoreState,
  type: 'vote' | 'preVote',
  term: Term,
  cause: CampaignCause,
): void {
  const { id: from, log, outbox, tracker } = state
  const { lastIndex, lastTerm } = log
  for (const { id: to } of tracker.peers) {
    if (!tracker.isVoter(to)) continue
    if (to === from) {
      // Its own vote counts when it is durable, like any other (trap T-5).
      const answer = type === 'vote' ? 'voteResponse' : 'preVoteResponse'
      outbox.sendAfterAppend({ type: answer, from, to, term, reject: false })
    } else {
      const transfer = cause === 'transfer'
      outbox.send({ type, from, to, term, lastIndex, lastTerm, transfer })
    }
  }
}
