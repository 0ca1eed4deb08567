/**
 * Gets one shard, or some bytes of it, from this member's disk or from another member, and believes nothing of it that
 * is not proven: the head must be that of the shard that was asked for, its digest the one in the manifest where that
 * names one, each block its sum (I5). What fails is an erasure.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { type BlobPart, isSameBlob, type Manifest } from '../wire/manifest.js'
import {
  blockPlace,
  openPiece,
  type ShardHead,
  type ShardPiece,
  type ShardProof,
} from '../wire/shard.js'
import { type BlobCluster, isOperating } from './cluster.js'
import type { Latencies } from './latencies.js'
import { blocksOf, type ShardAsks } from './shard-asks.js'
import type { StoredShard } from './shard-index.js'
import type { ShardStore } from './shard-store.js'

/** A part that is to be read. */
export interface PartSource {
  readonly key: Uint8Array
  readonly manifest: Manifest
  readonly part: BlobPart
}

/** Where a shard is to be had. */
export interface ShardPlace {
  readonly index: number
  readonly node: NodeId
}

/** Bytes of a shard that are what was asked for. */
export interface GivenShard {
  readonly index: number
  readonly head: ShardHead
  readonly bytes: Buffer
  /** Whether the manifest names its digest: else it is only known to be what its maker took it for. */
  readonly isProven: boolean
}

/** `lost`: it is not there. `away`: it may be had later. */
export type NotGiven = 'lost' | 'away'

/** What a source works with. */
export interface SourceParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly store: ShardStore
  readonly asks: ShardAsks
  readonly latencies: Latencies
  /** A shard on this member's disk is damaged: it is not in use any more. */
  onDamaged(shard: StoredShard): void
}

/** See the file's comment. */
export class ShardSource {
  readonly #parts: SourceParts

  constructor(parts: SourceParts) {
    this.#parts = parts
  }

  /** Bytes `[from, to)` of the body of the shard at `place`. */
  async get(
    source: PartSource,
    place: ShardPlace,
    from: number,
    to: number,
  ): Promise<GivenShard | NotGiven> {
    if (place.node === this.#parts.cluster.self) return this.#fromDisk(source, place, from, to)
    const { asks, time, latencies } = this.#parts
    const { manifest, part } = source
    const { index } = place
    const since = time.now()
    const ask = { blob: manifest.id, part: part.number, index, from, to }
    const piece = await asks.ask(place.node, ask)
    if (piece === undefined || piece.status === 'busy') return 'away'
    latencies.record(time.now() - since)
    if (piece.status === 'missing') return 'lost'
    return this.#opened(source, index, piece, from, to) ?? 'lost'
  }

  async #fromDisk(
    source: PartSource,
    { index }: ShardPlace,
    from: number,
    to: number,
  ): Promise<GivenShard | NotGiven> {
    const { store } = this.#parts
    const name = { id: source.manifest.id, part: source.part.number, index }
    const shard = store.find(name)
    if (shard === undefined) return 'lost'
    const { fromBlock, toBlock } = blocksOf(shard, from, to)
    try {
      const piece = await store.read(name, fromBlock, toBlock)
      if (piece === undefined) return 'lost'
      const given = this.#opened(source, index, piece, from, to)
      if (given !== undefined) return given
    } catch (error) {
      if (!isOperating(error)) throw error
      // The disk does not give it now; whether it is lost finds the scrub, which asks again.
      return error instanceof StoreError ? 'lost' : 'away'
    }
    this.#parts.onDamaged(shard)
    return 'lost'
  }

  #opened(
    source: PartSource,
    index: number,
    piece: ShardPiece,
    from: number,
    to: number,
  ): GivenShard | undefined {
    let proof: ShardProof
    try {
      proof = openPiece(piece)
    } catch (error) {
      if (error instanceof DecodeError) return undefined
      throw error
    }
    if (!isShardOf(proof, source, index, this.#parts.cluster.clusterId)) return undefined
    const expected = expectedDigest(source, index)
    if (expected !== undefined && !proof.digest.equals(expected)) return undefined
    const { unit } = proof.head
    const blocks = Buffer.from(piece.blocks.buffer, piece.blocks.byteOffset, piece.blocks.length)
    const count = Math.ceil(blocks.length / unit)
    const { headBytes } = proof.layout
    const has = blockPlace(proof.layout, unit, piece.firstBlock, piece.firstBlock + count)
    if (has.start - headBytes > from || has.end - headBytes < to) return undefined
    const at = from - (has.start - headBytes)
    const bytes = blocks.subarray(at, at + to - from)
    return { index, head: proof.head, bytes, isProven: expected !== undefined }
  }
}

/** The digest that the shard at `index` has by the manifest; undefined when it was made for nobody of that slot. */
export function expectedDigest(
  { manifest, part }: PartSource,
  index: number,
): Uint8Array | undefined {
  const position = manifest.members.findIndex(({ slot }) => slot === index)
  return part.digests[position]
}

function isShardOf(
  { head }: ShardProof,
  { key, manifest, part }: PartSource,
  index: number,
  clusterId: Uint8Array,
): boolean {
  return (
    isSameBlob(head.id, manifest.id) &&
    head.part === part.number &&
    head.index === index &&
    head.dataShards === part.dataShards &&
    head.partBytes === part.bytes &&
    Buffer.compare(head.key, key) === 0 &&
    Buffer.compare(head.clusterId, clusterId) === 0
  )
}
