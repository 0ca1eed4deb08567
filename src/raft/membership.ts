/**
 * Changes from one configuration to the next: pure, and the same on every node (thesis §4).
 *
 * A simple change alters at most one voter; anything else goes through a joint configuration, in which both
 * the incoming and the outgoing majority must agree (thesis §4.3). Differs from the paper as etcd-io/raft
 * does: a configuration comes into force when its entry is applied, not when it is appended.
 *
 * Invariants of a configuration: a node is either voter or learner, not both; `learnersNext` are voters of the
 * outgoing half, to become learners when the joint configuration is left; outside a joint configuration
 * `votersOutgoing` and `learnersNext` are empty and `autoLeave` is false.
 */
import { jointKind, leavesJoint } from './conf-change.js'
import type { ConfChangeStep, ConfChangeV2, ConfState, NodeId } from './types.js'

/** The configuration without members. */
export const EMPTY_CONF: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/** The outcome of a change: a configuration with the nodes that entered it anew, or why it is refused. */
export type ChangeResult =
  | { readonly conf: ConfState; readonly fresh: ReadonlySet<NodeId> }
  | { readonly refused: string }

/** Applies `change` to `conf`, in the way that the change itself asks for. */
export function changeConf(conf: ConfState, change: ConfChangeV2): ChangeResult {
  if (leavesJoint(change)) return leaveJoint(conf)
  switch (jointKind(change)) {
    case 'autoLeave':
      return enterJoint(conf, change.steps, true)
    case 'explicitLeave':
      return enterJoint(conf, change.steps, false)
    case 'none':
      return changeSimply(conf, change.steps)
  }
}

/** Applies `steps` at once; refused when they alter more than one voter. */
export function changeSimply(conf: ConfState, steps: readonly ConfChangeStep[]): ChangeResult {
  if (isJoint(conf)) return { refused: "can't apply simple config change in joint config" }
  const draft = new Draft(conf)
  draft.apply(steps)
  if (draft.voters.size === 0) return { refused: 'removed all voters' }
  if (symmetricDifference(conf.voters, draft.voters) > 1) {
    return { refused: 'more than one voter changed without entering joint config' }
  }
  return draft.finish()
}

/** Enters the joint configuration between `conf` and `conf` with `steps` applied. */
export function enterJoint(
  conf: ConfState,
  steps: readonly ConfChangeStep[],
  autoLeave: boolean,
): ChangeResult {
  if (isJoint(conf)) return { refused: 'config is already joint' }
  if (conf.voters.length === 0) return { refused: "can't make a zero-voter config joint" }
  const draft = new Draft(conf)
  draft.outgoing = new Set(conf.voters)
  draft.autoLeave = autoLeave
  draft.apply(steps)
  if (draft.voters.size === 0) return { refused: 'removed all voters' }
  return draft.finish()
}

/** Leaves a joint configuration: the incoming half alone decides from then on. */
export function leaveJoint(conf: ConfState): ChangeResult {
  if (!isJoint(conf)) return { refused: "can't leave a non-joint config" }
  const draft = new Draft(conf)
  for (const id of draft.learnersNext) draft.learners.add(id)
  draft.learnersNext.clear()
  draft.outgoing.clear()
  draft.autoLeave = false
  return draft.finish()
}

/** Whether `conf` has two halves. */
export function isJoint(conf: ConfState): boolean {
  return conf.votersOutgoing.length > 0
}

/** Every node of `conf`, ascending. */
export function membersOf(conf: ConfState): NodeId[] {
  return sorted(new Set([...conf.voters, ...conf.votersOutgoing, ...conf.learners]))
}

/** A configuration being worked on. */
class Draft {
  readonly voters: Set<NodeId>
  outgoing: Set<NodeId>
  readonly learners: Set<NodeId>
  readonly learnersNext: Set<NodeId>
  autoLeave: boolean
  readonly #members: Set<NodeId>
  readonly #fresh: Set<NodeId> = new Set()

  constructor(conf: ConfState) {
    this.voters = new Set(conf.voters)
    this.outgoing = new Set(conf.votersOutgoing)
    this.learners = new Set(conf.learners)
    this.learnersNext = new Set(conf.learnersNext)
    this.autoLeave = conf.autoLeave
    this.#members = new Set(membersOf(conf))
  }

  apply(steps: readonly ConfChangeStep[]): void {
    for (const { kind, node } of steps) {
      // Node 0 is no node: such a step says that the change was refused where it was proposed.
      if (node === 0) continue
      if (kind === 'addVoter') this.#makeVoter(node)
      else if (kind === 'addLearner') this.#makeLearner(node)
      else if (kind === 'remove') this.#remove(node)
    }
  }

  finish(): ChangeResult {
    const conf: ConfState = {
      voters: sorted(this.voters),
      votersOutgoing: sorted(this.outgoing),
      learners: sorted(this.learners),
      learnersNext: sorted(this.learnersNext),
      autoLeave: this.autoLeave,
    }
    return { conf, fresh: this.#fresh }
  }

  #makeVoter(node: NodeId): void {
    this.#enter(node)
    this.learners.delete(node)
    this.learnersNext.delete(node)
    this.voters.add(node)
  }

  #makeLearner(node: NodeId): void {
    if (this.learners.has(node)) return
    this.#enter(node)
    this.voters.delete(node)
    this.learnersNext.delete(node)
    // Still a voter on the outgoing side: it becomes a learner only when the joint configuration is left.
    if (this.outgoing.has(node)) this.learnersNext.add(node)
    else this.learners.add(node)
  }

  #remove(node: NodeId): void {
    this.voters.delete(node)
    this.learners.delete(node)
    this.learnersNext.delete(node)
    if (!this.outgoing.has(node)) this.#members.delete(node)
  }

  #enter(node: NodeId): void {
    if (this.#members.has(node)) return
    this.#members.add(node)
    this.#fresh.add(node)
  }
}

function symmetricDifference(before: readonly NodeId[], after: ReadonlySet<NodeId>): number {
  const kept = before.filter((id) => after.has(id)).length
  return before.length + after.size - 2 * kept
}

function sorted(ids: Iterable<NodeId>): NodeId[] {
  return [...ids].sort((a, b) => a - b)
}
