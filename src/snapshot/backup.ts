/**
 * A backup is a folder that holds one image: its chunks, and its manifest.
 *
 *   <dest>/chunks/<hash>-<bytes>   the chunks (chunk-store.ts)
 *   <dest>/values/<hash>-<bytes>   the parts of large values, if there are any (large-values.ts)
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
import { ChunkSink, type OnKept } from './chunk-sink.js'
import { type ChunkName, ChunkStore } from './chunk-store.js'
import { abortedBy, type ChunkVisitor } from './image.js'
import { visitRecords } from './image-records.js'
import {
  keepLargeValues,
  type LargeReader,
  largeValueIn,
  largeValuesOf,
  proveLargeValue,
} from './large-values.js'
import { readWhole, UNFINISHED, writeWhole } from './whole-file.js'

const MANIFEST = 'manifest'
const CHUNKS = 'chunks'
const VALUES = 'values'
/** A manifest of so many bytes is that of many terabytes. */
const MANIFEST_BYTES_MAX = 512 * 1024 * 1024

/** How far a backup, or its verification, is; parts of large values count as chunks. */
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
  /** Of all chunks, those of large values included. */
  readonly bytes: number
  readonly chunksWritten: number
  /** Chunks that were in the earlier backup, or there from an earlier attempt. */
  readonly chunksShared: number
}

/** Where a backup comes from: an Image, or somebody who brings its chunks from elsewhere. */
export interface BackupSource {
  scan(visit: ChunkVisitor, signal?: AbortSignal): Promise<ImageManifest>
  /** Brings the bytes of its large values; undefined: nobody can. */
  readonly fetch?: LargeReader
  /** Nothing more is asked of it. */
  end?(): Promise<void>
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
  const { since, signal } = options
  await refuseOthers(disk, dest)
  const earlier = since === undefined ? undefined : await openBackup(disk, since)
  await disk.makeDir(dest)
  const tally = new Tally(options)
  const manifest = await bring(disk, source, dest, { earlier, tally, signal }).finally(() =>
    source.end?.(),
  )
  if (signal?.aborted === true) throw abortedBy(signal)
  await writeWhole(disk, `${dest}/${MANIFEST}`, encodeManifest(manifest))
  await disk.syncDir(dest)
  return { index: manifest.index, ...tally.sums }
}

/** Brings everything but the manifest to `dest`, durably. */
async function bring(
  disk: Disk,
  source: BackupSource,
  dest: string,
  to: {
    readonly earlier: OpenBackup | undefined
    readonly tally: Tally
    readonly signal: AbortSignal | undefined
  },
): Promise<ImageManifest> {
  const { earlier, tally, signal } = to
  const { onKept } = tally
  const sink = await ChunkSink.open(disk, `${dest}/${CHUNKS}`, earlier?.chunks, onKept)
  const manifest = await source
    .scan((chunk, content) => sink.keep(chunk, content), signal)
    .finally(() => sink.settled())
  await sink.finish(manifest.chunks)
  const values = largeValuesOf(manifest, (chunk) => sink.store.read(chunk))
  const about = { earlier: earlier?.values, onKept, signal }
  await keepLargeValues(disk, `${dest}/${VALUES}`, values, source.fetch, about)
  return manifest
}

/** Counts the chunks of a backup, and says how far it is. */
class Tally {
  readonly #options: Pick<BackupOptions, 'onProgress'>
  #written = 0
  #shared = 0
  #bytes = 0

  constructor(options: Pick<BackupOptions, 'onProgress'>) {
    this.#options = options
  }

  get sums(): Omit<BackupResult, 'index'> {
    return { bytes: this.#bytes, chunksWritten: this.#written, chunksShared: this.#shared }
  }

  readonly onKept: OnKept = ({ bytes }, how) => {
    if (how === 'written') this.#written++
    else this.#shared++
    this.#bytes += bytes
    this.#options.onProgress?.({ chunks: this.#written + this.#shared, bytes: this.#bytes })
  }
}

/** A backup to read from. */
export interface OpenBackup {
  readonly manifest: ImageManifest
  readonly chunks: ChunkStore
  /** The parts of its large values. */
  readonly values: ChunkStore
}

/** Opens the backup in `dir`; its chunks are checked when they are read. @throws {StoreError} QUORATE_CORRUPTION */
export async function openBackup(disk: Disk, dir: string): Promise<OpenBackup> {
  if (!((await disk.list(dir)) ?? []).includes(MANIFEST)) {
    throw new StoreError('QUORATE_CORRUPTION', `${dir} is no backup: it has no manifest`)
  }
  const path = `${dir}/${MANIFEST}`
  try {
    const manifest = decodeManifest(await readWhole(disk, path, MANIFEST_BYTES_MAX))
    const [chunks, values] = await Promise.all(
      [CHUNKS, VALUES].map((name) => ChunkStore.openToRead(disk, `${dir}/${name}`)),
    )
    return { manifest, chunks: chunks!, values: values! }
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_CORRUPTION', `${path}: ${cause.message}`, { cause })
  }
}

/** Reads chunks, and parts of large values. */
export type PartReader = (chunk: ChunkName) => Promise<Buffer>

/** Reads from the folders of a backup, says how far it is, and ends when it is told to. */
export function readingOf({
  signal,
  onProgress,
}: Omit<BackupOptions, 'since'>): (store: Pick<ChunkStore, 'read'>) => PartReader {
  let [count, bytes] = [0, 0]
  return (store) => async (chunk) => {
    if (signal?.aborted === true) throw abortedBy(signal)
    const content = await store.read(chunk)
    count++
    bytes += chunk.bytes
    onProgress?.({ chunks: count, bytes })
    return content
  }
}

/** A backup that was read as a whole. */
export interface ProvenBackup {
  readonly manifest: ImageManifest
  readonly largeValues: number
}

/**
 * Reads all of the backup in `dir` and checks every hash, every value and that the whole is one state; changes
 * nothing.
 * @throws {StoreError} QUORATE_CORRUPTION saying what is damaged; QUORATE_ABORTED
 */
export async function verifyBackup(
  disk: Disk,
  dir: string,
  options: Omit<BackupOptions, 'since'>,
): Promise<ProvenBackup> {
  const { manifest, chunks, values } = await openBackup(disk, dir)
  const reading = readingOf(options)
  const readPart = reading(values)
  let largeValues = 0
  await visitRecords(manifest, reading(chunks), (key, value) => {
    proveRecord(key, value)
    const large = largeValueIn(key, value)
    if (large === undefined) return undefined
    largeValues++
    return proveLargeValue(large, readPart)
  })
  return { manifest, largeValues }
}

async function refuseOthers(disk: Disk, dest: string): Promise<void> {
  const names = (await disk.list(dest)) ?? []
  if (names.includes(MANIFEST)) {
    throw new StoreError('QUORATE_NOT_EMPTY', `${dest} holds a backup already`)
  }
  const unfinished = `${MANIFEST}${UNFINISHED}`
  const stray = names.find((name) => name !== CHUNKS && name !== VALUES && name !== unfinished)
  if (stray !== undefined) {
    throw new StoreError('QUORATE_NOT_EMPTY', `${dest} is not a backup's: it holds ${stray}`)
  }
  if (names.includes(unfinished)) await disk.remove(`${dest}/${unfinished}`)
}
