/**
 * The text forms of etcd-io/raft's scripts: messages, entries, hard states, configurations, progress.
 */
import { decodeConfChange } from '../../../src/raft/conf-change.js'
import type {
  ConfChangeStep,
  ConfState,
  Entry,
  HardState,
  Message,
  NodeId,
  PeerStatus,
  ProposedEntry,
  Role,
  SnapshotMeta,
} from '../../../src/raft/types.js'

const STEP_LETTERS = { addVoter: 'v', addLearner: 'l', remove: 'r', update: 'u' } as const

const MESSAGE_NAMES: Readonly<Record<Message['type'], string>> = {
  vote: 'MsgVote',
  preVote: 'MsgPreVote',
  voteResponse: 'MsgVoteResp',
  preVoteResponse: 'MsgPreVoteResp',
  append: 'MsgApp',
  appendResponse: 'MsgAppResp',
  heartbeat: 'MsgHeartbeat',
  heartbeatResponse: 'MsgHeartbeatResp',
  snapshot: 'MsgSnap',
  timeoutNow: 'MsgTimeoutNow',
  transferLeader: 'MsgTransferLeader',
  forgetLeader: 'MsgForgetLeader',
  propose: 'MsgProp',
  readIndex: 'MsgReadIndex',
  readIndexResponse: 'MsgReadIndexResp',
}

const ROLE_NAMES: Readonly<Record<Role, string>> = {
  follower: 'StateFollower',
  preCandidate: 'StatePreCandidate',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
}

const STATE_NAMES = {
  probe: 'StateProbe',
  replicate: 'StateReplicate',
  snapshot: 'StateSnapshot',
} as const

/** What a line about a message can say; absent is zero. */
export interface Line {
  readonly from: string
  readonly to: string
  readonly name: string
  readonly term?: number
  readonly logTerm?: number
  readonly index?: number
  /** The hint of a rejection. */
  readonly rejected?: number | undefined
  readonly commit?: number
  readonly vote?: number
  readonly entries?: readonly Entry[]
  readonly snapshot?: SnapshotMeta | undefined
  readonly responses?: readonly Line[]
}

export function messageName(type: Message['type']): string {
  return MESSAGE_NAMES[type]
}

export function roleName(role: Role): string {
  return ROLE_NAMES[role]
}

/** A message of the core as a line of a script. */
export function lineOf(message: Message): Line {
  const { type, term } = message
  const head = { from: `${message.from}`, to: `${message.to}`, name: messageName(type), term }
  switch (message.type) {
    case 'vote':
    case 'preVote':
      return { ...head, logTerm: message.lastTerm, index: message.lastIndex }
    case 'voteResponse':
    case 'preVoteResponse':
      return message.reject ? { ...head, rejected: 0 } : head
    case 'append': {
      const { prevTerm: logTerm, prevIndex: index, commit, entries } = message
      return { ...head, logTerm, index, commit, entries }
    }
    case 'appendResponse': {
      const rejected = message.reject ? message.hintIndex : undefined
      return { ...head, logTerm: message.hintTerm, index: message.index, rejected }
    }
    case 'heartbeat':
      return { ...head, commit: message.commit }
    case 'snapshot':
      return { ...head, snapshot: message.snapshot }
    case 'propose':
      return { ...head, entries: message.entries.map((entry) => ({ ...entry, term: 0, index: 0 })) }
    case 'readIndexResponse':
      return { ...head, index: message.index }
    default:
      return head
  }
}

/** Renders a line; lists of entries and of responses take further lines. */
export function render(line: Line, indent: string = ''): string {
  const { from, to, name, term = 0, logTerm = 0, index = 0, rejected, snapshot } = line
  const { commit = 0, vote = 0, entries = [], responses = [] } = line
  let out = `${indent}${from}->${to} ${name} Term:${term} Log:${logTerm}/${index}`
  if (rejected !== undefined) out += ` Rejected (Hint: ${rejected})`
  if (commit !== 0) out += ` Commit:${commit}`
  if (vote !== 0) out += ` Vote:${vote}`
  if (entries.length === 1) out += ` Entries:[${entryText(entries[0]!)}]`
  if (entries.length > 1) {
    out += ` Entries:[${entries.map((entry) => `\n${indent}  ${entryText(entry)}`).join('')}`
    out += `\n${indent}]`
  }
  if (snapshot !== undefined) out += `\n${indent}  Snapshot: ${snapshotText(snapshot)}`
  if (responses.length > 0) {
    out += ` Responses:[${responses.map((response) => `\n${render(response, `${indent}  `)}`).join('')}`
    out += `\n${indent}]`
  }
  return out
}

export function entryText({ term, index, kind, data }: Entry): string {
  if (kind === 'normal') {
    return `${term}/${index} EntryNormal ${JSON.stringify(Buffer.from(data).toString())}`
  }
  const name = kind === 'confChange' ? 'EntryConfChange' : 'EntryConfChangeV2'
  const steps = (decodeConfChange(data)?.steps ?? []).map(stepText)
  return [`${term}/${index} ${name}`, ...steps].join(' ')
}

export function hardStateText({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === 0 ? '' : ` Vote:${vote}`} Commit:${commit}`
}

export function snapshotText({ index, term, conf }: SnapshotMeta): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = conf
  const lists = `Voters:${listText(voters)} VotersOutgoing:${listText(votersOutgoing)}`
  const learnersText = `Learners:${listText(learners)} LearnersNext:${listText(learnersNext)}`
  return `Index:${index} Term:${term} ConfState:${lists} ${learnersText} AutoLeave:${autoLeave}`
}

/** `voters=(1 2)&&(1) learners=(3) autoleave` */
export function confText(conf: ConfState): string {
  const group = (ids: readonly NodeId[]) => `(${ids.join(' ')})`
  let out = `voters=${group(conf.voters)}`
  if (conf.votersOutgoing.length > 0) out += `&&${group(conf.votersOutgoing)}`
  if (conf.learners.length > 0) out += ` learners=${group(conf.learners)}`
  if (conf.learnersNext.length > 0) out += ` learners_next=${group(conf.learnersNext)}`
  return conf.autoLeave ? `${out} autoleave` : out
}

export function peerText(peer: PeerStatus): string {
  let out = `${STATE_NAMES[peer.state]} match=${peer.matchIndex} next=${peer.nextIndex}`
  if (peer.isLearner) out += ' learner'
  if (peer.paused) out += ' paused'
  if (peer.pendingSnapshot > 0) out += ` pendingSnap=${peer.pendingSnapshot}`
  if (!peer.recentlyActive) out += ' inactive'
  if (peer.inflightMessages > 0) out += ` inflight=${peer.inflightMessages}`
  return peer.inflightMessages > 0 && peer.inflightFull ? `${out}[full]` : out
}

/** Reads `v1 l2 r3 u4`. */
export function parseSteps(text: string): ConfChangeStep[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const kind = Object.entries(STEP_LETTERS).find(([, letter]) => letter === word[0])?.[0]
      if (kind === undefined) throw new Error(`unknown input: ${word}`)
      return { kind: kind as ConfChangeStep['kind'], node: Number(word.slice(1)) }
    })
}

export function normalEntry(text: string): ProposedEntry {
  return { kind: 'normal', data: Buffer.from(text) }
}

function stepText({ kind, node }: ConfChangeStep): string {
  return `${STEP_LETTERS[kind]}${node}`
}

function listText(ids: readonly NodeId[]): string {
  return `[${ids.join(' ')}]`
}
