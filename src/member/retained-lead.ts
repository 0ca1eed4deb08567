/**
 * What a leader proposes about retained checkpoints: that one is made because somebody waits for it, that the one being
 * made is durable, and another in its place when it cannot become so any more. All of it may be lost and is then
 * proposed again.
 */
import type { BlobCluster } from '../blob/cluster.js'
import { chooseDataShards } from '../blob/data-shards.js'
import { coverageOf } from '../machine/coverage.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import type { Command } from '../wire/command.js'
import { OWN_CLIENT, RequestWriter } from '../wire/request.js'
import { NO_ROOT, type RetainedImage, type RetainedRecord } from '../wire/retained.js'
import type { CodingOptions } from './options.js'
import type { RetainedReports } from './retained-reports.js'

/** A proposal that shows no effect for so long is made again. */
const PROPOSE_MS = 2_000
/** So long it is hoped that members come back that it takes. */
const PATIENCE_MS = 5_000

/** See the file's comment. */
export class RetainedLead {
  readonly #cluster: BlobCluster
  readonly #coding: Pick<CodingOptions, 'dataShardsMax' | 'slack'>
  readonly #reports: RetainedReports
  readonly #propose: (request: Buffer) => void
  #proposeAt = 0
  /** Which one was being made at the last look, and since when. */
  #making: LogIndex = 0
  #since = 0

  constructor(
    cluster: BlobCluster,
    coding: Pick<CodingOptions, 'dataShardsMax' | 'slack'>,
    reports: RetainedReports,
    propose: (request: Buffer) => void,
  ) {
    this.#cluster = cluster
    this.#coding = coding
    this.#reports = reports
    this.#propose = propose
  }

  /** Somebody waits for a checkpoint after `index`. */
  onWanted({ making, durable }: RetainedRecord, index: LogIndex, now: number): void {
    const isComing = (making?.index ?? 0) > index || (durable?.index ?? 0) > index
    if (isComing || now < this.#proposeAt) return
    this.#send({ type: 'retain', dataShards: this.#dataShards() }, now)
  }

  /** Called with every tick while one is being made. */
  look(making: RetainedImage, now: number): void {
    if (making.index !== this.#making) {
      this.#making = making.index
      this.#since = now
    }
    if (now < this.#proposeAt) return
    const roots = this.#reports.rootsAt(making.index)
    for (const root of new Set(roots.values())) {
      if (!this.#covers(making, nodesWith(roots, root))) continue
      this.#send({ type: 'retained', index: making.index, root: Buffer.from(root, 'hex') }, now)
      return
    }
    if (now - this.#since < PATIENCE_MS || this.#canComeTrue(making, roots)) return
    // Any majority is enough for one that is not spread.
    this.#send({ type: 'retain', dataShards: 1 }, now)
  }

  #dataShards(): number {
    const { members } = this.#cluster
    const sets = [members.voters, members.votersOutgoing].filter((set) => set.length > 0)
    const isThere = (node: NodeId): boolean =>
      this.#cluster.isUp(node) && !this.#cluster.isLow(node)
    return chooseDataShards({
      voters: sets.map((set) => ({ count: set.length, reachable: set.filter(isThere).length })),
      dataShardsMax: this.#coding.dataShardsMax,
      slack: this.#coding.slack,
    })
  }

  /** Whether it will be durable when everybody who is at it comes to the end, with one of the roots. */
  #canComeTrue(making: RetainedImage, roots: ReadonlyMap<NodeId, string>): boolean {
    const atIt = this.#reports.reachable(making.index, 'making')
    return [...new Set([...roots.values(), NO_ROOT])].some((root) =>
      this.#covers(making, [...nodesWith(roots, root), ...atIt]),
    )
  }

  #covers({ members, dataShards }: RetainedImage, nodes: readonly NodeId[]): boolean {
    const holders = members.filter(({ node }) => nodes.includes(node))
    return coverageOf(holders, this.#cluster.members) >= dataShards
  }

  #send(command: Command, now: number): void {
    this.#proposeAt = now + PROPOSE_MS
    const writer = new RequestWriter(64)
    writer.add(command)
    this.#propose(writer.finish(OWN_CLIENT, 1, 1, 0))
  }
}

function nodesWith(roots: ReadonlyMap<NodeId, string>, root: string): NodeId[] {
  return [...roots].filter(([, other]) => other === root).map(([node]) => node)
}
