/**
 * Reads a part of a large value, whole or some bytes of it, and makes shards of it anew.
 *
 * Some bytes are had from the shards with the data alone, if those are there and the manifest names their digests;
 * otherwise the part is read whole, from any k shards, and its own digest decides whether it is the part. So nothing is
 * given out, and no shard made, of bytes that the manifest does not vouch for.
 */
import { StoreError } from '../base/errors.js'
import type { Time, TimerHandle } from '../env/time.js'
import { blobName, partDigest, shardBytes } from '../wire/manifest.js'
import { type Shard, sealShard } from '../wire/shard.js'
import { type BlobCluster, ownerOf } from './cluster.js'
import { Gather, type GatherCall, type GatherParts } from './gather.js'
import type { Introduced } from './introduced.js'
import type { PartCache } from './part-cache.js'
import type { PartCoder } from './part-coder.js'
import {
  expectedDigest,
  type GivenShard,
  type PartSource,
  type ShardPlace,
  type ShardSource,
} from './shard-source.js'
import type { StateReader } from './state-reader.js'
import { judge } from './verdict.js'

/** What a reader works with. */
export interface ReaderParts extends GatherParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly source: ShardSource
  readonly coder: PartCoder
  readonly cache: PartCache
  readonly state: StateReader
  readonly introduced: Introduced
}

/** For whom a part is read. */
export type ReadCall = Omit<GatherCall, 'except' | 'isGone'>

/** Bytes `[from, to)` of the body of a data shard. */
interface Stretch {
  readonly index: number
  readonly from: number
  readonly to: number
}

/** See the file's comment. */
export class PartReader {
  readonly #parts: ReaderParts

  constructor(parts: ReaderParts) {
    this.#parts = parts
  }

  /**
   * Bytes `[from, to)` of the part, which may be shared and must not be changed.
   * @throws {StoreError} QUORATE_BLOB_UNREADABLE, QUORATE_BLOB_GONE; what `call.ended` says
   */
  async read(source: PartSource, from: number, to: number, call: ReadCall): Promise<Buffer> {
    const known = this.#parts.cache.get(nameOf(source))
    if (known !== undefined) return known.subarray(from, to)
    const isWhole = to - from === source.part.bytes
    const direct = isWhole ? undefined : await this.#direct(source, from, to)
    return direct ?? (await this.#whole(source, call)).subarray(from, to)
  }

  /** The shard of the part at `index`, made of k others. @throws as `read` */
  async shardAt(source: PartSource, index: number, call: ReadCall): Promise<Shard> {
    const { given, data } = await this.#gather(source, { ...call, except: index })
    this.#parts.cache.put(nameOf(source), data)
    const bodies = given.map((shard) => ({ index: shard.index, body: shard.bytes }))
    const body = await this.#parts.coder.shardFrom(bodies, source.part, index)
    const shard = sealShard({ ...given[0]!.head, index }, body)
    const expected = expectedDigest(source, index)
    if (expected === undefined || shard.digest.equals(expected)) return shard
    const message = `shard ${index} of a large value is not the one that its manifest names`
    throw new StoreError('QUORATE_CORRUPTION', message)
  }

  async #whole(source: PartSource, call: ReadCall): Promise<Buffer> {
    const { data } = await this.#gather(source, { ...call, except: undefined })
    this.#parts.cache.put(nameOf(source), data)
    return data
  }

  /** k shards whose data has the part's digest. */
  async #gather(
    source: PartSource,
    call: Omit<GatherCall, 'isGone'>,
  ): Promise<{ readonly given: readonly GivenShard[]; readonly data: Buffer }> {
    const isGone = async (): Promise<boolean> => (await this.#isGone(source)) === true
    const gather = new Gather(this.#parts, source, { ...call, isGone })
    for (;;) {
      const given = await gather.run()
      if (given === undefined) throw await this.#unreadable(source, gather)
      const shards = given.map(({ index, bytes }) => ({ index, body: bytes }))
      const data = await this.#parts.coder.dataOf(shards, source.part)
      if (partDigest(data).equals(source.part.digest)) return { given, data }
      if (!gather.distrust()) {
        const message = 'the shards of a large value are not the part that its manifest names'
        throw new StoreError('QUORATE_BLOB_UNREADABLE', message)
      }
    }
  }

  /** From the data shards alone; undefined when they are not to be had at once. */
  async #direct(source: PartSource, from: number, to: number): Promise<Buffer | undefined> {
    const places: { readonly place: ShardPlace; readonly stretch: Stretch }[] = []
    for (const stretch of stretchesOf(source, from, to)) {
      const place = this.#placeOf(source, stretch.index)
      if (place === undefined) return undefined
      places.push({ place, stretch })
    }
    const asked = places.map(({ place, stretch }) =>
      this.#parts.source.get(source, place, stretch.from, stretch.to),
    )
    const given = await this.#unlessLate(Promise.all(asked))
    const bytes: Buffer[] = []
    for (const shard of given ?? []) {
      if (typeof shard === 'string') return undefined
      bytes.push(shard.bytes)
    }
    if (given === undefined) return undefined
    return bytes.length === 1 ? bytes[0] : Buffer.concat(bytes)
  }

  #placeOf(source: PartSource, index: number): ShardPlace | undefined {
    const { cluster } = this.#parts
    const node = ownerOf(cluster.members, index)
    if (node === undefined || !cluster.isUp(node)) return undefined
    return expectedDigest(source, index) === undefined ? undefined : { index, node }
  }

  /** What `work` gives; undefined when it takes longer than answers do. */
  async #unlessLate<T>(work: Promise<T>): Promise<T | undefined> {
    const { time, latencies } = this.#parts
    let timer: TimerHandle | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = time.after(latencies.lateMs, () => resolve(undefined))
    })
    try {
      return await Promise.race([work, late])
    } finally {
      time.cancel(timer)
    }
  }

  async #unreadable(source: PartSource, gather: Gather): Promise<StoreError> {
    const isGone = await this.#isGone(source)
    if (isGone === true) {
      const message = 'another value has taken the place of the one that was being read'
      return new StoreError('QUORATE_BLOB_GONE', message, { retryable: true })
    }
    const message = `too few shards of a large value can be had: ${gather.missing}`
    const retryable = gather.mayReturn || isGone === undefined
    return new StoreError('QUORATE_BLOB_UNREADABLE', message, { retryable })
  }

  /** Undefined when the state here may be older than the manifest, and says nothing about it. */
  async #isGone({ key, manifest: { id }, part }: PartSource): Promise<boolean | undefined> {
    const read = await this.#parts.state.manifests([key])
    const [manifest] = read?.manifests ?? []
    if (read === undefined || manifest === 'unreadable') return undefined
    const { applied } = read
    const introducedAt = this.#parts.introduced.indexOf(id)
    const verdict = judge({ id, part: part.number, manifest, applied, introducedAt })
    return verdict === 'wait' ? undefined : verdict === 'dead'
  }
}

/** Where in the data shards bytes `[from, to)` of a part lie. */
function* stretchesOf({ part }: PartSource, from: number, to: number): Generator<Stretch> {
  const length = shardBytes(part)
  for (let index = Math.floor(from / length); index * length < to; index++) {
    const start = index * length
    yield { index, from: Math.max(from, start) - start, to: Math.min(to, start + length) - start }
  }
}

function nameOf({ manifest, part }: PartSource): string {
  return `${blobName(manifest.id)}/${part.number}`
}
