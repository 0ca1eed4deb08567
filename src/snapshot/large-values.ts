/**
 * The large values that an image refers to. An image has their manifests; a backup has their bytes, too: each part of
 * each value as a chunk, named by hash and length, which are those that its manifest says.
 *
 * Not its shards: they are bound to the cluster that made them, and what a backup is restored to is another one.
 */
import { asBuffer, compareBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import { CODED_PREFIX, DATA_PREFIX, prefixed } from '../machine/key-space.js'
import { isCodedRecord, readStoredValue } from '../machine/stored-value.js'
import type { ImageManifest } from '../wire/image.js'
import { chunkEntries, type ImageChunk } from '../wire/image-chunk.js'
import { type BlobPart, decodeManifest, encodeManifest, type Manifest } from '../wire/manifest.js'
import { ChunkSink, type OnKept } from './chunk-sink.js'
import type { ChunkName, ChunkStore } from './chunk-store.js'
import { abortedBy } from './image.js'
import type { ChunkReader } from './image-records.js'

/** A large value of an image. */
export interface LargeValue {
  readonly key: Buffer
  readonly manifest: Manifest
}

/** Which bytes of a large value are wanted. */
export interface LargeRange {
  readonly key: Uint8Array
  /** Encoded; of some of the value's parts. */
  readonly manifest: Uint8Array
  /** In the bytes of these parts, from `start` up to and without `end`. */
  readonly start: number
  readonly end: number
  readonly signal: AbortSignal | undefined
}

/** Brings bytes from `start` on, at least one and as many as it can at once. @throws {StoreError} */
export type LargeReader = (range: LargeRange) => Promise<Uint8Array>

/** So many bytes are asked for at a time. */
const FETCH_BYTES = 1_048_576
/** A part of more bytes is none that any member wrote. */
const PART_BYTES_MAX = 512 * 1024 * 1024

/** What a part is called among the chunks of a backup. */
export function chunkOf({ digest, bytes }: BlobPart): ChunkName {
  const hash = asBuffer(digest).readBigUInt64LE().toString(16).padStart(16, '0')
  return { hash, bytes }
}

/** The large value in a record of the database; undefined in most. @throws {StoreError} QUORATE_CORRUPTION */
export function largeValueIn(databaseKey: Uint8Array, bytes: Uint8Array): LargeValue | undefined {
  if (databaseKey[0] !== DATA_PREFIX || !isCodedRecord(bytes)) return undefined
  const key = asBuffer(databaseKey).subarray(1)
  const { value, isCoded } = readStoredValue(key, asBuffer(bytes))
  return isCoded ? { key, manifest: decodeManifest(value) } : undefined
}

/**
 * All large values of an image, in key order; views what `read` brings. Reads the chunks that list them, and those that
 * have them: of an image without any, none.
 */
export async function* largeValuesOf(
  { chunks }: Pick<ImageManifest, 'chunks'>,
  read: ChunkReader,
): AsyncGenerator<LargeValue, void, undefined> {
  // The keys of a chunk begin with the same byte.
  const data = chunks.filter(({ firstKey }) => firstKey[0] === DATA_PREFIX)
  let at = 0
  let wanted = new Set<string>()
  for (const listing of chunks.filter(({ firstKey }) => firstKey[0] === CODED_PREFIX)) {
    for (const [listed] of chunkEntries(await read(listing))) {
      const key = prefixed(DATA_PREFIX, listed.subarray(1))
      const home = chunkWith(data, key, at)
      if (home !== at) {
        yield* valuesIn(data[at], wanted, read)
        wanted = new Set()
        at = home
      }
      wanted.add(key.toString('latin1'))
    }
  }
  yield* valuesIn(data[at], wanted, read)
}

/** The one of `chunks`, `from` or a later one, that has `key` if any has. */
function chunkWith(chunks: readonly ImageChunk[], key: Buffer, from: number): number {
  let at = from
  while (at + 1 < chunks.length && compareBytes(chunks[at + 1]!.firstKey, key) <= 0) at++
  return at
}

async function* valuesIn(
  chunk: ImageChunk | undefined,
  wanted: ReadonlySet<string>,
  read: ChunkReader,
): AsyncGenerator<LargeValue, void, undefined> {
  if (chunk === undefined || wanted.size === 0) return
  for (const [key, bytes] of chunkEntries(await read(chunk))) {
    const value = wanted.has(key.toString('latin1')) ? largeValueIn(key, bytes) : undefined
    if (value !== undefined) yield value
  }
}

/**
 * Writes every part of `values` into the folder `dir`, which has nothing else afterwards, and is not there when there
 * is no value. One part is in memory at a time, and what is being written.
 * @throws {StoreError} QUORATE_BLOB_UNREADABLE and whatever else `fetch` throws; QUORATE_ABORTED
 */
export async function keepLargeValues(
  disk: Disk,
  dir: string,
  values: AsyncIterable<LargeValue>,
  fetch: LargeReader | undefined,
  {
    earlier,
    onKept,
    signal,
  }: {
    readonly earlier: ChunkStore | undefined
    readonly onKept: OnKept
    readonly signal: AbortSignal | undefined
  },
): Promise<void> {
  let sink: ChunkSink | undefined
  const kept: ChunkName[] = []
  try {
    for await (const { key, manifest } of values) {
      for (const part of manifest.parts) {
        sink ??= await ChunkSink.open(disk, dir, earlier, onKept)
        const chunk = chunkOf(part)
        kept.push(chunk)
        await sink.keep(chunk, () => fetchPart(fetch, { key, manifest }, part, signal))
      }
    }
  } finally {
    await sink?.settled()
  }
  if (sink === undefined) await disk.removeDir(dir)
  else await sink.finish(kept)
}

async function fetchPart(
  fetch: LargeReader | undefined,
  { key, manifest }: LargeValue,
  part: BlobPart,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const { bytes } = part
  if (fetch === undefined || bytes > PART_BYTES_MAX) throw unreadable(key)
  const alone = encodeManifest({ ...manifest, bytes, parts: [part] })
  const whole = Buffer.allocUnsafe(bytes)
  for (let start = 0; start < bytes; ) {
    if (signal?.aborted === true) throw abortedBy(signal)
    const end = Math.min(bytes, start + FETCH_BYTES)
    const piece = await fetch({ key, manifest: alone, start, end, signal })
    if (piece.length === 0 || piece.length > end - start) throw unreadable(key)
    whole.set(piece, start)
    start += piece.length
  }
  return whole
}

/** Reads all parts of a large value of a backup. @throws {StoreError} QUORATE_CORRUPTION naming its key */
export async function proveLargeValue(
  { key, manifest }: LargeValue,
  read: (chunk: ChunkName) => Promise<Buffer>,
): Promise<void> {
  for (const part of manifest.parts) {
    try {
      await read(chunkOf(part))
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'QUORATE_CORRUPTION') throw cause
      const message = `the value under ${shown(key)}: ${cause.message}`
      throw new StoreError('QUORATE_CORRUPTION', message, { cause })
    }
  }
}

function unreadable(key: Uint8Array): StoreError {
  const message = `the bytes of the large value under ${shown(key)} are not to be had here`
  return new StoreError('QUORATE_BLOB_UNREADABLE', message)
}

function shown(key: Uint8Array): string {
  return `key 0x${Buffer.from(key.subarray(0, 64)).toString('hex')}`
}
