/**
 * A backup is a folder that holds one image: its chunks, and its manifest.
 *
 *   <dest>/chunks/<hash>-<bytes>   the chunks (chunk-store.ts)
 *   <dest>/manifest                the manifest; written last, when all the rest is durable
 *
 * Every backup is complete in itself. An incremental one shares the files of an earlier one under second names (hard
 * links), so that only what has changed is written, and any of them may be removed or moved without harm to the
 * others. (A folder that refers to an older one would be worth nothing without it; a folder of many backups would
 * need its own way to remove one.) Where a file system has no second names, the chunk is written again.
 *
 * A folder without a manifest is no backup: it is what an attempt left that was ended, and the next attempt goes on
 * with it. Two attempts at a time must not share a folder.
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import { proveRecord } from '../machine/prove-record.js'
import type { LogIndex } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, encodeManifest, type ImageManifest } from '../wire/image.js'
import type { ImageChunk } from '../wire/image-chunk.js'
import { ChunkStore } from './chunk-store.js'
import { abortedBy, type ChunkContent, type ChunkVisitor } from './image.js'
import { type ChunkReader, visitRecords } from './image-records.js'
import { readWhole, UNFINISHED, writeWhole } from './whole-file.js'

const MANIFEST = 'manifest'
const CHUNKS = 'chunks'
/** A manifest of so many bytes is that of many terabytes. */
const MANIFEST_BYTES_MAX = 512 * 1024 * 1024

/** Chunks are written until so much is under way. */
const WRITING_BYTES_MAX = 4 * 1024 * 1024

/** How far a backup, or its verification, is. */
export interface BackupProgress {
  readonly chunks: number
  readonly bytes: number
}

/** What can be said about making a backup. */
export interface BackupOptions {
  /** The folder of an earlier backup: what has not changed since is shared with it. */
  readonly since?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Called after each chunk. */
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
}

/** What was backed up. */
export interface BackupResult {
  /** The backup holds exactly the entries up to here. */
  readonly index: LogIndex
  /** Of all chunks. */
  readonly bytes: number
  readonly chunksWritten: number
  /** Chunks that were in the earlier backup, or there from an earlier attempt. */
  readonly chunksShared: number
}

/** Where a backup comes from: an Image, or somebody who brings its chunks from elsewhere. */
export interface BackupSource {
  scan(visit: ChunkVisitor, signal?: AbortSignal): Promise<ImageManifest>
}

/**
 * Writes a backup into `dest`, which must not exist, be empty, or hold what is left of an earlier attempt. Durable
 * when it resolves; one that was aborted or failed is no backup. A few chunks are in memory at a time.
 * @throws {StoreError} QUORATE_NOT_EMPTY; QUORATE_ABORTED; QUORATE_CORRUPTION when the state is damaged, or `since`
 *   is no backup. Failures of the disk are the system's own.
 */
export async function writeBackup(
  disk: Disk,
  source: BackupSource,
  dest: string,
  options: BackupOptions,
): Promise<BackupResult> {
  const { since, signal, onProgress } = options
  await refuseOthers(disk, dest)
  const earlier = since === undefined ? undefined : await openBackup(disk, since)
  await disk.makeDir(dest)
  const store = await ChunkStore.open(disk, `${dest}/${CHUNKS}`)
  const writes = new ChunkWrites(store)
  let [written, shared, bytes] = [0, 0, 0]
  const keep = async (chunk: ImageChunk, content: ChunkContent): Promise<void> => {
    if (await isShared(store, earlier?.chunks, chunk)) shared++
    else {
      await writes.add(chunk, await content())
      written++
    }
    bytes += chunk.bytes
    onProgress?.({ chunks: written + shared, bytes })
  }
  const manifest = await source.scan(keep, signal).finally(() => writes.settled())
  writes.throwFailure()
  await store.retain(manifest)
  await store.sync()
  if (signal?.aborted === true) throw abortedBy(signal)
  await writeWhole(disk, `${dest}/${MANIFEST}`, encodeManifest(manifest))
  await disk.syncDir(dest)
  return { index: manifest.index, bytes, chunksWritten: written, chunksShared: shared }
}

/** Chunks on their way to the disk, some at a time: each waits for an fsync of its own. */
class ChunkWrites {
  readonly #store: ChunkStore
  readonly #underWay = new Set<Promise<void>>()
  #bytes = 0
  #failure: { readonly error: unknown } | undefined

  constructor(store: ChunkStore) {
    this.#store = store
  }

  /** Begins to write the chunk, of whose bytes it makes a copy; waits while many are under way. */
  async add(chunk: ImageChunk, bytes: Buffer): Promise<void> {
    this.#bytes += chunk.bytes
    const writing = this.#write(chunk, Buffer.from(bytes)).finally(() => {
      this.#bytes -= chunk.bytes
      this.#underWay.delete(writing)
    })
    this.#underWay.add(writing)
    while (this.#bytes >= WRITING_BYTES_MAX) await Promise.race(this.#underWay)
    this.throwFailure()
  }

  /** Resolves when none is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  /** Throws what the first one that failed threw. */
  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Never rejects. */
  async #write(chunk: ImageChunk, bytes: Buffer): Promise<void> {
    try {
      await this.#store.put(chunk, bytes)
    } catch (error) {
      this.#failure ??= { error }
    }
  }
}

/** Whether the chunk is there already, or could be shared; a copy that rotted is not. */
async function isShared(
  store: ChunkStore,
  earlier: ChunkStore | undefined,
  chunk: ImageChunk,
): Promise<boolean> {
  if (await store.holds(chunk)) return true
  return earlier !== undefined && (await store.linkFrom(earlier, chunk))
}

/** A backup to read from. */
export interface OpenBackup {
  readonly manifest: ImageManifest
  readonly chunks: ChunkStore
}

/** Opens the backup in `dir`; its chunks are checked when they are read. @throws {StoreError} QUORATE_CORRUPTION */
export async function openBackup(disk: Disk, dir: string): Promise<OpenBackup> {
  if (!((await disk.list(dir)) ?? []).includes(MANIFEST)) {
    throw new StoreError('QUORATE_CORRUPTION', `${dir} is no backup: it has no manifest`)
  }
  const path = `${dir}/${MANIFEST}`
  try {
    const manifest = decodeManifest(await readWhole(disk, path, MANIFEST_BYTES_MAX))
    return { manifest, chunks: await ChunkStore.openToRead(disk, `${dir}/${CHUNKS}`) }
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_CORRUPTION', `${path}: ${cause.message}`, { cause })
  }
}

/** Reads chunks of a backup, says how far it is, and ends when it is told to. */
export function readingOf(
  chunks: { read(chunk: ImageChunk): Promise<Buffer> },
  { signal, onProgress }: Omit<BackupOptions, 'since'>,
): ChunkReader {
  let [count, bytes] = [0, 0]
  return async (chunk) => {
    if (signal?.aborted === true) throw abortedBy(signal)
    const content = await chunks.read(chunk)
    count++
    bytes += chunk.bytes
    onProgress?.({ chunks: count, bytes })
    return content
  }
}

/**
 * Reads all of the backup in `dir` and checks every hash, every value and that the whole is one state; changes
 * nothing. Resolves with its manifest.
 * @throws {StoreError} QUORATE_CORRUPTION saying what is damaged; QUORATE_ABORTED
 */
export async function verifyBackup(
  disk: Disk,
  dir: string,
  options: Omit<BackupOptions, 'since'>,
): Promise<ImageManifest> {
  const { manifest, chunks } = await openBackup(disk, dir)
  const read = readingOf(chunks, options)
  await visitRecords(manifest, read, (key, value) => {
    proveRecord(key, value)
    return undefined
  })
  return manifest
}

async function refuseOthers(disk: Disk, dest: string): Promise<void> {
  const names = (await disk.list(dest)) ?? []
  if (names.includes(MANIFEST)) {
    throw new StoreError('QUORATE_NOT_EMPTY', `${dest} holds a backup already`)
  }
  const unfinished = `${MANIFEST}${UNFINISHED}`
  const stray = names.find((name) => name !== CHUNKS && name !== unfinished)
  if (stray !== undefined) {
    throw new StoreError('QUORATE_NOT_EMPTY', `${dest} is not a backup's: it holds ${stray}`)
  }
  if (names.includes(unfinished)) await disk.remove(`${dest}/${unfinished}`)
}
