/**
 * A large value on its way to the members: cut into parts while it comes, each coded and stored at once.
 *
 * A part that is not covered within an attempt is stored a second time as parts with the next numbers and k = 1, for
 * which a majority is enough; then the upload has failed. So it ends after two attempts whatever happens (I11).
 *
 * Bounded: PARTS_MAX parts of one upload under way, and the shared budget of all uploads; `write` waits for both.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import {
  type BlobId,
  blobName,
  encodeManifest,
  partBytes,
  partDigest,
  type ShardHolder,
  shardBytes,
} from '../wire/manifest.js'
import { sealShard } from '../wire/shard.js'
import { Attempt, type AttemptParts } from './attempt.js'
import type { ByteBudget } from './byte-budget.js'
import { aborted, type BlobCluster, type Ticks } from './cluster.js'
import { chooseDataShards } from './data-shards.js'
import type { PartCache } from './part-cache.js'
import type { PartCoder } from './part-coder.js'

/** Parts of one upload that are coded and stored at once. */
const PARTS_MAX = 4
/** What a part begins with, when it is not known how long it will be. */
const FIRST_BYTES = 65_536
/** A part is filled up with zeros to whole shards. */
const PADDING_BYTES = 255

/** How values are cut and coded. */
export interface UploadOptions {
  readonly maxShardBytes: number
  readonly unitBytes: number
  readonly dataShardsMax: number
  readonly slack: number | undefined
  readonly stallMs: number
  readonly maxManifestBytes: number
}

/** What an upload works with. */
export interface UploadParts extends AttemptParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly ticks: Ticks
  readonly coder: PartCoder
  readonly budget: ByteBudget
  readonly cache: PartCache
  readonly options: UploadOptions
  /** A number that no other blob of this member and term has. */
  nextSeq(): number
  /** Tells the members that nothing will ever refer to this blob. */
  drop(id: BlobId, key: Uint8Array): void
}

/** What is to be stored as shards. */
export interface UploadRequest {
  /** Under which its manifest will be put. */
  readonly key: Uint8Array
  /** Whether it is a stream, to which no value encoding is applied. */
  readonly isStream: boolean
  /** On the clock of who carries it out: no progress of `uploadStallMs` ends it as well. */
  readonly deadline: number
  readonly signal: AbortSignal | undefined
}

/** See the file's comment. */
export class Upload {
  readonly #parts: UploadParts
  readonly #call: UploadRequest
  readonly #key: Buffer
  readonly #onEnd: (upload: Upload) => void
  readonly #abort = (): void => this.#fail(aborted(this.#call.signal!))
  #id: BlobId | undefined
  #holders: readonly ShardHolder[] = []
  /** What has come of the part that is being filled. */
  #data: Buffer = Buffer.alloc(0)
  #filled = 0
  #capacity = 0
  #numbers = 0
  /** Of each part in the order of the value: the attempts that stored it. */
  readonly #stored: Promise<readonly Attempt[]>[] = []
  readonly #attempts = new Set<Attempt>()
  #partsUnderWay = 0
  #bytes = 0
  #failure: unknown
  #isEnded = false

  /** @param onEnd is called once, when there is nothing more to do */
  constructor(parts: UploadParts, call: UploadRequest, onEnd: (upload: Upload) => void) {
    this.#parts = parts
    this.#call = call
    this.#key = Buffer.from(call.key)
    this.#onEnd = onEnd
    call.signal?.addEventListener('abort', this.#abort)
    if (call.signal?.aborted) this.#abort()
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** As BlobUpload.write of the member. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#begin()
    for (let at = 0; at < bytes.length; ) {
      const taken = this.#take(bytes, at)
      at += taken
      if (this.#filled === this.#capacity) await this.#flush()
    }
    this.#refuse()
  }

  /** As BlobUpload.finish of the member. */
  async finish(): Promise<Uint8Array> {
    const id = await this.#begin()
    if (this.#filled > 0) await this.#flush()
    const attempts = (await Promise.all(this.#stored)).flat()
    this.#lookAtTerm()
    this.#refuse()
    const parts = attempts.map(({ described }) => described)
    const manifest = { id, bytes: this.#bytes, parts, members: this.#holders }
    const encoded = encodeManifest({ ...manifest, isStream: this.#call.isStream })
    this.#refuseBeyond(encoded.length)
    this.#end()
    return encoded
  }

  /** As BlobUpload.drop of the member. */
  drop(): void {
    this.#fail(new StoreError('QUORATE_ABORTED', 'the upload was given up'))
    if (this.#id !== undefined) this.#parts.drop(this.#id, this.#key)
  }

  /** Called with every tick. */
  tick(now: number): void {
    const { stallMs } = this.#parts.options
    for (const attempt of this.#attempts) attempt.tick(now, stallMs)
    if (now >= this.#call.deadline) this.#fail(this.#tooLate())
    this.#lookAtTerm()
  }

  /** The member ends. */
  end(error: unknown): void {
    this.#fail(error)
  }

  /** The id, as soon as there is a leader: its term binds the blob. */
  async #begin(): Promise<BlobId> {
    const { cluster, ticks } = this.#parts
    for (;;) {
      this.#refuse()
      if (this.#id !== undefined) return this.#id
      if (cluster.isReady) break
      await ticks.next()
    }
    const { refusal } = cluster
    if (refusal !== undefined) {
      this.#fail(refusal)
      throw refusal
    }
    const slots = [...cluster.members.slots]
    this.#holders = slots.map(([node, slot]) => ({ node, slot })).sort((a, b) => a.slot - b.slot)
    this.#id = { term: cluster.term, proposer: cluster.self, seq: this.#parts.nextSeq() }
    return this.#id
  }

  /** Copies as much of `bytes` from `at` as fits into the part; says how much. */
  #take(bytes: Uint8Array, at: number): number {
    const left = bytes.length - at
    if (this.#filled === 0) {
      const isLong = this.#capacity > 0
      this.#capacity = this.#dataShards() * this.#parts.options.maxShardBytes
      // Whoever has filled a part will fill the next one, too.
      this.#grow(isLong ? this.#capacity : Math.min(this.#capacity, Math.max(left, FIRST_BYTES)))
    }
    const taken = Math.min(left, this.#capacity - this.#filled)
    const wanted = this.#filled + taken
    if (wanted + PADDING_BYTES > this.#data.length) {
      this.#grow(Math.min(this.#capacity, Math.max(wanted, 2 * this.#filled)))
    }
    this.#data.set(bytes.subarray(at, at + taken), this.#filled)
    this.#filled = wanted
    return taken
  }

  #grow(bytes: number): void {
    const data = Buffer.allocUnsafe(bytes + PADDING_BYTES)
    this.#data.copy(data, 0, 0, this.#filled)
    this.#data = data
  }

  #dataShards(): number {
    const { cluster, options } = this.#parts
    const { voters, votersOutgoing } = cluster.members
    const sets = votersOutgoing.length === 0 ? [voters] : [voters, votersOutgoing]
    return chooseDataShards({
      voters: sets.map((set) => ({
        count: set.length,
        reachable: set.filter((node) => cluster.isUp(node) && !cluster.isLow(node)).length,
      })),
      dataShardsMax: options.dataShardsMax,
      slack: options.slack,
    })
  }

  /** Hands the part that is filled to its members; resolves when the next one may follow. */
  async #flush(): Promise<void> {
    const { budget, ticks, options } = this.#parts
    const data = this.#data
    const bytes = this.#filled
    this.#filled = 0
    this.#data = Buffer.alloc(0)
    const pieces = Math.ceil(bytes / options.maxShardBytes)
    this.#refuseBeyond((this.#numbers + pieces) * partBytes(this.#holders.length))
    await budget.take(bytes)
    while (this.#partsUnderWay >= PARTS_MAX && this.#failure === undefined) await ticks.next()
    if (this.#failure !== undefined) {
      budget.give(bytes)
      throw this.#failure
    }
    this.#bytes += bytes
    this.#partsUnderWay++
    this.#stored.push(this.#storeWithin(data, bytes))
  }

  /** Never rejects: what fails ends the upload. */
  async #storeWithin(data: Buffer, bytes: number): Promise<readonly Attempt[]> {
    try {
      return await this.#store(data, bytes)
    } catch (error) {
      this.#fail(error)
      return []
    } finally {
      this.#partsUnderWay--
      this.#parts.budget.give(bytes)
      this.#parts.ticks.fire()
    }
  }

  async #store(data: Buffer, bytes: number): Promise<readonly Attempt[]> {
    const { maxShardBytes } = this.#parts.options
    const dataShards = Math.max(this.#dataShards(), 1)
    // Fewer than when it was begun may be reachable by now.
    const first = await this.#attemptAll(data, bytes, dataShards, dataShards * maxShardBytes)
    if (first !== undefined) return first
    const second = await this.#attemptAll(data, bytes, 1, maxShardBytes)
    if (second !== undefined) return second
    throw this.#undercovered()
  }

  /** The data in parts of at most `maxBytes`; undefined when some are not covered. */
  async #attemptAll(
    data: Buffer,
    bytes: number,
    dataShards: number,
    maxBytes: number,
  ): Promise<readonly Attempt[] | undefined> {
    const attempts: Promise<Attempt | undefined>[] = []
    for (let at = 0; at < bytes; at += maxBytes) {
      const end = Math.min(bytes, at + maxBytes)
      // Only the last piece has room for padding behind it that is not the next one's.
      const piece = end === bytes ? data.subarray(at) : data.subarray(at, end)
      attempts.push(this.#attempt(piece, end - at, dataShards))
    }
    const done = await Promise.all(attempts)
    const stored = done.filter((attempt) => attempt !== undefined)
    return stored.length === done.length ? stored : undefined
  }

  /** One attempt; undefined when it failed. */
  async #attempt(data: Buffer, bytes: number, dataShards: number): Promise<Attempt | undefined> {
    this.#refuse()
    const { coder, cache, cluster, options } = this.#parts
    const id = this.#id!
    const number = this.#numbers++
    const part = { number, bytes, dataShards, digest: partDigest(data.subarray(0, bytes)) }
    data.fill(0, bytes, dataShards * shardBytes(part))
    const indexes = this.#holders.map(({ slot }) => slot)
    const bodies = await coder.shardsOf(data, part, indexes)
    this.#refuse()
    const shards = bodies.map((body, i) => {
      const { clusterId } = cluster
      const head = { clusterId, id, part: number, index: indexes[i]!, dataShards, partBytes: bytes }
      return sealShard({ ...head, unit: options.unitBytes, key: this.#key }, body)
    })
    const attempt = new Attempt(this.#parts, part, this.#holders, shards)
    this.#attempts.add(attempt)
    const isCovered = await attempt.covered
    this.#attempts.delete(attempt)
    if (!isCovered) return undefined
    if (!this.#call.isStream) cache.put(`${blobName(id)}/${number}`, data.subarray(0, bytes))
    return attempt
  }

  /** Only an entry of its own term may put a blob into force. */
  #lookAtTerm(): void {
    if (this.#id !== undefined && this.#parts.cluster.term !== this.#id.term) {
      this.#fail(otherTerm())
    }
  }

  #refuse(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#isEnded) throw new StoreError('QUORATE_ABORTED', 'the upload has ended')
  }

  #refuseBeyond(bytes: number): void {
    const { maxManifestBytes } = this.#parts.options
    if (bytes <= maxManifestBytes) return
    const message = `the value has more parts than its manifest of ${maxManifestBytes} bytes lists`
    const error = new StoreError('QUORATE_TOO_LARGE', message)
    this.#fail(error)
    throw error
  }

  #fail(error: unknown): void {
    if (this.#isEnded) return
    this.#failure ??= error
    this.#end()
  }

  #end(): void {
    this.#isEnded = true
    this.#call.signal?.removeEventListener('abort', this.#abort)
    if (this.#failure !== undefined) for (const attempt of this.#attempts) attempt.giveUp()
    this.#onEnd(this)
  }

  #tooLate(): StoreError {
    if (this.#id === undefined) {
      const message = 'no leader could be reached in time; nothing was written'
      return new StoreError('QUORATE_NO_LEADER', message, { retryable: true })
    }
    const message = 'the value was not stored in time; nothing was written'
    return new StoreError('QUORATE_TIMEOUT', message, { retryable: true })
  }

  #undercovered(): StoreError {
    const { cluster } = this.#parts
    const away = this.#holders.filter(({ node }) => !cluster.isUp(node))
    const names = away.map(({ node }) => cluster.nameOf(node)).join(', ')
    const message =
      'too few members made the shards of the value durable; nothing was written' +
      (names === '' ? '' : ` (not reachable: ${names})`)
    return new StoreError('QUORATE_UNDERCOVERED', message, { retryable: true })
  }
}

function otherTerm(): StoreError {
  const message = 'another term began while the value was being stored; nothing was written'
  return new StoreError('QUORATE_UNDERCOVERED', message, { retryable: true })
}
