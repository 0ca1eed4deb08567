/**
 * Reads entries back from the segments, each verified against its check and its place in the log.
 *
 * Nothing is cached here: the newest entries are in the core, the others in the system's page cache. Memory is one
 * portion of `maxBytes` for each read under way.
 */
import type { Entry, EntryId, LogIndex } from '../raft/types.js'
import { readFrame } from '../wire/log-frame.js'
import type { EntryIndex, EntryPlace } from './entry-index.js'
import { corruption } from './segment.js'
import type { SegmentChain } from './segment-chain.js'

/** Frames this close together are read in one go. */
const GAP_BYTES_MAX = 65_536

/** Which entries are wanted; `to` is inclusive. */
export interface EntryRange {
  readonly from: LogIndex
  readonly to: LogIndex
  /** Of frames; the first entry is given whatever its size. */
  readonly maxBytes: number
}

interface WantedEntry extends EntryId, EntryPlace {}

/** Reads a range of entries; empty when its beginning is not, or no longer, in the log. */
export async function readEntries(
  chain: SegmentChain,
  index: EntryIndex,
  range: EntryRange,
): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const span of spansOf(wantedEntries(index, range))) {
    const found = await readSpan(chain, span)
    if (found === undefined) return []
    entries.push(...found)
  }
  return entries
}

/** The newest entries whose frames fit into `maxBytes` together. */
export function readTail(
  chain: SegmentChain,
  index: EntryIndex,
  maxBytes: number,
): Promise<Entry[]> {
  let from = index.lastIndex + 1
  let bytes = 0
  for (;;) {
    const place = index.placeOf(from - 1)
    if (place === undefined || bytes + place.bytes > maxBytes) break
    bytes += place.bytes
    from--
  }
  return readEntries(chain, index, { from, to: index.lastIndex, maxBytes })
}

/** Taken in one go, so that it is one moment of the log. */
function wantedEntries(index: EntryIndex, range: EntryRange): WantedEntry[] {
  const wanted: WantedEntry[] = []
  let bytes = 0
  for (let at = range.from; at <= range.to; at++) {
    const place = index.placeOf(at)
    if (place === undefined) break
    bytes += place.bytes
    if (wanted.length > 0 && bytes > range.maxBytes) break
    wanted.push({ term: index.termAt(at)!, index: at, ...place })
  }
  return wanted
}

/** Cuts a list of entries into stretches that one read each can bring. */
function spansOf(wanted: readonly WantedEntry[]): WantedEntry[][] {
  const spans: WantedEntry[][] = []
  for (const entry of wanted) {
    const span = spans.at(-1)
    const last = span?.at(-1)
    const gap = last === undefined ? -1 : entry.position - last.position - last.bytes
    if (last?.segment === entry.segment && gap >= 0 && gap <= GAP_BYTES_MAX) span!.push(entry)
    else spans.push([entry])
  }
  return spans
}

/** `undefined` when the segment was removed since. */
function readSpan(chain: SegmentChain, span: readonly WantedEntry[]): Promise<Entry[] | undefined> {
  const { segment, position: start } = span[0]!
  const last = span.at(-1)!
  return chain.withSegment(segment, async (file, path) => {
    const memory = Buffer.allocUnsafe(last.position + last.bytes - start)
    const bytes = memory.subarray(0, await file.read(memory, start))
    return span.map((wanted) => {
      const { position } = wanted
      const frame = readFrame(bytes, position - start, segment, position)
      if (frame?.type !== 'entry' || !isSameEntry(frame.entry, wanted)) {
        throw corruption(path, position, `entry ${wanted.index} fails its check`)
      }
      return frame.entry
    })
  })
}

function isSameEntry(a: EntryId, b: EntryId): boolean {
  return a.index === b.index && a.term === b.term
}
