/**
 * The state of one core, and the changes of role and term that all roles share.
 *
 * Shared by the files of this folder and by nothing else: `core.ts` is the boundary. The role files say what
 * happens for which message; here stands only what a term or a role is.
 *
 * Invariants:
 *   1. `term` never falls; `vote` changes at most once per term, from NONE
 *   2. a leader knows itself as `leader`; candidates know none
 *   3. `transferTarget`, `pendingConfIndex` and `uncommittedBytes` are 0 unless leader
 */
import { assert } from '../base/assert.js'
import { keyedBelow, keyedU32 } from '../base/prng.js'
import { Lease } from './lease.js'
import { LogView } from './log-view.js'
import { Outbox } from './outbox.js'
import { ForwardedReads, LeaderReads } from './read-index.js'
import { Tracker } from './tracker.js'
import {
  type CoreInit,
  type CoreOptions,
  type LogIndex,
  NONE,
  type NodeId,
  type Role,
  type Term,
} from './types.js'

/** The first window of a hurried election timeout (design D12); it doubles until it is an ordinary one. */
const HURRY_TICKS = 4
/** Room for the contexts of one start of a node between those of two seeds. */
const CONTEXT_SPACE = 2 ** 20

/** Everything that a core knows. */
export class CoreState {
  readonly id: NodeId
  readonly options: CoreOptions
  readonly log: LogView
  readonly tracker: Tracker
  readonly outbox: Outbox = new Outbox()
  readonly reads: LeaderReads = new LeaderReads()
  readonly forwardedReads: ForwardedReads
  readonly lease: Lease
  role: Role = 'follower'
  term: Term
  vote: NodeId
  leader: NodeId = NONE
  /** Ticks since a leader was heard from, or on a leader since the quorum was last checked. */
  electionElapsed = 0
  heartbeatElapsed = 0
  /** Leaderless for this long, a voter campaigns: between one and two election timeouts (Raft §5.2). */
  electionTimeout = 0
  /** Who is to take over from this leader (thesis §3.10). */
  transferTarget: NodeId = NONE
  /** Where the newest configuration change in the leader's log may stand: no other until it is applied. */
  pendingConfIndex: LogIndex = 0
  /** Bytes of data proposed by this leader and not applied yet. */
  uncommittedBytes = 0
  /** Whether there may be peers that are yet to hear of the commit index (CoreOptions.commitNotice). */
  isCommitUntold = false
  /**
   * Ticks for which a restarted node still keeps the loyalty that it may have shown before: a leader's lease
   * counts on it. A node that was never in a term has shown none.
   */
  loyalTicks: number
  isHalted = false
  #timeoutDraws = 0
  #hurryTicks = 0
  #lastFetchId = 0

  constructor(options: CoreOptions, init: CoreInit) {
    assert(options.reads === 'safe' || options.checkQuorum, 'a lease needs checkQuorum')
    this.id = options.id
    this.options = options
    this.log = new LogView(init, options.entryCacheBytes)
    this.tracker = new Tracker(options.id, options)
    this.tracker.switchTo(init.conf, new Set(), init.lastIndex + 1)
    this.forwardedReads = new ForwardedReads(keyedU32(options.seed, 'reads') * CONTEXT_SPACE)
    this.lease = new Lease(options.electionTicks)
    this.term = init.hardState.term
    this.vote = init.hardState.vote
    this.loyalTicks = options.reads === 'lease' && this.term > 0 ? options.electionTicks : 0
    this.becomeFollower(this.term, NONE)
  }

  becomeFollower(term: Term, leader: NodeId): void {
    this.#startPeriod(term)
    this.role = 'follower'
    this.follow(leader)
  }

  /** Asks whether an election could be won, without touching the term or the vote (thesis §9.6). */
  becomePreCandidate(): void {
    assert(this.role !== 'leader', 'a leader may not become pre-candidate')
    this.tracker.resetVotes()
    this.role = 'preCandidate'
    // Without this two nodes that both remember a dead leader would refuse each other (trap T-26).
    this.follow(NONE)
  }

  becomeCandidate(): void {
    assert(this.role !== 'leader', 'a leader may not become candidate')
    this.#startPeriod(this.term + 1)
    this.vote = this.id
    this.role = 'candidate'
  }

  /** Changes the role only; what a leader does first stands in leader.ts. */
  becomeLeader(): void {
    assert(this.role === 'candidate', 'only a candidate becomes leader', { role: this.role })
    this.#startPeriod(this.term)
    this.role = 'leader'
    this.follow(this.id)
  }

  /** Takes `leader` to lead the present term. Reads that were asked of another one are given back. */
  follow(leader: NodeId): void {
    if (leader !== NONE) this.#hurryTicks = 0
    if (leader !== NONE && this.electionTimeout < this.options.electionTicks) {
      this.drawElectionTimeout()
    }
    if (this.leader === leader) return
    this.leader = leader
    this.dropReads(this.forwardedReads.takeAll())
  }

  /** Gives reads back to those who asked. */
  dropReads(tokens: readonly number[]): void {
    for (const token of tokens) this.outbox.drop(token, 'notLeader', this.leader)
  }

  /** Whether this node may campaign: a voter, and not about to install a snapshot. */
  get isPromotable(): boolean {
    return this.tracker.isSelfVoter && this.log.pendingSnapshot === undefined
  }

  /** The next timeouts are short, beginning at 1 to 4 ticks and doubling: the leader's process is gone (D12). */
  hurryElection(): void {
    this.#hurryTicks = HURRY_TICKS
    this.electionElapsed = 0
    this.drawElectionTimeout()
  }

  /** Draws how long to wait for a leader. */
  drawElectionTimeout(): void {
    const { electionTicks, seed } = this.options
    const hurry = this.#hurryTicks
    this.#hurryTicks = hurry * 2 < electionTicks ? hurry * 2 : 0
    const isHurried = hurry > 0 && hurry < electionTicks
    const window = isHurried ? hurry : electionTicks
    const draw = keyedBelow(seed, window, 'election', this.id, this.#timeoutDraws++)
    this.electionTimeout = (isHurried ? 1 : electionTicks) + draw
  }

  nextFetchId(): number {
    return ++this.#lastFetchId
  }

  /** What every change of role begins with, in the same term or a new one. */
  #startPeriod(term: Term): void {
    if (this.term !== term) {
      assert(term > this.term, 'the term fell', { from: this.term, to: term })
      this.term = term
      this.vote = NONE
    }
    this.follow(NONE)
    this.dropReads(this.reads.takeAll())
    this.electionElapsed = 0
    this.heartbeatElapsed = 0
    this.drawElectionTimeout()
    this.transferTarget = NONE
    this.pendingConfIndex = 0
    this.uncommittedBytes = 0
    this.isCommitUntold = false
    this.lease.reset()
    this.tracker.reset(this.log.lastIndex)
  }
}
