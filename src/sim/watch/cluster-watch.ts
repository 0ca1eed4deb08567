/**
 * What is true of a cluster as a whole, known to nobody in it: who led each term, which entries exist, which of them
 * are committed, and what the state is after each.
 *
 * Rules R1, R3, R5, R6, R7, R11 and S10 are checked here; the others of the log in member-watch.ts.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Configuration } from '../../machine/state-machine.js'
import type { ConfState, Entry, EntryId, LogIndex, NodeId, Term } from '../../raft/types.js'
import { decodeDirectory } from '../../wire/directory.js'
import { CodedValues, type ShardMachines } from './coded-values.js'
import type { Findings } from './findings.js'
import { type Link, LogHistory, linkAfter } from './log-shadow.js'
import { ModelMachine, type ReadValue } from './model-machine.js'
import type { Expired } from './model-state.js'
import { ShardWatch } from './shard-watch.js'
import type { StateDigest } from './watched-database.js'

interface KnownEntry {
  readonly hash: number
  readonly previousTerm: Term
  /** When somebody had it first. */
  readonly atMs: number
}

interface KnownConfiguration {
  readonly index: LogIndex
  readonly conf: ConfState
  readonly members: ReadonlySet<string>
}

/** A leader's clock may run so much faster than the world. */
const FAST_CLOCK = 1.01

const NOBODY: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

/** What all watches of a cluster share. */
export class ClusterWatch {
  readonly findings: Findings
  readonly model: ModelMachine
  readonly coded: CodedValues
  readonly shards: ShardWatch
  /** By node id, over all lives of the member. */
  readonly #logs = new Map<NodeId, LogHistory>()
  /** Every configuration that came into force somewhere, ascending. */
  readonly #configurations: KnownConfiguration[] = []
  readonly #leaders = new Map<Term, NodeId>()
  readonly #entries = new Map<string, KnownEntry>()
  /** By index. */
  readonly #committed: Link[] = [{ term: 0, hash: 0 }]
  /** When each was committed; by index. */
  readonly #committedAtMs: number[] = [0]
  #onLeaseEnd: (id: string) => void = () => undefined
  #snapshots = 0
  readonly #sessionDigests = new Map<LogIndex, number>()

  constructor(
    findings: Findings,
    names: readonly string[],
    maxClients: number,
    readValue: ReadValue,
    machines: ShardMachines,
  ) {
    this.findings = findings
    this.coded = new CodedValues(findings, machines)
    this.model = new ModelMachine(maxClients, readValue, {
      isCovered: (manifest, configuration) => this.coded.isCovered(manifest, configuration),
      introduce: (manifest, configuration) => {
        this.shards.introduced(manifest)
        return this.coded.introduce(manifest, configuration)
      },
    })
    this.shards = new ShardWatch(findings, this.coded, this.model)
    const conf = { ...NOBODY, voters: names.map((_, at) => at + 1) }
    this.#configurations.push({ index: 0, conf, members: new Set(names) })
  }

  logOf(node: NodeId): LogHistory {
    let log = this.#logs.get(node)
    if (log === undefined) {
      log = new LogHistory((index) => this.committedAt(index))
      this.#logs.set(node, log)
    }
    return log
  }

  /** `hear` is told the id of every lease that goes because its time is over. */
  onLeaseEnd(hear: (id: string) => void): void {
    this.#onLeaseEnd = hear
  }

  /** Somebody has installed a snapshot. */
  installs(): void {
    this.#snapshots++
  }

  /** Snapshots that were installed. */
  get snapshotCount(): number {
    return this.#snapshots
  }

  /** The names of the members, as of the newest entry that anybody has applied. */
  get members(): ReadonlySet<string> {
    return this.#configurations.at(-1)!.members
  }

  /** Terms that had a leader. */
  get leaderCount(): number {
    return this.#leaders.size
  }

  /** The last entry that a leader has called committed. */
  get committed(): EntryId {
    const index = this.#committed.length - 1
    return { index, term: this.#committed[index]!.term }
  }

  committedAt(index: LogIndex): Link | undefined {
    return this.#committed[index]
  }

  /** R1: `node` leads in `term`. */
  leads(node: NodeId, term: Term): void {
    const known = this.#leaders.get(term)
    this.findings.expect(
      known === undefined || known === node,
      'R1 election safety',
      () => `in term ${term} both ${known} and ${node} lead`,
    )
    this.#leaders.set(term, node)
  }

  /** R3: an entry stands in a log; whoever has the same index and term has the same log up to there. */
  sees({ index, term }: EntryId, link: Link, previous: Link): void {
    const id = `${index}/${term}`
    const known = this.#entries.get(id)
    if (known === undefined) {
      this.#entries.set(id, {
        hash: link.hash,
        previousTerm: previous.term,
        atMs: this.findings.now,
      })
      return
    }
    this.findings.expect(
      known.hash === link.hash && known.previousTerm === previous.term,
      'R3 log matching',
      () => `two logs differ at or before index ${index} of term ${term}`,
    )
  }

  /** R6: a leader calls everything up to `index` committed; `log` is its log. */
  commits(index: LogIndex, node: NodeId, leaderTerm: Term, conf: ConfState): void {
    const log = this.logOf(node).taken
    const newest = log.at(index)
    this.findings.expect(
      newest?.term === leaderTerm || index <= this.committed.index,
      'R6 commit is durable on a quorum',
      () => `the leader of term ${leaderTerm} commits index ${index} of term ${newest?.term}`,
    )
    const holds = (holder: NodeId) =>
      newest !== undefined && this.logOf(holder).durable.at(index)?.hash === newest.hash
    this.findings.expect(
      index <= this.committed.index || isQuorum(conf, holds),
      'R6 commit is durable on a quorum',
      () =>
        `index ${index} is committed, ${[...this.#logs.keys()].filter(holds)} have it durably ` +
        `of ${JSON.stringify(conf)}`,
    )
    for (let at = this.#committed.length; at <= index; at++) {
      const link = log.at(at)
      if (link === undefined) return
      this.#committed.push(link)
      this.#committedAtMs.push(this.findings.now)
    }
  }

  /** R5, R7: `node` takes the entry at `index` for committed, and its log has `link` there. */
  follows(index: LogIndex, node: NodeId, link: Link | undefined): void {
    const committed = this.#committed[index]
    this.findings.expect(
      committed !== undefined && committed.hash === link?.hash,
      'R7 committed never changes',
      () => `node ${node} takes another entry for committed at index ${index}`,
    )
  }

  /** R5: the machine of `node` is given committed entries; the model goes at least as far. */
  applies(node: NodeId, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const [before, committed] = [this.#committed[entry.index - 1], this.#committed[entry.index]]
      const isCommitted = before !== undefined && linkAfter(before, entry).hash === committed?.hash
      this.findings.expect(
        isCommitted,
        'R5 state machine safety',
        () => `node ${node} applies what is not committed at index ${entry.index}`,
      )
      if (!isCommitted) return
      if (entry.index === this.model.lastIndex + 1) this.#expire(entry, this.model.apply(entry))
    }
  }

  /** S10: `expired` goes with `entry`, which a leader proposed when it had counted its time. */
  #expire({ index, term }: Entry, expired: readonly Expired[]): void {
    for (const { since, ttlMs, lease } of expired) {
      const proposedAt = this.#entries.get(`${index}/${term}`)?.atMs ?? this.findings.now
      const livedMs = proposedAt - this.#committedAtMs[since]!
      this.findings.expect(
        livedMs >= ttlMs / FAST_CLOCK,
        'S10 nothing expires early',
        () => `what was written at ${since} for ${ttlMs} ms goes at ${index}, after ${livedMs} ms`,
      )
      if (lease !== undefined) this.#onLeaseEnd(lease)
    }
  }

  /** R11: `node` has put the configuration of the entry at `index` into force. */
  configures(node: NodeId, index: LogIndex, { conf, members }: Configuration): void {
    const known = this.#configurations.find((each) => each.index >= index)
    this.findings.expect(
      known === undefined
        ? follows(this.#configurations.at(-1)!.conf, conf)
        : known.index === index && isDeepStrictEqual(known.conf, conf),
      'R11 one change at a time',
      () => {
        const before = known ?? this.#configurations.at(-1)!
        return `node ${node} has ${JSON.stringify(conf)} at index ${index}, others ${JSON.stringify(before)}`
      },
    )
    if (known !== undefined) return
    const names = decodeDirectory(members).members.map(({ id }) => id)
    this.#configurations.push({ index, conf, members: new Set(names) })
  }

  /** S1, S4: the state of a member after a batch. */
  holds(node: NodeId, { appliedIndex, data, sessions }: StateDigest): void {
    this.findings.expect(
      this.model.digestAt(appliedIndex) === data,
      'S1 equal index, equal state',
      () => `the state of node ${node} at index ${appliedIndex} is not the replay of the log`,
    )
    const known = this.#sessionDigests.get(appliedIndex)
    if (known === undefined) this.#sessionDigests.set(appliedIndex, sessions)
    this.findings.expect(
      known === undefined || known === sessions,
      'S4 one session table',
      () => `the session table of node ${node} at index ${appliedIndex} is another than elsewhere`,
    )
  }
}

/** Whether the nodes for which `holds` is true decide in `conf`: in a joint one, in both halves. */
function isQuorum(
  { voters, votersOutgoing }: ConfState,
  holds: (node: NodeId) => boolean,
): boolean {
  return [voters, votersOutgoing].every(
    (half) => half.length === 0 || half.filter(holds).length > half.length / 2,
  )
}

/** Whether every majority of `before` meets every majority of `next`: one voter at a time, or by a joint step. */
function follows(before: ConfState, next: ConfState): boolean {
  if (before.votersOutgoing.length > 0) return isSame(before.voters, next.voters)
  if (next.votersOutgoing.length > 0) return isSame(before.voters, next.votersOutgoing)
  const gone = before.voters.filter((node) => !next.voters.includes(node)).length
  const come = next.voters.filter((node) => !before.voters.includes(node)).length
  return gone + come <= 1
}

function isSame(some: readonly NodeId[], others: readonly NodeId[]): boolean {
  return some.length === others.length && some.every((node) => others.includes(node))
}
