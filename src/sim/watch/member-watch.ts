/**
 * Watches one member from the inside, over all its lives: every input of its core and every effect that it asks for.
 *
 * The core, the log and the machine are those of production; this wraps the methods of the instances. Rules R2, R4,
 * R8, R9, R10 and R12 are checked here.
 */
import type { MemberParts } from '../../member/member.js'
import type { RaftCore } from '../../raft/core.js'
import {
  type AppendTask,
  type Entry,
  type Input,
  type LogIndex,
  type Message,
  NONE,
  type NodeId,
  type ReadState,
  type Ready,
  type Role,
  type Term,
} from '../../raft/types.js'
import type { ClusterWatch } from './cluster-watch.js'
import type { Findings } from './findings.js'
import type { StateDigest } from './watched-database.js'

/** Every so many inputs the core checks itself, which walks its whole log. */
const SELF_CHECK_EVERY = 64

/** Hears what the core is given, after it took it in. */
export type InputListener = (input: Input, core: RaftCore) => void

/** One member; see the file's comment. */
export class MemberWatch {
  /** Known when it is opened: newcomers are given a number. */
  #node: NodeId = NONE
  readonly #name: string
  readonly #cluster: ClusterWatch
  readonly #findings: Findings
  readonly #onInput: InputListener
  /** By token: what was committed somewhere when the read began. */
  readonly #reads = new Map<number, LogIndex>()
  #inputs = 0
  #role: Role = 'follower'
  #term: Term = 0
  #commitIndex: LogIndex = 0
  #applied: LogIndex = 0
  /** The last entry of its log that changes the members; 0 when it has none, or one from before the last opening. */
  #lastChange: LogIndex = 0

  constructor(name: string, cluster: ClusterWatch, onInput: InputListener) {
    this.#name = name
    this.#cluster = cluster
    this.#findings = cluster.findings
    this.#onInput = onInput
  }

  /** The member was opened (again): its parts, before anything happens to them. */
  attach({ core, log, machine, shards, rebuilt }: MemberParts): void {
    this.#node = core.status().id
    const history = this.#cluster.logOf(this.#node)
    const isExact = history.reopen(log.recovered, rebuilt === undefined ? 'own' : 'others')
    this.#findings.expect(isExact, 'S7 recovery is exact', () => {
      const { hardState, previous, lastIndex } = log.recovered
      const found = JSON.stringify({ hardState, previous, lastIndex })
      return `node ${this.#node} recovered ${found}, which is not what it had`
    })
    this.#reads.clear()
    this.#role = core.role
    this.#term = core.term
    this.#commitIndex = core.commitIndex
    this.#applied = machine.appliedIndex
    this.#lastChange = 0
    // In a folder that is new: nobody has applied anything by then.
    if (machine.appliedIndex === 0) {
      this.#cluster.model.begin({ conf: machine.conf, members: machine.members })
    }
    this.#follow(0, core.commitIndex)
    this.#watchCore(core, machine)
    this.#watchMachine(machine)
    this.#cluster.shards.attach(this.#name, shards)
  }

  /** The machine's database holds this state. */
  state(digest: StateDigest): void {
    this.#cluster.holds(this.#node, digest)
  }

  #watchCore(core: RaftCore, machine: MemberParts['machine']): void {
    const step = core.step.bind(core)
    const ready = core.ready.bind(core)
    core.step = (input) => {
      this.#before(input)
      step(input)
      this.#after(core)
      if (++this.#inputs % SELF_CHECK_EVERY === 0) core.checkInvariants()
      this.#onInput(input, core)
    }
    core.ready = () => {
      const effects = ready()
      this.#effects(effects, core)
      if (effects.apply !== undefined) this.#positions(core, machine)
      return effects
    }
  }

  #watchMachine(machine: MemberParts['machine']): void {
    const replace = machine.replace.bind(machine)
    machine.replace = async (database) => {
      const replaced = await replace(database)
      this.#applied = machine.appliedIndex
      return replaced
    }
    const apply = machine.apply.bind(machine)
    machine.apply = async (entries) => {
      this.#applying(entries)
      const applied = await apply(entries)
      for (const { index, outcomes, configuration } of applied) {
        if (configuration !== undefined) {
          this.#cluster.configures(this.#node, index, configuration)
        }
        const expected = this.#cluster.model.statusesAt(index)
        const given = outcomes.map(({ status, results }) => [status, ...results].join(' '))
        this.#findings.expect(
          expected !== undefined && given.join() === expected.join(),
          'S4 one session table',
          () =>
            `node ${this.#node} at index ${index}: requests are ${given}, should be ${expected}`,
        )
      }
      return applied
    }
  }

  #before(input: Input): void {
    switch (input.type) {
      case 'appendDone':
        this.#durable(input.id)
        return
      case 'receive':
        this.#promise(input.message)
        return
      case 'readIndex':
        this.#reads.set(input.token, this.#cluster.committed.index)
        return
      default:
    }
  }

  #durable(task: number): void {
    const history = this.#cluster.logOf(this.#node)
    const { snapshot } = history.done(task)
    if (snapshot !== undefined) this.#cluster.installs()
    const { term, vote } = history.durable
    this.#findings.expect(
      history.voteIn(term) === vote,
      'R9 nothing goes back',
      () => `node ${this.#node} votes in term ${term} for ${history.voteIn(term)} and ${vote}`,
    )
  }

  /** R10: what a message promises is durable at its sender. */
  #promise(message: Message): void {
    const sender = this.#cluster.logOf(message.from)
    if (message.type === 'voteResponse' && !message.reject) {
      this.#findings.expect(
        sender.voteIn(message.term) === this.#node || sender.durable.term > message.term,
        'R10 promises are durable',
        () =>
          `node ${message.from} gave ${this.#node} a vote in term ${message.term} that it may forget`,
      )
    } else if (message.type === 'appendResponse' && !message.reject) {
      // What a later leader's entries have replaced before it was written, no leader of then can count on any more:
      // the later one was elected by a majority that did not have it.
      const isReplaced = sender.durable.lastTerm > message.term
      this.#findings.expect(
        sender.reached >= message.index || isReplaced,
        'R10 promises are durable',
        () => `node ${message.from} acknowledged index ${message.index} that it may forget`,
      )
    }
  }

  #after(core: RaftCore): void {
    const { role, term, commitIndex } = core
    this.#findings.expect(
      term >= this.#term && commitIndex >= this.#commitIndex,
      'R9 nothing goes back',
      () =>
        `node ${this.#node}: term ${this.#term} to ${term}, commit ${this.#commitIndex} to ${commitIndex}`,
    )
    if (role === 'leader' && (this.#role !== 'leader' || term !== this.#term)) this.#elected(core)
    this.#role = role
    this.#term = term
    if (role === 'leader' && commitIndex > this.#commitIndex) {
      this.#cluster.commits(commitIndex, this.#node, term, core.status().conf)
    }
  }

  /** R1, R4; who is elected late in an old term need not have what newer terms committed. */
  #elected(core: RaftCore): void {
    this.#cluster.leads(this.#node, core.term)
    const { index, term } = this.#cluster.committed
    const found = core.termAt(index)
    this.#findings.expect(
      found === term || term > core.term || (found === undefined && index <= core.lastIndex),
      'R4 leader completeness',
      () =>
        `node ${this.#node} leads term ${core.term} with term ${found} at index ${index}, where ${term} is committed`,
    )
  }

  #effects(ready: Ready, core: RaftCore): void {
    if (ready.append !== undefined) this.#append(ready.append, core)
    for (const message of ready.messages) this.#early(message)
    for (const read of ready.reads) this.#confirmed(read)
    const { commitIndex } = core
    if (commitIndex > this.#commitIndex) {
      this.#follow(this.#commitIndex, commitIndex)
      this.#commitIndex = commitIndex
    }
  }

  #append(task: AppendTask, core: RaftCore): void {
    const history = this.#cluster.logOf(this.#node)
    const { taken } = history
    const [first] = task.entries
    this.#findings.expect(
      first === undefined || core.role !== 'leader' || first.index === taken.lastIndex + 1,
      'R2 leader append-only',
      () => `the leader ${this.#node} replaces its entries from ${first?.index} on`,
    )
    this.#findings.expect(
      first === undefined || first.index > this.#commitIndex,
      'R7 committed never changes',
      () =>
        `node ${this.#node} replaces its entries from ${first?.index} on, ${this.#commitIndex} are committed`,
    )
    if (task.snapshot !== undefined) {
      const { index, term } = task.snapshot
      const committed = this.#cluster.committedAt(index)
      this.#findings.expect(
        committed?.term === term,
        'S3 a snapshot is a state of the log',
        () =>
          `node ${this.#node} takes a snapshot of index ${index} in term ${term}, not ${committed?.term}`,
      )
    }
    history.take(task)
    if (first !== undefined && first.index <= this.#lastChange) this.#lastChange = 0
    for (const entry of task.entries) {
      this.#cluster.sees(entry, taken.at(entry.index)!, taken.at(entry.index - 1)!)
      if (entry.kind !== 'normal') this.#changes(entry, core)
    }
  }

  /** R11: whoever leads begins no change of the members before it has applied the one before. */
  #changes({ index, term }: Entry, core: RaftCore): void {
    const before = this.#lastChange
    this.#lastChange = index
    if (core.role !== 'leader' || term !== core.term) return
    const { appliedIndex } = core.status()
    this.#findings.expect(
      before <= appliedIndex,
      'R11 one change at a time',
      () =>
        `the leader ${this.#node} changes members at ${index}, ${appliedIndex} is applied, not ${before}`,
    )
  }

  /** R10: what leaves beside a write promises nothing. */
  #early(message: Message): void {
    const isPromise =
      (message.type === 'voteResponse' || message.type === 'appendResponse') && !message.reject
    this.#findings.expect(
      !isPromise,
      'R10 promises are durable',
      () => `node ${this.#node} sends a ${message.type} that does not wait for the disk`,
    )
  }

  /** R12: a confirmed read is at least as new as what was committed when it began. */
  #confirmed({ token, index }: ReadState): void {
    const floor = this.#reads.get(token)
    this.#reads.delete(token)
    this.#findings.expect(
      floor !== undefined && index >= floor,
      'R12 reads are confirmed',
      () => `node ${this.#node} may serve read ${token} at index ${index}, ${floor} was committed`,
    )
  }

  #follow(from: LogIndex, to: LogIndex): void {
    const { taken } = this.#cluster.logOf(this.#node)
    for (let index = from + 1; index <= to; index++) {
      this.#cluster.follows(index, this.#node, taken.at(index))
    }
  }

  /** R5. */
  #applying(entries: readonly Entry[]): void {
    const first = entries[0]?.index
    this.#findings.expect(
      first === this.#applied + 1,
      'R5 state machine safety',
      () => `node ${this.#node} has applied ${this.#applied} and goes on with ${first}`,
    )
    this.#applied = entries.at(-1)?.index ?? this.#applied
    this.#cluster.applies(this.#node, entries)
  }

  #positions(core: RaftCore, machine: MemberParts['machine']): void {
    const { firstIndex, commitIndex, appliedIndex, flushedIndex, lastIndex } = core.status()
    const order = [
      firstIndex - 1,
      machine.checkpointIndex,
      machine.appliedIndex,
      commitIndex,
      lastIndex,
    ]
    this.#findings.expect(
      order.every((position, i) => i === 0 || order[i - 1]! <= position) &&
        appliedIndex <= flushedIndex,
      'R8 order of positions',
      () =>
        `node ${this.#node}: before the log, checkpoint, applied, commit, last are ${order}, ` +
        `flushed is ${flushedIndex}`,
    )
  }
}
