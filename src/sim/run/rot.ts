/**
 * Damage to bytes at rest: what was written and synced is not what is there any more.
 *
 * The fault atlas says where: on less than half of the members, and never in the last batch of a log. A damaged last
 * batch cannot be told from one that never finished, whoever looks; everything before it can.
 */
import { unreachable } from '../../base/assert.js'
import { readFrame, SEGMENT_HEADER_BYTES } from '../../wire/log-frame.js'
import type { Damage } from '../schedule/schedule.js'
import type { Seat } from './seat.js'

const LOG_DIR = 'data/log'
const SHARDS_DIR = 'data/blobs'
const SEGMENT = /\/(\d+)-\d+\.wal$/
const PAGE_BYTES = 4096

/** Damages some bytes of the log on `seat`; false when the atlas has no place for it. */
export function rot(
  seat: Seat,
  { at, how }: { readonly at: number; readonly how: Damage },
  seats: readonly Seat[],
): boolean {
  if (!mayBeDamaged(seat, seats)) return false
  const { disk } = seat.host
  const segments = disk.paths(LOG_DIR).filter((path) => SEGMENT.test(path))
  const path = segments[at % Math.max(1, segments.length)]
  if (path === undefined) return false
  const bytes = disk.bytesOf(path)
  const end = path === segments.at(-1) ? lastBatchStart(bytes, path) : bytes.length
  if (end <= SEGMENT_HEADER_BYTES) return false
  seat.isExcused = true
  seat.isRotten = true
  corrupt(seat, path, bytes.subarray(0, end), { at, how })
  return true
}

/** The same to a file of shards, anywhere in it; whoever finds it makes the shard anew. */
export function rotShard(
  seat: Seat,
  { at, how }: { readonly at: number; readonly how: Damage },
  seats: readonly Seat[],
): boolean {
  if (!mayBeDamaged(seat, seats)) return false
  const { disk } = seat.host
  const paths = disk.paths(SHARDS_DIR)
  const path = paths[at % Math.max(1, paths.length)]
  if (path === undefined) return false
  // What is not durable is not on the disk yet: there is nothing to rot.
  const durable = new Map(disk.durableIn(SHARDS_DIR)).get(path)
  if (durable === undefined || durable.length === 0) return false
  seat.isShardLost = true
  corrupt(seat, path, durable, { at, how })
  return true
}

/** Damages a place in `bytes`, which the file begins with. */
function corrupt(
  seat: Seat,
  path: string,
  bytes: Buffer,
  { at, how }: { readonly at: number; readonly how: Damage },
): void {
  const { disk } = seat.host
  const position = at % bytes.length
  const page = position - (position % PAGE_BYTES)
  const pageBytes = Math.min(PAGE_BYTES, bytes.length - page)
  seat.damaged()
  switch (how) {
    case 'flip':
      disk.corrupt(path, position, 1 << (at % 8))
      return
    case 'lost':
      disk.overwrite(path, page, Buffer.alloc(pageBytes))
      return
    case 'misdirected':
      disk.overwrite(path, page, bytes.subarray(0, pageBytes))
      return
    default:
      unreachable(how)
  }
}

/** Whether less than half of the members are damaged even with `seat`. */
export function mayBeDamaged(seat: Seat, seats: readonly Seat[]): boolean {
  const isDamaged = (other: Seat) => other.isRotten || other.isStateLost || other.isShardLost
  const others = seats.filter((other) => other !== seat && isDamaged(other)).length
  const members = seats.filter(({ state }) => state !== 'spare').length
  return others + 1 <= (members - 1) / 2 && seat.state !== 'spare'
}

/** Where the last whole batch of the newest segment begins. */
function lastBatchStart(bytes: Buffer, path: string): number {
  const segment = Number(SEGMENT.exec(path)![1])
  let position = SEGMENT_HEADER_BYTES
  let start = 0
  let next = position
  for (;;) {
    const frame = readFrame(bytes, position, segment, position)
    if (frame === undefined) return start
    position += frame.bytes
    if (frame.type !== 'commit') continue
    start = next
    next = position
  }
}
