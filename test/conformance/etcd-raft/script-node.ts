/**
 * One node of an interaction script: a core, its storage in memory, and the work of its two threads.
 */
import { decodeConfChange } from '../../../src/raft/conf-change.js'
import { RaftCore } from '../../../src/raft/core.js'
import type {
  AppendTask,
  CoreOptions,
  Entry,
  EntryId,
  HardState,
  Message,
  NodeId,
  PeerStatus,
  Ready,
  Role,
  SnapshotMeta,
} from '../../../src/raft/types.js'
import { type Directive, optionOf } from './datadriven.js'
import {
  entryText,
  hardStateText,
  type Line,
  lineOf,
  render,
  roleName,
  snapshotText,
} from './notation.js'

const UNBOUNDED = Number.MAX_SAFE_INTEGER

/** A message on its way. */
export interface Delivery {
  readonly to: NodeId
  readonly name: string
  readonly text: string
  /** From a thread of the node to itself: never dropped. */
  readonly isLocal: boolean
  /** False for what this core needs and the original does not have. */
  readonly isShown: boolean
  /** Steps it; returns the error that the original prints. */
  readonly deliver: () => string | undefined
}

/** A write that is queued for the append thread, or done and not all delivered. */
interface AppendWork {
  readonly task: AppendTask
  readonly request: Line
  readonly responses: readonly (Message | Line)[]
  isAcknowledged: boolean
}

/** What a finished write lets go: a message to another node, or one to the node itself. */
type Response = Delivery | { readonly message: Message }

/** A Ready as it is shown, and the messages that leave with it. */
export interface ShownReady {
  readonly shown: string
  readonly messages: readonly Message[]
}

/** A core with what a script lets it do. */
export class ScriptNode {
  readonly id: NodeId
  readonly options: CoreOptions
  readonly core: RaftCore
  readonly #isAsync: boolean
  #previous: EntryId
  #stored: Entry[] = []
  /** The newest state of the state machine, which snapshots are made from. */
  #newest: SnapshotMeta
  #hardState: HardState
  #shownRole: Role = 'follower'
  #shownLeader: NodeId = 0
  #appends: AppendWork[] = []
  /** Writes that are done, in order, until the core has been told. */
  #written: AppendWork[] = []
  #applies: (readonly Entry[])[] = []
  /** What is left of the Ready that was shown last. */
  #current: Ready | undefined = undefined
  /** Taken from the core too early, to be shown next. */
  #early: Ready | undefined = undefined

  constructor(id: NodeId, directive: Directive) {
    const numbers = (key: string) => optionOf(directive, key).map(Number)
    const index = numbers('index')[0] ?? 0
    const conf = {
      voters: numbers('voters'),
      votersOutgoing: [],
      learners: numbers('learners'),
      learnersNext: [],
      autoLeave: false,
    }
    this.id = id
    this.options = optionsOf(id, directive)
    this.#isAsync = isOn(directive, 'async-storage-writes')
    this.#previous = { index, term: index === 0 ? 0 : 1 }
    this.#newest = { ...this.#previous, conf }
    this.#hardState = { term: 0, vote: 0, commit: index }
    this.core = new RaftCore(this.options, {
      hardState: this.#hardState,
      conf,
      previous: this.#previous,
      lastIndex: index,
      terms: [],
      tail: [],
      applied: index,
    })
  }

  get hasReady(): boolean {
    return this.#early !== undefined || this.core.hasReady()
  }

  get hasAppendWork(): boolean {
    return this.#appends.length > 0
  }

  get hasApplyWork(): boolean {
    return this.#applies.length > 0
  }

  /** Whether a proposal would be appended or handed on, which the core says only in its next Ready. */
  get takesProposals(): boolean {
    const { role, leader, transferTarget, conf } = this.core.status()
    if (role !== 'leader') return role === 'follower' && leader !== 0
    const members = [...conf.voters, ...conf.votersOutgoing, ...conf.learners]
    return members.includes(this.id) && transferTarget === 0
  }

  /** Whether the original would step `message`: answers only from members. */
  accepts({ type, from }: Message): boolean {
    const { voters, votersOutgoing, learners } = this.core.status().conf
    const isMember = [...voters, ...votersOutgoing, ...learners].includes(from)
    return isMember || !type.endsWith('Response')
  }

  tick(count: number): undefined {
    for (let i = 0; i < count; i++) this.core.step({ type: 'tick' })
  }

  compact(index: number): void {
    const last = this.#entryAt(index)
    if (last === undefined) return
    this.#stored.splice(0, index - this.#previous.index)
    this.#previous = { index, term: last.term }
    this.core.step({ type: 'compacted', index })
  }

  /** A snapshot of the newest state, for `to`. */
  snapshotMessage(to: NodeId): Message {
    const { term, peers } = this.core.status()
    const session = peers.find((peer) => peer.id === to)?.session ?? 0
    return { type: 'snapshot', from: this.id, to, term, snapshot: this.#newest, session }
  }

  statusLines(describe: (peer: PeerStatus) => string): string[] {
    const { role, peers, ownMatchIndex } = this.core.status()
    if (role !== 'leader') return []
    const own = `${this.id}: StateReplicate match=${ownMatchIndex} next=${ownMatchIndex + 1}`
    const others = peers.map((peer): [NodeId, string] => [peer.id, `${peer.id}: ${describe(peer)}`])
    return [...others, [this.id, own] as const].sort(([a], [b]) => a - b).map(([, line]) => line)
  }

  logLines(describe: (entry: Entry) => string): string[] {
    const { index } = this.#previous
    if (this.#stored.length > 0) return this.#stored.map(describe)
    return [`log is empty: first index=${index + 1}, last index=${index}`]
  }

  /** Takes a Ready from the core and shows it; `finishReady` carries it out. */
  takeReady(): ShownReady {
    const ready = this.#early ?? this.core.ready()
    this.#early = undefined
    this.#current = ready
    const messages = this.#messagesOf(ready)
    return this.#isAsync ? this.#takeAsync(ready, messages) : this.#takeSync(ready, messages)
  }

  finishReady(): void {
    const ready = this.#current
    if (ready === undefined) return
    this.#current = undefined
    if (!this.#isAsync) this.#carryOut(ready)
  }

  /** Does the oldest write. */
  processAppend(): { request: Line; responses: Response[] } | undefined {
    const work = this.#appends.shift()
    if (work === undefined) return undefined
    this.#store(work.task)
    this.#written.push(work)
    const responses = work.responses.map((response): Response => {
      if ('type' in response && response.to !== this.id) return { message: response }
      const line = 'type' in response ? lineOf(response) : response
      return this.#local(line, () => this.#acknowledge(work))
    })
    // The core wants to hear of every write, the original only of those that change what is unstable.
    if (!responses.some((response) => 'text' in response)) {
      responses.push({
        ...this.#local(work.request, () => this.#acknowledge(work)),
        isShown: false,
      })
    }
    return { request: { ...work.request, responses: [] }, responses }
  }

  /** Applies the oldest batch of entries. */
  processApply(): { request: Line; response: Delivery } | undefined {
    const entries = this.#applies.shift()
    if (entries === undefined) return undefined
    this.#apply(entries)
    const request = { from: `${this.id}`, to: 'ApplyThread', name: 'MsgStorageApply', entries }
    const last = entries.at(-1)!.index
    const line = applyResponse(this.id, entries)
    const response = this.#local(line, () => {
      // Told already unless a configuration change was among them: see #takeAsync.
      if (hasConfChange(entries)) this.core.step({ type: 'applyDone', index: last })
    })
    return { request, response }
  }

  #takeAsync(ready: Ready, messages: readonly Message[]): ShownReady {
    const lines = messages.map(lineOf)
    if (ready.append !== undefined) {
      const work = this.#appendWork(ready.append)
      this.#appends.push(work)
      lines.push(work.request)
    }
    if (ready.apply !== undefined) {
      const { entries } = ready.apply
      this.#applies.push(entries)
      const responses = [applyResponse(this.id, entries)]
      lines.push({
        from: `${this.id}`,
        to: 'ApplyThread',
        name: 'MsgStorageApply',
        entries,
        responses,
      })
      // This core has one apply outstanding, the original several: what changes no configuration may as well
      // count as applied when it is handed out.
      if (!hasConfChange(entries)) {
        this.core.step({ type: 'applyDone', index: entries.at(-1)!.index })
      }
    }
    return { shown: this.#describe(ready, ready.apply?.entries ?? [], lines), messages }
  }

  #takeSync(ready: Ready, messages: readonly Message[]): ShownReady {
    if (ready.append !== undefined) this.#store(ready.append)
    const responses = ready.append?.responses.filter((message) => message.to !== this.id) ?? []
    const all = [...messages, ...responses]
    const shown = this.#describe(ready, this.#committedEntries(ready), all.map(lineOf))
    return { shown, messages: all }
  }

  /** Everything committed that is stored, also what this very Ready stores; bounded only by the core's tasks. */
  #committedEntries(ready: Ready): readonly Entry[] {
    const handedOut = ready.apply?.entries ?? []
    if (ready.append?.snapshot !== undefined) return handedOut
    if (this.options.maxApplyBytes < UNBOUNDED && handedOut.length > 0) return handedOut
    const { appliedIndex, commitIndex } = this.core.status()
    return this.#stored.filter(({ index }) => index > appliedIndex && index <= commitIndex)
  }

  /** Applies first and acknowledges then, in the order of the original's Advance. */
  #carryOut(ready: Ready): void {
    const target = this.#committedEntries(ready).at(-1)?.index ?? 0
    let apply = ready.apply
    if (apply !== undefined) this.#apply(apply.entries)
    if (ready.append !== undefined) {
      this.core.step({ type: 'appendDone', id: ready.append.id })
    }
    if (apply !== undefined) {
      this.core.step({ type: 'applyDone', index: apply.entries.at(-1)!.index })
    }
    while (this.core.status().appliedIndex < target) {
      const { apply: next, ...rest } = this.core.ready()
      if (next === undefined) throw new Error('committed entries were not handed out')
      apply = next
      this.#apply(apply.entries)
      this.core.step({ type: 'applyDone', index: apply.entries.at(-1)!.index })
      if (!isEmpty(rest)) this.#early = { ...rest, apply: undefined }
    }
  }

  #messagesOf(ready: Ready): readonly Message[] {
    const messages = [...ready.messages]
    ready.snapshotsWanted.forEach(({ peer, messagesBefore }, i) => {
      messages.splice(messagesBefore + i, 0, this.snapshotMessage(peer))
      this.core.step({ type: 'snapshotStarted', peer, index: this.#newest.index })
    })
    return messages
  }

  #describe(ready: Ready, committed: readonly Entry[], messages: readonly Line[]): string {
    const { append, soft } = ready
    const lines: string[] = []
    if (soft !== undefined && this.#isSoftNew(soft.role, soft.leader)) {
      lines.push(`Lead:${soft.leader} State:${roleName(soft.role)}`)
    }
    const before = this.#hardState
    if (append?.hardState !== undefined) {
      this.#hardState = append.hardState
      lines.push(`HardState ${hardStateText(append.hardState)}`)
    }
    const entries = append?.entries ?? []
    if (entries.length > 0) lines.push('Entries:', ...entries.map(entryText))
    if (append?.snapshot !== undefined) lines.push(`Snapshot ${snapshotText(append.snapshot)}`)
    if (committed.length > 0) lines.push('CommittedEntries:', ...committed.map(entryText))
    if (messages.length > 0) lines.push('Messages:', ...messages.map((line) => render(line)))
    if (lines.length === 0) return '<empty Ready>'
    const { term, vote } = this.#hardState
    const mustSync = entries.length > 0 || term !== before.term || vote !== before.vote
    return [`Ready MustSync=${mustSync}:`, ...lines].join('\n')
  }

  #isSoftNew(role: Role, leader: NodeId): boolean {
    if (role === this.#shownRole && leader === this.#shownLeader) return false
    this.#shownRole = role
    this.#shownLeader = leader
    return true
  }

  #appendWork(task: AppendTask): AppendWork {
    const { term, lastIndex, lastTerm, flushedIndex } = this.core.status()
    const isUnstable = flushedIndex < lastIndex
    const responses: (Message | Line)[] = [...task.responses]
    if (isUnstable || task.snapshot !== undefined) {
      responses.push({
        from: 'AppendThread',
        to: `${this.id}`,
        name: 'MsgStorageAppendResp',
        term,
        logTerm: isUnstable ? lastTerm : 0,
        index: isUnstable ? lastIndex : 0,
        snapshot: task.snapshot,
      })
    }
    const request = {
      from: `${this.id}`,
      to: 'AppendThread',
      name: 'MsgStorageAppend',
      ...task.hardState,
      entries: task.entries,
      snapshot: task.snapshot,
      responses: responses.map((response) => ('type' in response ? lineOf(response) : response)),
    }
    return { task, request, responses, isAcknowledged: false }
  }

  /** Tells the core of a write when the first of its answers arrives, never before earlier writes. */
  #acknowledge(work: AppendWork): void {
    if (work.isAcknowledged) return
    for (const written of [...this.#written]) {
      this.#written.shift()
      written.isAcknowledged = true
      this.core.step({ type: 'appendDone', id: written.task.id })
      if (written === work) return
    }
  }

  #local(line: Line, step: () => void): Delivery {
    const deliver = () => {
      step()
      return undefined
    }
    const text = render(line)
    return { to: this.id, name: line.name, text, isLocal: true, isShown: true, deliver }
  }

  #store({ snapshot, entries }: AppendTask): void {
    if (snapshot !== undefined) {
      this.#previous = { index: snapshot.index, term: snapshot.term }
      this.#stored = []
      this.#newest = snapshot
    }
    const first = entries[0]
    if (first === undefined) return
    this.#stored.length = first.index - this.#previous.index - 1
    this.#stored.push(...entries)
  }

  #apply(entries: readonly Entry[]): void {
    for (const { kind, data, index, term } of entries) {
      if (kind !== 'normal') {
        const change = decodeConfChange(data)
        if (change === undefined) throw new Error('not a configuration change')
        this.core.step({ type: 'applyConfChange', change })
      }
      this.#newest = { index, term, conf: this.core.status().conf }
    }
  }

  #entryAt(index: number): Entry | undefined {
    return this.#stored[index - this.#previous.index - 1]
  }
}

function optionsOf(id: NodeId, directive: Directive): CoreOptions {
  const number = (key: string) => {
    const value = optionOf(directive, key)[0]
    return value === undefined ? UNBOUNDED : Number(value)
  }
  return {
    id,
    seed: id,
    electionTicks: 3,
    heartbeatTicks: 1,
    preVote: isOn(directive, 'prevote'),
    checkQuorum: isOn(directive, 'checkquorum'),
    reads: optionOf(directive, 'read-only')[0] === 'lease-based' ? 'lease' : 'safe',
    forwardProposals: true,
    stepDownOnRemoval: isOn(directive, 'step-down-on-removal'),
    maxBytesPerMessage: UNBOUNDED,
    maxInflightMessages: number('inflight'),
    maxInflightBytes: UNBOUNDED,
    maxUncommittedBytes: UNBOUNDED,
    maxApplyBytes: number('max-committed-size-per-ready'),
    entryCacheBytes: UNBOUNDED,
    commitNotice: 'atOnce',
    disableConfChangeValidation: isOn(directive, 'disable-conf-change-validation'),
  }
}

function isOn(directive: Directive, key: string): boolean {
  return optionOf(directive, key)[0] === 'true'
}

function hasConfChange(entries: readonly Entry[]): boolean {
  return entries.some((entry) => entry.kind !== 'normal')
}

function applyResponse(id: NodeId, entries: readonly Entry[]): Line {
  return { from: 'ApplyThread', to: `${id}`, name: 'MsgStorageApplyResp', entries }
}

function isEmpty(ready: Omit<Ready, 'apply'>): boolean {
  const { append, messages, snapshotsWanted, soft } = ready
  return (
    append === undefined && messages.length + snapshotsWanted.length === 0 && soft === undefined
  )
}
