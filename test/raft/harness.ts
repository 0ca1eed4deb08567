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
  AppendMessage,
  AppendResponseMessage,
  AppendTask,
  ConfChangeStep,
  ConfChangeV2,
  ConfState,
  ConfTransition,
  CoreInit,
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
  commitNotice: 'atOnce',
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

/** The core under test: the real one, or one with a planted bug. */
export type CoreClass = new (options: CoreOptions, init: CoreInit) => RaftCore

/** How a cluster's drivers and disks behave; the defaults are what src/member promises. */
export interface DriverOptions {
  readonly coreClass: CoreClass
  /** 'early' plants a bug: answers leave when a write is handed out, not when it is durable. */
  readonly answers: 'afterWrite' | 'early'
  /** 'early' plants a bug: the core hears that a write is durable before it is. */
  readonly appendDone: 'afterWrite' | 'early'
  /** How many entries a starting core is given; it must fetch the others. */
  readonly tailMax: number
}

const DRIVER: DriverOptions = {
  coreClass: RaftCore,
  answers: 'afterWrite',
  appendDone: 'afterWrite',
  tailMax: Number.POSITIVE_INFINITY,
}

/** A node: a core, its disk and its driver. */
export class Node {
  readonly id: NodeId
  readonly options: Omit<CoreOptions, 'id'>
  readonly driver: DriverOptions
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

  constructor(id: NodeId, disk: Durable, options: Omit<CoreOptions, 'id'>, driver: DriverOptions) {
    this.id = id
    this.disk = disk
    this.options = options
    this.driver = driver
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
    const kept = Math.min(this.driver.tailMax, this.disk.entries.length)
    const tail = this.disk.entries.slice(this.disk.entries.length - kept)
    const init = { hardState, conf, previous, lastIndex, terms, tail, applied }
    this.core = new this.driver.coreClass(options, init)
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
  readonly #driver: DriverOptions
  /** Side of a partition per node; messages between sides are lost. */
  #sides: Map<NodeId, number> = new Map()
  #tokens = 0
  /** What was committed when each read was asked for. */
  readonly #readFloors: Map<number, LogIndex> = new Map()

  constructor(driver: Partial<DriverOptions> = {}) {
    this.#driver = { ...DRIVER, ...driver }
  }

  add(id: NodeId, disk: Durable, options: Omit<CoreOptions, 'id'>): Node {
    const node = new Node(id, disk, options, this.#driver)
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
    this.#readFloors.set(token, this.oracle.commitIndex)
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
    if (ready.append !== undefined) this.#write(node, ready.append)
    this.messages.push(...ready.messages)
    node.fetches.push(...ready.fetches)
    for (const read of ready.reads) this.checkRead(read)
    node.reads.push(...ready.reads)
    node.dropped.push(...ready.dropped)
    node.proposed.push(...ready.proposed)
    if (ready.apply !== undefined) this.#apply(node, ready.apply.entries)
    for (const { peer, term, session } of ready.snapshotsWanted) {
      const snapshot = this.snapshotOf(id)
      this.messages.push({ type: 'snapshot', from: id, to: peer, term, snapshot, session })
    }
    this.check()
    return ready
  }

  /** The state of a node's machine as a snapshot. */
  snapshotOf(id: NodeId): SnapshotMeta {
    const node = this.node(id)
    const { applied, conf, previous } = node.disk
    const { index, term } = applied === previous.index ? previous : node.entryAt(applied)!
    return { index, term, conf }
  }

  /** Makes the oldest write of `id` durable and sends what waited for it. */
  flush(id: NodeId): boolean {
    const node = this.node(id)
    const task = node.writes.shift()
    if (task === undefined) return false
    node.persist(task)
    if (node.driver.answers === 'afterWrite') this.#answer(node, task)
    if (node.driver.appendDone === 'afterWrite') {
      node.core.step({ type: 'appendDone', id: task.id })
    }
    this.check()
    return true
  }

  /** Answers the oldest fetch of `id` from its disk. */
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

  /** Delivers the messages that `wanted` picks, oldest first, and leaves the others on their way. */
  deliverWhere(wanted: (message: Message) => boolean): void {
    const taken = this.messages.filter(wanted)
    this.messages = this.messages.filter((message) => !wanted(message))
    for (const message of taken) this.deliver(message)
  }

  /** Loses everything that is on its way. */
  loseAll(): void {
    for (const message of this.messages.splice(0)) this.lose(message)
  }

  deliver(message: Message): void {
    const node = this.nodes.get(message.to)
    if (node === undefined || !node.isUp || this.isCut(message.from, message.to)) {
      this.lose(message)
      return
    }
    node.core.step({ type: 'receive', message })
    if (message.type === 'snapshot') this.#reportSnapshot(message, true)
    this.check()
  }

  /** A message does not arrive; of a snapshot its sender learns. */
  lose(message: Message): void {
    if (message.type === 'snapshot') this.#reportSnapshot(message, false)
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

  /** R12: a read sees at least what was committed when it was asked for. */
  checkRead({ token, index }: ReadState): void {
    const floor = this.#readFloors.get(token) ?? 0
    assert.ok(index >= floor, `R12: read ${token} at ${index} misses the commit of ${floor}`)
  }

  /** The durable log of `id` as `term:data` words. */
  log(id: NodeId): string {
    return this.node(id)
      .disk.entries.map(
        (entry) => `${entry.term}:${entry.kind === 'normal' ? text(entry) : 'conf'}`,
      )
      .join(' ')
  }

  check(): void {
    this.oracle.check(this)
  }

  #write(node: Node, task: AppendTask): void {
    node.writes.push(task)
    if (node.driver.answers === 'early') this.#answer(node, task)
    if (node.driver.appendDone === 'early') {
      node.core.step({ type: 'appendDone', id: task.id })
    }
  }

  #answer(node: Node, task: AppendTask): void {
    this.messages.push(...task.responses.filter((message) => message.to !== node.id))
  }

  #reportSnapshot({ from, to: peer }: Message, ok: boolean): void {
    const sender = this.nodes.get(from)
    if (sender?.isUp === true) sender.core.step({ type: 'snapshotStatus', peer, ok })
  }

  #apply(node: Node, list: readonly Entry[]): void {
    for (const entry of list) {
      assert.equal(entry.index, node.disk.applied + 1, 'applied out of order')
      // A driver that lies about its disk is for others to find out.
      if (node.driver.appendDone === 'afterWrite') {
        assert.deepEqual(node.entryAt(entry.index), entry, 'applied before it was durable (T-6)')
      }
      this.oracle.applied(entry)
      if (entry.kind !== 'normal') {
        node.core.step({ type: 'applyConfChange', change: decodeConfChange(entry.data)! })
        node.disk.conf = node.core.status().conf
        this.check()
      }
      node.disk.applied = entry.index
    }
    node.core.step({ type: 'applyDone', index: list.at(-1)!.index })
  }
}

/** `count` voters with empty logs. */
export function cluster(
  count: number,
  options: Partial<CoreOptions> = {},
  driver: Partial<DriverOptions> = {},
): Cluster {
  const ids = Array.from({ length: count }, (_, i) => i + 1)
  const result = new Cluster(driver)
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
  driver: Partial<DriverOptions> = {},
): Cluster {
  const ids = logs.map((_, i) => i + 1)
  const result = new Cluster(driver)
  logs.forEach((words, i) => {
    const disk = emptyDisk(conf(...ids))
    disk.entries = entries(1, words)
    disk.hardState = { term: disk.entries.at(-1)?.term ?? 0, vote: 0, commit: 0 }
    result.add(i + 1, disk, { ...TEST_OPTIONS, ...options })
  })
  return result
}

/** One node of a configuration of `members` voters, without the others: their messages come from the test. */
export function lone(
  members: number,
  log: string,
  options: Partial<CoreOptions> = {},
): { readonly t: Cluster; readonly core: RaftCore } {
  const disk = emptyDisk(conf(...Array.from({ length: members }, (_, i) => i + 1)))
  disk.entries = entries(1, log)
  disk.hardState = { term: disk.entries.at(-1)?.term ?? 0, vote: 0, commit: 0 }
  const t = new Cluster()
  const { core } = t.add(1, disk, { ...TEST_OPTIONS, ...options })
  return { t, core }
}

/** Lets a lone node do all it can, and takes the messages it sent. */
export function sent(t: Cluster): Message[] {
  for (let isBusy = true; isBusy; ) {
    isBusy = t.pump(1) !== undefined
    while (t.flush(1)) isBusy = true
    while (t.answerFetch(1)) isBusy = true
  }
  return t.messages.splice(0)
}

/** An append of `from` to node 1. */
export function append(
  from: NodeId,
  term: number,
  prev: string,
  words: string,
  commit: LogIndex,
): AppendMessage {
  const [prevTerm, prevIndex] = prev.split('/').map(Number) as [number, number]
  const list = entries(prevIndex + 1, words)
  return {
    type: 'append',
    from,
    to: 1,
    term,
    prevIndex,
    prevTerm,
    entries: list,
    commit,
    session: 1,
  }
}

/** The answer of `from` to an append of node 1. */
export function appendResponse(
  from: NodeId,
  term: number,
  index: LogIndex,
  session: number,
): AppendResponseMessage {
  const rest = { reject: false, hintIndex: 0, hintTerm: 0, session }
  return { type: 'appendResponse', from, to: 1, term, index, ...rest }
}

/** Makes node 1 the leader of the next term, with votes from `voters`. */
export function win(t: Cluster, ...voters: NodeId[]): void {
  const core = t.core(1)
  core.step({ type: 'campaign' })
  sent(t)
  for (const from of voters) {
    t.receive({ type: 'voteResponse', from, to: 1, term: core.term, reject: false })
  }
  assert.equal(core.role, 'leader')
}

/** The session of node 1's replication to `peer`. */
export function sessionOf(t: Cluster, peer: NodeId): number {
  return t
    .core(1)
    .status()
    .peers.find(({ id }) => id === peer)!.session
}
