/**
 * Shards that other members send: each is verified, made durable, and only then acknowledged (I9).
 *
 * Bounded: `maxReceivedBytes` on their way to the disk; more are answered `busy`. Nothing is taken while the disk is
 * low. What belongs to another member's slot, to another cluster or to a term that has passed is refused.
 */
import { StoreError } from '../base/errors.js'
import type { NodeId } from '../raft/types.js'
import {
  type DropShards,
  encodeShardAck,
  FRAME_SHARD_ACK,
  type PutShard,
  type StoreStatus,
} from '../wire/blob-frames.js'
import { type BlobId, blobName, isSameBlob } from '../wire/manifest.js'
import { openShard, type Shard } from '../wire/shard.js'
import { ByteBudget } from './byte-budget.js'
import { type BlobCluster, isOperating, type WorkOwner } from './cluster.js'
import type { ShardStore } from './shard-store.js'
import type { StateReader } from './state-reader.js'

/** Blobs that came to nothing are remembered while shards of them may still be on their way to the disk. */
const DROPPED_MAX = 1024

/** See the file's comment. */
export class Intake {
  readonly #cluster: BlobCluster
  readonly #store: ShardStore
  readonly #state: StateReader
  readonly #work: WorkOwner
  readonly #budget: ByteBudget
  readonly #dropped = new Set<string>()

  constructor(
    cluster: BlobCluster,
    store: ShardStore,
    state: StateReader,
    work: WorkOwner,
    maxReceivedBytes: number,
  ) {
    this.#cluster = cluster
    this.#store = store
    this.#state = state
    this.#work = work
    this.#budget = new ByteBudget(maxReceivedBytes)
  }

  /** @throws {DecodeError} when it is no shard */
  onPut(from: NodeId, { id, shard: bytes }: PutShard): void {
    const shard = openShard(bytes)
    const refusal = this.#refusalOf(shard)
    if (refusal !== undefined) this.#answer(from, id, refusal)
    else if (!this.#budget.tryTake(bytes.length)) this.#answer(from, id, 'busy')
    else this.#work.own(this.#take(from, id, shard))
  }

  /** Stores a shard that was made here. @throws {StoreError} as ShardStore.append; what the disk fails with */
  async storeOwn(shard: Shard): Promise<void> {
    await this.#store.append(shard)
    this.#forgetIfDropped(shard)
  }

  /** The blob came to nothing, says who made it. */
  onDrop(from: NodeId, { blob, key }: DropShards): void {
    if (from === blob.proposer) this.#work.own(this.drop(blob, key))
  }

  /** Lets go of the shards of a blob that nothing refers to, nor ever will. Never rejects. */
  async drop(id: BlobId, key: Uint8Array): Promise<void> {
    this.#dropped.add(blobName(id))
    if (this.#dropped.size > DROPPED_MAX) {
      const [oldest] = this.#dropped
      this.#dropped.delete(oldest!)
    }
    try {
      const read = await this.#state.manifests([key])
      const [standing] = read?.manifests ?? ['unreadable']
      if (standing === 'unreadable') return
      if (standing !== undefined && isSameBlob(standing.id, id)) return
      for (const shard of this.#store.ofBlob(id)) this.#store.forget(shard)
    } catch (error) {
      this.#work.fail(error)
    }
  }

  async #take(from: NodeId, id: number, shard: Shard): Promise<void> {
    try {
      await this.storeOwn(shard)
      this.#answer(from, id, 'stored')
    } catch (error) {
      if (!isOperating(error)) this.#work.fail(error)
      const isBusy = error instanceof StoreError && error.code === 'QUORATE_OVERLOADED'
      // Whatever the disk says: the shard is not here, and others may do.
      this.#answer(from, id, isBusy ? 'busy' : 'noSpace')
    } finally {
      this.#budget.give(shard.layout.bytes)
    }
  }

  #refusalOf({ head }: Shard): StoreStatus | undefined {
    const { self, clusterId, term, members } = this.#cluster
    const slot = members.slots.get(self)
    // Who has not applied yet that it is a member takes the word of who has.
    const isOwn = slot === undefined || slot === head.index
    if (!isOwn || Buffer.compare(head.clusterId, clusterId) !== 0) return 'refused'
    if (head.id.term < term) return 'refused'
    return this.#cluster.isLow(self) ? 'noSpace' : undefined
  }

  #forgetIfDropped({ head }: Shard): void {
    if (!this.#dropped.has(blobName(head.id))) return
    for (const shard of this.#store.ofBlob(head.id)) this.#store.forget(shard)
  }

  #answer(to: NodeId, id: number, status: StoreStatus): void {
    this.#cluster.send(to, FRAME_SHARD_ACK, [encodeShardAck({ id, status })])
  }
}
