/**
 * A deterministic network of cores with drivers that do what src/member does, on disks and links that a test
 * controls: writes can be held back, links cut, nodes crashed and restarted from what was durable.
 *
 * After every action each core checks itself, and `Oracle` checks what must hold across nodes (R1-R9).
 *
 *   const t = cluster(3)
 *   t.elect(1); t.propose(1, 'a'); t.cut('1 | 2 3'); t.settle(); t.heal()
 *   t.log(2) === '1: 1:a'          // term:data of each entry
 */
import assert from 'node:assert/strict'
import { decodeConfChange, encodeConfChange } from '../../src/raft/conf-change.js'
import { RaftCore } from '../../src/raft/core.js'
import type {
  AppendTask,
  ConfChangeStep,
  ConfChangeV2,
  ConfState,
  ConfTransition,
  CoreOptions,
  Dropped,
  Entry,
  EntryId,
  FetchTask,
  HardState,
  LogIndex,
  Message,
  NodeId,
  Proposed,
  ReadState,
  Ready,
  SnapshotMeta,
} from '../../src/raft/types.js'
import { Oracle } from './oracle.js'

/** Settings that keep tests short: an election is 10 ticks, a heartbeat 1. */
export const TEST_OPTIONS: Omit<CoreOptions, 'id'> = {
  seed: 1,
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: false,
  checkQuorum: false,
  reads: 'safe',
  forwardProposals: true,
  stepDownOnRemoval: true,
  maxBytesPerMessage: 1 << 20,
  maxInflightMessages: 256,
  maxInflightBytes: 1 << 23,
  maxUncommittedBytes: 1 << 26,
  maxApplyBytes: 1 << 20,
  entryCacheBytes: 1 << 20,
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function text(entry: Entry): string {
  return new TextDecoder().decode(entry.data)
}

export function conf(...voters: NodeId[]): ConfState {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
}

/** `change('v4 r1 l2', 'auto')`: v adds a voter, l a learner, r removes, u updates. */
export function change(steps: string, transition: ConfTransition = 'auto'): ConfChangeV2 {
  const kinds: Record<string, ConfChangeStep['kind']> = {
    v: 'addVoter',
    l: 'addLearner',
    r: 'remove',
    u: 'update',
  }
  const words = steps.split(' ').filter((word) => word !== '')
  return {
    transition,
    steps: words.map((word) => ({ kind: kinds[word[0]!]!, node: Number(word.slice(1)) })),
    context: new Uint8Array(0),
  }
}

/** `entries(4, '2:a 2: 3:b')`: consecutive from index 4, each `term:data`. */
export function entries(from: LogIndex, terms: string): Entry[] {
  return terms
    .split(' ')
    .filter((word) => word !== '')
    .map((word, i) => {
      const [term, data] = word.split(':')
      return { term: Number(term), index: from + i, kind: 'normal', data: bytes(data ?? '') }
    })
}

/** The first position of each run of equal terms. */
export function termRuns(list: readonly Entry[]): EntryId[] {
  return list.filter((entry, i) => i === 0 || list[i - 1]!.term !== entry.term)
}

/** What a node has on disk. */
export interface Durable {
  hardState: HardState
  conf: ConfState
  previous: EntryId
  entries: Entry[]
  /** The state machine is part of the disk here: applied is durable at once. */
  applied: LogIndex
}

/** A node: a core, its disk and its driver. */
export class Node {
  readonly id: NodeId
  readonly options: Omit<CoreOptions, 'id'>
  readonly disk: Durable
  core: RaftCore
  /** Writes handed out and not durable. */
  writes: AppendTask[] = []
  fetches: FetchTask[] = []
  reads: ReadState[] = []
  dropped: Dropped[] = []
  proposed: Proposed[] = []
  isUp = true
  /** Writes and fetches wait for `flush` and `answerFetches` instead of `settle`. */
  isDiskHeld = false
  starts = 0

  constructor(id: NodeId, disk: Durable, options: Omit<CoreOptions, 'id'>) {
    this.id = id
    this.disk = disk
    this.options = options
    this.core = this.start()
  }

  start(): RaftCore {
    const { hardState, conf, previous, applied } = this.disk
    this.starts++
    this.writes = []
    this.fetches = []
    this.isUp = true
    const lastIndex = previous.index + this.disk.entries.length
    const terms = termRuns(this.disk.entries)
    const options = {
      ...this.options,
      id: this.id,
      seed: this.options.seed + 1000 * this.id + this.starts,
    }
    const init = { hardState, conf, previous, lastIndex, terms, tail: this.disk.entries, applied }
    this.core = new RaftCore(options, init)
    return this.core
  }

  /** Makes a write durable, as the log does. */
  persist(task: AppendTask): void {
    const { disk } = this
    if (task.hardState !== undefined) disk.hardState = task.hardState
    if (task.snapshot !== undefined) {
      const { conf, index, term } = task.snapshot
      disk.previous = { index, term }
      disk.entries = []
      disk.conf = conf
      disk.applied = index
    }
    const first = task.entries[0]
    if (first === undefined) return
    assert.ok(first.index > disk.previous.index, 'a write into the compacted log')
    disk.entries.length = first.index - disk.previous.index - 1
    disk.entries.push(...task.entries)
  }

  entryAt(index: LogIndex): Entry | undefined {
    return this.disk.entries[index - this.disk.previous.index - 1]
  }
}

/** Nodes and the messages between them. */
export class Cluster {
  readonly nodes: Map<NodeId, Node> = new Map()
  readonly oracle: Oracle = new Oracle()
  messages: Message[] = []
  /** Side of a partition per node; messages between sides are lost. */
  #sides: Map<NodeId, number> = new Map()
  #tokens = 0

  add(id: NodeId, disk: Durable, options: Omit<CoreOptions, 'id'>): Node {
    const node = new Node(id, disk, options)
    this.nodes.set(id, node)
    return node
  }

  node(id: NodeId): Node {
    const node = this.nodes.get(id)
    assert.ok(node !== undefined, `there is no node ${id}`)
    return node
  }

  core(id: NodeId): RaftCore {
    return this.node(id).core
  }

  /** The nodes that are up, in order. */
  get up(): Node[] {
    return [...this.nodes.values()].filter((node) => node.isUp)
  }

  get leaders(): NodeId[] {
    return this.up.filter(({ core }) => core.role === 'leader').map(({ id }) => id)
  }

  /** `cut('1 | 2 3')`: nodes on different sides do not hear each other. */
  cut(sides: string): void {
    sides.split('|').forEach((side, i) => {
      for (const id of side.trim().split(' ')) this.#sides.set(Number(id), i)
    })
  }

  heal(): void {
    this.#sides.clear()
  }

  isCut(a: NodeId, b: NodeId): boolean {
    return (this.#sides.get(a) ?? 0) !== (this.#sides.get(b) ?? 0)
  }

  /** Campaigns at `id` and lets everything settle; the node must win. */
  elect(id: NodeId): void {
    this.core(id).step({ type: 'campaign' })
    this.settle()
    assert.equal(this.core(id).role, 'leader', `node ${id} did not win`)
  }

  /** Proposes at `id`; what became of it is in the node's `proposed` or `dropped`. */
  propose(id: NodeId, ...data: string[]): number {
    const token = ++this.#tokens
    const proposals = data.map((word) => ({ kind: 'normal' as const, data: bytes(word) }))
    this.core(id).step({ type: 'propose', token, entries: proposals })
    return token
  }

  proposeChange(id: NodeId, wanted: ConfChangeV2): number {
    const token = ++this.#tokens
    const data = encodeConfChange(wanted)
    this.core(id).step({ type: 'propose', token, entries: [{ kind: 'confChangeV2', data }] })
    return token
  }

  read(id: NodeId): number {
    const token = ++this.#tokens
    this.core(id).step({ type: 'readIndex', token })
    return token
  }

  tick(id: NodeId, count: number = 1): void {
    for (let i = 0; i < count; i++) this.core(id).step({ type: 'tick' })
  }

  /** Gives a message to a core as if it came from the network. */
  receive(message: Message): void {
    this.core(message.to).step({ type: 'receive', message })
  }

  /** Takes what a core wants done; applies and snapshots are done at once, writes wait for `flush`. */
  pump(id: NodeId): Ready | undefined {
    const node = this.node(id)
    if (!node.core.hasReady()) return undefined
    const ready = node.core.ready()
    if (ready.append !== undefined) node.writes.push(ready.append)
    this.messages.push(...ready.messages)
    node.fetches.push(...ready.fetches)
    node.reads.push(...ready.reads)
    node.dropped.push(...ready.dropped)
    node.proposed.push(...ready.proposed)
    if (ready.apply !== undefined) this.#apply(node, ready.apply.entries)
    for (const { peer, term, session } of ready.snapshotsWanted) {
      const { conf, applied } = node.disk
      const at = applied === node.disk.previous.index ? node.disk.previous : node.entryAt(applied)!
      const snapshot: SnapshotMeta = { index: at.index, term: at.term, conf }
      this.messages.push({ type: 'snapshot', from: id, to: peer, term, snapshot, session })
    }
    this.check()
    return ready
  }

  /** Makes the oldest write of `id` durable and sends what waited for it. */
  flush(id: NodeId): boolean {
    const node = this.node(id)
    const task = node.writes.shift()
    if (task === undefined) return false
    node.persist(task)
    this.messages.push(...task.responses.filter((message) => message.to !== id))
    node.core.step({ type: 'appendDone', id: task.id })
    this.check()
    return true
  }

  answerFetch(id: NodeId): boolean {
    const node = this.node(id)
    const task = node.fetches.shift()
    if (task === undefined) return false
    const { previous } = node.disk
    if (task.from <= previous.index) {
      node.core.step({ type: 'entriesUnavailable', id: task.id, why: 'compacted' })
    } else {
      const from = task.from - previous.index - 1
      const found = node.disk.entries.slice(from, task.to - previous.index)
      node.core.step({ type: 'entriesFetched', id: task.id, entries: found })
    }
    this.check()
    return true
  }

  /** Delivers the oldest message, or loses it to a cut or a crash; false when there is none. */
  deliverNext(): boolean {
    const message = this.messages.shift()
    if (message === undefined) return false
    this.deliver(message)
    return true
  }

  deliver(message: Message): void {
    const node = this.nodes.get(message.to)
    if (node === undefined || !node.isUp || this.isCut(message.from, message.to)) return
    node.core.step({ type: 'receive', message })
    this.check()
  }

  /** Lets everything happen until nothing is left to do, without time passing. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      let isBusy = false
      for (const node of this.up) {
        if (this.pump(node.id) !== undefined) isBusy = true
        if (node.isDiskHeld) continue
        while (this.flush(node.id)) isBusy = true
        while (this.answerFetch(node.id)) isBusy = true
      }
      while (this.deliverNext()) isBusy = true
      if (!isBusy) return
    }
    assert.fail('the cluster does not settle')
  }

  /** Lets `ticks` pass on all nodes, settling after each. */
  run(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      for (const { id } of this.up) this.tick(id)
      this.settle()
    }
  }

  /** Stops a node; what was not durable is lost, and its messages on the way may still arrive. */
  crash(id: NodeId): void {
    this.node(id).isUp = false
  }

  restart(id: NodeId): void {
    this.node(id).start()
  }

  /** Removes entries up to `index` from the front of a node's log. */
  compact(id: NodeId, index: LogIndex): void {
    const node = this.node(id)
    const last = node.entryAt(index)
    assert.ok(last !== undefined && index <= node.disk.applied, 'compacting what is not applied')
    node.disk.entries.splice(0, index - node.disk.previous.index)
    node.disk.previous = { index, term: last.term }
    node.core.step({ type: 'compacted', index })
    this.check()
  }

  /** The durable log of `id` as `term:data` words. */
  log(id: NodeId): string {
    return this.node(id)
      .disk.entries.map((entry) => `${entry.term}:${entry.kind === 'normal' ? text(entry) : 'conf'}`)
      .join(' ')
  }

  check(): void {
    this.oracle.check(this)
  }

  #apply(node: Node, list: readonly Entry[]): void {
    for (const entry of list) {
      assert.equal(entry.index, node.disk.applied + 1, 'applied out of order')
      assert.deepEqual(node.entryAt(entry.index), entry, 'applied before it was durable (T-6)')
      this.oracle.applied(this, node, entry)
      if (entry.kind !== 'normal') {
        node.core.step({ type: 'applyConfChange', change: decodeConfChange(entry.data)! })
        node.disk.conf = node.core.status().conf
      }
      node.disk.applied = entry.index
    }
    node.core.step({ type: 'applyDone', index: list.at(-1)!.index })
  }
}

/** `count` voters with empty logs. */
export function cluster(count: number, options: Partial<CoreOptions> = {}): Cluster {
  const ids = Array.from({ length: count }, (_, i) => i + 1)
  const result = new Cluster()
  for (const id of ids) result.add(id, emptyDisk(conf(...ids)), { ...TEST_OPTIONS, ...options })
  return result
}

export function emptyDisk(members: ConfState): Durable {
  return {
    hardState: { term: 0, vote: 0, commit: 0 },
    conf: members,
    previous: { term: 0, index: 0 },
    entries: [],
    applied: 0,
  }
}

/** A cluster with given logs: `clusterWithLogs(['1:a 1:b', '1:a 2:c'])`; terms are those of the last entries. */
export function clusterWithLogs(
  logs: readonly string[],
  options: Partial<CoreOptions> = {},
): Cluster {
  const ids = logs.map((_, i) => i + 1)
  const result = new Cluster()
  logs.forEach((words, i) => {
    const disk = emptyDisk(conf(...ids))
    disk.entries = entries(1, words)
    disk.hardState = { term: disk.entries.at(-1)?.term ?? 0, vote: 0, commit: 0 }
    result.add(i + 1, disk, { ...TEST_OPTIONS, ...options })
  })
  return result
}
