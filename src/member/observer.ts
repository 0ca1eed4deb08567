/**
 * The member as it is seen from outside: its journal, what it looks at once a second, and its numbers.
 *
 * It only watches: nothing that the member does depends on it.
 */
import { Durations } from '../base/durations.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import type { Directory } from '../wire/directory.js'
import type { BackendEvents, ReadLevel } from './backend.js'
import { Journal } from './journal.js'
import { Lookout } from './lookout.js'
import { type MemberMetrics, type MetricsParts, reportMetrics } from './metrics.js'
import type { MemberOptions } from './options.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'
import type { TransferStep } from './snapshot-sender.js'
import type { Storage } from './storage.js'

/** What is observed. */
export interface Observed {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  roster(): Roster
}

/** See the file's comment. */
export class Observer {
  readonly journal: Journal
  /** Reads that reached the member, from Stores of this process and from clients. */
  readonly reads: Record<ReadLevel, number> = { strong: 0, session: 0, eventual: 0 }
  readonly #observed: Observed
  readonly #lookout: Lookout
  readonly #loopDelays = new Durations()
  /** The members as the owner has heard of them. */
  #known: Directory | undefined

  constructor(
    { logger }: MemberOptions,
    events: BackendEvents,
    storage: Storage,
    observed: Observed,
  ) {
    const { id, clusterId } = storage.identity
    const { term } = storage.log.recovered.hardState
    this.journal = new Journal(events, logger, { member: id, cluster: clusterId }, term)
    this.#observed = observed
    this.#lookout = this.#newLookout(storage.log.writeDurations)
  }

  /** The slowest write of the log within the last minute, when it was slow. */
  get slowWriteMs(): number | undefined {
    return this.#lookout.slowWriteMs
  }

  /** Called with every tick, which came `late` by so many milliseconds. */
  tick(now: number, late: number): void {
    this.#loopDelays.record(late)
    this.#lookout.tick(now)
  }

  onStalled(ms: number): void {
    const message = `the process stood still for ${Math.round(ms)} ms`
    this.journal.write('warn', { event: 'stalled', ms }, message)
  }

  onPeerUp(node: NodeId): void {
    this.journal.peerUp(this.#nameOf(node))
  }

  /** A state on its way to `node` has come so far. */
  onTransfer(node: NodeId, step: TransferStep, index: LogIndex): void {
    this.journal.transfer(this.#nameOf(node), step, index)
  }

  onPeerDown(node: NodeId): void {
    this.journal.peerDown(this.#nameOf(node))
  }

  /** The members may be others now; those of the first call are the ones that were known already. */
  noticeMembers(): void {
    const roster = this.#observed.roster()
    const { directory, members } = roster
    const known = this.#known
    if (directory === known) return
    this.#known = directory
    if (known === undefined) return
    this.journal.membership({
      confIndex: directory.confIndex,
      members: members.map(({ nodeId, id, address }) => {
        return { id, address, as: roster.partOf(nodeId) }
      }),
    })
  }

  metrics(parts: Omit<MetricsParts, 'journal' | 'loopDelays' | 'reads'>): MemberMetrics {
    const { journal, reads } = this
    return reportMetrics({ ...parts, journal, reads, loopDelays: this.#loopDelays })
  }

  #newLookout(writeDurations: Durations): Lookout {
    const observed = this.#observed
    return new Lookout({
      write: (level, facts, message) => this.journal.write(level, facts, message),
      slowestWrite: () => writeDurations.takeSlowest(),
      refusals: () => {
        const refusals = observed.peers()?.refusals() ?? []
        return refusals.map(({ node, message }) => `${this.#nameOf(node)}: ${message}`)
      },
      rejected: () => observed.peers()?.rejected() ?? {},
    })
  }

  #nameOf(node: NodeId): string {
    return this.#observed.roster().nameOf(node) ?? `node ${node}`
  }
}
