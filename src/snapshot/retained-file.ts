/**
 * What a member knows of a retained checkpoint beside its shards: the manifest of the image, and the large values that
 * it refers to. The same bytes on every member; one file each.
 *
 *   <dir>/<index>   8 magic "QuorRet\n" | u32 version = 1 | u64 index | u64 term | u8 dataShards | u8 0
 *                   | u32 manifestBytes | u32 pins | manifest (wire/image.ts)
 *                   | (u64 term | u64 proposer | u64 seq) * | u64 XXH64 of everything before
 *
 * Integers are little-endian. On disk and on the wire: never change the meaning of a number here.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { LogIndex, Term } from '../raft/types.js'
import { checksum } from '../wire/checksum.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, encodeManifest, type ImageManifest } from '../wire/image.js'
import { BLOB_ID_BYTES, type BlobId, blobName, readBlobId, writeBlobId } from '../wire/manifest.js'
import type { RetainedImage } from '../wire/retained.js'
import { readWhole, writeWhole } from './whole-file.js'

/** A file of more bytes is none that any member wrote: the image would have petabytes. */
export const RETAINED_FILE_BYTES_MAX: number = 512 * 1024 * 1024

const MAGIC = 'QuorRet\n'
const VERSION = 1
const HEADER_BYTES = 38
const SUM_BYTES = 8

/** What a retained checkpoint consists of. */
export interface RetainedFile {
  readonly index: LogIndex
  readonly term: Term
  readonly dataShards: number
  readonly manifest: ImageManifest
  /** Names of the large values in it. */
  readonly pins: ReadonlySet<string>
  /** The file. */
  readonly bytes: Buffer
}

/** Describes the image that was made of the state. */
export function describeRetained(
  { index, term, dataShards }: RetainedImage,
  manifest: ImageManifest,
  pins: readonly BlobId[],
): RetainedFile {
  const encoded = encodeManifest(manifest)
  const pinsAt = HEADER_BYTES + encoded.length
  const bytes = Buffer.alloc(pinsAt + pins.length * BLOB_ID_BYTES + SUM_BYTES)
  bytes.write(MAGIC, 'latin1')
  bytes.writeUInt32LE(VERSION, 8)
  writeU64(bytes, index, 12)
  writeU64(bytes, term, 20)
  bytes[28] = dataShards
  bytes.writeUInt32LE(encoded.length, 30)
  bytes.writeUInt32LE(pins.length, 34)
  bytes.set(encoded, HEADER_BYTES)
  pins.forEach((id, i) => {
    writeBlobId(bytes, id, pinsAt + i * BLOB_ID_BYTES)
  })
  bytes.writeBigUInt64LE(checksum(bytes.subarray(0, -SUM_BYTES)), bytes.length - SUM_BYTES)
  return { index, term, dataShards, manifest, pins: new Set(pins.map(blobName)), bytes }
}

/** @throws {DecodeError} when it is damaged, of another version, or does not add up */
export function decodeRetainedFile(bytes: Buffer): RetainedFile {
  const isOne = bytes.length >= HEADER_BYTES + SUM_BYTES && bytes.toString('latin1', 0, 8) === MAGIC
  if (!isOne) throw new DecodeError('not the description of a retained checkpoint')
  const version = bytes.readUInt32LE(8)
  if (version !== VERSION)
    throw new DecodeError(`retained checkpoint of unknown version ${version}`)
  const end = bytes.length - SUM_BYTES
  if (checksum(bytes.subarray(0, end)) !== bytes.readBigUInt64LE(end)) {
    throw new DecodeError('the description of a retained checkpoint fails its checksum')
  }
  const pinsAt = HEADER_BYTES + bytes.readUInt32LE(30)
  const pins = bytes.readUInt32LE(34)
  const [index, term, dataShards] = [readU64(bytes, 12), readU64(bytes, 20), bytes[28]!]
  const isWhole = pinsAt + pins * BLOB_ID_BYTES === end && dataShards > 0
  if (!isWhole || index === undefined || term === undefined) {
    throw new DecodeError('the description of a retained checkpoint does not add up')
  }
  const manifest = decodeManifest(bytes.subarray(HEADER_BYTES, pinsAt))
  if (manifest.index !== index || manifest.term !== term) {
    throw new DecodeError('the description of a retained checkpoint is of another one')
  }
  const names = Array.from({ length: pins }, (_, i) =>
    blobName(readBlobId(bytes, pinsAt + i * BLOB_ID_BYTES)),
  )
  return { index, term, dataShards, manifest, pins: new Set(names), bytes }
}

/** The folder of the descriptions. */
export class RetainedFolder {
  readonly #disk: Disk
  readonly #dir: string

  constructor(disk: Disk, dir: string) {
    this.#disk = disk
    this.#dir = dir
  }

  /** Those that are there and whole; the others are removed. */
  async load(): Promise<RetainedFile[]> {
    const files: RetainedFile[] = []
    for (const name of (await this.#disk.list(this.#dir)) ?? []) {
      const path = `${this.#dir}/${name}`
      const file = await this.#read(path)
      if (file !== undefined && name === String(file.index)) files.push(file)
      else await this.#disk.remove(path)
    }
    return files
  }

  /** Durable when it resolves. */
  async write({ index, bytes }: RetainedFile): Promise<void> {
    await this.#disk.makeDir(this.#dir)
    await writeWhole(this.#disk, `${this.#dir}/${index}`, bytes)
    await this.#disk.syncDir(this.#dir)
  }

  async remove({ index }: RetainedFile): Promise<void> {
    await this.#disk.remove(`${this.#dir}/${index}`)
  }

  async #read(path: string): Promise<RetainedFile | undefined> {
    try {
      return decodeRetainedFile(await readWhole(this.#disk, path, RETAINED_FILE_BYTES_MAX))
    } catch (error) {
      // Anything else is not a damaged file: the disk's own errors are for the caller.
      if (error instanceof DecodeError || error instanceof StoreError) return undefined
      throw error
    }
  }
}
