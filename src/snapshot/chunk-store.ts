/**
 * Chunks on disk, one file each, named by hash and length: what a member has received of an image, and what a backup
 * consists of. Content-addressed, so what is there serves any manifest that names it, also after a restart.
 *
 * A file gets its name when its bytes are durable: whatever a power cut leaves under a chunk's name is the whole
 * chunk. That it still is, is checked by each `read`; one that is not is dropped.
 *
 *   <dir>/<16 hexadecimal digits>-<bytes>       a chunk
 *   <dir>/<16 hexadecimal digits>-<bytes>.new   one being written; removed at `open`
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { ImageManifest } from '../wire/image.js'
import { hashOf, type ImageChunk } from '../wire/image-chunk.js'
import { readWhole, UNFINISHED, writeWhole } from './whole-file.js'

/** What a chunk is called; its first key is not part of its name. */
export type ChunkName = Pick<ImageChunk, 'hash' | 'bytes'>

const NAME = /^([0-9a-f]{16})-(0|[1-9][0-9]{0,8})$/
/** What a file system answers that cannot give a file a second name there. */
const UNLINKABLE: ReadonlySet<string> = new Set(['EXDEV', 'EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'])

/** A folder of chunks; see the file's comment. Holds no file open between calls. */
export class ChunkStore {
  readonly #disk: Disk
  readonly #dir: string
  readonly #names: Set<string>
  readonly #writing = new Map<string, Promise<void>>()

  /** Opens or creates the folder `dir`; what was being written when the process ended is removed. */
  static async open(disk: Disk, dir: string): Promise<ChunkStore> {
    await disk.makeDir(dir)
    const names = (await disk.list(dir)) ?? []
    for (const name of names) if (name.endsWith(UNFINISHED)) await disk.remove(`${dir}/${name}`)
    return new ChunkStore(disk, dir, names)
  }

  /** The folder `dir` to read from, which is left as it is; empty when there is none. */
  static async openToRead(disk: Disk, dir: string): Promise<ChunkStore> {
    return new ChunkStore(disk, dir, (await disk.list(dir)) ?? [])
  }

  private constructor(disk: Disk, dir: string, names: readonly string[]) {
    this.#disk = disk
    this.#dir = dir
    this.#names = new Set(names.filter((name) => NAME.test(name)))
  }

  has(chunk: ChunkName): boolean {
    return this.#names.has(nameOf(chunk))
  }

  /** The chunks of `manifest` that are not here, in order. */
  missing(manifest: ImageManifest): ImageChunk[] {
    return manifest.chunks.filter((chunk) => !this.has(chunk))
  }

  /**
   * Keeps `bytes`, which must not change until it settles; one fsync, none when it is here already. The file is
   * durable when it settles, its name after `sync`.
   * @throws {StoreError} QUORATE_CORRUPTION when the bytes are not the chunk's
   */
  async put(chunk: ChunkName, bytes: Uint8Array): Promise<void> {
    requireContent(chunk, bytes, 'the chunk that came')
    const name = nameOf(chunk)
    if (this.#names.has(name)) return
    const writing = this.#writing.get(name) ?? this.#begin(name, bytes)
    await writing
  }

  /**
   * The chunk's bytes.
   * @throws {StoreError} QUORATE_CORRUPTION when it is not here, or is damaged: then it is gone from here, too
   */
  async read(chunk: ChunkName): Promise<Buffer> {
    const name = nameOf(chunk)
    const path = this.#path(name)
    if (!this.#names.has(name)) throw new StoreError('QUORATE_CORRUPTION', `${path} is missing`)
    try {
      const bytes = await readWhole(this.#disk, path, chunk.bytes)
      requireContent(chunk, bytes, path)
      return bytes
    } catch (error) {
      if (error instanceof StoreError) this.#names.delete(name)
      throw error
    }
  }

  /**
   * Takes over the chunk from another folder of the same file system, without writing its bytes again; false when
   * `other` has no whole copy of it, or the file system cannot do that.
   */
  async linkFrom(other: ChunkStore, chunk: ChunkName): Promise<boolean> {
    if (!(await other.holds(chunk))) return false
    const name = nameOf(chunk)
    if (this.#names.has(name)) return true
    try {
      await this.#disk.link(other.#path(name), this.#path(name))
    } catch (error) {
      if (UNLINKABLE.has(String((error as { code?: unknown }).code))) return false
      throw error
    }
    this.#names.add(name)
    return true
  }

  /** Whether the chunk is here and whole: reads all of it. */
  async holds(chunk: ChunkName): Promise<boolean> {
    if (!this.has(chunk)) return false
    try {
      await this.read(chunk)
      return true
    } catch (error) {
      if (error instanceof StoreError) return false
      throw error
    }
  }

  /** Makes the names of all chunks durable. */
  async sync(): Promise<void> {
    await this.#disk.syncDir(this.#dir)
  }

  /** Removes every chunk but these. */
  async retain(wanted: readonly ChunkName[]): Promise<void> {
    const names = new Set(wanted.map(nameOf))
    for (const name of this.#names) {
      if (names.has(name)) continue
      this.#names.delete(name)
      await this.#disk.remove(this.#path(name))
    }
  }

  #begin(name: string, bytes: Uint8Array): Promise<void> {
    const writing = this.#write(name, bytes).finally(() => this.#writing.delete(name))
    this.#writing.set(name, writing)
    return writing
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    await writeWhole(this.#disk, this.#path(name), bytes)
    this.#names.add(name)
  }

  #path(name: string): string {
    return `${this.#dir}/${name}`
  }
}

/** The file name of a chunk. */
export function nameOf({ hash, bytes }: ChunkName): string {
  return `${hash}-${bytes}`
}

function requireContent(chunk: ChunkName, bytes: Uint8Array, what: string): void {
  if (bytes.length !== chunk.bytes || hashOf(bytes) !== chunk.hash) throw damaged(what)
}

function damaged(what: string): StoreError {
  return new StoreError('QUORATE_CORRUPTION', `${what} is damaged: it fails its hash`)
}
