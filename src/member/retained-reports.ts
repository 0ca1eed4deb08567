/** What the members say about the retained checkpoints that they have, told to each other when it has changed. */
import type { BlobCluster } from '../blob/cluster.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import {
  type DurableImage,
  encodeRetainReport,
  FRAME_RETAIN_REPORT,
  type RetainReport,
  type RetainStatus,
} from '../wire/retained.js'

/** So often what has changed is told. */
const EVERY_MS = 200
/** Of each member the last word about so many: the one that is being made, and the durable one. */
const KEPT = 2

/** See the file's comment. */
export class RetainedReports {
  readonly #cluster: BlobCluster
  readonly #own: () => readonly RetainReport[]
  readonly #known = new Map<NodeId, readonly RetainReport[]>()
  /** What each member was told last. */
  readonly #told = new Map<NodeId, string>()
  #nextAt = 0

  /** @param own what this member says */
  constructor(cluster: BlobCluster, own: () => readonly RetainReport[]) {
    this.#cluster = cluster
    this.#own = own
  }

  onReport(from: NodeId, report: RetainReport): void {
    const others = (this.#known.get(from) ?? []).filter(({ index }) => index !== report.index)
    this.#known.set(from, [report, ...others.slice(0, KEPT - 1)])
  }

  /** It has heard nothing on this connection yet. */
  onPeerUp(node: NodeId): void {
    this.#told.delete(node)
  }

  /** Called with every tick while anything is retained. */
  tick(now: number): void {
    if (now < this.#nextAt) return
    this.#nextAt = now + EVERY_MS
    const bodies = this.#own().map(encodeRetainReport)
    const news = Buffer.concat(bodies).toString('latin1')
    for (const node of this.#members) {
      if (node === this.#cluster.self || this.#told.get(node) === news) continue
      const isSent = bodies.every((body) => this.#cluster.send(node, FRAME_RETAIN_REPORT, [body]))
      if (isSent) this.#told.set(node, news)
    }
  }

  /** Members that have `image` whole, as far as they have said so. */
  holders({ index, root }: DurableImage): NodeId[] {
    const roots = this.rootsAt(index)
    return this.#members.filter((node) => roots.get(node) === root)
  }

  /** The roots of what members have whole at `index`. */
  rootsAt(index: LogIndex): Map<NodeId, string> {
    const roots = new Map<NodeId, string>()
    for (const node of this.#members) {
      const report = this.#reportOf(node, index)
      if (report?.status === 'whole') roots.set(node, report.root)
    }
    return roots
  }

  /** Members that can be reached and say this of the one at `index`. */
  reachable(index: LogIndex, status: RetainStatus): NodeId[] {
    return this.#members.filter(
      (node) => this.#cluster.isUp(node) && this.#reportOf(node, index)?.status === status,
    )
  }

  get #members(): readonly NodeId[] {
    return [...this.#cluster.members.slots.keys()]
  }

  #reportOf(node: NodeId, index: LogIndex): RetainReport | undefined {
    const reports = node === this.#cluster.self ? this.#own() : this.#known.get(node)
    return reports?.find((report) => report.index === index)
  }
}
