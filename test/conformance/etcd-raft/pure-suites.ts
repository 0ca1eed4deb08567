/**
 * The scripts about quorums and about configuration changes: pure functions, output byte for byte.
 */
import {
  type ChangeResult,
  changeSimply,
  enterJoint,
  leaveJoint,
} from '../../../src/raft/membership.js'
import {
  jointVote,
  majorityIndex,
  majorityVote,
  type VoteResult,
} from '../../../src/raft/quorum.js'
import { Tracker } from '../../../src/raft/tracker.js'
import type { ConfChangeStep, ConfState, NodeId } from '../../../src/raft/types.js'
import { type Directive, optionOf } from './datadriven.js'
import { confText, parseSteps, peerText } from './notation.js'

/** Answers the commands of one script, in order. */
export type Handler = (directive: Directive) => string

const VOTE_NAMES: Readonly<Record<VoteResult, string>> = {
  won: 'VoteWon',
  pending: 'VotePending',
  lost: 'VoteLost',
}

/** `committed` and `vote` on majorities and joint majorities. */
export function quorumHandler(): Handler {
  return (directive) => {
    const incoming = idsOf(directive, 'cfg')
    const outgoing = idsOf(directive, 'cfgj')
    const ids = [...new Set([...incoming, ...outgoing])]
    if (directive.command === 'vote') {
      const votes = assign(ids, optionOf(directive, 'votes'))
      return VOTE_NAMES[jointVote(voteOf(incoming, votes), voteOf(outgoing, votes))]
    }
    const acked = assign(ids, optionOf(directive, 'idx'))
    const index = committed(incoming, outgoing, acked)
    return `${describeAcks(ids, acked)}${index === Number.POSITIVE_INFINITY ? '∞' : index}`
  }
}

/** `simple`, `enter-joint` and `leave-joint`; the last index rises with every command. */
export function confChangeHandler(): Handler {
  const limits = { maxInflightMessages: 10, maxInflightBytes: 0 }
  const tracker = new Tracker(0, limits)
  let lastIndex = 0
  return (directive) => {
    const steps = parseSteps(directive.input)
    const result = change(tracker.conf, directive, steps)
    if ('conf' in result) tracker.switchTo(result.conf, result.fresh, Math.max(lastIndex, 1))
    lastIndex++
    if ('refused' in result) return result.refused
    const peers = tracker.peers.map((peer) => {
      // A new node counts as active; these scripts do not show it otherwise.
      return `\n${peer.id}: ${peerText({ ...peer.status(), recentlyActive: true })}`
    })
    return `${confText(tracker.conf)}${peers.join('')}`
  }
}

function change(
  conf: ConfState,
  directive: Directive,
  steps: readonly ConfChangeStep[],
): ChangeResult {
  switch (directive.command) {
    case 'simple':
      return changeSimply(conf, steps)
    case 'enter-joint':
      return enterJoint(conf, steps, optionOf(directive, 'autoleave')[0] === 'true')
    case 'leave-joint':
      return steps.length > 0 ? { refused: 'this command takes no input' } : leaveJoint(conf)
    default:
      return { refused: 'unknown command' }
  }
}

function idsOf(directive: Directive, key: string): NodeId[] {
  return optionOf(directive, key)
    .filter((word) => word !== 'zero' && word !== '')
    .map(Number)
}

/** Values by id, in the order in which the ids appear; `_` is unknown. */
function assign(ids: readonly NodeId[], values: readonly string[]): Map<NodeId, string> {
  const known = new Map<NodeId, string>()
  ids.forEach((id, i) => {
    const value = values[i]
    if (value !== undefined && value !== '_') known.set(id, value)
  })
  return known
}

function voteOf(ids: readonly NodeId[], votes: ReadonlyMap<NodeId, string>): VoteResult {
  const count = (value: string) => ids.filter((id) => votes.get(id) === value).length
  return majorityVote(ids.length, count('y'), count('n'))
}

function committed(
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  acked: ReadonlyMap<NodeId, string>,
): number {
  const half = (ids: readonly NodeId[]) =>
    majorityIndex(
      ids.map((id) => Number(acked.get(id) ?? 0)),
      ids.length,
    )
  return Math.min(half(incoming), half(outgoing))
}

/** The bar chart: the i-th smallest index has a bar of i, equal indexes equal bars. */
function describeAcks(ids: readonly NodeId[], acked: ReadonlyMap<NodeId, string>): string {
  if (ids.length === 0) return '<empty majority quorum>'
  const width = ids.length
  const indexOf = (id: NodeId) => Number(acked.get(id) ?? 0)
  const ascending = [...ids].sort((a, b) => indexOf(a) - indexOf(b) || a - b)
  const lines = [...ids]
    .sort((a, b) => a - b)
    .map((id) => {
      const bar = ascending.findIndex((other) => indexOf(other) === indexOf(id))
      const drawn = acked.has(id) ? `${'x'.repeat(bar)}>${' '.repeat(width - bar)}` : '?'
      return `${drawn.padEnd(width + 1)} ${String(indexOf(id)).padStart(5)}    (id=${id})\n`
    })
  return `${' '.repeat(width)}    idx\n${lines.join('')}`
}
