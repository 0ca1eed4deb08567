/**
 * Large values on one member: what it writes and reads of them, what it does for the others, and what it sees to by
 * itself (docs/architecture.md, "Life of a large value").
 *
 * Everything that waits ends with `end`; work on the disk that is under way then is its owner's to wait for.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { Backend } from '../erasure/backend.js'
import type { CodecStatus } from '../erasure/choose.js'
import type { AppliedEntry, StateMachine } from '../machine/state-machine.js'
import type { LogIndex, NodeId, Term } from '../raft/types.js'
import {
  type AskedPiece,
  type AskShard,
  decodeAskedPiece,
  decodeAskShard,
  decodeBlobReport,
  decodeDropShards,
  decodeHold,
  decodePutShard,
  decodeShardAck,
  encodeDropShards,
  encodeHold,
  FRAME_ASK_SHARD,
  FRAME_BLOB_STATUS,
  FRAME_DROP_SHARDS,
  FRAME_HOLD,
  FRAME_PUT_SHARD,
  FRAME_SHARD_ACK,
  FRAME_SHARD_PIECE,
} from '../wire/blob-frames.js'
import { DecodeError } from '../wire/command.js'
import type { BlobId } from '../wire/manifest.js'
import { ByteBudget } from './byte-budget.js'
import { type BlobCluster, Ticks, type WorkOwner } from './cluster.js'
import { Fetches, type FetchRequest } from './fetch.js'
import { Intake } from './intake.js'
import { Introduced } from './introduced.js'
import { Latencies } from './latencies.js'
import { PartCache } from './part-cache.js'
import { PartCoder } from './part-coder.js'
import { PartReader } from './part-reader.js'
import { Rate } from './rate.js'
import { Repair } from './repair.js'
import { Reports } from './reports.js'
import { Respread } from './respread.js'
import { ShardAnswers, ShardAsks } from './shard-asks.js'
import { isRetained, NO_GUARD, type ShardGuard } from './shard-guard.js'
import type { StoredShard } from './shard-index.js'
import { ShardScrub } from './shard-scrub.js'
import { ShardSender } from './shard-sender.js'
import { ShardSource } from './shard-source.js'
import type { ShardStore } from './shard-store.js'
import { StateReader } from './state-reader.js'
import type { BlobStatus } from './status.js'
import { Sweep } from './sweep.js'
import { Upload, type UploadOptions, type UploadParts, type UploadRequest } from './upload.js'

/** How large values are handled. */
export interface BlobOptions extends UploadOptions {
  readonly inlineBytesMax: number | undefined
  readonly maxUploadBytes: number
  readonly maxUnackedBytes: number
  readonly maxReceivedBytes: number
  readonly maxFetchBytes: number
  readonly cacheBytes: number
  readonly graceMs: number
  readonly repairBytesPerSecond: number
  readonly scrubBytesPerSecond: number
}

/** What the service works with. */
export interface BlobServiceParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly store: ShardStore
  readonly machine: Pick<StateMachine, 'view' | 'appliedIndex' | 'appliedTerm'>
  readonly work: WorkOwner
  readonly options: BlobOptions
  /** Numbers that are drawn anew at each start. */
  readonly first: { readonly seq: number; readonly put: number; readonly ask: number }
  /** Called once, when the first part is coded. */
  chooseCodec(): { readonly backend: Backend; readonly status: CodecStatus }
  /** Whether the state here is in use. */
  isSound(): boolean
  /** Whether this member leads. */
  isLeading(): boolean
  /** Proposes a request of the leader itself, which may be lost. */
  propose(request: Buffer): void
  /** What was damaged of the value under `key` was made anew. */
  onMended(key: Uint8Array): void
}

/** Uploads under way; more are QUORATE_OVERLOADED. Each has a part in memory that is being filled. */
const UPLOADS_MAX = 256
/** A member that holds asks again so often, for so long each time. */
const HOLD_EVERY_MS = 10_000
const HOLD_MS = 30_000
/** Blobs of one start have numbers of their own: so many for each number that is drawn. */
const SEQS = 1_048_576

/** See the file's comment. */
export class BlobService {
  readonly #parts: BlobServiceParts
  readonly #ticks = new Ticks()
  readonly #state: StateReader
  readonly #introduced = new Introduced()
  /** Shared by all who code here. */
  readonly coder: PartCoder
  readonly #cache: PartCache
  readonly #sender: ShardSender
  readonly #intake: Intake
  readonly #asks: ShardAsks
  readonly #answers: ShardAnswers
  readonly #reader: PartReader
  readonly #fetches: Fetches
  readonly #sweep: Sweep
  readonly #repair: Repair
  readonly #reports: Reports
  readonly #respread: Respread
  readonly #scrub: ShardScrub
  readonly #uploadParts: UploadParts
  readonly #uploads = new Set<Upload>()
  readonly #holds = new Set<object>()
  #holdAt = 0
  #guard: ShardGuard = NO_GUARD
  #codec: CodecStatus | undefined
  #seq: number
  #term: Term = 0
  /** As of the last tick. */
  #target: number | undefined
  #ended: unknown

  constructor(parts: BlobServiceParts) {
    const { time, cluster, store, machine, work, options, first } = parts
    this.#parts = parts
    this.#seq = first.seq * SEQS
    this.#state = new StateReader(machine, () => parts.isSound())
    this.coder = new PartCoder(() => this.#chooseBackend(), options.inlineBytesMax)
    this.#cache = new PartCache(options.cacheBytes)
    this.#sender = new ShardSender(time, cluster, options.maxUnackedBytes, first.put)
    this.#intake = new Intake(cluster, store, this.#state, work, options.maxReceivedBytes)
    this.#asks = new ShardAsks(time, cluster, first.ask)
    this.#answers = new ShardAnswers(cluster, store, work)
    this.#reader = this.#newReader()
    this.#fetches = new Fetches(time, this.#reader, new ByteBudget(options.maxFetchBytes))
    const { graceMs } = options
    this.#sweep = new Sweep(time, store, this.#state, this.#introduced, graceMs, work)
    const rate = new Rate(time, this.#ticks, options.repairBytesPerSecond)
    this.#respread = this.#newRespread(rate)
    this.#repair = this.#newRepair(rate)
    this.#reports = new Reports(cluster, store, this.#repair)
    this.#scrub = new ShardScrub(time, store, options.scrubBytesPerSecond, {
      own: (task) => work.own(task),
      fail: (error) => work.fail(error),
      onBad: (shard) => this.#onBad(shard),
    })
    this.#uploadParts = this.#newUploadParts()
  }

  /** As Blobs.upload of the member. @throws {StoreError} QUORATE_OVERLOADED; why nothing is done here any more */
  upload(call: UploadRequest): Upload {
    if (this.#ended !== undefined) throw this.#ended
    if (this.#uploads.size >= UPLOADS_MAX) {
      const message = `${UPLOADS_MAX} large values are being written here already`
      throw new StoreError('QUORATE_OVERLOADED', message, { retryable: true })
    }
    const upload = new Upload(this.#uploadParts, call, (ended) => this.#uploads.delete(ended))
    if (!upload.isEnded) this.#uploads.add(upload)
    return upload
  }

  /** As Blobs.fetch of the member. */
  async fetch(call: FetchRequest): Promise<Buffer> {
    if (this.#ended !== undefined) throw this.#ended
    return this.#fetches.fetch(call)
  }

  /**
   * Asks all members to let go of no shards until the function that is returned is called, for whoever reads an older
   * state for long.
   */
  hold(): () => void {
    const hold = {}
    this.#holds.add(hold)
    this.#sendHold(this.#parts.time.now())
    return () => this.#holds.delete(hold)
  }

  /** Of the leader: why `voters` would not hold enough shards of every large value; undefined when they do. */
  shortfall(voters: readonly NodeId[]): string | undefined {
    return this.#reports.shortfall(voters)
  }

  /** From now on no shard is let go of that `guard` keeps. */
  guardWith(guard: ShardGuard): void {
    this.#guard = guard
    this.#sweep.guardWith(guard)
  }

  /** Asks another member for bytes of a shard, which come unverified; undefined when there is no answer. */
  askShard(node: NodeId, ask: Omit<AskShard, 'id'>): Promise<AskedPiece | undefined> {
    return this.#asks.ask(node, ask)
  }

  /** A frame of wire/blob-frames.ts. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    switch (kind) {
      case FRAME_PUT_SHARD:
        this.#intake.onPut(from, decodePutShard(body))
        return
      case FRAME_SHARD_ACK:
        this.#sender.onAck(from, decodeShardAck(body))
        return
      case FRAME_DROP_SHARDS:
        this.#intake.onDrop(from, decodeDropShards(body))
        return
      case FRAME_ASK_SHARD:
        this.#answers.onAsk(from, decodeAskShard(body))
        return
      case FRAME_SHARD_PIECE:
        this.#asks.onPiece(from, decodeAskedPiece(body))
        return
      case FRAME_HOLD:
        this.#sweep.hold(decodeHold(body))
        return
      case FRAME_BLOB_STATUS:
        this.#reports.onReport(from, decodeBlobReport(body))
        return
      default:
        throw new DecodeError(`frame of unknown kind ${kind}`)
    }
  }

  onApplied(applied: readonly AppliedEntry[]): void {
    for (const { index, term, coded } of applied) {
      this.#noteTerm(term)
      if (coded.length === 0) continue
      this.#repair.onCoded(index, coded)
      for (const { manifest } of coded) {
        this.#introduced.note(manifest.id, index)
        this.#respread.onCoded(manifest)
      }
    }
  }

  /** The state is another one, or was brought up to date without telling of each entry. */
  onReplaced(): void {
    this.#introduced.clear()
    this.#repair.onReplaced()
  }

  onPeerUp(node: NodeId): void {
    this.#reports.onPeerUp(node)
    if (this.#holds.size > 0) this.#sendHold(this.#parts.time.now())
  }

  onPeerDown(node: NodeId): void {
    this.#sender.onPeerDown(node)
    this.#asks.onPeerDown(node)
    this.#reports.onPeerDown(node)
  }

  /** A leader is known: what waited for one goes on at once, and not with the next tick. */
  onNewWay(): void {
    this.#ticks.fire()
  }

  tick(now: number): void {
    if (this.#ended !== undefined) return
    if (this.#holds.size > 0 && now >= this.#holdAt) this.#sendHold(now)
    this.#sender.tick(now)
    this.#asks.tick(now)
    for (const upload of this.#uploads) upload.tick(now)
    this.#fetches.tick(now)
    this.#sweep.tick(now)
    this.#repair.tick(now)
    this.#noteTarget()
    this.#respread.tick(now)
    this.#reports.tick(now)
    this.#scrub.tick(now)
    this.#ticks.fire()
  }

  /** Nothing is written, read or repaired here any more: whoever waits gets `error`. */
  end(error: unknown): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#scrub.end()
    for (const upload of this.#uploads) upload.end(error)
    this.#fetches.end(error)
    this.#sender.end()
    this.#asks.end()
    this.#ticks.fire()
  }

  status(): BlobStatus {
    const { shards, bytes, deadBytes, segments, quarantined } = this.#parts.store.status()
    const { damage, tornBytes } = this.#parts.store.recovered
    const { facts, isWhole, missing, repaired, failures } = this.#repair
    const { bytes: cached, hits, misses } = this.#cache
    return {
      values: facts.values,
      isCounted: isWhole,
      shards,
      bytes,
      deadBytes,
      segments,
      quarantined,
      recovered: { damaged: damage.length, tornBytes },
      missing,
      repaired,
      repairFailures: failures,
      forgotten: this.#sweep.forgotten,
      undercovered: this.#respread.waiting,
      respread: this.#respread.done,
      uploads: this.#uploads.size,
      fetches: this.#fetches.underWay,
      sendingBytes: this.#sender.pendingBytes,
      cache: { bytes: cached, hits, misses },
      scrub: this.#scrub.status,
      codec: this.#codec,
      members: this.#reports.members(),
    }
  }

  #chooseBackend(): Backend {
    const { backend, status } = this.#parts.chooseCodec()
    this.#codec = status
    return backend
  }

  /** Of the blobs of an earlier term the term alone tells that they may go. */
  #noteTerm(term: Term): void {
    if (term === this.#term) return
    this.#term = term
    this.#introduced.clear()
  }

  /** What values are to be coded into is another number: who leads looks through all of them. */
  #noteTarget(): void {
    const { target } = this.#respread
    if (target === this.#target) return
    this.#target = target
    if (target !== undefined) this.#repair.walkSoon()
  }

  #sendHold(now: number): void {
    this.#holdAt = now + HOLD_EVERY_MS
    this.#sweep.hold(HOLD_MS)
    this.#toOthers(FRAME_HOLD, encodeHold(HOLD_MS))
  }

  #toOthers(kind: number, body: Uint8Array): void {
    const { cluster } = this.#parts
    for (const node of cluster.members.slots.keys()) {
      if (node !== cluster.self) cluster.send(node, kind, [body])
    }
  }

  #drop(blob: BlobId, key: Uint8Array): void {
    this.#parts.work.own(this.#intake.drop(blob, key))
    this.#toOthers(FRAME_DROP_SHARDS, encodeDropShards({ blob, key }))
  }

  #onDamaged(shard: StoredShard): void {
    this.#parts.store.quarantine(shard)
    this.#onBad(shard)
  }

  /** A shard that is not in use any more was damaged. */
  #onBad(shard: StoredShard): void {
    if (isRetained(shard.id)) this.#guard.onDamaged(shard)
    else this.#repair.onDamaged(shard.key)
  }

  #newUploadParts(): UploadParts {
    const { time, cluster, work, options } = this.#parts
    return {
      time,
      cluster,
      options,
      ticks: this.#ticks,
      coder: this.coder,
      cache: this.#cache,
      sender: this.#sender,
      budget: new ByteBudget(options.maxUploadBytes),
      store: (shard) => this.#intake.storeOwn(shard),
      now: () => time.now(),
      pause: () => this.#ticks.next(),
      own: (task) => work.own(task),
      fail: (error) => work.fail(error),
      nextSeq: () => this.#seq++,
      drop: (id, key) => this.#drop(id, key),
    }
  }

  #newReader(): PartReader {
    const { time, cluster, store } = this.#parts
    const latencies = new Latencies()
    const source = new ShardSource({
      time,
      cluster,
      store,
      latencies,
      asks: this.#asks,
      onDamaged: (shard) => this.#onDamaged(shard),
    })
    return new PartReader({
      time,
      cluster,
      source,
      latencies,
      coder: this.coder,
      cache: this.#cache,
      state: this.#state,
      introduced: this.#introduced,
    })
  }

  #newRepair(rate: Rate): Repair {
    const parts = this.#parts
    const { time, cluster, store, work, options } = parts
    return new Repair({
      time,
      cluster,
      store,
      work,
      rate,
      ticks: this.#ticks,
      state: this.#state,
      intake: this.#intake,
      reader: this.#reader,
      stallMs: options.stallMs,
      appliedIndex: (): LogIndex => parts.machine.appliedIndex,
      onWalked: (key, manifest) => this.#respread.look(key, manifest),
      onMended: (key) => parts.onMended(key),
      ended: () => this.#ended,
    })
  }

  #newRespread(rate: Rate): Respread {
    const parts = this.#parts
    const { time, cluster, work, options, machine } = parts
    return new Respread({
      time,
      cluster,
      work,
      rate,
      state: this.#state,
      reader: this.#reader,
      dataShardsMax: options.dataShardsMax,
      slack: options.slack,
      isLeading: () => parts.isLeading() && machine.appliedTerm === cluster.term,
      onDone: () => this.#repair.walkSoon(),
      upload: (call) => this.upload(call),
      propose: (request) => parts.propose(request),
      ended: () => this.#ended,
    })
  }
}
