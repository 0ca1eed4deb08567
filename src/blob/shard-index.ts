/**
 * Which shards this member has, and where each of them lies: about half a kilobyte of memory for a blob with one shard,
 * and less for every further one.
 *
 * Invariants:
 *   1. a shard is here once, with the newest place it was written to, and counts as live in that segment only
 *   2. I4: shards of one blob have one cluster and key, those of one part one code, and a name has one digest
 */
import type { BlobId } from '../wire/manifest.js'
import { blobName } from '../wire/manifest.js'
import { type ShardHead, shardLayout } from '../wire/shard.js'
import { recordBytes } from '../wire/shard-segment.js'
import type { Segment } from './shard-segment.js'

/** Names a shard: there is one of each name at most. */
export interface ShardName {
  readonly id: BlobId
  readonly part: number
  readonly index: number
}

/** A shard on this member's disk; a handle that stays good when the shard is moved. */
export interface StoredShard extends ShardHead {
  /** SHARD_DIGEST_BYTES. */
  readonly digest: Buffer
  /** Of the shard with head and footer. */
  readonly bytes: number
  /** Whether it is there still, neither forgotten nor quarantined nor replaced. */
  readonly isStored: boolean
}

/** What the shards of one blob have in common. Texts are bytes as latin1: a Buffer costs a hundred bytes more. */
class BlobEntry {
  readonly id: BlobId
  readonly clusterId: string
  readonly key: string
  /** Ascending by `orderOf`. */
  shards: ShardEntry[]

  constructor({ id, key }: ShardHead, clusterId: string) {
    this.id = id
    this.clusterId = clusterId
    this.key = textOf(key)
    this.shards = NO_SHARDS
  }
}

/** The array of a blob's only shard is made with one place: one that grows from nothing has seventeen. */
const NO_SHARDS: ShardEntry[] = []

/** A shard and its place. Written by ShardIndex only. */
export class ShardEntry implements StoredShard {
  readonly blob: BlobEntry
  readonly part: number
  readonly index: number
  readonly dataShards: number
  readonly partBytes: number
  readonly unit: number
  readonly digestText: string
  /** Undefined when it is not there any more. */
  segment: Segment | undefined
  /** Of its record in the segment. */
  position = 0

  constructor(blob: BlobEntry, head: ShardHead, digest: Uint8Array) {
    this.blob = blob
    this.part = head.part
    this.index = head.index
    this.dataShards = head.dataShards
    this.partBytes = head.partBytes
    this.unit = head.unit
    this.digestText = textOf(digest)
  }

  get id(): BlobId {
    return this.blob.id
  }

  get clusterId(): Buffer {
    return Buffer.from(this.blob.clusterId, 'latin1')
  }

  get key(): Buffer {
    return Buffer.from(this.blob.key, 'latin1')
  }

  get digest(): Buffer {
    return Buffer.from(this.digestText, 'latin1')
  }

  get bytes(): number {
    const { partBytes, dataShards, unit, blob } = this
    return shardLayout({ partBytes, dataShards, unit, key: blob.key }).bytes
  }

  get isStored(): boolean {
    return this.segment !== undefined
  }
}

/** The shards of one member. */
export class ShardIndex {
  readonly #blobs = new Map<string, BlobEntry>()
  /** The same text for all: there is one cluster, or two after a restore. */
  #clusterId = ''
  #count = 0
  #bytes = 0

  /** How many shards there are. */
  get count(): number {
    return this.#count
  }

  /** Of them all, with head and footer. */
  get bytes(): number {
    return this.#bytes
  }

  find({ id, part, index }: ShardName): ShardEntry | undefined {
    const shards = this.#blobs.get(blobName(id))?.shards ?? []
    const entry = shards[placeOf(shards, part, index)]
    return entry?.part === part && entry.index === index ? entry : undefined
  }

  /** The shards of a blob, ascending by part and index. */
  ofBlob(id: BlobId): readonly ShardEntry[] {
    return this.#blobs.get(blobName(id))?.shards.slice() ?? []
  }

  /** All shards, blob by blob; what is added and deleted meanwhile may come or not. */
  *entries(): IterableIterator<ShardEntry> {
    for (const { shards } of this.#blobs.values()) yield* shards.slice()
  }

  /** Why a shard with this head and digest cannot be here together with what is (invariant 2). */
  conflictOf(head: ShardHead, digest: Uint8Array): string | undefined {
    const blob = this.#blobs.get(blobName(head.id))
    if (blob === undefined) return undefined
    if (blob.key !== textOf(head.key) || blob.clusterId !== textOf(head.clusterId)) {
      return 'another key or cluster'
    }
    const at = placeOf(blob.shards, head.part, 0)
    const sibling = blob.shards[at]
    if (sibling?.part !== head.part) return undefined
    const { dataShards, partBytes, unit } = sibling
    if (dataShards !== head.dataShards || partBytes !== head.partBytes || unit !== head.unit) {
      return 'another code'
    }
    const same = this.find(head)
    return same === undefined || same.digestText === textOf(digest) ? undefined : 'another digest'
  }

  /** Notes where a shard lies that must not conflict; of an earlier place nothing is left but dead bytes. */
  place(head: ShardHead, digest: Uint8Array, segment: Segment, position: number): void {
    const entry = this.find(head) ?? this.#add(head, digest)
    this.move(entry, segment, position)
  }

  /** Notes another place of a shard. */
  move(entry: ShardEntry, segment: Segment, position: number): void {
    this.#leave(entry)
    entry.segment = segment
    entry.position = position
    segment.entries.add(entry)
    segment.liveBytes += recordBytes(entry.bytes)
  }

  /** Forgets a shard; one that is not here any more is left alone. */
  delete(entry: ShardEntry): void {
    if (entry.segment === undefined) return
    this.#leave(entry)
    entry.segment = undefined
    const { blob } = entry
    blob.shards.splice(placeOf(blob.shards, entry.part, entry.index), 1)
    if (blob.shards.length === 0) this.#blobs.delete(blobName(blob.id))
    this.#count--
    this.#bytes -= entry.bytes
  }

  #add(head: ShardHead, digest: Uint8Array): ShardEntry {
    const blob = this.#blobs.get(blobName(head.id)) ?? this.#addBlob(head)
    const entry = new ShardEntry(blob, head, digest)
    if (blob.shards.length === 0) blob.shards = [entry]
    else blob.shards.splice(placeOf(blob.shards, entry.part, entry.index), 0, entry)
    this.#count++
    this.#bytes += entry.bytes
    return entry
  }

  #addBlob(head: ShardHead): BlobEntry {
    const clusterId = textOf(head.clusterId)
    if (clusterId !== this.#clusterId) this.#clusterId = clusterId
    const blob = new BlobEntry(head, this.#clusterId)
    this.#blobs.set(blobName(head.id), blob)
    return blob
  }

  #leave(entry: ShardEntry): void {
    const { segment } = entry
    if (segment === undefined) return
    segment.entries.delete(entry)
    segment.liveBytes -= recordBytes(entry.bytes)
  }
}

/** The position in `shards` of the first that is not before this one. */
function placeOf(shards: readonly ShardEntry[], part: number, index: number): number {
  let low = 0
  let high = shards.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (orderOf(shards[middle]!) < orderOf({ part, index })) low = middle + 1
    else high = middle
  }
  return low
}

/** An index is less than 256. */
function orderOf({ part, index }: { readonly part: number; readonly index: number }): number {
  return part * 256 + index
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
