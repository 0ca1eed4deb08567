/**
 * Looks at a log without changing anything: what recovery would find, and where it would stop.
 *
 * The rules are those of recovery.ts. Nobody needs to hold a lock; of a log that is being written the end may be
 * caught in the middle of a write.
 */
import type { Disk, DiskFile } from '../env/disk.js'
import type { Entry, EntryId, HardState, LogIndex } from '../raft/types.js'
import {
  decodeSegmentHeader,
  readFrame,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from '../wire/log-frame.js'
import type { EntryIndex } from './entry-index.js'
import { sortSegments } from './recovery.js'
import { Replay } from './replay.js'
import { type ScannedFrame, SegmentScan } from './scan.js'
import { brokenSegment, corruption, isSpareName, type SegmentName } from './segment.js'

/** One batch of a segment, whole. */
export interface SurveyedBatch {
  readonly batch: number
  readonly start: number
  readonly end: number
  readonly frames: readonly ScannedFrame[]
}

/** One segment as it was found. */
export interface SurveyedSegment {
  readonly path: string
  readonly number: number
  readonly firstIndex: LogIndex
  /** Of the file. */
  readonly bytes: number
  /** Undefined when it is damaged. */
  readonly header: SegmentHeader | undefined
  /** Whole batches from the beginning on, and where they end. */
  readonly batches: number
  readonly end: number
}

/** Something that is not as it should be, and where. */
export interface LogFinding {
  /**
   * `torn`: the last write never finished; `damaged`: acknowledged bytes are gone, the log does not open;
   * `foreign`: another version wrote it.
   */
  readonly kind: 'torn' | 'damaged' | 'foreign'
  readonly path: string
  readonly offset: number
  readonly words: string
}

/** A log as it was found. */
export interface LogSurvey {
  readonly segments: readonly SurveyedSegment[]
  /** As of the last batch before the first damage. */
  readonly hardState: HardState
  readonly previous: EntryId
  readonly lastIndex: LogIndex
  readonly findings: readonly LogFinding[]
  /** Files that are not part of the log: segments that were let go of, spares, torn bytes that were kept. */
  readonly others: readonly string[]
  /** Where each entry stands. */
  readonly index: EntryIndex
}

/** Hears of every whole batch. */
export type BatchListener = (segment: SegmentName, batch: SurveyedBatch) => void

/** Surveys the log in `dir`; undefined when there is none. Reads all of it once, and changes nothing. */
export async function surveyLog(
  disk: Disk,
  dir: string,
  onBatch: BatchListener = () => {},
): Promise<LogSurvey | undefined> {
  const names = (await disk.list(dir)) ?? []
  const { present, leftOver } = sortSegments(dir, names)
  const [oldest] = present
  if (oldest === undefined) return undefined
  const survey = new Survey(disk, new Replay(oldest.firstIndex), onBatch)
  const headers: (SegmentHeader | undefined)[] = []
  for (const name of present) headers.push(await survey.readHeader(name))
  const segments: SurveyedSegment[] = []
  for (const [i, name] of present.entries()) {
    const isNewest = i === present.length - 1
    segments.push(await survey.segment(name, headers[i], isNewest ? 'newest' : headers[i + 1]))
  }
  const { replay, findings } = survey
  if (replay.hole !== undefined && findings.every(({ kind }) => kind === 'torn')) {
    const words = `entries ${replay.previous.index + 1} to ${replay.hole} are missing: a segment is gone`
    findings.push({ kind: 'damaged', path: oldest.path, offset: 0, words })
  }
  const others = [
    ...leftOver.map(({ path }) => path),
    ...names
      .filter((name) => isSpareName(name) || brokenSegment(name) !== undefined)
      .map((name) => `${dir}/${name}`),
  ]
  const { hardState, previous, index } = replay
  return { segments, hardState, previous, lastIndex: index.lastIndex, findings, others, index }
}

/**
 * An entry of a surveyed log; undefined when it is not in it.
 * @throws {StoreError} QUORATE_CORRUPTION
 */
export async function readSurveyed(
  disk: Disk,
  survey: LogSurvey,
  at: LogIndex,
): Promise<Entry | undefined> {
  const place = survey.index.placeOf(at)
  const segment = survey.segments.find(({ number }) => number === place?.segment)
  if (place === undefined || segment === undefined) return undefined
  const { position, bytes } = place
  const memory = Buffer.alloc(bytes)
  await withFile(disk, segment.path, (file) => file.read(memory, position))
  const frame = readFrame(memory, 0, segment.number, position)
  if (frame?.type === 'entry' && frame.entry.index === at) return frame.entry
  throw corruption(segment.path, position, `entry ${at} fails its check`)
}

class Survey {
  readonly replay: Replay
  readonly findings: LogFinding[] = []
  readonly #disk: Disk
  readonly #onBatch: BatchListener
  /** What comes after damage does not add up with what was before it: it is not replayed. */
  #isReplaying = true

  constructor(disk: Disk, replay: Replay, onBatch: BatchListener) {
    this.#disk = disk
    this.replay = replay
    this.#onBatch = onBatch
  }

  async readHeader(name: SegmentName): Promise<SegmentHeader | undefined> {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    await withFile(this.#disk, name.path, (file) => file.read(bytes, 0))
    const header = decodeSegmentHeader(bytes)
    if (header === 'version') {
      this.#find('foreign', name.path, 0, 'it was written by a newer version')
    } else if (header === 'damaged') {
      this.#find('damaged', name.path, 0, 'its header fails its check')
    } else if (header.segment !== name.number || header.firstIndex !== name.firstIndex) {
      this.#find('damaged', name.path, 0, 'its header belongs to another file')
    } else return header
    return undefined
  }

  /** `next` is the header of the successor, if that can be read, which says where this one must end. */
  async segment(
    name: SegmentName,
    header: SegmentHeader | undefined,
    next: SegmentHeader | undefined | 'newest',
  ): Promise<SurveyedSegment> {
    return withFile(this.#disk, name.path, async (file) => {
      const bytes = await file.size()
      const scan = new SegmentScan(file, bytes, name.number)
      this.#isReplaying &&= header !== undefined
      if (header !== undefined && bytes < header.capacity) {
        const words = `it was cut short: it has ${bytes} of ${header.capacity} bytes`
        this.#find('damaged', name.path, bytes, words)
      }
      const previousEnd = next === 'newest' ? undefined : next?.previousEnd
      const { end, batches, check } = await this.#batches(scan, name, previousEnd)
      if (next === 'newest') await this.#checkEnd(scan, name, end, batches)
      else if (next !== undefined && (end !== next.previousEnd || check !== next.previousCheck)) {
        this.#isReplaying = false
        this.#find('damaged', name.path, end, 'a batch fails its checks and later segments exist')
      }
      return { ...name, bytes, header, batches, end }
    })
  }

  async #batches(
    scan: SegmentScan,
    name: SegmentName,
    previousEnd: number | undefined,
  ): Promise<{ end: number; batches: number; check: bigint }> {
    let [end, batches, check] = [SEGMENT_HEADER_BYTES, 0, 0n]
    while (end !== previousEnd) {
      const found = await scan.batchAt(end, batches)
      if (found === undefined) break
      this.#onBatch(name, { batch: batches, start: end, end: found.end, frames: found.frames })
      this.#replay(name, end, found.frames)
      end = found.end
      check = found.check
      batches++
    }
    return { end, batches, check }
  }

  #replay(name: SegmentName, start: number, frames: readonly ScannedFrame[]): void {
    for (const frame of frames) {
      const wrong = this.#isReplaying ? this.replay.apply(name.number, frame) : undefined
      if (wrong === undefined) continue
      this.#isReplaying = false
      this.#find('damaged', name.path, start, wrong)
    }
  }

  async #checkEnd(scan: SegmentScan, name: SegmentName, end: number, batches: number) {
    const { path } = name
    if (batches === 0) {
      this.#find('damaged', path, end, 'its first batch fails its checks')
      return
    }
    const later = await scan.laterBatchAfter(end, batches)
    if (later !== undefined) {
      const words = `a batch fails its checks and a later one is intact at ${later}`
      this.#find('damaged', path, end, words)
      return
    }
    const torn = (await scan.dirtyEnd(end)) - end
    if (torn > 0) this.#find('torn', path, end, `${torn} bytes of a write that never finished`)
  }

  #find(kind: LogFinding['kind'], path: string, offset: number, words: string): void {
    this.findings.push({ kind, path, offset, words })
  }
}

async function withFile<T>(
  disk: Disk,
  path: string,
  use: (file: DiskFile) => Promise<T>,
): Promise<T> {
  const file = await disk.open(path, 'read')
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
