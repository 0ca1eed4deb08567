/**
 * An image as shards: each chunk is cut into parts, each part coded on its own. Parts are numbered through in the order
 * of the chunks and follow from their lengths and k alone, and images are the same bytes everywhere: so each member
 * makes its own shards of its own state, and any k of them are the whole.
 *
 * Invariants:
 *   1. one chunk is in memory at a time
 *   2. what was read is a chunk only if it has the chunk's hash: shards prove what they are shards of, not that the
 *      member that made them had the same state
 */
import { StoreError } from '../base/errors.js'
import type { PartCoder } from '../blob/part-coder.js'
import type { ShardStore } from '../blob/shard-store.js'
import type { ImageManifest } from '../wire/image.js'
import { chunkEntries, hashOf, type ImageChunk } from '../wire/image-chunk.js'
import { type BlobId, blobName, isSameBlob, shardBytes } from '../wire/manifest.js'
import { RETAINED_SHARD_KEY, type RetainedImage, retainedBlob } from '../wire/retained.js'
import { DEFAULT_UNIT_BYTES, type ShardHead, sealShard } from '../wire/shard.js'
import type { Image } from './image.js'
import { largeValueIn } from './large-values.js'

/** The longest body of a shard: on disk and on the wire, never change it. */
const SHARD_BYTES = 524_288

/** A piece of a chunk that is coded on its own. */
export interface ImagePart {
  readonly number: number
  readonly bytes: number
  readonly dataShards: number
  /** Where it begins in its chunk. */
  readonly start: number
}

/** The parts of each of `chunks`, in order. */
export function* partsOf(
  chunks: Iterable<Pick<ImageChunk, 'bytes'>>,
  dataShards: number,
): Generator<readonly ImagePart[], void, undefined> {
  let number = 0
  for (const chunk of chunks) {
    const parts = cut(chunk, dataShards, number)
    number += parts.length
    yield parts
  }
}

function cut({ bytes }: Pick<ImageChunk, 'bytes'>, dataShards: number, first: number): ImagePart[] {
  const most = dataShards * SHARD_BYTES
  const parts: ImagePart[] = []
  for (let start = 0; start < bytes; start += most) {
    const number = first + parts.length
    parts.push({ number, bytes: Math.min(most, bytes - start), dataShards, start })
  }
  return parts
}

/** The head of a shard of a retained image. */
export function headOf(
  image: Pick<RetainedImage, 'index' | 'term'>,
  clusterId: Uint8Array,
  part: ImagePart,
  index: number,
): ShardHead {
  return {
    clusterId,
    id: retainedBlob(image),
    part: part.number,
    index,
    dataShards: part.dataShards,
    partBytes: part.bytes,
    unit: DEFAULT_UNIT_BYTES,
    key: RETAINED_SHARD_KEY,
  }
}

/** Whether `head` is that of the shard of `part` at some index. */
export function isHeadOf(head: ShardHead, wanted: ShardHead): boolean {
  return (
    isSameBlob(head.id, wanted.id) &&
    head.part === wanted.part &&
    head.dataShards === wanted.dataShards &&
    head.partBytes === wanted.partBytes &&
    Buffer.compare(head.key, wanted.key) === 0 &&
    Buffer.compare(head.clusterId, wanted.clusterId) === 0
  )
}

/** Whose shards are made, and where they go. */
export interface ShardMaker {
  readonly image: RetainedImage
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  /** Undefined: none are kept here. */
  readonly slot: number | undefined
  readonly coder: PartCoder
  readonly store: Pick<ShardStore, 'append'>
}

/** What an image was made into. */
export interface CodedImage {
  readonly manifest: ImageManifest
  /** The large values of the state, whose shards are needed as long as it is retained; each once. */
  readonly pins: readonly BlobId[]
}

/**
 * Makes this member's shards of `image` and stores them; they are durable when it resolves.
 * @param paid is called after each chunk with its length; it may wait, and throws to end it
 * @throws {StoreError} as Image.scan and ShardStore.append
 */
export async function codeImage(
  image: Image,
  maker: ShardMaker,
  paid: (bytes: number) => Promise<void>,
): Promise<CodedImage> {
  const pins = new Map<string, BlobId>()
  let next = 0
  const manifest = await image.scan(async (chunk, content) => {
    const bytes = await content()
    notePins(pins, bytes)
    const parts = cut(chunk, maker.image.dataShards, next)
    next += parts.length
    for (const part of parts) await keepShard(maker, bytes, part)
    await paid(chunk.bytes)
  })
  return { manifest, pins: [...pins.values()] }
}

/**
 * Makes this member's shard of a part of a chunk and stores it, unless it is there.
 * @throws {StoreError} QUORATE_CORRUPTION when there is another one: the chunk is not what it was
 */
export async function keepShard(
  { image, clusterId, slot, coder, store }: ShardMaker,
  chunk: Buffer,
  part: ImagePart,
): Promise<void> {
  if (slot === undefined) return
  const head = headOf(image, clusterId, part, slot)
  // Memory of its own: the chunk's is used again.
  const data = Buffer.alloc(part.dataShards * shardBytes(part))
  chunk.copy(data, 0, part.start, part.start + part.bytes)
  const [body] = await coder.shardsOf(data, part, [slot])
  await store.append(sealShard(head, body!))
}

function notePins(pins: Map<string, BlobId>, chunk: Buffer): void {
  for (const [key, value] of chunkEntries(chunk)) {
    const id = largeValueIn(key, value)?.manifest.id
    if (id !== undefined) pins.set(blobName(id), id)
  }
}

/** Somebody who has shards of an image: all at one index. */
export interface ShardGiver {
  readonly index: number
  /** The body of its shard of the part, proven to be that; undefined when it is not to be had. Never rejects. */
  give(part: ImagePart): Promise<Buffer | undefined>
}

/**
 * The bytes of a chunk from the shards of any k of `givers`, those that come first first; who fails is made up for by
 * the next.
 * @throws {StoreError} QUORATE_BLOB_UNREADABLE when there are too few; QUORATE_CORRUPTION when the chunk fails its hash
 */
export async function readChunk(
  chunk: ImageChunk,
  parts: readonly ImagePart[],
  givers: readonly ShardGiver[],
  coder: PartCoder,
): Promise<Buffer> {
  const whole = Buffer.allocUnsafe(chunk.bytes)
  for (const part of parts) {
    const shards = await gather(part, givers)
    const data = await coder.dataOf(shards, part)
    data.copy(whole, part.start)
  }
  if (hashOf(whole) === chunk.hash) return whole
  const message = `chunk ${chunk.hash} of a retained checkpoint fails its hash`
  throw new StoreError('QUORATE_CORRUPTION', message)
}

async function gather(
  part: ImagePart,
  givers: readonly ShardGiver[],
): Promise<{ readonly index: number; readonly body: Buffer }[]> {
  const { dataShards } = part
  const given = new Map<number, Buffer>()
  for (let next = 0; given.size < dataShards && next < givers.length; ) {
    const asked = givers.slice(next, next + dataShards - given.size)
    next += asked.length
    const bodies = await Promise.all(asked.map((giver) => giver.give(part)))
    asked.forEach(({ index }, i) => {
      const body = bodies[i]
      if (body !== undefined) given.set(index, body)
    })
  }
  if (given.size < dataShards) {
    const words = `${given.size} of the ${dataShards} shards needed of part ${part.number}`
    throw new StoreError(
      'QUORATE_BLOB_UNREADABLE',
      `only ${words} of a retained checkpoint are there`,
      {
        retryable: true,
      },
    )
  }
  return [...given].map(([index, body]) => ({ index, body }))
}
