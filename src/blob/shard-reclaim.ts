/**
 * Gives back the space of shards that were forgotten: a segment that holds nothing is removed, one that holds little is
 * emptied first, by appending what it holds once more.
 */
import { StoreError } from '../base/errors.js'
import type { Shard } from '../wire/shard.js'
import type { ShardEntry } from './shard-index.js'
import type { Segment } from './shard-segment.js'

/** What reclaiming does to a store. */
export interface ReclaimPorts {
  readSound(entry: ShardEntry): Promise<Shard | 'gone' | 'damaged'>
  /** Resolves when the shard is durable in another place. */
  move(entry: ShardEntry, shard: Shard): Promise<void>
  quarantine(entry: ShardEntry): void
  remove(segment: Segment): Promise<void>
}

/** A segment is emptied when less than this share of it is needed … */
const LIVE_SHARE = 0.5
/** … where a small one counts as this share of a full one, so that starts do not leave ever more small files. */
const SMALL_SHARE = 1 / 16
/** So much is read and appended together. */
const BATCH_BYTES = 4_194_304

/** Moves up to about `budgetBytes` (a single shard goes beyond it); returns what was moved. */
export async function reclaimSegments(
  segments: ReadonlySet<Segment>,
  segmentBytes: number,
  budgetBytes: number,
  ports: ReclaimPorts,
): Promise<number> {
  let moved = 0
  for (const segment of candidates(segments, segmentBytes)) {
    while (segment.entries.size > 0 && moved < budgetBytes) {
      const bytes = await moveSome(segment, Math.min(BATCH_BYTES, budgetBytes - moved), ports)
      if (bytes === 'full') return moved
      moved += bytes
    }
    if (segment.entries.size === 0) await ports.remove(segment)
  }
  return moved
}

/** The segments to empty, those that cost least first. */
function candidates(segments: ReadonlySet<Segment>, segmentBytes: number): Segment[] {
  return [...segments]
    .filter(({ state, end, liveBytes }) => {
      if (state === 'open') return false
      return liveBytes < LIVE_SHARE * Math.max(end, SMALL_SHARE * segmentBytes)
    })
    .sort((a, b) => a.liveBytes - b.liveBytes || a.number - b.number)
}

/** Moves some of what a segment holds; `full`: too much waits to be written already. */
async function moveSome(
  segment: Segment,
  bytesMax: number,
  ports: ReclaimPorts,
): Promise<number | 'full'> {
  const moves: Promise<void>[] = []
  let bytes = 0
  for (const entry of segment.entries) {
    if (moves.length > 0 && bytes + entry.bytes > bytesMax) break
    bytes += entry.bytes
    moves.push(moveOne(entry, ports))
  }
  const results = await Promise.allSettled(moves)
  for (const result of results) {
    if (result.status === 'fulfilled') continue
    const { reason } = result
    if (reason instanceof StoreError && reason.code === 'QUORATE_OVERLOADED') return 'full'
    throw reason
  }
  return bytes
}

/** What is damaged is not moved: whoever needs it rebuilds it. */
async function moveOne(entry: ShardEntry, ports: ReclaimPorts): Promise<void> {
  const shard = await ports.readSound(entry)
  if (shard === 'gone') return
  if (shard === 'damaged') ports.quarantine(entry)
  else await ports.move(entry, shard)
}
