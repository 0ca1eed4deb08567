/**
 * Retained checkpoints on one member (docs/architecture.md, "Life of a retained checkpoint"): who asks for one, what
 * the leader proposes about them, what the members tell each other, and which shards may not be let go of for them.
 *
 * The state says which one is being made and which one is durable; everything else is had again after a start. As long
 * as nobody retains anything, nothing is read, written or sent.
 */
import { StoreError } from '../base/errors.js'
import { type BlobCluster, Ticks, type WorkOwner } from '../blob/cluster.js'
import { Rate } from '../blob/rate.js'
import type { ShardGuard } from '../blob/shard-guard.js'
import type { StoredShard } from '../blob/shard-index.js'
import type { Verdict } from '../blob/verdict.js'
import type { DatabaseSnapshot } from '../env/database.js'
import type { Env } from '../env/env.js'
import { RETAINED_KEY } from '../machine/key-space.js'
import { appliedOf } from '../machine/machine-view.js'
import { readRetained } from '../machine/retained-record.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import type { ShardGiver } from '../snapshot/coded-image.js'
import { RetainedFolder } from '../snapshot/retained-file.js'
import { DecodeError } from '../wire/command.js'
import { type BlobId, blobName } from '../wire/manifest.js'
import {
  type DurableImage,
  decodeRetainAsk,
  decodeRetainPiece,
  decodeRetainReport,
  decodeWanted,
  encodeWanted,
  FRAME_RETAIN_ASK,
  FRAME_RETAIN_PIECE,
  FRAME_RETAIN_REPORT,
  FRAME_RETAIN_WANTED,
  NO_ROOT,
  type RetainedRecord,
  type RetainReport,
} from '../wire/retained.js'
import type { RetainedCheckpoint, RetainedStatus, RetainRequest } from './backend.js'
import type { BlobDesk } from './blobs.js'
import { type MemberOptions, maxPieceBytes } from './options.js'
import { RetainedAsks } from './retained-asks.js'
import { RetainedHolding } from './retained-holding.js'
import { RetainedLead } from './retained-lead.js'
import { RetainedReports } from './retained-reports.js'
import { retainedDir, type Storage } from './storage.js'

/** So often whoever waits asks the leader. */
const ASK_MS = 500
/** Calls that wait here; more are QUORATE_OVERLOADED. */
const WAITING_MAX = 64

/** What the desk works with. */
export interface RetainedParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly storage: Storage
  readonly blobs: BlobDesk
  readonly work: WorkOwner
}

/** What it asks of its member. */
export interface RetainedPorts {
  isLeading(): boolean
  leader(): NodeId
  /** Whether the state here is in use. */
  isSound(): boolean
  /** Proposes a request of the leader itself, which may be lost. */
  propose(request: Buffer): void
  /** Resolves when everything acknowledged until the call is applied here. */
  reach(request: RetainRequest): Promise<void>
  /** The state here is not the one that the others retain at `index`. */
  onDiverged(index: LogIndex): void
  /** The record in the state is damaged. */
  onDamaged(error: StoreError): void
}

interface Waiting {
  readonly after: LogIndex
  readonly request: RetainRequest
  resolve(checkpoint: RetainedCheckpoint): void
  reject(error: unknown): void
}

/** See the file's comment. */
export class Retained implements ShardGuard {
  readonly #parts: RetainedParts
  readonly #ports: RetainedPorts
  readonly #cluster: BlobCluster
  readonly #ticks = new Ticks()
  readonly #asks: RetainedAsks
  readonly #holding: RetainedHolding
  /** Undefined while it is not known. */
  #record: RetainedRecord | undefined
  readonly #reports: RetainedReports
  readonly #lead: RetainedLead
  readonly #waiting = new Set<Waiting>()
  #askAt = 0
  #ended: unknown

  constructor(parts: RetainedParts, ports: RetainedPorts) {
    const { env, options, storage, blobs } = parts
    this.#parts = parts
    this.#ports = ports
    this.#cluster = blobs.cluster
    this.#asks = new RetainedAsks({
      time: env.time,
      cluster: blobs.cluster,
      maxPieceBytes: maxPieceBytes(options.limits),
      firstAsk: env.random.u32('retained ask'),
      askShard: (node, ask) => blobs.askShard(node, ask),
    })
    this.#reports = new RetainedReports(blobs.cluster, () => this.#ownReports())
    const propose = (request: Buffer): void => ports.propose(request)
    this.#lead = new RetainedLead(blobs.cluster, options.coding, this.#reports, propose)
    this.#holding = this.#newHolding()
    storage.machine.onRetained((state) => this.#onState(state))
    blobs.guardWith(this)
  }

  get isHeld(): boolean {
    return !this.#holding.isKnown
  }

  isPinned(id: BlobId): boolean {
    return this.#holding.isPinned(blobName(id))
  }

  verdictOf(id: BlobId, applied: LogIndex): Verdict {
    if (this.#record === undefined || id.seq > applied) return 'wait'
    const { making, durable } = this.#record
    return id.seq === making?.index || id.seq === durable?.index ? 'live' : 'dead'
  }

  onDamaged(shard: StoredShard): void {
    this.#holding.onDamaged(shard.id.seq)
  }

  /** As Backend.retain. */
  async retain(request: RetainRequest): Promise<RetainedCheckpoint> {
    if (this.#ended !== undefined) throw this.#ended
    await this.#ports.reach(request)
    if (this.#ended !== undefined) throw this.#ended
    if (this.#waiting.size >= WAITING_MAX) {
      const message = `${WAITING_MAX} calls wait for a retained checkpoint already`
      throw new StoreError('QUORATE_OVERLOADED', message, { retryable: true })
    }
    return new Promise((resolve, reject) => {
      const after = this.#parts.storage.machine.appliedIndex
      this.#waiting.add({ after, request, resolve, reject })
      this.#askAt = 0
    })
  }

  /** A frame of wire/retained.ts. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    switch (kind) {
      case FRAME_RETAIN_WANTED:
        this.#onWanted(decodeWanted(body))
        return
      case FRAME_RETAIN_REPORT:
        this.#reports.onReport(from, decodeRetainReport(body))
        return
      case FRAME_RETAIN_ASK: {
        const ask = decodeRetainAsk(body)
        this.#asks.onAsk(from, ask, this.#holding.whole(ask.index))
        return
      }
      case FRAME_RETAIN_PIECE:
        this.#asks.onPiece(from, decodeRetainPiece(body))
        return
      default:
        throw new DecodeError(`frame of unknown kind ${kind}`)
    }
  }

  /** It has heard nothing on this connection yet. */
  onPeerUp(node: NodeId): void {
    this.#reports.onPeerUp(node)
  }

  /** The state is another one. */
  onReplaced(): void {
    this.#record = undefined
    this.#holding.setRecord(undefined)
  }

  tick(now: number): void {
    if (this.#ended !== undefined) return
    this.#ticks.fire()
    for (const waiting of [...this.#waiting]) this.#look(waiting, now)
    if (!this.#ports.isSound()) return
    if (this.#record === undefined) this.#read()
    const { making, durable } = this.#record ?? {}
    if (this.#waiting.size > 0 && now >= this.#askAt) this.#ask(now)
    if (making === undefined && durable === undefined) return
    this.#asks.tick(now)
    this.#holding.tick(now)
    this.#reports.tick(now)
    if (making !== undefined && this.#ports.isLeading()) this.#lead.look(making, now)
  }

  /** Nothing is done here any more: whoever waits gets `error`. */
  end(error: unknown): void {
    this.#ended ??= error
    this.#asks.end()
    this.#ticks.fire()
    for (const { reject } of this.#waiting) reject(error)
    this.#waiting.clear()
  }

  /** Ends what reads the state or writes to the disk. */
  close(): Promise<void> {
    const ended = this.#holding.end()
    // What waited for its turn sees that it is over.
    this.#ticks.fire()
    return ended
  }

  /** The description of the durable one, and this member's slot; undefined when it does not have all of its shards. */
  get servable(): ReturnType<RetainedHolding['whole']> {
    const durable = this.#record?.durable
    return durable && this.#holding.whole(durable.index)
  }

  /** Undefined while nothing is retained. */
  status(): RetainedStatus | undefined {
    const { making, durable } = this.#record ?? {}
    const newest = durable ?? making
    if (newest === undefined) return undefined
    const holding = this.#holding
    const heldBy = durable === undefined ? [] : this.#reports.holders(durable)
    return {
      index: durable?.index,
      root: durable?.root,
      dataShards: newest.dataShards,
      bytes: holding.bytesOf(newest.index),
      here: holding.isDiverged ? 'diverged' : holding.statusOf(newest),
      heldBy: heldBy.map((node) => this.#cluster.nameOf(node)),
      making: making?.index,
      failure: holding.failure,
    }
  }

  /** The state right after what is retained has changed. */
  #onState(state: DatabaseSnapshot): void {
    const record = readRetained(state.get(RETAINED_KEY))
    const { index } = appliedOf(state)
    this.#setRecord(record)
    if (record.making?.index === index) this.#holding.make(record.making, state)
    else this.#parts.work.own(state.close())
  }

  #read(): void {
    try {
      this.#setRecord(this.#parts.storage.machine.retained)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      // One that is being opened again is read later.
      if (error.code === 'QUORATE_CORRUPTION') this.#ports.onDamaged(error)
    }
  }

  #setRecord(record: RetainedRecord): void {
    this.#record = record
    this.#holding.setRecord(record)
  }

  #look(waiting: Waiting, now: number): void {
    const durable = this.#record?.durable
    const { after, request, resolve, reject } = waiting
    const { signal, deadline } = request
    if (durable !== undefined && durable.index > after) {
      resolve({ index: durable.index, root: durable.root })
    } else if (signal?.aborted === true) reject(aborted(signal))
    else if (now >= deadline) reject(late())
    else return
    this.#waiting.delete(waiting)
  }

  #ask(now: number): void {
    this.#askAt = now + ASK_MS
    const after = Math.max(...[...this.#waiting].map((waiting) => waiting.after))
    if (this.#ports.isLeading()) this.#onWanted(after)
    else this.#cluster.send(this.#ports.leader(), FRAME_RETAIN_WANTED, [encodeWanted(after)])
  }

  /** Somebody waits for a checkpoint after `index`. */
  #onWanted(index: LogIndex): void {
    if (this.#record === undefined || !this.#ports.isLeading()) return
    this.#lead.onWanted(this.#record, index, this.#parts.env.time.now())
  }

  #ownReports(): RetainReport[] {
    const { making, durable } = this.#record ?? {}
    return [durable, making]
      .filter((image) => image !== undefined)
      .map((image) => {
        const status = this.#holding.statusOf(image)
        const root = this.#holding.whole(image.index)?.manifest.root ?? NO_ROOT
        return { index: image.index, status, root }
      })
  }

  #givers(image: DurableImage): ShardGiver[] {
    const { self, members } = this.#cluster
    const nodes = this.#reports
      .holders(image)
      .filter((node) => node !== self && this.#cluster.isUp(node))
    return nodes.flatMap((node) => {
      const slot = members.slots.get(node)
      return slot === undefined ? [] : [this.#asks.giverAt(image, node, slot)]
    })
  }

  #newHolding(): RetainedHolding {
    const { env, options, storage, blobs, work } = this.#parts
    const cluster = this.#cluster
    return new RetainedHolding({
      time: env.time,
      clusterId: cluster.clusterId,
      folder: new RetainedFolder(env.disk, retainedDir(options.dir)),
      store: storage.shards,
      makeRate: new Rate(env.time, this.#ticks, options.limits.snapshotBytesPerSecond),
      mendRate: new Rate(env.time, this.#ticks, options.coding.repairBytesPerSecond),
      work,
      coder: () => blobs.coder,
      slot: () => cluster.members.slots.get(cluster.self),
      givers: (image) => this.#givers(image),
      fetchFile: (image) =>
        this.#asks.fetchFile(
          image,
          this.#reports.holders(image).filter((node) => node !== cluster.self),
        ),
      onDiverged: (index) => this.#ports.onDiverged(index),
    })
  }
}

function aborted(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
    outcome: 'unknown',
    cause: signal.reason,
  })
}

function late(): StoreError {
  return new StoreError('QUORATE_TIMEOUT', 'the checkpoint was not durable in time', {
    outcome: 'unknown',
    retryable: true,
  })
}
