/**
 * What a start finds of the shards on disk. A sealed segment is known by its table. Of any other every record is
 * verified, its last write is written once more, and it gets its table now; only the newest may go on as it is.
 *
 * Why the last write is written again: it may so far be in the system's cache only, because the process died before
 * its sync returned, or because the sync failed. What a start has found must not be lost later (the log does the same).
 *
 * A damaged record counts as missing and is named; so does a whole file that cannot be read, which is left alone.
 */
import { StoreError } from '../base/errors.js'
import type { Disk, DiskFile } from '../env/disk.js'
import { DecodeError } from '../wire/command.js'
import {
  checkShardSegmentHeader,
  decodeTable,
  readTableEnd,
  SHARD_SEGMENT_HEADER_BYTES,
  TABLE_END_BYTES,
  type TableRow,
} from '../wire/shard-segment.js'
import { type Damage, type ScannedSegment, scanSegment } from './shard-scan.js'
import { parseShardSegmentName, type SegmentFacts, shardSegmentPath } from './shard-segment.js'

/** A segment as it was found. */
export interface RecoveredSegment extends SegmentFacts {
  readonly rows: readonly TableRow[]
}

/** Bytes of the shards that are not what was written. */
export interface ShardDamage extends Damage {
  readonly path: string
}

/** What a folder of shards holds. */
export interface RecoveredShards {
  /** Ascending by number; `open`: nothing is wrong with it, records may be appended if it is the last. */
  readonly segments: readonly RecoveredSegment[]
  /** Of segments that are there in whatever state; 0 for none. */
  readonly lastNumber: number
  readonly damage: readonly ShardDamage[]
  /** Of writes that never finished, cut off. */
  readonly tornBytes: number
}

/** A table is read in one go if it is no larger, together with the end of the file. */
const TAIL_BYTES = 262_144
const COPY_BYTES = 4_194_304

/**
 * Reads what is in `dir`, which need not exist, and makes sure that it stays there.
 * @throws {StoreError} QUORATE_FORMAT for what a newer version wrote; else the disk's own error
 */
export async function recoverShards(disk: Disk, dir: string): Promise<RecoveredShards> {
  const names = (await disk.list(dir)) ?? []
  const numbers = names.flatMap((name) => parseShardSegmentName(name) ?? []).sort((a, b) => a - b)
  const segments: RecoveredSegment[] = []
  const damage: ShardDamage[] = []
  let tornBytes = 0
  for (const number of numbers) {
    const path = shardSegmentPath(dir, number)
    const found = await recoverSegment(disk, path, number)
    damage.push(...found.damage.map((fault) => ({ ...fault, path })))
    tornBytes += found.tornBytes
    if (found.segment !== undefined) segments.push(found.segment)
  }
  // The names of files that were begun before the crash may not be durable yet.
  if (segments.some(({ state }) => state !== 'sealed')) await disk.syncDir(dir)
  return { segments, lastNumber: numbers.at(-1) ?? 0, damage, tornBytes }
}

interface FoundSegment {
  readonly segment: RecoveredSegment | undefined
  readonly damage: readonly Damage[]
  readonly tornBytes: number
}

async function recoverSegment(disk: Disk, path: string, number: number): Promise<FoundSegment> {
  const file = await disk.open(path, 'write')
  try {
    const size = await file.size()
    const found = await readSegment(file, path, number, size)
    if (found === 'unreadable') return UNREADABLE
    if (found.type === 'sealed') return { ...NOTHING, segment: found.segment }
    const { scanned, isHeaderSound } = found
    const { rows, end, damage, lastGroup, hasGaps } = scanned
    const tornBytes = Math.max(0, size - Math.max(end, lastGroup))
    if (rows.length === 0) {
      await disk.remove(path)
      return { segment: undefined, damage, tornBytes }
    }
    await makeCertain(file, size, scanned)
    // With another write behind it a gap would look like damage.
    const state = isHeaderSound && !hasGaps ? 'open' : 'left'
    return { segment: { path, number, end, state, rows }, damage, tornBytes }
  } finally {
    await file.close()
  }
}

const NOTHING: FoundSegment = { segment: undefined, damage: [], tornBytes: 0 }
const UNREADABLE: FoundSegment = {
  ...NOTHING,
  damage: [
    {
      position: 0,
      reason: 'the disk cannot read this file: all that is in it is missing',
      shard: undefined,
    },
  ],
}

type ReadSegment =
  | { readonly type: 'sealed'; readonly segment: RecoveredSegment }
  | { readonly type: 'scanned'; readonly scanned: ScannedSegment; readonly isHeaderSound: boolean }

/** Only reads: a disk that cannot write is another matter than one that has lost a piece of a file. */
async function readSegment(
  file: DiskFile,
  path: string,
  number: number,
  size: number,
): Promise<ReadSegment | 'unreadable'> {
  try {
    const start = await readAt(file, 0, Math.min(size, SHARD_SEGMENT_HEADER_BYTES))
    const header = checkShardSegmentHeader(start, number)
    if (header === 'version') {
      throw new StoreError('QUORATE_FORMAT', `${path} was written by a newer version`)
    }
    const sealed = await readTable(file, number, size)
    if (sealed !== undefined) {
      return { type: 'sealed', segment: { path, number, ...sealed, state: 'sealed' } }
    }
    const scanned = await scanSegment(file, number, size)
    return { type: 'scanned', scanned, isHeaderSound: header === 'sound' }
  } catch (error) {
    if (isUnreadable(error)) return 'unreadable'
    throw error
  }
}

/** Makes what was found durable, and cuts off what is no record. */
async function makeCertain(
  file: DiskFile,
  size: number,
  { end, lastGroup }: ScannedSegment,
): Promise<void> {
  for (let at = lastGroup; at < end; at += COPY_BYTES) {
    const bytes = await readAt(file, at, Math.min(COPY_BYTES, end - at))
    await file.writeDurable([bytes], at)
  }
  if (size !== end) await file.truncate(end)
  await file.sync()
}

async function readTable(
  file: DiskFile,
  number: number,
  size: number,
): Promise<{ readonly rows: TableRow[]; readonly end: number } | undefined> {
  if (size < SHARD_SEGMENT_HEADER_BYTES + TABLE_END_BYTES) return undefined
  const tailStart = Math.max(0, size - TAIL_BYTES)
  const tail = await readAt(file, tailStart, size - tailStart)
  const end = readTableEnd(tail.subarray(-TABLE_END_BYTES), number, size)
  if (end === undefined) return undefined
  const bytes =
    end.position >= tailStart
      ? tail.subarray(end.position - tailStart, -TABLE_END_BYTES)
      : await readAt(file, end.position, size - TABLE_END_BYTES - end.position)
  try {
    return { rows: decodeTable(bytes, end), end: end.position }
  } catch (error) {
    // The records are there still, and are read one by one.
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

async function readAt(file: DiskFile, position: number, bytes: number): Promise<Buffer> {
  const target = Buffer.allocUnsafe(bytes)
  return target.subarray(0, await file.read(target, position))
}

/** Whether a piece of the disk has gone bad, which concerns what is on it and nothing else. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EIO'
}
