/**
 * The consensus core: a pure function of its inputs (design D1).
 *
 * It is fed by `step` and what it wants done is taken with `ready`; it never reads a clock, a disk or chance,
 * and nothing in it waits. Semantics are those of etcd-io/raft with asynchronous storage writes; docs/raft.md
 * leads from the paper to these files and lists where we differ.
 *
 * The driver's part: drain inputs into `step`; take `ready`; send `messages` at once; write `append` (tasks in
 * order, several may be under way) and when it is durable send its `responses` to others and step `appendDone`;
 * run `apply` and step `applyDone`.
 */
import { assert, unreachable } from '../base/assert.js'
import { AppendTasks } from './append-tasks.js'
import { ApplyQueue } from './apply-queue.js'
import { stepCandidate } from './candidate.js'
import { answerVote, campaign, isLoyal, tickElection } from './election.js'
import { forgetLeader, stepFollower } from './follower.js'
import {
  advanceCommit,
  abortTransfer,
  canSealReads,
  leaveJointIfDue,
  propose,
  readLocally,
  releaseReads,
  sealReads,
  startTransfer,
  stepLeader,
  tickLeader,
} from './leader.js'
import { changeConf } from './membership.js'
import {
  broadcastAppend,
  fetchFailed,
  otherPeer,
  sendEntries,
  takeFetched,
} from './replication.js'
import { CoreState } from './state.js'
import {
  type ConfChangeV2,
  type CoreInit,
  type CoreOptions,
  type CoreStatus,
  type Input,
  type LogIndex,
  type Message,
  NONE,
  type NodeId,
  type ProposedEntry,
  type Ready,
  type Role,
  type SnapshotMeta,
  type Term,
  type VoteMessage,
} from './types.js'
import { isAcceptable } from './validate.js'

/** One node's part in the consensus. Synchronous; throws only InvariantError, after which it must not be used. */
export class RaftCore {
  readonly #state: CoreState
  readonly #appends: AppendTasks
  readonly #applies: ApplyQueue
  /** What the last `ready` told of role, leader and term. */
  #toldRole: Role
  #toldLeader: NodeId
  #toldTerm: Term

  constructor(options: CoreOptions, init: CoreInit) {
    this.#state = new CoreState(options, init)
    this.#appends = new AppendTasks(this.#state, init.hardState)
    this.#applies = new ApplyQueue(this.#state)
    this.#toldRole = this.#state.role
    this.#toldLeader = this.#state.leader
    this.#toldTerm = this.#state.term
  }

  get role(): Role {
    return this.#state.role
  }

  get term(): Term {
    return this.#state.term
  }

  get leader(): NodeId {
    return this.#state.leader
  }

  get commitIndex(): LogIndex {
    return this.#state.log.commitIndex
  }

  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex
  }

  /** Takes in one event. What follows from it is in the next `ready`. */
  step(input: Input): void {
    const state = this.#state
    if (state.isHalted) return this.#refuse(input)
    switch (input.type) {
      case 'tick':
        this.#applies.retry()
        return state.role === 'leader' ? tickLeader(state) : tickElection(state)
      case 'receive':
        if (isAcceptable(input.message, state.id)) this.#stepMessage(input.message)
        return
      case 'propose':
        return this.#propose(input.token, input.entries)
      case 'readIndex':
        return this.#readIndex(input.token)
      case 'appendDone':
        return this.#appendDone(input.id)
      case 'applyDone':
        this.#applies.done(input.index)
        return leaveJointIfDue(state)
      case 'applyConfChange':
        return this.#applyConfChange(input.change)
      case 'entriesFetched':
        if (!this.#applies.fetched(input.id, input.entries)) {
          takeFetched(state, input.id, input.entries)
        }
        return
      case 'entriesUnavailable':
        if (!this.#applies.fetchFailed(input.id)) fetchFailed(state, input.id, input.why)
        return
      case 'campaign':
        return campaign(state, 'timeout')
      case 'transferLeader':
        return this.#transferLeader(input.to)
      case 'forgetLeader':
        if (state.role === 'follower') forgetLeader(state)
        return
      case 'compacted':
        return state.log.compactTo(input.index)
      case 'snapshotStarted':
        return this.#snapshotStarted(input.peer, input.index)
      case 'snapshotStatus':
        return this.#snapshotEnded(input.peer, input.ok ? 'sent' : 'failed')
      case 'unreachable':
        return this.#unreachable(input.peer)
      case 'peerDown':
        return this.#peerDown(input.peer)
      case 'clockGap':
        return this.#clockGap()
      case 'storageFailed':
        return this.#halt()
      default:
        return unreachable(input)
    }
  }

  /** Whether `ready` has anything to give. */
  hasReady(): boolean {
    const state = this.#state
    return (
      !state.outbox.isEmpty ||
      this.#isSoftChanged() ||
      (!state.isHalted &&
        (this.#appends.hasNext || this.#applies.hasNext || this.#hasReadsToSend()))
    )
  }

  /** Takes everything that is to be done. The lists are the caller's from then on. */
  ready(): Ready {
    const state = this.#state
    if (!state.isHalted && this.#hasReadsToSend()) this.#sendReads()
    const append = state.isHalted ? undefined : this.#appends.take()
    const apply = state.isHalted ? undefined : this.#applies.take()
    const soft = this.#takeSoft()
    return { append, apply, soft, ...state.outbox.take() }
  }

  /** All of the state that is of use outside, as plain data. */
  status(): CoreStatus {
    const { id, role, term, vote, leader, log, tracker, transferTarget } = this.#state
    const isLeader = role === 'leader'
    return {
      id,
      role,
      term,
      vote,
      leader,
      commitIndex: log.commitIndex,
      appliedIndex: log.appliedIndex,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      firstIndex: log.firstIndex,
      flushedIndex: log.flushedIndex,
      conf: tracker.conf,
      transferTarget,
      ownMatchIndex: isLeader ? (tracker.self?.match ?? 0) : 0,
      peers: isLeader
        ? tracker.peers.filter((peer) => peer.id !== id).map((peer) => peer.status())
        : [],
    }
  }

  /** The term of the entry at `index`; undefined when it is compacted or past the end of the log. */
  termAt(index: LogIndex): Term | undefined {
    return this.#state.log.termAt(index)
  }

  /** Sets how many ticks without a leader start a campaign, until the next change of role draws anew. */
  setElectionTimeout(ticks: number): void {
    this.#state.electionTimeout = ticks
  }

  /** Throws InvariantError when the state contradicts itself. For tests and simulations: it walks the whole log. */
  checkInvariants(): void {
    const { role, id, leader, log, tracker, transferTarget } = this.#state
    assert(role !== 'leader' || leader === id, 'a leader does not know itself', { leader })
    assert(role === 'leader' || leader !== id, 'led by itself without leading', { role })
    assert(!role.endsWith('andidate') || leader === NONE, 'a candidate has a leader', { leader })
    assert(role === 'leader' || transferTarget === NONE, 'a transfer without leading')
    log.checkInvariants()
    tracker.checkInvariants()
    for (const peer of tracker.peers) {
      assert(role !== 'leader' || peer.match <= log.lastIndex, 'a peer matches past the end', {
        ...peer.status(),
      })
    }
  }

  /** The rules of terms, which come before those of roles (Raft §5.1; etcd-io/raft `Step`). */
  #stepMessage(message: Message): void {
    const state = this.#state
    if (isAnswer(message) && state.tracker.find(message.from) === undefined) return
    // Proposals and read requests carry no term.
    if (message.term > state.term) {
      if (this.#isIgnoredFromFuture(message)) return
      this.#enterTerm(message)
    } else if (message.term < state.term && message.term !== 0) {
      return this.#answerPast(message)
    }
    if (message.type === 'vote' || message.type === 'preVote') answerVote(state, message)
    else if (state.role === 'leader') stepLeader(state, message)
    else if (state.role === 'follower') stepFollower(state, message)
    else stepCandidate(state, message)
  }

  /** A candidate of a later term does not disturb those who hear from a leader (thesis §4.2.3; trap T-28). */
  #isIgnoredFromFuture(message: Message): boolean {
    return isVote(message) && !message.transfer && isLoyal(this.#state)
  }

  #enterTerm(message: Message): void {
    const state = this.#state
    switch (message.type) {
      case 'preVote':
        // Only asked, nobody has entered that term.
        return
      case 'preVoteResponse':
        // A grant is for the term we asked for; a refusal comes from a node that is really in it.
        if (message.reject) state.becomeFollower(message.term, NONE)
        return
      case 'append':
      case 'heartbeat':
      case 'snapshot':
        return state.becomeFollower(message.term, message.from)
      default:
        return state.becomeFollower(message.term, NONE)
    }
  }

  #answerPast(message: Message): void {
    const state = this.#state
    const { checkQuorum, preVote } = state.options
    const { id: from, term } = state
    const to = message.from
    if (message.type === 'append' || message.type === 'heartbeat') {
      // A leader that is behind must hear of our term, or this node could never rejoin: with loyal voters it
      // cannot be elected, and it does not take orders from the past (trap T-29).
      if (!checkQuorum && !preVote) return
      const answer = { index: 0, reject: false, hintIndex: 0, hintTerm: 0, session: 0 }
      state.outbox.sendAfterAppend({ type: 'appendResponse', from, to, term, ...answer })
    } else if (message.type === 'preVote') {
      state.outbox.sendAfterAppend({ type: 'preVoteResponse', from, to, term, reject: true })
    }
  }

  #propose(token: number, entries: readonly ProposedEntry[]): void {
    const state = this.#state
    const { leader, role, outbox } = state
    if (role === 'leader') {
      const index = state.log.lastIndex + 1
      const result = propose(state, entries)
      if (result.type === 'dropped') outbox.drop(token, result.why, leader)
      else outbox.propose({ token, term: state.term, index, refused: result.refused })
    } else if (role === 'follower' && leader !== NONE && state.options.forwardProposals) {
      outbox.send({ type: 'propose', from: state.id, to: leader, term: 0, entries })
      outbox.forward(token, leader)
    } else {
      outbox.drop(token, 'notLeader', leader)
    }
  }

  #readIndex(token: number): void {
    const state = this.#state
    if (state.role === 'leader') return readLocally(state, token)
    if (state.leader === NONE) return state.outbox.drop(token, 'notLeader', NONE)
    if (!state.forwardedReads.add(token)) state.outbox.drop(token, 'overloaded', state.leader)
  }

  #hasReadsToSend(): boolean {
    const state = this.#state
    return state.role === 'leader' ? canSealReads(state) : state.forwardedReads.canAsk
  }

  #sendReads(): void {
    const state = this.#state
    if (state.role === 'leader') return sealReads(state)
    const { id: from, leader: to, outbox } = state
    outbox.send({ type: 'readIndex', from, to, term: 0, context: state.forwardedReads.ask() })
  }

  #appendDone(id: number): void {
    const { responses, term, flushed, snapshot } = this.#appends.done(id)
    // First this node's own votes and acknowledgements, then what is durable, as etcd-io/raft orders them.
    for (const message of responses) {
      if (message.to === this.#state.id) this.#stepMessage(message)
    }
    const { log } = this.#state
    // A write of an earlier term may have been replaced since; a later one covers what is left (trap T-9).
    if (flushed !== undefined && term === this.#state.term) {
      log.flushedTo(flushed.term, flushed.index)
    }
    if (snapshot !== undefined) this.#installed(snapshot)
  }

  #installed(snapshot: SnapshotMeta): void {
    this.#state.log.installed(snapshot)
    leaveJointIfDue(this.#state)
  }

  /** Puts the changed configuration into force, on every node at the same entry. */
  #applyConfChange(change: ConfChangeV2): void {
    const state = this.#state
    const { log, tracker } = state
    const result = changeConf(tracker.conf, change)
    // An invalid change is one on every node: each ignores it (trap T-55).
    if ('refused' in result) return
    tracker.switchTo(result.conf, result.fresh, Math.max(log.lastIndex, 1))
    if (state.role !== 'leader') return
    if (!tracker.isSelfVoter) {
      if (state.options.stepDownOnRemoval) state.becomeFollower(state.term, NONE)
      return
    }
    this.#leadNewConf()
  }

  /** Another quorum may mean that more is committed and confirmed, and there may be new nodes to be sent to. */
  #leadNewConf(): void {
    const state = this.#state
    if (advanceCommit(state)) {
      broadcastAppend(state)
    } else {
      for (const peer of state.tracker.peers) if (peer.id !== state.id) sendEntries(state, peer)
    }
    releaseReads(state)
    const { transferTarget } = state
    if (transferTarget !== NONE && !state.tracker.isVoter(transferTarget)) abortTransfer(state)
  }

  #transferLeader(to: NodeId): void {
    const state = this.#state
    if (state.role === 'leader') return startTransfer(state, to)
    if (state.role !== 'follower' || state.leader === NONE) return
    const { leader, term, outbox } = state
    outbox.send({ type: 'transferLeader', from: to, to: leader, term })
  }

  #snapshotStarted(id: NodeId, index: LogIndex): void {
    const peer = otherPeer(this.#state, id)
    if (peer?.state === 'snapshot' && index >= peer.pendingSnapshot) peer.becomeSnapshot(index)
  }

  #snapshotEnded(id: NodeId, how: 'sent' | 'failed'): void {
    const peer = otherPeer(this.#state, id)
    if (peer?.state !== 'snapshot') return
    // First: or it would be probed from behind a snapshot that never arrived (trap T-20).
    if (how === 'failed') peer.pendingSnapshot = 0
    peer.becomeProbe()
    // The node's own answer, or that to a heartbeat, lets it go on.
    peer.isFlowPaused = true
  }

  #unreachable(id: NodeId): void {
    const peer = otherPeer(this.#state, id)
    if (peer?.state === 'replicate') peer.becomeProbe()
  }

  /** The leader's connection broke: its process may be gone, so ask for an election early (design D12). */
  #peerDown(id: NodeId): void {
    const state = this.#state
    if (state.role !== 'follower' || state.leader !== id) return
    // A lease counts on voters that stay loyal for a whole election timeout.
    if (state.options.reads === 'lease') return
    state.follow(NONE)
    state.hurryElection()
  }

  /** The event loop stood still: what came meanwhile is read first, and no time is trusted (trap T-63). */
  #clockGap(): void {
    const state = this.#state
    state.lease.void()
    if (state.role === 'leader') state.heartbeatElapsed = state.options.heartbeatTicks
    else state.electionElapsed = 0
  }

  #halt(): void {
    const state = this.#state
    state.isHalted = true
    state.outbox.discard()
    const tokens = [...state.reads.takeAll(), ...state.forwardedReads.takeAll()]
    for (const token of tokens) state.outbox.drop(token, 'halted', NONE)
  }

  #refuse(input: Input): void {
    if (input.type !== 'propose' && input.type !== 'readIndex') return
    this.#state.outbox.drop(input.token, 'halted', NONE)
  }

  #isSoftChanged(): boolean {
    const { role, leader, term } = this.#state
    return role !== this.#toldRole || leader !== this.#toldLeader || term !== this.#toldTerm
  }

  #takeSoft(): Ready['soft'] {
    if (!this.#isSoftChanged()) return undefined
    const { role, leader, term } = this.#state
    this.#toldRole = role
    this.#toldLeader = leader
    this.#toldTerm = term
    return { role, leader, term }
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
