/**
 * A file that shards lie in. Records are appended to the newest segment; a full one is sealed with a table of what it
 * holds, one that a write failed in is left as it is. Neither is written to again.
 *
 * Invariants:
 *   1. everything before `end` is durable
 *   2. `liveBytes` is the sum of the records of `entries`
 *   3. the file is not removed and its handle not closed while somebody reads from it
 */
import type { Disk, DiskFile } from '../env/disk.js'
import { SHARD_SEGMENT_HEADER_BYTES } from '../wire/shard-segment.js'
import type { ShardEntry } from './shard-index.js'

/** `open`: records are appended; `left`: not any more, and it has no table; `sealed`: it has one. */
export type SegmentState = 'open' | 'left' | 'sealed'

/** What is known of a segment from its file. */
export interface SegmentFacts {
  readonly path: string
  /** Counts segments from 1; never the same twice while one of them is there. */
  readonly number: number
  readonly end: number
  readonly state: SegmentState
}

/** Segments with an open file; the one that was used least recently is closed beyond. */
const OPEN_FILES_MAX = 32

const NAME = /^(\d{8,10})\.shards$/

/** The path of a segment in `dir`. */
export function shardSegmentPath(dir: string, number: number): string {
  return `${dir}/${String(number).padStart(8, '0')}.shards`
}

/** The number of the segment with this file name; undefined for other files. */
export function parseShardSegmentName(name: string): number | undefined {
  const match = NAME.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** One file of shards. */
export class Segment {
  readonly path: string
  readonly number: number
  state: SegmentState
  /** The end of its last record. */
  end: number
  /** Of the records of `entries`. */
  liveBytes = 0
  /** The shards whose place is here. */
  readonly entries: Set<ShardEntry> = new Set()
  readonly #files: SegmentFiles

  constructor(files: SegmentFiles, { path, number, end, state }: SegmentFacts) {
    this.#files = files
    this.path = path
    this.number = number
    this.end = end
    this.state = state
  }

  /** Of records that nobody needs any more. */
  get deadBytes(): number {
    return this.end - SHARD_SEGMENT_HEADER_BYTES - this.liveBytes
  }

  /** Lends the file, which stays open meanwhile. */
  use<T>(run: (file: DiskFile) => Promise<T>): Promise<T> {
    return this.#files.use(this.path, run)
  }

  /** Removes the file when its last reader is done. */
  remove(): Promise<void> {
    return this.#files.remove(this.path)
  }
}

interface OpenFile {
  readonly opening: Promise<DiskFile>
  users: number
  /** Called when the last user is gone. */
  readonly whenIdle: (() => void)[]
}

/** The files of all segments of one store that are open for reading. */
export class SegmentFiles {
  readonly #disk: Disk
  /** The one used last comes last. */
  readonly #open = new Map<string, OpenFile>()

  constructor(disk: Disk) {
    this.#disk = disk
  }

  async use<T>(path: string, run: (file: DiskFile) => Promise<T>): Promise<T> {
    const open = this.#take(path)
    try {
      return await run(await open.opening)
    } finally {
      open.users--
      if (open.users === 0) {
        for (const resolve of open.whenIdle.splice(0)) resolve()
        await this.#closeSurplus()
      }
    }
  }

  async remove(path: string): Promise<void> {
    await this.#close(path)
    await this.#disk.remove(path)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((path) => this.#close(path)))
  }

  #take(path: string): OpenFile {
    let open = this.#open.get(path)
    if (open === undefined) {
      const opening = this.#disk.open(path, 'read')
      open = { opening, users: 0, whenIdle: [] }
      // A file that could not be opened is tried again by its next user.
      opening.catch(() => this.#open.delete(path))
    }
    this.#open.delete(path)
    this.#open.set(path, open)
    open.users++
    return open
  }

  async #closeSurplus(): Promise<void> {
    if (this.#open.size <= OPEN_FILES_MAX) return
    for (const [path, { users }] of this.#open) {
      if (users === 0) return this.#close(path)
    }
  }

  async #close(path: string): Promise<void> {
    const open = this.#open.get(path)
    if (open === undefined) return
    if (open.users > 0) {
      await new Promise<void>((resolve) => open.whenIdle.push(resolve))
    }
    if (this.#open.get(path) !== open) return
    this.#open.delete(path)
    await (await open.opening).close()
  }
}
