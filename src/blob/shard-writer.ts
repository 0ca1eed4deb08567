/**
 * Writes shards to disk: group commit into the newest segment. One write is under way at a time; everything that is
 * asked for meanwhile goes into the next one.
 *
 * Invariants:
 *   1. no promise of `write` resolves, and `onDurable` is not called, before the shard and its file's name are durable
 *   2. after a write or sync failed, nothing is written to that segment any more (what of it is on the disk is unknown
 *      from then on); a full disk alone leaves the segment as it was before
 *   3. a segment is sealed, if at all, before the next one is begun
 */
import { StoreError } from '../base/errors.js'
import type { Disk, DiskFile } from '../env/disk.js'
import { isNoSpace } from '../log/segment.js'
import type { Shard } from '../wire/shard.js'
import {
  encodeShardFrame,
  encodeShardSegmentHeader,
  encodeTable,
  paddingOf,
  recordBytes,
  SHARD_SEGMENT_HEADER_BYTES,
} from '../wire/shard-segment.js'
import { Segment, type SegmentFiles, shardSegmentPath } from './shard-segment.js'

/** Settings of a store of shards. */
export interface ShardStoreOptions {
  /** A segment that would become larger is sealed first; a larger shard has one of its own. */
  readonly segmentBytes: number
  /** One write gathers up to so many bytes; a larger shard goes alone. */
  readonly groupBytes: number
  /** What waits to be written; more is QUORATE_OVERLOADED. */
  readonly queueBytes: number
}

/** Called when the shard is durable at this place. */
export type OnDurable = (segment: Segment, position: number) => void

interface Task {
  readonly shard: Shard
  readonly onDurable: OnDurable
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Bounds the memory for the buffers of one write. */
const GROUP_SHARDS_MAX = 128

/** The segment that is written to. */
interface Current {
  readonly segment: Segment
  readonly file: DiskFile
  /** Whether its header is on the disk: it goes with the first group. */
  hasHeader: boolean
}

/** The writing half of a store of shards. */
export class ShardWriter {
  readonly #disk: Disk
  readonly #dir: string
  readonly #options: ShardStoreOptions
  readonly #files: SegmentFiles
  /** Shared with the store; this one adds to it. */
  readonly #segments: Set<Segment>
  #lastNumber: number
  #current: Current | undefined
  readonly #queue: Task[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined

  constructor(
    disk: Disk,
    dir: string,
    options: ShardStoreOptions,
    files: SegmentFiles,
    segments: Set<Segment>,
    lastNumber: number,
  ) {
    this.#disk = disk
    this.#dir = dir
    this.#options = options
    this.#files = files
    this.#segments = segments
    this.#lastNumber = lastNumber
  }

  /** Goes on in a recovered segment. */
  async goOnIn(segment: Segment): Promise<void> {
    const file = await this.#disk.open(segment.path, 'write')
    this.#current = { segment, file, hasHeader: true }
  }

  /**
   * Writes a shard; resolves when it is durable.
   * @throws {StoreError} by rejection: QUORATE_OVERLOADED; else the disk's own error
   */
  write(shard: Shard, onDurable: OnDurable): Promise<void> {
    const { bytes } = shard.layout
    if (this.#queue.length > 0 && this.#queuedBytes + bytes > this.#options.queueBytes) {
      const message = `${this.#queuedBytes} bytes of shards wait to be written already`
      return Promise.reject(new StoreError('QUORATE_OVERLOADED', message, { retryable: true }))
    }
    this.#queuedBytes += bytes
    return new Promise((resolve, reject) => {
      this.#queue.push({ shard, onDurable, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    await this.#running
    await this.#current?.file.close()
    this.#current = undefined
  }

  async #run(): Promise<void> {
    // What is asked for in this turn shares one write.
    await undefined
    try {
      while (this.#queue.length > 0) await this.#writeGroup(this.#takeGroup())
    } catch (error) {
      // A file that could not even be closed: who waits is told, the next one begins another segment.
      this.#rejectQueued(error)
    }
    this.#running = undefined
  }

  #takeGroup(): readonly Task[] {
    let count = 0
    let bytes = 0
    for (const { shard } of this.#queue) {
      bytes += shard.layout.bytes
      if (count > 0 && (bytes > this.#options.groupBytes || count === GROUP_SHARDS_MAX)) break
      count++
    }
    const group = this.#queue.splice(0, count)
    for (const { shard } of group) this.#queuedBytes -= shard.layout.bytes
    return group
  }

  async #writeGroup(group: readonly Task[]): Promise<void> {
    const bytes = group.reduce((sum, { shard }) => sum + recordBytes(shard.layout.bytes), 0)
    let current: Current | undefined
    try {
      current = await this.#currentFor(bytes)
      const positions = await writeRecords(current, group)
      for (const [i, { onDurable }] of group.entries()) onDurable(current.segment, positions[i]!)
      for (const { resolve } of group) resolve()
    } catch (error) {
      try {
        await this.#recover(current, error)
      } finally {
        for (const { reject } of group) reject(error)
      }
    }
  }

  /** After a failed write: what waits would meet the same, but on a full disk a smaller shard may still fit. */
  async #recover(current: Current | undefined, error: unknown): Promise<void> {
    if (current !== undefined && !(isNoSpace(error) && (await cutBack(current)))) {
      await this.#leave(current)
    }
    if (!isNoSpace(error)) this.#rejectQueued(error)
  }

  #rejectQueued(error: unknown): void {
    this.#queuedBytes = 0
    for (const { reject } of this.#queue.splice(0)) reject(error)
  }

  async #currentFor(bytes: number): Promise<Current> {
    const current = this.#current
    if (current !== undefined) {
      const { end } = current.segment
      const isEmpty = end === SHARD_SEGMENT_HEADER_BYTES
      if (isEmpty || end + bytes <= this.#options.segmentBytes) return current
      await sealSegment(current.segment, current.file)
      await this.#leave(current)
    }
    this.#current = await this.#begin()
    return this.#current
  }

  async #leave(current: Current): Promise<void> {
    this.#current = undefined
    if (current.segment.state === 'open') current.segment.state = 'left'
    await current.file.close()
  }

  async #begin(): Promise<Current> {
    const number = ++this.#lastNumber
    const path = shardSegmentPath(this.#dir, number)
    await this.#disk.makeDir(this.#dir)
    const file = await this.#disk.open(path, 'create')
    try {
      await this.#disk.syncDir(this.#dir)
    } catch (error) {
      // An empty file, which the next start removes.
      await file.close()
      throw error
    }
    const end = SHARD_SEGMENT_HEADER_BYTES
    const segment = new Segment(this.#files, { path, number, end, state: 'open' })
    this.#segments.add(segment)
    return { segment, file, hasHeader: false }
  }
}

/** Writes a group behind the last record, durably; gives the position of each record. */
async function writeRecords(current: Current, group: readonly Task[]): Promise<number[]> {
  const { segment, file } = current
  const parts: Uint8Array[] = current.hasHeader ? [] : [encodeShardSegmentHeader(segment.number)]
  const start = current.hasHeader ? segment.end : 0
  const positions: number[] = []
  let position = segment.end
  for (const { shard } of group) {
    const { bytes } = shard.layout
    const place = { segment: segment.number, position, group: segment.end, bytes }
    parts.push(encodeShardFrame(place), ...shard.parts)
    if (paddingOf(bytes) > 0) parts.push(ZEROS.subarray(0, paddingOf(bytes)))
    positions.push(position)
    position += recordBytes(bytes)
  }
  await file.writeDurable(parts, start)
  current.hasHeader = true
  segment.end = position
  return positions
}

const ZEROS = Buffer.alloc(8)

/** Takes back what a full disk let through of a write; false when that does not work either. */
async function cutBack({ segment, file, hasHeader }: Current): Promise<boolean> {
  try {
    await file.truncate(hasHeader ? segment.end : 0)
    await file.sync()
    return true
  } catch {
    // The segment is left then, with whatever is on the disk behind its end: a start looks at it.
    return false
  }
}

/**
 * Ends a segment with the table of its shards, so that a start need not read them. Shards that were forgotten are not
 * in it. When it fails the segment stays as it is: without a table it is read at a start, record by record.
 */
export async function sealSegment(segment: Segment, file: DiskFile): Promise<void> {
  const entries = [...segment.entries].sort((a, b) => a.position - b.position)
  const rows = entries.map((entry) => ({
    position: entry.position,
    digest: entry.digest,
    head: entry,
  }))
  try {
    await file.writeDurable(encodeTable(segment.number, segment.end, rows), segment.end)
    segment.state = 'sealed'
  } catch {
    segment.state = 'left'
  }
}
