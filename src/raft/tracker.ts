/**
 * The configuration in force, with the progress and the vote of each of its nodes.
 *
 * Invariants: `peers` holds exactly the members of `conf`, ascending by id; `incoming` and `outgoing` hold the
 * voters of the two halves; `self` is this node's own progress while it is a member.
 */
import { assert } from '../base/assert.js'
import { EMPTY_CONF, membersOf } from './membership.js'
import { Progress, type WindowLimits } from './progress.js'
import { jointVote, majorityIndex, majorityVote, type VoteResult } from './quorum.js'
import type { ConfState, LogIndex, NodeId } from './types.js'

/** Progress and votes under one configuration. Lists, not maps: they are walked for every message. */
export class Tracker {
  readonly #id: NodeId
  readonly #limits: WindowLimits
  /** Votes of the present election; kept when a voter leaves the configuration, but then not counted. */
  readonly #votes: Map<NodeId, 'granted' | 'rejected'> = new Map()
  readonly #scratch: number[] = []
  #sessions = 0
  conf: ConfState = EMPTY_CONF
  peers: readonly Progress[] = []
  incoming: readonly Progress[] = []
  outgoing: readonly Progress[] = []
  self: Progress | undefined = undefined

  constructor(id: NodeId, limits: WindowLimits) {
    this.#id = id
    this.#limits = limits
  }

  find(id: NodeId): Progress | undefined {
    const peers = this.peers
    for (let i = 0; i < peers.length; i++) if (peers[i]!.id === id) return peers[i]
    return undefined
  }

  isVoter(id: NodeId): boolean {
    return this.conf.voters.includes(id) || this.conf.votersOutgoing.includes(id)
  }

  /** Whether this node may become leader as far as the configuration goes. */
  get isSelfVoter(): boolean {
    return this.self !== undefined && !this.self.isLearner
  }

  /**
   * Puts `conf` into force. Nodes that stay keep their progress; those that are new, or in `fresh`, start to
   * be probed at `next`.
   */
  switchTo(conf: ConfState, fresh: ReadonlySet<NodeId>, next: LogIndex): void {
    const learners = new Set(conf.learners)
    const peers = membersOf(conf).map((id) => {
      const role = learners.has(id) ? 'learner' : 'voter'
      const known = fresh.has(id) ? undefined : this.find(id)
      if (known === undefined) return this.#enter(id, next, role)
      known.isLearner = role === 'learner'
      return known
    })
    this.#place(conf, peers)
  }

  /** Starts all progress anew, as every change of term does; `lastIndex` is the end of this node's log. */
  reset(lastIndex: LogIndex): void {
    this.resetVotes()
    const peers = this.peers.map(({ id, isLearner }) => {
      const role = isLearner ? 'learner' : 'voter'
      const progress = new Progress(id, ++this.#sessions, lastIndex + 1, role, this.#limits)
      if (id === this.#id) progress.match = lastIndex
      return progress
    })
    this.#place(this.conf, peers)
  }

  resetVotes(): void {
    this.#votes.clear()
  }

  /** Counts the vote of `id`; its first one stands. */
  recordVote(id: NodeId, vote: 'granted' | 'rejected'): void {
    if (!this.#votes.has(id)) this.#votes.set(id, vote)
  }

  /** What the votes so far come to. */
  voteResult(): VoteResult {
    return jointVote(this.#countVotes(this.incoming), this.#countVotes(this.outgoing))
  }

  /** The highest index on a majority of both halves. */
  quorumMatch(): LogIndex {
    return Math.min(this.#matchOf(this.incoming), this.#matchOf(this.outgoing))
  }

  /** The highest heartbeat context answered by a majority of both halves; this node counts as having answered. */
  quorumContext(): number {
    return Math.min(this.#contextOf(this.incoming), this.#contextOf(this.outgoing))
  }

  /** Whether a quorum was heard from since the last call; starts the next period. */
  checkQuorum(): boolean {
    const result = jointVote(this.#countActive(this.incoming), this.#countActive(this.outgoing))
    for (const peer of this.peers) if (peer.id !== this.#id) peer.isRecentlyActive = false
    return result === 'won'
  }

  checkInvariants(): void {
    const ids = this.peers.map((peer) => peer.id)
    assert(ids.join() === membersOf(this.conf).join(), 'progress differs from the configuration', {
      ids,
    })
    const { voters, votersOutgoing, learners, learnersNext, autoLeave } = this.conf
    for (const id of learners) {
      assert(!voters.includes(id) && !votersOutgoing.includes(id), 'a learner votes', { id })
    }
    for (const id of learnersNext) {
      assert(votersOutgoing.includes(id) && !voters.includes(id), 'learnersNext', { id })
    }
    assert(votersOutgoing.length > 0 || !autoLeave, 'autoLeave outside a joint configuration')
    for (const peer of this.peers) peer.checkInvariants()
  }

  #enter(id: NodeId, next: LogIndex, role: 'voter' | 'learner'): Progress {
    const progress = new Progress(id, ++this.#sessions, next, role, this.#limits)
    // A node that was just added counts as active, so that it gets a snapshot without being waited for.
    progress.isRecentlyActive = true
    return progress
  }

  #place(conf: ConfState, peers: readonly Progress[]): void {
    this.conf = conf
    this.peers = peers
    this.incoming = peers.filter((peer) => conf.voters.includes(peer.id))
    this.outgoing = peers.filter((peer) => conf.votersOutgoing.includes(peer.id))
    this.self = peers.find((peer) => peer.id === this.#id)
  }

  #matchOf(voters: readonly Progress[]): LogIndex {
    for (let i = 0; i < voters.length; i++) this.#scratch[i] = voters[i]!.match
    return majorityIndex(this.#scratch, voters.length)
  }

  #contextOf(voters: readonly Progress[]): number {
    for (let i = 0; i < voters.length; i++) {
      const voter = voters[i]!
      this.#scratch[i] = voter.id === this.#id ? Number.MAX_SAFE_INTEGER : voter.ackedContext
    }
    return majorityIndex(this.#scratch, voters.length)
  }

  #countVotes(voters: readonly Progress[]): VoteResult {
    let granted = 0
    let rejected = 0
    for (const { id } of voters) {
      const vote = this.#votes.get(id)
      if (vote === 'granted') granted++
      else if (vote === 'rejected') rejected++
    }
    return majorityVote(voters.length, granted, rejected)
  }

  #countActive(voters: readonly Progress[]): VoteResult {
    let active = 0
    for (const { id, isRecentlyActive } of voters) if (isRecentlyActive || id === this.#id) active++
    return majorityVote(voters.length, active, voters.length - active)
  }
}
