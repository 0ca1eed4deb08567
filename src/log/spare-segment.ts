/**
 * The file that becomes the next segment, filled with zeros before it is needed: writes into it then need no
 * new space and no metadata, so they are faster and cannot meet a full disk.
 *
 * It is filled as the log grows rather than at once, so that it never competes with commits, and stands
 * outside the log until it is renamed: a failure here is a failure only when it is told so. It is not begun, nor
 * extended, when less than the reserve would be left to others.
 */
import type { Disk, DiskFile } from '../env/disk.js'
import { isNoSpace } from './segment.js'

const CHUNK_BYTES = 1_048_576
const ZEROS = Buffer.alloc(CHUNK_BYTES)

/** What a spare segment is to be. */
export interface SparePlan {
  readonly path: string
  /** Planned bytes. */
  readonly capacity: number
  /** Free space that must be left when it is there. */
  readonly reserveBytes: number
}

/** One file in preparation. */
export class SpareSegment {
  readonly path: string
  readonly #disk: Disk
  readonly #reserveBytes: number
  readonly #onFailure: (error: unknown) => void
  #capacity: number
  #file: DiskFile | undefined
  /** The length that the file was given. */
  #length = 0
  #filled = 0
  #wanted = 0
  #filling: Promise<void> | undefined
  #isTaken = false
  #hasFailed = false

  /** `onFailure` is called at most once; the file is of no use afterwards. A full disk also removes it. */
  constructor(disk: Disk, plan: SparePlan, onFailure: (error: unknown) => void) {
    this.#disk = disk
    this.path = plan.path
    this.#capacity = plan.capacity
    this.#reserveBytes = plan.reserveBytes
    this.#onFailure = onFailure
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Fills the file up to `bytes` in the background, one chunk at a time. */
  fillTo(bytes: number): void {
    this.#wanted = Math.max(this.#wanted, Math.min(bytes, this.#capacity))
    if (
      this.#filling !== undefined ||
      this.#isTaken ||
      this.#hasFailed ||
      this.#filled >= this.#wanted
    )
      return
    this.#filling = this.#fill()
  }

  /** Fills all of the file, for a segment of at least `bytes`; false when that failed. */
  async complete(bytes: number): Promise<boolean> {
    this.#capacity = Math.max(this.#capacity, bytes)
    this.fillTo(this.#capacity)
    await this.#filling
    return !this.#hasFailed
  }

  /** Ends the preparation and gives the file, as far as it is filled; `undefined` when there is none. */
  async take(): Promise<DiskFile | undefined> {
    this.#isTaken = true
    await this.#filling
    return this.#hasFailed ? undefined : this.#file
  }

  /** Ends the preparation and removes the file. */
  async discard(): Promise<void> {
    this.#isTaken = true
    await this.#filling
    if (!this.#hasFailed) await this.#remove()
  }

  /** Ends the preparation and changes nothing on the disk any more. */
  async abandon(): Promise<void> {
    this.#isTaken = true
    await this.#filling
    await this.#file?.close()
  }

  async #fill(): Promise<void> {
    try {
      while (this.#filled < this.#wanted && !this.#isTaken) {
        const file = await this.#atFullLength()
        const chunk = ZEROS.subarray(0, Math.min(CHUNK_BYTES, this.#capacity - this.#filled))
        await file.writeDurable([chunk], this.#filled)
        this.#filled += chunk.length
      }
    } catch (error) {
      await this.#fail(error)
    } finally {
      this.#filling = undefined
    }
  }

  async #atFullLength(): Promise<DiskFile> {
    if (this.#file !== undefined && this.#length === this.#capacity) return this.#file
    const capacity = this.#capacity
    const free = await this.#disk.freeBytes(folderOf(this.path))
    if (free < capacity - this.#length + this.#reserveBytes) throw noSpaceLeft(this.path, free)
    this.#file ??= await this.#disk.open(this.path, 'create')
    await this.#file.truncate(capacity)
    this.#length = capacity
    return this.#file
  }

  /** Never rejects: one failure or the other is told. */
  async #fail(error: unknown): Promise<void> {
    this.#hasFailed = true
    try {
      // What was reserved in vain is needed elsewhere.
      if (isNoSpace(error)) await this.#remove()
      this.#onFailure(error)
    } catch (worse) {
      this.#onFailure(worse)
    }
  }

  async #remove(): Promise<void> {
    if (this.#file === undefined) return
    await this.#file.close()
    await this.#disk.remove(this.path)
    this.#file = undefined
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** What the system would say if all of it were asked for. */
function noSpaceLeft(path: string, free: number): Error {
  const message = `ENOSPC: ${free} bytes free are too few to prepare ${path}`
  return Object.assign(new Error(message), { code: 'ENOSPC' })
}
