/**
 * Who could lead in this leader's place, and handing over to them (thesis §3.10; trap T-56).
 *
 * A successor is a voter that is connected, heard of lately and caught up. A transfer takes one election timeout at
 * most: then the core gives it up and goes on leading.
 */
import type { Time } from '../env/time.js'
import type { RaftCore } from '../raft/core.js'
import { type LogIndex, NONE, type NodeId } from '../raft/types.js'
import type { Conditions } from './conditions.js'
import type { Driver } from './driver.js'
import { Pace } from './pace.js'
import type { Roster } from './roster.js'

/** What succession depends on outside the log. */
export interface SuccessionPorts {
  readonly electionMs: number
  isHeard(node: NodeId): boolean
  /** How much a member wants to lead. */
  priorityOf(node: NodeId): number
  /** Whether its disk has no room for new writes. */
  isLow(node: NodeId): boolean
}

/** A member of higher priority has to be able to lead for so long before it is given the lead. */
const YIELD_AFTER_MS = 10_000

/** See the file's comment. */
export class Succession {
  readonly #time: Time
  readonly #core: RaftCore
  readonly #driver: Driver
  readonly #roster: Roster
  readonly #conditions: Conditions
  readonly #ports: SuccessionPorts
  readonly #pace = new Pace()
  readonly #ableSince = new Map<NodeId, number>()

  constructor(
    time: Time,
    core: RaftCore,
    driver: Driver,
    roster: Roster,
    conditions: Conditions,
    ports: SuccessionPorts,
  ) {
    this.#time = time
    this.#core = core
    this.#driver = driver
    this.#roster = roster
    this.#conditions = conditions
    this.#ports = ports
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (this.#core.role === 'leader') this.#pace.note(now, this.#core.lastIndex)
  }

  /** Another role, leader or term: what was measured belongs to an earlier leadership. */
  onSoft(): void {
    if (this.#core.role === 'leader') return
    this.#pace.reset()
    this.#ableSince.clear()
  }

  /** What this leader knows to be in the log of `node`. */
  matchOf(node: NodeId): LogIndex {
    return this.#core.status().peers.find(({ id }) => id === node)?.matchIndex ?? 0
  }

  /** Whether `node` is connected and caught up: fit to vote anew, or to lead. */
  isAble(node: NodeId): boolean {
    const { isHeard } = this.#ports
    return isHeard(node) && this.#pace.isCaughtUp(this.matchOf(node), this.#core.lastIndex)
  }

  /** The best to lead among the voters that are wanted; undefined when nobody can. */
  best(isWanted: (node: NodeId) => boolean): NodeId | undefined {
    const { priorityOf } = this.#ports
    return this.#able()
      .filter(isWanted)
      .sort((a, b) => priorityOf(b) - priorityOf(a) || this.matchOf(b) - this.matchOf(a))[0]
  }

  /** Resolves when `target` has been made to take over, or is given up; the core's role tells. */
  async handOverTo(target: NodeId): Promise<void> {
    this.#driver.step({ type: 'transferLeader', to: target })
    // The core gives up after one timeout; the wait must not end before it.
    const deadline = this.#time.now() + 2 * this.#ports.electionMs
    await this.#conditions.until(deadline, () => this.#core.status().transferTarget !== target)
  }

  /** Hands over to a member of higher priority that has been able to lead for a while; called now and then. */
  yieldToPriority(): void {
    if (this.#core.role !== 'leader') return
    const now = this.#time.now()
    const able = this.#able()
    for (const node of [...this.#ableSince.keys()]) {
      if (!able.includes(node)) this.#ableSince.delete(node)
    }
    for (const node of able) if (!this.#ableSince.has(node)) this.#ableSince.set(node, now)
    const own = this.#ports.priorityOf(this.#roster.self)
    const isBetter = (node: NodeId) =>
      this.#ports.priorityOf(node) > own &&
      !this.#ports.isLow(node) &&
      now - this.#ableSince.get(node)! >= YIELD_AFTER_MS
    const better = this.best(isBetter)
    if (better === undefined || this.#core.status().transferTarget !== NONE) return
    // Should it not take over, the same wait begins anew.
    this.#ableSince.delete(better)
    this.#driver.step({ type: 'transferLeader', to: better })
  }

  #able(): NodeId[] {
    return this.#roster.others
      .map(({ nodeId }) => nodeId)
      .filter((node) => this.#roster.isVoter(node) && this.isAble(node))
  }
}
