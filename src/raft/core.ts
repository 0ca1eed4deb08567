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
import { campaignOnRequest, tickElection } from './election.js'
import { forgetLeader } from './follower.js'
import {
  canSealReads,
  leaveJointIfDue,
  propose,
  readLocally,
  sealReads,
  startTransfer,
  tellCommit,
  tickLeader,
} from './leader.js'
import { applyConfChange } from './reconfigure.js'
import {
  fetchFailed,
  peerUnreachable,
  snapshotEnded,
  snapshotStarted,
  takeFetched,
} from './replication.js'
import { CoreState } from './state.js'
import { stepMessage } from './step.js'
import {
  type CoreInit,
  type CoreOptions,
  type CoreStatus,
  type Input,
  type LogIndex,
  NONE,
  type NodeId,
  type ProposedEntry,
  type Ready,
  type Role,
  type SnapshotMeta,
  type Term,
} from './types.js'
import { isAcceptable } from './validate.js'

/** Inputs beside those that come with every turn of the driver. */
type LocalInput = Exclude<
  Input,
  {
    type:
      | 'tick'
      | 'receive'
      | 'propose'
      | 'readIndex'
      | 'appendDone'
      | 'applyDone'
      | 'applyConfChange'
      | 'entriesFetched'
      | 'entriesUnavailable'
  }
>

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
    if (state.isHalted) {
      this.#refuse(input)
      return
    }
    switch (input.type) {
      case 'tick':
        this.#applies.retry()
        if (state.role === 'leader') tickLeader(state)
        else tickElection(state)
        break
      case 'receive':
        if (isAcceptable(input.message, state.id)) stepMessage(state, input.message)
        break
      case 'propose':
        this.#propose(input.token, input.entries)
        break
      case 'readIndex':
        this.#readIndex(input.token)
        break
      case 'appendDone':
        this.#appendDone(input.id)
        break
      case 'applyDone':
        this.#applies.done(input.index)
        leaveJointIfDue(state)
        break
      case 'applyConfChange':
        applyConfChange(state, input.change)
        break
      case 'entriesFetched':
        if (!this.#applies.fetched(input.id, input.entries)) {
          takeFetched(state, input.id, input.entries)
        }
        break
      case 'entriesUnavailable':
        if (!this.#applies.fetchFailed(input.id)) fetchFailed(state, input.id, input.why)
        break
      default:
        this.#stepLocal(input)
    }
  }

  /** Whether `ready` has anything to give. */
  hasReady(): boolean {
    const state = this.#state
    return (
      !state.outbox.isEmpty ||
      this.#isSoftChanged() ||
      (!state.isHalted &&
        (this.#appends.hasNext ||
          this.#applies.hasNext ||
          this.#hasReadsToSend() ||
          this.#hasCommitToTell()))
    )
  }

  /** Takes everything that is to be done. The lists are the caller's from then on. */
  ready(): Ready {
    const state = this.#state
    if (!state.isHalted && this.#hasReadsToSend()) this.#sendReads()
    if (!state.isHalted && this.#hasCommitToTell()) tellCommit(state)
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

  /** What comes up now and then. */
  #stepLocal(input: LocalInput): void {
    const state = this.#state
    switch (input.type) {
      case 'campaign':
        campaignOnRequest(state)
        break
      case 'transferLeader':
        this.#transferLeader(input.to)
        break
      case 'forgetLeader':
        if (state.role === 'follower') forgetLeader(state)
        break
      case 'compacted':
        state.log.compactTo(input.index)
        break
      case 'snapshotStarted':
        snapshotStarted(state, input.peer, input.index)
        break
      case 'snapshotStatus':
        snapshotEnded(state, input.peer, input.ok ? 'sent' : 'failed')
        break
      case 'unreachable':
        peerUnreachable(state, input.peer)
        break
      case 'peerDown':
        this.#peerDown(input.peer)
        break
      case 'clockGap':
        this.#clockGap()
        break
      case 'lease':
        if (input.is === 'void') state.lease.void()
        else state.lease.trust(input.is)
        break
      case 'storageFailed':
        this.#halt()
        break
      default:
        unreachable(input)
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
    const { leader, outbox, role } = state
    if (role === 'leader') readLocally(state, token)
    else if (leader === NONE) outbox.drop(token, 'notLeader', NONE)
    else if (!state.forwardedReads.add(token)) outbox.drop(token, 'overloaded', leader)
  }

  #hasCommitToTell(): boolean {
    return this.#state.isCommitUntold && this.#applies.isIdle
  }

  #hasReadsToSend(): boolean {
    const state = this.#state
    return state.role === 'leader' ? canSealReads(state) : state.forwardedReads.canAsk
  }

  #sendReads(): void {
    const state = this.#state
    if (state.role === 'leader') {
      sealReads(state)
      return
    }
    const { id: from, leader: to, outbox } = state
    outbox.send({ type: 'readIndex', from, to, term: 0, context: state.forwardedReads.ask() })
  }

  #appendDone(id: number): void {
    const { responses, term, flushed, snapshot } = this.#appends.done(id)
    // First this node's own votes and acknowledgements, then what is durable, as etcd-io/raft orders them.
    for (const message of responses) {
      if (message.to === this.#state.id) stepMessage(this.#state, message)
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

  #transferLeader(to: NodeId): void {
    const state = this.#state
    const { leader, term, outbox, role } = state
    if (role === 'leader') startTransfer(state, to)
    else if (leader !== NONE) outbox.send({ type: 'transferLeader', from: to, to: leader, term })
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
