/**
 * What a leader does with each message, tick and proposal (Raft §5.3, §5.4).
 */
import { unreachable } from '../base/assert.js'
import { EMPTY } from '../base/bytes.js'
import { decodeConfChange, leavesJoint } from './conf-change.js'
import { changeConf, isJoint } from './membership.js'
import type { Progress } from './progress.js'
import {
  broadcastAppend,
  broadcastHeartbeat,
  sendAppend,
  sendEntries,
  sendSnapshot,
} from './replication.js'
import type { CoreState } from './state.js'
import {
  type AppendResponseMessage,
  type ConfChangeV2,
  type DropReason,
  type HeartbeatResponseMessage,
  type Message,
  NONE,
  type NodeId,
  type ProposedEntry,
} from './types.js'

const EMPTY_ENTRY: ProposedEntry = { kind: 'normal', data: EMPTY }
const LEAVE_ENTRY: ProposedEntry = { kind: 'confChangeV2', data: EMPTY }

/** The election is won: take the log as it is, and commit it all by an entry of the new term (Raft §5.4.2, §8). */
export function becomeLeader(state: CoreState): void {
  state.becomeLeader()
  const self = state.tracker.self
  if (self !== undefined) {
    self.becomeReplicate()
    self.isRecentlyActive = true
  }
  // There may be a configuration change anywhere in the tail: no other until all of it is applied (trap T-49).
  state.pendingConfIndex = state.log.lastIndex
  append(state, [EMPTY_ENTRY])
  broadcastAppend(state)
}

/** Handles a message of the present term. */
export function stepLeader(state: CoreState, message: Message): void {
  switch (message.type) {
    case 'propose':
      propose(state, message.entries)
      return
    case 'readIndex':
      readFor(state, message.from, message.context)
      return
    case 'appendResponse':
      handleAppendResponse(state, message)
      return
    case 'heartbeatResponse':
      handleHeartbeatResponse(state, message)
      return
    case 'transferLeader':
      startTransfer(state, message.from)
      return
    case 'append':
    case 'heartbeat':
    case 'snapshot':
    case 'vote':
    case 'preVote':
    case 'voteResponse':
    case 'preVoteResponse':
    case 'timeoutNow':
    case 'forgetLeader':
    case 'readIndexResponse':
      return
    default:
      unreachable(message)
  }
}

/** Why a configuration change was put aside, or that all entries were appended as they are, or none was. */
export type ProposeResult =
  | { readonly type: 'appended'; readonly refused: string | undefined }
  | { readonly type: 'dropped'; readonly why: DropReason }

const APPENDED: ProposeResult = { type: 'appended', refused: undefined }

/** Appends `entries` to the log and sends them out. */
export function propose(state: CoreState, entries: readonly ProposedEntry[]): ProposeResult {
  if (state.tracker.self === undefined) return { type: 'dropped', why: 'removed' }
  if (state.transferTarget !== NONE) return { type: 'dropped', why: 'transferring' }
  let refused: string | undefined
  let accepted: ProposedEntry[] | undefined
  for (let i = 0; i < entries.length; i++) {
    if (entries[i]!.kind === 'normal') continue
    const why = confChangeFault(state, entries[i]!)
    if (why === undefined) {
      state.pendingConfIndex = state.log.lastIndex + 1 + i
    } else {
      refused = why
      accepted ??= [...entries]
      accepted[i] = EMPTY_ENTRY
    }
  }
  if (!append(state, accepted ?? entries)) return { type: 'dropped', why: 'overloaded' }
  broadcastAppend(state)
  return refused === undefined ? APPENDED : { type: 'appended', refused }
}

/** A read of this node: served at once under a lease, else with the next round of heartbeats. */
export function readLocally(state: CoreState, token: number): void {
  if (canServeByLease(state)) state.outbox.serveRead(token, state.log.commitIndex)
  else if (!state.reads.add(token)) state.outbox.drop(token, 'overloaded', state.leader)
}

/** Whether a round of reads waits to be sent: only after the first commit of the term is the index known (T-42). */
export function canSealReads(state: CoreState): boolean {
  return state.reads.canSeal && hasCommittedInTerm(state)
}

/** Fixes the index of the reads that have come in and asks a quorum whether this node still leads. */
export function sealReads(state: CoreState): void {
  const context = state.reads.seal(state.log.commitIndex)
  // A sole voter confirms itself.
  if (state.tracker.quorumContext() >= context) releaseReads(state)
  else broadcastHeartbeat(state, context)
}

/** Answers the reads that a quorum has confirmed. */
export function releaseReads(state: CoreState): void {
  const context = state.tracker.quorumContext()
  if (state.options.reads === 'lease') state.lease.confirmedBy(context)
  for (const round of state.reads.confirmedBy(context)) {
    for (const token of round.tokens) state.outbox.serveRead(token, round.index)
    for (const [asker, asked] of round.askers) answerRead(state, asker, asked, round.index)
  }
}

/** A tick of the leader: heartbeats, the check of its quorum, the end of a transfer that takes too long. */
export function tickLeader(state: CoreState): void {
  const { options, tracker } = state
  state.heartbeatElapsed++
  state.electionElapsed++
  state.lease.tick()
  if (state.electionElapsed >= options.electionTicks) {
    state.electionElapsed = 0
    // Without it a leader that is cut off would go on taking proposals that it can never commit.
    if (options.checkQuorum && !tracker.checkQuorum()) {
      state.becomeFollower(state.term, NONE)
      return
    }
    if (state.transferTarget !== NONE) abortTransfer(state)
  }
  if (state.heartbeatElapsed >= options.heartbeatTicks) {
    state.heartbeatElapsed = 0
    broadcastHeartbeat(state, heartbeatContext(state))
  }
}

/** Hands leadership to `target` as soon as its log is complete (thesis §3.10). */
export function startTransfer(state: CoreState, target: NodeId): void {
  const peer = state.tracker.find(target)
  if (peer === undefined || peer.isLearner || state.transferTarget === target) return
  if (target === state.id) {
    abortTransfer(state)
    return
  }
  // It has one election timeout.
  state.electionElapsed = 0
  state.transferTarget = target
  if (peer.match === state.log.lastIndex) sendTimeoutNow(state, target)
  else sendAppend(state, peer)
}

/** Goes on as leader: proposals are taken again. */
export function abortTransfer(state: CoreState): void {
  state.transferTarget = NONE
  leaveJointIfDue(state)
}

/** Commits what a quorum has, if the newest of it is of this term (Raft §5.4.2; trap T-1). */
export function advanceCommit(state: CoreState): boolean {
  const index = state.tracker.quorumMatch()
  if (index <= state.log.commitIndex || state.log.termAt(index) !== state.term) return false
  return state.log.commitTo(index)
}

/** Tells the peers of the commit index that have not heard of it by an append (CoreOptions.commitNotice). */
export function tellCommit(state: CoreState): void {
  state.isCommitUntold = false
  for (const peer of state.tracker.peers) if (peer.id !== state.id) bumpCommit(state, peer)
}

/** Proposes to leave a joint configuration that is to be left without being asked, once it is in force. */
export function leaveJointIfDue(state: CoreState): void {
  if (state.role !== 'leader' || !state.tracker.conf.autoLeave) return
  if (state.log.appliedIndex < state.pendingConfIndex) return
  // Dropped during a transfer: tried again with every applied entry, and when the transfer fails (trap T-53).
  propose(state, [LEAVE_ENTRY])
}

/** Appends entries of this term; false when too many bytes are uncommitted already. */
function append(state: CoreState, entries: readonly ProposedEntry[]): boolean {
  let bytes = 0
  for (let i = 0; i < entries.length; i++) bytes += entries[i]!.data.length
  const { uncommittedBytes, options, log, term } = state
  // A single proposal above the bound is taken, and empty entries always are: they end terms (trap T-2).
  const isOver = uncommittedBytes + bytes > options.maxUncommittedBytes
  if (uncommittedBytes > 0 && bytes > 0 && isOver) return false
  state.uncommittedBytes += bytes
  for (let i = 0; i < entries.length; i++) {
    const { kind, data } = entries[i]!
    log.push({ term, index: log.lastIndex + 1, kind, data })
  }
  // It acknowledges its own entries like everyone else: when they are durable.
  state.outbox.sendAfterAppend({
    type: 'appendResponse',
    from: state.id,
    to: state.id,
    term,
    index: log.lastIndex,
    reject: false,
    hintIndex: 0,
    hintTerm: 0,
    session: 0,
  })
  return true
}

function handleAppendResponse(state: CoreState, message: AppendResponseMessage): void {
  const peer = state.tracker.find(message.from)
  if (peer === undefined) return
  const isOwn = peer.id === state.id
  // Of an earlier incarnation of that peer, or of a log that this leader does not have (traps T-12, T-13).
  if (!isOwn && message.session !== peer.session) return
  if (!message.reject && message.index > state.log.lastIndex) return
  peer.isRecentlyActive = true
  if (message.reject) {
    if (!isOwn) backOff(state, peer, message)
    return
  }
  const isRecovering = peer.state === 'probe' && peer.match === message.index
  if (!peer.matchTo(message.index) && !isRecovering) return
  takeMatch(state, peer)
  if (advanceCommit(state)) announceCommit(state)
  else if (!isOwn && !state.isCommitUntold) bumpCommit(state, peer)
  if (isOwn) return
  while (sendEntries(state, peer)) {
    // The window may have room for several messages now.
  }
  if (peer.id === state.transferTarget && peer.match === state.log.lastIndex) {
    sendTimeoutNow(state, peer.id)
  }
}

/** A newer commit index is told now, or by `tellCommit`. */
function announceCommit(state: CoreState): void {
  // After a configuration change is applied this node may have left, and nobody would tell the others.
  const mayWait = state.pendingConfIndex <= state.log.appliedIndex
  if (mayWait && state.options.commitNotice === 'afterApply') state.isCommitUntold = true
  else broadcastAppend(state)
}

function bumpCommit(state: CoreState, peer: Progress): void {
  if (peer.canBumpCommit(state.log.commitIndex)) sendAppend(state, peer)
}

/** The peer has more of the log than was known: sending to it may become easier. */
function takeMatch(state: CoreState, peer: Progress): void {
  switch (peer.state) {
    case 'probe':
      peer.becomeReplicate()
      return
    case 'replicate':
      peer.inflights.freeTo(peer.match)
      return
    case 'snapshot':
      // Whatever snapshot brought it there: from here on the log has all it needs.
      if (peer.match + 1 >= state.log.firstIndex) peer.becomeReplicate()
  }
}

/** The peer refused an append: go back to where the logs may agree, a whole term at a time (trap T-23). */
function backOff(state: CoreState, peer: Progress, message: AppendResponseMessage): void {
  const { index: rejected, hintIndex, hintTerm } = message
  if (rejected === 0) {
    // Nothing comes before the first entry: the node lacks the configuration to begin with.
    if (peer.state === 'probe' && peer.match === 0) sendSnapshot(state, peer)
    return
  }
  // The hint is where the peer's log has at most our term; ours may have at most theirs only further back.
  const hint = hintTerm > 0 ? state.log.lastIndexAtMost(hintIndex, hintTerm) : hintIndex
  if (!peer.backOff(rejected, hint)) return
  if (peer.state === 'replicate') peer.becomeProbe()
  sendAppend(state, peer)
}

function handleHeartbeatResponse(state: CoreState, message: HeartbeatResponseMessage): void {
  const peer = state.tracker.find(message.from)
  if (peer === undefined) return
  peer.isRecentlyActive = true
  peer.isFlowPaused = false
  // An append that it lacks, or that lets it out of probing (traps T-21, T-22).
  if (peer.match < state.log.lastIndex || peer.state === 'probe') sendAppend(state, peer)
  if (message.context <= peer.ackedContext || message.context > state.reads.lastContext) return
  peer.ackedContext = message.context
  releaseReads(state)
}

function heartbeatContext(state: CoreState): number {
  if (state.options.reads === 'lease') return state.reads.nextContext()
  return state.reads.waitingContext
}

function hasCommittedInTerm({ log, term }: CoreState): boolean {
  return log.termAt(log.commitIndex) === term
}

function canServeByLease(state: CoreState): boolean {
  return state.options.reads === 'lease' && hasCommittedInTerm(state) && state.lease.isValid
}

function readFor(state: CoreState, asker: NodeId, context: number): void {
  if (canServeByLease(state)) answerRead(state, asker, context, state.log.commitIndex)
  else state.reads.addFrom(asker, context)
}

function answerRead(state: CoreState, to: NodeId, context: number, index: number): void {
  const { id: from, term, isCommitUntold, tracker } = state
  // The asker waits until it has applied `index`; it need not wait for this node to apply it first.
  const peer = isCommitUntold ? tracker.find(to) : undefined
  if (peer !== undefined) bumpCommit(state, peer)
  state.outbox.send({ type: 'readIndexResponse', from, to, term, index, context })
}

function sendTimeoutNow(state: CoreState, to: NodeId): void {
  state.lease.forbid()
  state.outbox.send({ type: 'timeoutNow', from: state.id, to, term: state.term })
}

/** Why a configuration change may not enter the log now; undefined when it may (thesis §4.1, §4.3). */
function confChangeFault(state: CoreState, entry: ProposedEntry): string | undefined {
  if (state.options.disableConfChangeValidation === true) return undefined
  const change = decodeConfChange(entry.data)
  if (change === undefined) return 'not a configuration change'
  if (state.pendingConfIndex > state.log.appliedIndex) {
    return 'possible unapplied conf change at an earlier index'
  }
  const { conf } = state.tracker
  if (isJoint(conf) && !leavesJoint(change)) return 'must transition out of joint config first'
  if (!isJoint(conf) && leavesJoint(change)) return 'not in joint state; refusing empty conf change'
  return changeFault(state, change)
}

function changeFault(state: CoreState, change: ConfChangeV2): string | undefined {
  const result = changeConf(state.tracker.conf, change)
  return 'refused' in result ? result.refused : undefined
}
