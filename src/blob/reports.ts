/**
 * What the members tell each other about their shards, and what follows for a change of the members: told to each other
 * member when it has changed, and when a connection to it is new.
 */
import type { LogIndex, NodeId } from '../raft/types.js'
import { type BlobReport, encodeBlobReport, FRAME_BLOB_STATUS } from '../wire/blob-frames.js'
import type { BlobCluster } from './cluster.js'
import type { Repair } from './repair.js'
import type { ShardStore } from './shard-store.js'
import type { MemberShards } from './status.js'

/** So often what has changed is told. */
const EVERY_MS = 200
/** What was written within so much time, or twice that, may still be on its way into the reports. */
const SETTLE_MS = 500

/** See the file's comment. */
export class Reports {
  readonly #cluster: BlobCluster
  readonly #store: ShardStore
  readonly #repair: Repair
  readonly #known = new Map<NodeId, BlobReport>()
  /** What each member was told last. */
  readonly #told = new Map<NodeId, string>()
  #nextAt = 0
  #settleAt = 0
  /** The last entry with a large value, as of the last look and of the one before. */
  #lastIndex: LogIndex = 0
  #settledIndex: LogIndex = 0

  constructor(cluster: BlobCluster, store: ShardStore, repair: Repair) {
    this.#cluster = cluster
    this.#store = store
    this.#repair = repair
  }

  onReport(from: NodeId, report: BlobReport): void {
    this.#known.set(from, report)
  }

  /** It has heard nothing on this connection yet. */
  onPeerUp(node: NodeId): void {
    this.#told.delete(node)
  }

  /** It may come back with less than it had. */
  onPeerDown(node: NodeId): void {
    this.#known.delete(node)
    this.#told.delete(node)
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (now >= this.#settleAt) {
      this.#settleAt = now + SETTLE_MS
      this.#settledIndex = this.#lastIndex
      this.#lastIndex = this.#repair.codedIndex
    }
    if (now < this.#nextAt) return
    this.#nextAt = now + EVERY_MS
    this.#tell()
  }

  /**
   * Why `voters` would not hold enough shards of every large value; undefined when they do: so many of them lack
   * nothing that any f of them may be lost.
   */
  shortfall(voters: readonly NodeId[]): string | undefined {
    const { isWhole, facts } = this.#repair
    if (!isWhole) return 'the leader is still looking through its large values'
    if (facts.values === 0) return undefined
    const wanted = facts.dataShardsMax + Math.floor((voters.length - 1) / 2)
    if (wanted > voters.length) {
      return (
        `large values are coded into ${facts.dataShardsMax} data shards, which ${voters.length} voters ` +
        'cannot hold safely: they have to be coded anew, or deleted, before'
      )
    }
    const lacking = voters.filter((node) => !this.#isFull(node))
    if (voters.length - lacking.length >= wanted) return undefined
    const names = lacking.map((node) => {
      const missing = this.#reportOf(node)?.missing ?? 0
      return missing > 0
        ? `${this.#cluster.nameOf(node)} lacks ${missing} shards`
        : `${this.#cluster.nameOf(node)} has not said that it has its shards`
    })
    return `large values would not be held by enough members: ${names.join(', ')}`
  }

  /** The own shards first, then those of the others that have said something. */
  members(): MemberShards[] {
    const { self, members } = this.#cluster
    const nodes = [self, ...[...members.slots.keys()].filter((node) => node !== self)]
    return nodes.flatMap((node) => {
      const report = this.#reportOf(node)
      if (report === undefined) return []
      const { shards, bytes, missing, quarantined } = report
      const id = this.#cluster.nameOf(node)
      return [{ id, shards, bytes, missing, quarantined, isFull: this.#isFull(node) }]
    })
  }

  #isFull(node: NodeId): boolean {
    const report = this.#reportOf(node)
    if (report === undefined || report.missing > 0 || report.fullIndex === 0) return false
    return report.fullIndex >= this.#settledIndex
  }

  #reportOf(node: NodeId): BlobReport | undefined {
    return node === this.#cluster.self ? this.#ownReport() : this.#known.get(node)
  }

  #ownReport(): BlobReport {
    const { shards, bytes, quarantined } = this.#store.status()
    const { fullIndex, missing } = this.#repair
    return { fullIndex, missing, shards, bytes, quarantined }
  }

  #tell(): void {
    const { facts, codedIndex } = this.#repair
    const report = this.#ownReport()
    if (facts.values === 0 && report.shards === 0) return
    // That entries without large values were applied is no news.
    const { fullIndex, ...rest } = report
    const news = JSON.stringify([codedIndex, fullIndex >= codedIndex && fullIndex > 0, rest])
    for (const node of this.#cluster.members.slots.keys()) {
      if (node === this.#cluster.self || this.#told.get(node) === news) continue
      const isSent = this.#cluster.send(node, FRAME_BLOB_STATUS, [encodeBlobReport(report)])
      if (isSent) this.#told.set(node, news)
    }
  }
}
