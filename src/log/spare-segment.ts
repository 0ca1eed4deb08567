/**
 * The file that becomes the next segment, filled with zeros before it is needed: writes into it then need no
 * new space and no metadata, so they are faster and cannot meet a full disk.
 *
 * It is filled as the log grows rather than at once, so that it never competes with commits, and stands
 * outside the log until it is renamed: a failure here is a failure only when it is told so.
 */
import type { Disk, DiskFile } from '../env/disk.js'
import { isNoSpace } from './segment.js'

const CHUNK_BYTES = 1_048_576
const ZEROS = Buffer.alloc(CHUNK_BYTES)

/** One file in preparation. */
export class SpareSegment {
  readonly path: string
  readonly capacity: number
  readonly #disk: Disk
  readonly #onFailure: (error: unknown) => void
  #file: DiskFile | undefined
  #filled = 0
  #wanted = 0
  #filling: Promise<void> | undefined
  #isTaken = false
  #hasFailed = false

  /** `onFailure` is called at most once; the file is of no use afterwards. A full disk also removes it. */
  constructor(disk: Disk, path: string, capacity: number, onFailure: (error: unknown) => void) {
    this.#disk = disk
    this.path = path
    this.capacity = capacity
    this.#onFailure = onFailure
  }

  /** Fills the file up to `bytes` in the background, one chunk at a time. */
  fillTo(bytes: number): void {
    this.#wanted = Math.max(this.#wanted, Math.min(bytes, this.capacity))
    if (
      this.#filling !== undefined ||
      this.#isTaken ||
      this.#hasFailed ||
      this.#filled >= this.#wanted
    )
      return
    this.#filling = this.#fill()
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
      if (this.#file === undefined) {
        this.#file = await this.#disk.open(this.path, 'create')
        await this.#file.truncate(this.capacity)
      }
      while (this.#filled < this.#wanted && !this.#isTaken) {
        const chunk = ZEROS.subarray(0, Math.min(CHUNK_BYTES, this.capacity - this.#filled))
        await this.#file.writeDurable([chunk], this.#filled)
        this.#filled += chunk.length
      }
    } catch (error) {
      await this.#fail(error)
    } finally {
      this.#filling = undefined
    }
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
