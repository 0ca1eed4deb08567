/**
 * One stable line for each thing of the core: used in logs, traces, errors and status pages. For people; nothing
 * parses it.
 */
import { decodeConfChange } from './conf-change.js'
import type {
  ConfChangeStep,
  ConfState,
  CoreStatus,
  Entry,
  EntryId,
  Message,
  NodeId,
  PeerStatus,
} from './types.js'

const STEP_WORDS: Readonly<Record<ConfChangeStep['kind'], string>> = {
  addVoter: 'voter',
  addLearner: 'learner',
  remove: 'remove',
  update: 'update',
}

/** `1>2 append t3 after 2/17 commit 17 entries 3/18..3/20 session 4` */
export function describeMessage(message: Message): string {
  const { from, to, type, term } = message
  const head = `${from}>${to} ${type} t${term}`
  const rest = describeBody(message)
  return rest === '' ? head : `${head} ${rest}`
}

/** `3/18 normal 128 B`, `3/19 confChangeV2 voter 4, remove 1` */
export function describeEntry(entry: Entry): string {
  const { kind, data } = entry
  const what = kind === 'normal' ? `${data.length} B` : describeChange(data)
  return `${describeId(entry)} ${kind} ${what}`
}

/** `voters 1 2 3`, `voters 1 2 4 and 1 2 3, learners 5, next learners 3, leaves by itself` */
export function describeConf(conf: ConfState): string {
  const parts = [`voters ${list(conf.voters)}`]
  if (conf.votersOutgoing.length > 0) parts[0] += ` and ${list(conf.votersOutgoing)}`
  if (conf.learners.length > 0) parts.push(`learners ${list(conf.learners)}`)
  if (conf.learnersNext.length > 0) parts.push(`next learners ${list(conf.learnersNext)}`)
  if (conf.autoLeave) parts.push('leaves by itself')
  return parts.join(', ')
}

/** `2 replicate match 17 next 21 inflight 3` */
export function describePeer(peer: PeerStatus): string {
  const parts = [`${peer.id} ${peer.state} match ${peer.matchIndex} next ${peer.nextIndex}`]
  if (peer.inflightMessages > 0) parts.push(`inflight ${peer.inflightMessages}`)
  if (peer.inflightFull) parts.push('full')
  if (peer.pendingSnapshot > 0) parts.push(`snapshot ${peer.pendingSnapshot}`)
  if (peer.isLearner) parts.push('learner')
  if (peer.paused) parts.push('paused')
  if (!peer.recentlyActive) parts.push('inactive')
  return parts.join(' ')
}

/** `1 leader t3 vote 1 leader 1 applied 17 commit 17 flushed 20 last 3/20` */
export function describeStatus(status: CoreStatus): string {
  const { id, role, term, vote, leader, appliedIndex, commitIndex, flushedIndex } = status
  const last = describeId({ term: status.lastTerm, index: status.lastIndex })
  const election = `${id} ${role} t${term} vote ${vote} leader ${leader}`
  return `${election} applied ${appliedIndex} commit ${commitIndex} flushed ${flushedIndex} last ${last}`
}

function describeBody(message: Message): string {
  switch (message.type) {
    case 'vote':
    case 'preVote': {
      const last = describeId({ term: message.lastTerm, index: message.lastIndex })
      return `last ${last}${message.transfer ? ' transfer' : ''}`
    }
    case 'voteResponse':
    case 'preVoteResponse':
      return message.reject ? 'rejected' : 'granted'
    case 'append': {
      const { prevTerm, prevIndex, commit, entries, session } = message
      const after = `after ${describeId({ term: prevTerm, index: prevIndex })} commit ${commit}`
      return `${after}${describeRange(entries)} session ${session}`
    }
    case 'appendResponse': {
      const { index, reject, hintTerm, hintIndex, session } = message
      const hint = describeId({ term: hintTerm, index: hintIndex })
      return `${reject ? `rejected ${index} hint ${hint}` : `to ${index}`} session ${session}`
    }
    case 'heartbeat':
      return `commit ${message.commit}${describeContext(message.context)}`
    case 'heartbeatResponse':
      return describeContext(message.context).trim()
    case 'snapshot':
      return `${describeId(message.snapshot)} ${describeConf(message.snapshot.conf)} session ${message.session}`
    case 'propose':
      return `${message.entries.length} entries`
    case 'readIndex':
      return `context ${message.context}`
    case 'readIndexResponse':
      return `index ${message.index} context ${message.context}`
    case 'timeoutNow':
    case 'transferLeader':
    case 'forgetLeader':
      return ''
  }
}

function describeRange(entries: readonly Entry[]): string {
  if (entries.length === 0) return ''
  const first = describeId(entries[0]!)
  return entries.length === 1
    ? ` entry ${first}`
    : ` entries ${first}..${describeId(entries[entries.length - 1]!)}`
}

function describeChange(data: Uint8Array): string {
  const change = decodeConfChange(data)
  if (change === undefined) return 'malformed'
  if (change.steps.length === 0) return change.transition === 'auto' ? 'leave' : 'no steps'
  return change.steps.map(({ kind, node }) => `${STEP_WORDS[kind]} ${node}`).join(', ')
}

function describeContext(context: number): string {
  return context === 0 ? '' : ` context ${context}`
}

function describeId({ term, index }: EntryId): string {
  return `${term}/${index}`
}

function list(ids: readonly NodeId[]): string {
  return ids.length === 0 ? 'none' : ids.join(' ')
}
