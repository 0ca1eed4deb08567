/**
 * Opens what a crash left of a log: everything acknowledged, or an error; nothing invented, nothing dropped
 * quietly.
 *
 * All segments but the newest must be whole up to where their successor says they end. In the newest one the
 * first batch that fails its checks ends the log: either it is the one write that was under way when the
 * process or the machine died (torn: cut off), or it was whole once, which an intact frame of a later batch
 * proves (damage of acknowledged data: refused; trap T-32).
 */
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Disk, DiskFile, OpenMode } from '../env/disk.js'
import type { EntryId, HardState } from '../raft/types.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from '../wire/log-frame.js'
import type { EntryIndex } from './entry-index.js'
import type { LogIdentity } from './raft-log.js'
import { Replay } from './replay.js'
import { SegmentScan } from './scan.js'
import {
  brokenPath,
  brokenSegment,
  corruption,
  isNoSpace,
  isSpareName,
  parseSegmentName,
  type Segment,
  type SegmentName,
} from './segment.js'

const COPY_BYTES = 1_048_576

/** A log as it was found, made ready to be continued. */
export interface Recovery {
  /** In order; the newest is the last and is written on. */
  readonly segments: Segment[]
  readonly index: EntryIndex
  readonly hardState: HardState
  readonly previous: EntryId
  /** Bytes of an unfinished write that were cut off. */
  readonly tornBytes: number
}

/** A segment as it was found; `batchStart` is where its last batch begins. */
interface FoundSegment extends Segment {
  batchStart: number
}

/** Recovers the log in `dir`; `undefined` when there is none. Reads all of it once. */
export async function recover(
  disk: Disk,
  dir: string,
  identity: LogIdentity,
): Promise<Recovery | undefined> {
  const names = (await disk.list(dir)) ?? []
  const spares = names.filter(isSpareName).map((name) => `${dir}/${name}`)
  const { present, leftOver } = sortSegments(dir, names)
  const [oldest] = present
  if (oldest === undefined) {
    await removeFiles(disk, dir, spares)
    return undefined
  }
  const headers: SegmentHeader[] = []
  for (const name of present) headers.push(await readHeader(disk, name, identity))
  const replay = new Replay(oldest.firstIndex)
  const segments: FoundSegment[] = []
  for (const [i, name] of present.entries()) {
    segments.push(await replaySegment(disk, name, headers[i]!, headers[i + 1], replay))
  }
  checkWhole(replay, oldest)
  const tornBytes = await settleNewest(disk, dir, segments.at(-1)!)
  const compacted = takeCompacted(segments, replay.index)
  const broken = names
    .filter((name) => (brokenSegment(name) ?? oldest.number) < oldest.number)
    .map((name) => `${dir}/${name}`)
  const unneeded = [...leftOver, ...compacted].map((segment) => segment.path)
  await removeFiles(disk, dir, [...spares, ...unneeded, ...broken])
  const { index, hardState, previous } = replay
  return { segments, index, hardState, previous, tornBytes }
}

/**
 * Takes the segments that hold nothing of the log any more out of `segments` and returns them. The newest one
 * stays. Only from the front: what is left must have consecutive numbers.
 */
export function takeCompacted(segments: Segment[], index: EntryIndex): Segment[] {
  const newest = segments.at(-1)!.number
  const oldestNeeded = index.oldestSegment ?? newest
  return segments.splice(
    0,
    segments.findIndex((segment) => segment.number >= oldestNeeded),
  )
}

/**
 * The newest segments with consecutive numbers, in order. Segments before a gap are left over from a
 * compaction whose removals did not all survive a power cut; `checkWhole` makes sure of it.
 */
export function sortSegments(
  dir: string,
  names: readonly string[],
): { present: SegmentName[]; leftOver: SegmentName[] } {
  const all = names
    .map((name) => parseSegmentName(dir, name))
    .filter((name) => name !== undefined)
    .sort((a, b) => a.number - b.number)
  let first = all.length
  while (first > 0 && (first === all.length || all[first - 1]!.number + 1 === all[first]!.number)) {
    first--
  }
  return { present: all.slice(first), leftOver: all.slice(0, first) }
}

async function readHeader(
  disk: Disk,
  name: SegmentName,
  identity: LogIdentity,
): Promise<SegmentHeader> {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  await withFile(disk, name.path, 'read', (file) => file.read(bytes, 0))
  const header = decodeSegmentHeader(bytes)
  if (header === 'version') {
    throw new StoreError('QUORATE_FORMAT', `${name.path} was written by a newer version`)
  }
  if (header === 'damaged') throw corruption(name.path, 0, 'its header fails its check')
  if (!equalBytes(header.clusterId, identity.clusterId)) {
    throw new StoreError('QUORATE_WRONG_CLUSTER', `${name.path} belongs to another cluster`)
  }
  if (header.nodeId !== identity.nodeId) {
    throw new StoreError(
      'QUORATE_WRONG_MEMBER',
      `${name.path} belongs to member ${header.nodeId}, not ${identity.nodeId}`,
    )
  }
  if (header.segment !== name.number || header.firstIndex !== name.firstIndex) {
    throw corruption(name.path, 0, 'its header belongs to another file')
  }
  return header
}

/** Replays one segment; `next` is the header of its successor, which says where it must end. */
async function replaySegment(
  disk: Disk,
  name: SegmentName,
  header: SegmentHeader,
  next: SegmentHeader | undefined,
  replay: Replay,
): Promise<FoundSegment> {
  const segment: FoundSegment = {
    ...name,
    capacity: header.capacity,
    batchStart: 0,
    end: SEGMENT_HEADER_BYTES,
    batch: 0,
    check: 0n,
  }
  await withFile(disk, name.path, 'read', async (file) => {
    const size = await file.size()
    if (size < header.capacity) {
      throw corruption(name.path, size, `it was cut short: it has ${header.capacity} bytes`)
    }
    const scan = new SegmentScan(file, size, name.number)
    while (segment.end !== next?.previousEnd) {
      const found = await scan.batchAt(segment.end, segment.batch)
      if (found === undefined) break
      for (const frame of found.frames) {
        const wrong = replay.apply(name.number, frame)
        if (wrong !== undefined) throw corruption(name.path, segment.end, wrong)
      }
      segment.batchStart = segment.end
      segment.end = found.end
      segment.batch++
      segment.check = found.check
    }
    if (next === undefined) await checkNewestEnd(scan, segment)
    else if (segment.end !== next.previousEnd || segment.check !== next.previousCheck) {
      throw corruption(name.path, segment.end, 'a batch fails its checks and later segments exist')
    }
  })
  return segment
}

async function checkNewestEnd(scan: SegmentScan, newest: Segment): Promise<void> {
  const { path, end, batch } = newest
  // The first batch was durable before the segment got its name.
  if (batch === 0) throw corruption(path, end, 'its first batch fails its checks')
  const later = await scan.laterBatchAfter(end, batch)
  if (later === undefined) return
  throw corruption(path, end, `a batch fails its checks and a later one is intact at ${later}`)
}

function checkWhole(replay: Replay, oldest: SegmentName): void {
  const { previous, hole } = replay
  if (hole === undefined) return
  const why = `entries ${previous.index + 1} to ${hole} are missing: a segment is gone`
  throw corruption(oldest.path, 0, why)
}

/**
 * Makes the newest segment certain, and returns how many torn bytes were cut off. Its last batch may so far
 * be only in the system's cache (the process died before its fsync returned, or because it failed): it is
 * written once more. Torn bytes go to a file of their own, then zeros take their place, so that no later
 * write can be followed by them (trap T-33).
 */
async function settleNewest(disk: Disk, dir: string, newest: FoundSegment): Promise<number> {
  const { path, number, end } = newest
  const from = newest.batch === 1 ? 0 : newest.batchStart
  return withFile(disk, path, 'write', async (file) => {
    const last = Buffer.allocUnsafe(end - from)
    await file.read(last, from)
    await file.writeDurable([last], from)
    const dirtyEnd = await new SegmentScan(file, await file.size(), number).dirtyEnd(end)
    if (dirtyEnd > end) await keepBroken(disk, file, brokenPath(path, end), end, dirtyEnd)
    await disk.syncDir(dir)
    await overwriteWithZeros(file, end, dirtyEnd)
    return dirtyEnd - end
  })
}

/** Copies torn bytes for inspection. On a full disk there is no copy: nothing of it was ever acknowledged. */
async function keepBroken(
  disk: Disk,
  source: DiskFile,
  path: string,
  start: number,
  end: number,
): Promise<void> {
  await removeIfPresent(disk, path)
  try {
    await withFile(disk, path, 'create', async (target) => {
      for (let at = start; at < end; at += COPY_BYTES) {
        const bytes = Buffer.alloc(Math.min(COPY_BYTES, end - at))
        await source.read(bytes, at)
        await target.writeDurable([bytes], at - start)
      }
    })
  } catch (error) {
    if (!isNoSpace(error)) throw error
    await removeIfPresent(disk, path)
  }
}

async function overwriteWithZeros(file: DiskFile, start: number, end: number): Promise<void> {
  const zeros = Buffer.alloc(Math.min(COPY_BYTES, end - start))
  for (let at = start; at < end; at += zeros.length) {
    await file.writeDurable([zeros.subarray(0, end - at)], at)
  }
}

async function removeFiles(disk: Disk, dir: string, paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return
  for (const path of paths) await disk.remove(path)
  await disk.syncDir(dir)
}

async function removeIfPresent(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}

async function withFile<T>(
  disk: Disk,
  path: string,
  mode: OpenMode,
  use: (file: DiskFile) => Promise<T>,
): Promise<T> {
  const file = await disk.open(path, mode)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
