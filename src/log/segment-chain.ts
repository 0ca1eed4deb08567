/**
 * The files of the log: batches are written to the newest segment, a new one is begun when it is full, old
 * ones are removed. One `write` at a time; the owner sees to it.
 *
 * A segment is complete (length, header and first batch durable) before it gets its name, and the name is durable
 * before anything in it counts. Its header says where its predecessor ends, so nothing needs to be written
 * to a segment that is left (trap T-34).
 */
import { assert } from '../base/assert.js'
import { Durations } from '../base/durations.js'
import type { Disk, DiskFile } from '../env/disk.js'
import type { Time } from '../env/time.js'
import type { Entry, LogIndex } from '../raft/types.js'
import {
  BatchEncoder,
  batchBytes,
  COMMIT_FRAME_BYTES,
  encodeSegmentHeader,
  type LogState,
  SEGMENT_HEADER_BYTES,
  STATE_FRAME_BYTES,
} from '../wire/log-frame.js'
import type { EntryIndex } from './entry-index.js'
import type { LogIdentity, LogOptions } from './raft-log.js'
import { takeCompacted } from './recovery.js'
import { brokenSegment, isNoSpace, type Segment, segmentPath, sparePath } from './segment.js'
import { type SparePlan, SpareSegment } from './spare-segment.js'

/** The first segment: written with its zeros in one go, so that a new log is there within milliseconds. */
const FIRST_SEGMENT_BYTES = 262_144
/** A segment is this many times larger than the one before, up to `segmentBytes`. */
const SEGMENT_GROWTH = 4
/** Preparation of the next segment begins and ends at these shares of the present one. */
const PREPARE_FROM = 0.4
const PREPARE_UNTIL = 0.8

/** A batch that holds a state and no entries: the first of each segment, votes, compaction points. */
const STATE_BATCH_BYTES = STATE_FRAME_BYTES + COMMIT_FRAME_BYTES
/** Entries leave so much of a segment to compaction points, which make room when nothing else can be written. */
const KEPT_BYTES = 2 * STATE_BATCH_BYTES
/** With so many times its size free, a segment is begun before it is filled. */
const AMPLE = 2
/** How long after the disk was full the next segment is tried again. */
const RETRY_MS = 1_000

/** Where a log lives and what its files are like. */
export interface LogPlace {
  readonly disk: Disk
  readonly time: Time
  readonly dir: string
  readonly identity: LogIdentity
  readonly options: LogOptions
}

/** What a batch became. */
export interface WrittenBatch {
  readonly segment: number
  /** Where each entry's frame begins. */
  readonly positions: readonly number[]
}

/** What the files were put through so far. */
export interface ChainCounters {
  writes: number
  fsyncs: number
}

/** The segments of one log, the newest of them open. */
export class SegmentChain {
  readonly counters: ChainCounters = { writes: 0, fsyncs: 0 }
  /** How long durable writes took: one write and one fsync each. */
  readonly writeDurations: Durations = new Durations()
  readonly #place: LogPlace
  readonly #encoder: BatchEncoder
  /** In order, with consecutive numbers. */
  readonly #segments: Segment[]
  #file: DiskFile
  #spare: SpareSegment | undefined
  #spareState: 'none' | 'preparing' | 'noSpace' = 'none'
  #noSpaceAt = 0
  /** Preparing failed for another reason than a full disk: reported by the next write. */
  #spareError: unknown

  private constructor(place: LogPlace, segments: Segment[], file: DiskFile) {
    this.#place = place
    this.#encoder = new BatchEncoder(place.options.maxWriteBytes * 2)
    this.#segments = segments
    this.#file = file
  }

  /** Begins a log in an empty or absent folder. */
  static async create(place: LogPlace, opening: LogState): Promise<SegmentChain> {
    const { disk, dir, options } = place
    await disk.makeDir(dir)
    const capacity = Math.min(FIRST_SEGMENT_BYTES, options.segmentBytes)
    const encoder = new BatchEncoder(options.maxWriteBytes)
    const file = await disk.open(sparePath(dir, 1), 'create')
    const segment = await beginSegment(place, encoder, file, {
      before: undefined,
      capacity,
      opening,
    })
    return new SegmentChain(place, [segment], file)
  }

  /** Continues a recovered log. */
  static async open(place: LogPlace, segments: Segment[]): Promise<SegmentChain> {
    const file = await place.disk.open(segments.at(-1)!.path, 'write')
    return new SegmentChain(place, segments, file)
  }

  get segmentCount(): number {
    return this.#segments.length
  }

  /** Written, without what is only preallocated. */
  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.end, 0)
  }

  /** The last index before the newest segments that hold `bytes` between them; 0 when all hold less. */
  indexBefore(bytes: number): LogIndex {
    let sum = 0
    for (const { end, firstIndex } of this.#segments.toReversed()) {
      sum += end
      if (sum >= bytes) return Math.max(0, firstIndex - 1)
    }
    return 0
  }

  /** How the next segment is coming along; `noSpace`: the disk is too full for it. */
  get spareState(): 'none' | 'preparing' | 'noSpace' {
    return this.#spareState
  }

  /**
   * Whether entries whose frames take `entryBytes` can be written without meeting a full disk; prepares the next
   * segment when they need it. False: wait, and compact meanwhile.
   */
  async makeRoom(entryBytes: number): Promise<boolean> {
    if (this.#spareError !== undefined) throw this.#spareError
    const bytes = entryBytes + STATE_BATCH_BYTES + KEPT_BYTES
    if (this.#newest.end + bytes <= this.#newest.capacity) return true
    const capacity = SEGMENT_HEADER_BYTES + STATE_BATCH_BYTES + bytes
    const planned = Math.max(capacity, this.#spare?.capacity ?? this.#nextCapacity)
    const { disk, dir, options } = this.#place
    const free = await disk.freeBytes(dir)
    if (free >= AMPLE * planned + (options.reserveBytes ?? 0)) return true
    const isReady = await this.#ensureSpare().complete(capacity)
    if (this.#spareError !== undefined) throw this.#spareError
    return isReady
  }

  /** Whether a vote or a compaction point can be written into the present segment. */
  get hasRoomForState(): boolean {
    return this.#newest.end + STATE_BATCH_BYTES <= this.#newest.capacity
  }

  /**
   * Writes `state` and `entries` (whose frames take `entryBytes`) as one batch, durably. `before` is the log as
   * it stands without this batch: a new segment begins with it.
   */
  async write(
    before: LogState,
    state: LogState | undefined,
    entries: readonly Entry[],
    entryBytes: number,
  ): Promise<WrittenBatch> {
    if (this.#spareError !== undefined) throw this.#spareError
    const bytes = batchBytes(state, entryBytes)
    const kept = entries.length > 0 ? KEPT_BYTES : 0
    if (this.#newest.end + bytes + kept > this.#newest.capacity) {
      await this.#beginNext(before, bytes + kept)
    }
    const newest = this.#newest
    const { number, batch, end } = newest
    const encoded = this.#encoder.encode({ segment: number, batch, position: end }, state, entries)
    assert(encoded.bytes === bytes, 'a batch is not as long as was planned')
    const start = this.#place.time.now()
    await this.#file.writeDurable(encoded.parts, end)
    this.writeDurations.record(this.#place.time.now() - start)
    this.counters.writes++
    this.counters.fsyncs++
    newest.end += encoded.bytes
    newest.batch++
    newest.check = encoded.check
    this.#prepareNext()
    return { segment: number, positions: encoded.positions }
  }

  /** Lends the file of a segment; `undefined`, without a call, when the segment was removed. */
  async withSegment<T>(
    number: number,
    use: (file: DiskFile, path: string) => Promise<T>,
  ): Promise<T | undefined> {
    if (number === this.#newest.number) return use(this.#file, this.#newest.path)
    const path = this.#pathOf(number)
    if (path === undefined) return undefined
    let file: DiskFile
    try {
      file = await this.#place.disk.open(path, 'read')
    } catch (error) {
      if (this.#pathOf(number) === undefined) return undefined
      throw error
    }
    try {
      return await use(file, path)
    } finally {
      await file.close()
    }
  }

  /** Removes the segments in which `index` has no entry any more, the oldest first, and what was cut from them. */
  async removeCompacted(index: EntryIndex): Promise<void> {
    const { disk, dir } = this.#place
    const compacted = takeCompacted(this.#segments, index)
    if (compacted.length === 0) return
    for (const segment of compacted) await disk.remove(segment.path)
    const oldest = compacted.at(-1)!.number + 1
    for (const name of (await disk.list(dir)) ?? []) {
      if ((brokenSegment(name) ?? oldest) < oldest) await disk.remove(`${dir}/${name}`)
    }
    await disk.syncDir(dir)
    this.counters.fsyncs++
    if (this.#spareState === 'noSpace') this.#spareState = 'none'
  }

  /** Tries again to prepare the next segment, for which there was no space. */
  prepareAgain(): void {
    if (this.#spareState === 'noSpace') this.#spareState = 'none'
    this.#prepareNext()
  }

  async close(): Promise<void> {
    await this.#spare?.discard()
    await this.#file.close()
  }

  /** Closes the files after a failure and changes nothing on the disk any more. */
  async abandon(): Promise<void> {
    await this.#spare?.abandon()
    await this.#file.close()
  }

  get #newest(): Segment {
    return this.#segments.at(-1)!
  }

  #pathOf(number: number): string | undefined {
    return this.#segments.find((segment) => segment.number === number)?.path
  }

  /** Begins the next segment, with room for a batch of `bytes` however large. */
  async #beginNext(before: LogState, bytes: number): Promise<void> {
    const { disk, dir } = this.#place
    const spare = this.#spare
    const planned = spare?.capacity ?? this.#nextCapacity
    const capacity = Math.max(planned, SEGMENT_HEADER_BYTES + STATE_BATCH_BYTES + bytes)
    let file = await spare?.take()
    if (this.#spareError !== undefined) throw this.#spareError
    this.#spare = undefined
    this.#spareState = 'none'
    if (file === undefined) {
      file = await disk.open(sparePath(dir, this.#newest.number + 1), 'create')
    }
    if ((await file.size()) < capacity) await file.truncate(capacity)
    const segment = await beginSegment(this.#place, this.#encoder, file, {
      before: this.#newest,
      capacity,
      opening: before,
    })
    const left = this.#file
    this.#segments.push(segment)
    this.#file = file
    this.counters.fsyncs += 3
    await left.close()
  }

  get #nextCapacity(): number {
    return Math.min(this.#place.options.segmentBytes, this.#newest.capacity * SEGMENT_GROWTH)
  }

  /** Keeps the preparation of the next segment in step with the filling of this one. */
  #prepareNext(): void {
    const { end, capacity } = this.#newest
    const share = (end / capacity - PREPARE_FROM) / (PREPARE_UNTIL - PREPARE_FROM)
    const isTooEarly = this.#place.time.now() - this.#noSpaceAt < RETRY_MS
    if (share <= 0 || (this.#spareState === 'noSpace' && isTooEarly)) return
    const spare = this.#ensureSpare()
    spare.fillTo(share * spare.capacity)
  }

  #ensureSpare(): SpareSegment {
    const { disk, dir, options } = this.#place
    if (this.#spare !== undefined) return this.#spare
    this.#spareState = 'preparing'
    const plan: SparePlan = {
      path: sparePath(dir, this.#newest.number + 1),
      capacity: this.#nextCapacity,
      reserveBytes: options.reserveBytes ?? 0,
    }
    this.#spare = new SpareSegment(disk, plan, (error) => this.#spareFailed(error))
    return this.#spare
  }

  /** A full disk is no failure yet: the present segment has its space. Anything else is: trap T-31. */
  #spareFailed(error: unknown): void {
    if (!isNoSpace(error)) {
      this.#spareError = error
      return
    }
    this.#spareState = 'noSpace'
    this.#noSpaceAt = this.#place.time.now()
    this.#spare = undefined
  }
}

/** How a segment begins. */
interface SegmentBeginning {
  /** Its predecessor, complete. */
  readonly before: Segment | undefined
  readonly capacity: number
  readonly opening: LogState
}

/** Completes the spare `file` as a segment and gives it its name. */
async function beginSegment(
  place: LogPlace,
  encoder: BatchEncoder,
  file: DiskFile,
  beginning: SegmentBeginning,
): Promise<Segment> {
  const { disk, dir, identity } = place
  const { before, capacity, opening } = beginning
  const number = (before?.number ?? 0) + 1
  const firstIndex = opening.lastIndex + 1
  const header = encodeSegmentHeader({
    clusterId: identity.clusterId,
    nodeId: identity.nodeId,
    segment: number,
    firstIndex,
    capacity,
    previousEnd: before?.end ?? 0,
    previousCheck: before?.check ?? 0n,
  })
  const position = SEGMENT_HEADER_BYTES
  const batch = encoder.encode({ segment: number, batch: 0, position }, opening, [])
  const end = position + batch.bytes
  const zeros = before === undefined ? [Buffer.alloc(capacity - end)] : []
  await file.writeDurable([header, ...batch.parts, ...zeros], 0)
  // Its length, too: from now on a file that is shorter was cut by somebody.
  await file.sync()
  const path = segmentPath(dir, number, firstIndex)
  await disk.rename(sparePath(dir, number), path)
  await disk.syncDir(dir)
  return { path, number, firstIndex, capacity, end, batch: 1, check: batch.check }
}
