/**
 * Writes large values anew that were coded for other circumstances: with fewer data shards, because members were not
 * reachable, or with more or fewer than fit the configuration that is in force now. Done by the leader alone, one value
 * at a time, and put into force by its own command, which leaves the value's revision and expiry as they are and does
 * nothing when another value has taken its place meanwhile (M4).
 *
 * Bounded: QUEUE_MAX values that wait; the next walk finds the others.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import { type BlobId, decodeManifest, isSameBlob, type Manifest } from '../wire/manifest.js'
import { OWN_CLIENT, RequestWriter } from '../wire/request.js'
import type { BlobCluster, WorkOwner } from './cluster.js'
import { chooseDataShards } from './data-shards.js'
import type { PartReader } from './part-reader.js'
import type { Rate } from './rate.js'
import type { StateReader } from './state-reader.js'
import type { Upload, UploadRequest } from './upload.js'

const QUEUE_MAX = 1024
const READ_MS = 10_000
/** What was proposed is waited for so long; it may be lost, and is found again by the next walk. */
const APPLIED_MS = 5_000

/** What a respread works with. */
export interface RespreadParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly state: StateReader
  readonly reader: PartReader
  readonly rate: Rate
  readonly work: WorkOwner
  readonly dataShardsMax: number
  readonly slack: number | undefined
  /** All that waited is written anew. */
  onDone(): void
  /** Whether this member leads and has applied an entry of its own term. */
  isLeading(): boolean
  upload(call: UploadRequest): Upload
  propose(request: Buffer): void
  ended(): unknown
}

/** See the file's comment. */
export class Respread {
  readonly #parts: RespreadParts
  readonly #queue = new Map<string, Buffer>()
  #isBusy = false
  #done = 0
  /** What was proposed last and is not applied yet. */
  #proposed: { readonly id: BlobId; readonly until: number } | undefined

  constructor(parts: RespreadParts) {
    this.#parts = parts
  }

  /** Values that were written anew since the start. */
  get done(): number {
    return this.#done
  }

  /** Values that are known to be coded for other circumstances. */
  get waiting(): number {
    return this.#queue.size
  }

  /** A walk has met this value. */
  look(key: Buffer, manifest: Manifest): void {
    const dataShards = this.target
    if (dataShards === undefined || isSpread(manifest, dataShards)) return
    if (this.#queue.size < QUEUE_MAX) this.#queue.set(key.toString('latin1'), key)
  }

  /** A large value was put into force. */
  onCoded({ id }: Manifest): void {
    if (this.#proposed === undefined || !isSameBlob(this.#proposed.id, id)) return
    this.#proposed = undefined
    this.#done++
    if (this.#queue.size === 0) this.#parts.onDone()
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (this.#proposed !== undefined && now >= this.#proposed.until) this.#proposed = undefined
    if (this.#isBusy || this.#proposed !== undefined || this.#queue.size === 0) return
    if (!this.#parts.isLeading()) {
      this.#queue.clear()
      return
    }
    const dataShards = this.target
    if (dataShards === undefined) return
    const [name] = this.#queue.keys()
    const key = this.#queue.get(name!)!
    this.#queue.delete(name!)
    this.#parts.work.own(this.#write(key, dataShards))
  }

  /**
   * k of what the leader writes when all are there; undefined while they are not, or while the members change, and on
   * other members.
   */
  get target(): number | undefined {
    if (!this.#parts.isLeading()) return undefined
    const { cluster, dataShardsMax, slack } = this.#parts
    const { voters, votersOutgoing } = cluster.members
    if (votersOutgoing.length > 0 || cluster.refusal !== undefined) return undefined
    if (!voters.every((node) => cluster.isUp(node) && !cluster.isLow(node))) return undefined
    const all = { count: voters.length, reachable: voters.length }
    return chooseDataShards({ voters: [all], dataShardsMax, slack })
  }

  /** Never rejects. */
  async #write(key: Buffer, dataShards: number): Promise<void> {
    this.#isBusy = true
    try {
      const [manifest] = (await this.#parts.state.manifests([key]))?.manifests ?? []
      const isWanted = manifest !== undefined && manifest !== 'unreadable'
      if (isWanted && !isSpread(manifest, dataShards)) await this.#copy(key, manifest, dataShards)
    } catch (error) {
      // Members have gone meanwhile: the next walk finds the value again.
      if (!(error instanceof StoreError)) this.#parts.work.fail(error)
    } finally {
      this.#isBusy = false
    }
  }

  async #copy(key: Buffer, manifest: Manifest, dataShards: number): Promise<void> {
    const { time, reader, rate } = this.#parts
    const ended = () => this.#parts.ended()
    const { isStream } = manifest
    // It takes as long as the rate lets it, and ends with the term or when members go.
    const deadline = Number.POSITIVE_INFINITY
    const upload = this.#parts.upload({ key, isStream, deadline, signal: undefined })
    let isProposed = false
    try {
      for (const part of manifest.parts) {
        const call = { giveUpAt: time.now() + READ_MS, ended }
        await upload.write(await reader.read({ key, manifest, part }, 0, part.bytes, call))
        await rate.pay(part.bytes, () => ended() !== undefined)
      }
      const encoded = await upload.finish()
      const { id, ...made } = decodeManifest(encoded)
      if (!isSpread(made, dataShards) || !this.#parts.isLeading()) return
      isProposed = true
      this.#proposed = { id, until: time.now() + APPLIED_MS }
      this.#propose(key, manifest.id, encoded)
    } finally {
      if (!isProposed) upload.drop()
    }
  }

  #propose(key: Buffer, expected: BlobId, value: Uint8Array): void {
    const writer = new RequestWriter(key.length + value.length)
    writer.add({ type: 'respread', expected, put: { type: 'put', key, value, coded: true } })
    this.#parts.propose(writer.finish(OWN_CLIENT, 1, 1, 0))
  }
}

/** Whether every part is coded into so many data shards. */
function isSpread({ parts }: Pick<Manifest, 'parts'>, wanted: number): boolean {
  return parts.every(({ dataShards }) => dataShards === wanted)
}
