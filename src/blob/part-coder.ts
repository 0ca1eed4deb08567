/**
 * Makes the shards of a part, and the part, or a shard of it, of any k of them. The shards lie in memory that is shared
 * with the part's data as far as they can.
 *
 * One operation at a time: a thread of the pool is enough for hundreds of megabytes in a second, and the others are for
 * the disk. What comes in is not verified here: a damaged shard is an erasure, never an input (I8).
 */

import type { Backend } from '../erasure/backend.js'
import { Codec } from '../erasure/codec.js'
import { type BlobPart, shardBytes } from '../wire/manifest.js'

/** Codes kept: one for each k and highest index in use. */
const CODECS_MAX = 32

/** A shard of a part with its place in the code. */
export interface IndexedShard {
  readonly index: number
  readonly body: Buffer
}

/** See the file's comment. */
export class PartCoder {
  readonly #choose: () => Backend
  readonly #inlineBytesMax: number | undefined
  #backend: Backend | undefined
  readonly #codecs = new Map<number, Codec>()
  #last: Promise<void> = Promise.resolve()

  /** @param choose is called when the first part is coded: it computes for some milliseconds */
  constructor(choose: () => Backend, inlineBytesMax: number | undefined) {
    this.#choose = choose
    this.#inlineBytesMax = inlineBytesMax
  }

  /**
   * The shards of `data` at `indexes`, in their order; they view `data`, which must not change afterwards.
   * @param data of a part of `bytes`, filled up with zeros to whole shards
   */
  async shardsOf(
    data: Buffer,
    part: Pick<BlobPart, 'bytes' | 'dataShards'>,
    indexes: readonly number[],
  ): Promise<Buffer[]> {
    const { dataShards } = part
    const length = shardBytes(part)
    const made = new Map<number, Buffer>()
    for (let index = 0; index < dataShards; index++) {
      made.set(index, data.subarray(index * length, (index + 1) * length))
    }
    const parity = indexes.filter((index) => index >= dataShards)
    await this.#compute(made, dataShards, length, parity)
    return indexes.map((index) => made.get(index)!)
  }

  /** The data of a part from k of its shards, in memory of its own unless one shard has it all. */
  async dataOf(
    shards: readonly IndexedShard[],
    part: Pick<BlobPart, 'bytes' | 'dataShards'>,
  ): Promise<Buffer> {
    const { bytes, dataShards } = part
    if (dataShards === 1) return shards[0]!.body.subarray(0, bytes)
    const length = shardBytes(part)
    const data = Buffer.allocUnsafe(dataShards * length)
    const known = new Map(shards.map(({ index, body }) => [index, body]))
    const lost: number[] = []
    for (let index = 0; index < dataShards; index++) {
      const place = data.subarray(index * length, (index + 1) * length)
      const body = known.get(index)
      if (body === undefined) lost.push(index)
      else body.copy(place)
      known.set(index, place)
    }
    if (lost.length > 0) await this.#rebuild(known, dataShards, lost)
    return data.subarray(0, bytes)
  }

  /** The shard at `index` from k others. */
  async shardFrom(
    shards: readonly IndexedShard[],
    part: Pick<BlobPart, 'bytes' | 'dataShards'>,
    index: number,
  ): Promise<Buffer> {
    const known = new Map(shards.map((shard) => [shard.index, shard.body]))
    await this.#compute(known, part.dataShards, shardBytes(part), [index])
    return known.get(index)!
  }

  /** Adds the shards at `wanted`. */
  async #compute(
    known: Map<number, Buffer>,
    dataShards: number,
    length: number,
    wanted: readonly number[],
  ): Promise<void> {
    if (wanted.length === 0) return
    if (dataShards === 1) {
      const [body] = known.values()
      for (const index of wanted) known.set(index, body!)
      return
    }
    for (const index of wanted) known.set(index, Buffer.allocUnsafe(length))
    await this.#rebuild(known, dataShards, wanted)
  }

  /** Fills the shards at `wanted`, whose memory is in `shards` already. */
  #rebuild(
    shards: ReadonlyMap<number, Buffer>,
    dataShards: number,
    wanted: readonly number[],
  ): Promise<void> {
    const codec = this.#codecOf(dataShards, Math.max(...shards.keys()) + 1)
    const all = Array.from({ length: codec.dataShards + codec.parityShards }, (_, index) =>
      shards.get(index),
    )
    const work = this.#last.then(() => codec.rebuild(all, wanted))
    this.#last = work.then(
      () => undefined,
      // Whoever asked for it hears of it.
      () => undefined,
    )
    return work
  }

  #codecOf(dataShards: number, shards: number): Codec {
    const parityShards = Math.max(0, shards - dataShards)
    const name = dataShards * 256 + parityShards
    const known = this.#codecs.get(name)
    if (known !== undefined) return known
    this.#backend ??= this.#choose()
    const inlineBytesMax = this.#inlineBytesMax
    const codec = new Codec(this.#backend, {
      dataShards,
      parityShards,
      ...(inlineBytesMax !== undefined && { inlineBytesMax }),
    })
    if (this.#codecs.size >= CODECS_MAX) this.#codecs.clear()
    this.#codecs.set(name, codec)
    return codec
  }
}
