/**
 * What a leader knows of one node's log, and how it may send to it.
 *
 *   probe      the match point is not known: one append at a time, the next after an answer or a heartbeat
 *   replicate  the match point is known: a stream of appends, bounded by the window of inflights
 *   snapshot   what the node needs is compacted: nothing is sent until a snapshot has arrived
 *
 * Invariants:
 *   1. `match < next`
 *   2. inflights are empty unless in `replicate`
 *   3. `pendingSnapshot` is 0 unless in `snapshot`
 */
import { assert } from '../base/assert.js'
import { Inflights } from './inflights.js'
import type { LogIndex, NodeId, PeerStatus } from './types.js'

/** The way entries are sent to a node. */
export type ProgressState = PeerStatus['state']

/** The size of the window of appends on their way. */
export interface WindowLimits {
  readonly maxInflightMessages: number
  readonly maxInflightBytes: number
}

/** One node as seen by the leader; followers keep it too, unused, so that a configuration has one shape. */
export class Progress {
  readonly id: NodeId
  /** Tells this incarnation from earlier ones: acknowledgements of another session are ignored (trap T-13). */
  readonly session: number
  readonly inflights: Inflights
  isLearner: boolean
  state: ProgressState = 'probe'
  /** Everything up to here is known to be in the node's log, and durable there. */
  match: LogIndex = 0
  /** The next entry to send. */
  next: LogIndex
  /** No appends until something is heard from the node, or a heartbeat was answered. */
  isFlowPaused = false
  pendingSnapshot: LogIndex = 0
  /** Heard from since the last check of the quorum. */
  isRecentlyActive = false
  /** The highest commit index sent in this incarnation that can have moved the node's own. */
  sentCommit: LogIndex = 0
  /** The highest context of a heartbeat that the node answered (thesis §6.4). */
  ackedContext = 0
  /** The fetch of entry bodies that sending waits for; 0 when none. */
  fetchId = 0

  constructor(
    id: NodeId,
    session: number,
    next: LogIndex,
    role: 'voter' | 'learner',
    limits: WindowLimits,
  ) {
    this.id = id
    this.session = session
    this.next = next
    this.isLearner = role === 'learner'
    this.inflights = new Inflights(limits.maxInflightMessages, limits.maxInflightBytes)
  }

  get isPaused(): boolean {
    return this.isFlowPaused || this.state === 'snapshot'
  }

  /** Looks for the match point, one append at a time. */
  becomeProbe(): void {
    // A snapshot that was sent and not reported as failed is taken to have arrived.
    const after = this.state === 'snapshot' ? this.pendingSnapshot : 0
    this.#reset('probe')
    this.next = Math.max(this.match, after) + 1
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
  }

  becomeReplicate(): void {
    this.#reset('replicate')
    this.next = this.match + 1
  }

  /** Waits for a snapshot of the state at `index`, or a newer one. */
  becomeSnapshot(index: LogIndex): void {
    this.#reset('snapshot')
    this.pendingSnapshot = index
    this.next = Math.max(index, this.match) + 1
    this.sentCommit = index
  }

  /** Notes an append with `entryCount` entries of `bytes` in all. */
  sent(entryCount: number, bytes: number): void {
    if (this.state === 'replicate') {
      if (entryCount > 0) {
        this.next += entryCount
        this.inflights.add(this.next - 1, bytes)
      }
      // A message that fills the window, or finds it full, is a probe: the flow pauses.
      this.isFlowPaused = this.inflights.isFull
    } else if (entryCount > 0) {
      this.isFlowPaused = true
    }
  }

  /** Whether sending `commit` can move the node's commit index: not if one up to its last entry is on its way. */
  canBumpCommit(commit: LogIndex): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1
  }

  /** Takes in that the node has everything up to `index`; false when that is not new. */
  matchTo(index: LogIndex): boolean {
    if (index <= this.match) return false
    this.match = index
    if (this.next <= index) this.next = index + 1
    this.isFlowPaused = false
    return true
  }

  /**
   * Takes in that the node refused an append after `rejected`, and that the logs may agree at `hint`; false when
   * the refusal is stale and nothing changes.
   */
  backOff(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false
      this.next = this.match + 1
    } else {
      // Probes go one at a time, so an answer to anything but the last one is old.
      if (this.next - 1 !== rejected) return false
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1)
      this.isFlowPaused = false
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
    return true
  }

  status(): PeerStatus {
    return {
      id: this.id,
      matchIndex: this.match,
      nextIndex: this.next,
      state: this.state,
      isLearner: this.isLearner,
      recentlyActive: this.isRecentlyActive,
      paused: this.isPaused,
      inflightMessages: this.inflights.count,
      inflightFull: this.inflights.isFull,
      pendingSnapshot: this.pendingSnapshot,
      session: this.session,
    }
  }

  checkInvariants(): void {
    assert(this.match < this.next, 'match is not below next', { ...this.status() })
    assert(this.state === 'replicate' || this.inflights.count === 0, 'inflights outside replicate')
    assert(this.state === 'snapshot' || this.pendingSnapshot === 0, 'snapshot pending elsewhere')
  }

  #reset(state: ProgressState): void {
    this.state = state
    this.isFlowPaused = false
    this.pendingSnapshot = 0
    this.fetchId = 0
    this.inflights.reset()
  }
}
