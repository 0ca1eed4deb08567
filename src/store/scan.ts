/** Scans: a run through the entries of one state, in blocks as they are consumed. */
import type { KeyRange } from '../env/database.js'
import type { ScanCursor, StateView } from '../member/backend.js'
import { readAborted } from '../member/read-refusals.js'
import type { ReadSpec, ScanSpec } from './call-options.js'
import { decodeKey, decodeValue } from './encoding.js'
import { EntryIterator } from './entry-iterator.js'
import { type FoundEntry, groupsOf, type LargeReads, type WholeValue } from './large-reads.js'

/** A scan fetches blocks of about this many entries and bytes. */
const SCAN_ENTRIES = 512
const SCAN_BYTES = 256 * 1024

/** The entries of `range` in the state that `open` gives, which is closed at the end. */
export function scanEntries<K extends string | Uint8Array, T>(
  open: () => Promise<StateView>,
  range: KeyRange,
  scan: ScanSpec,
  spec: ReadSpec,
  large: LargeReads,
): AsyncIterableIterator<[key: K, value: T]> {
  const blocks = blocksOf(open, range, scan, spec, large)
  return new EntryIterator(blocks, ([key, stored]) => [
    decodeKey(key, scan.keyEncoding) as K,
    decodeStored<T>(stored, spec) as T,
  ])
}

async function* blocksOf(
  open: () => Promise<StateView>,
  range: KeyRange,
  { limit, order }: ScanSpec,
  spec: ReadSpec,
  large: LargeReads,
): AsyncGenerator<readonly FoundEntry[], undefined> {
  if (limit === 0) return
  const view = await open()
  let cursor: ScanCursor | undefined
  let ahead: ReturnType<ScanCursor['next']> | undefined
  let left = limit
  try {
    cursor = view.cursor(range, order === 'reverse')
    while (left > 0) {
      if (spec.signal?.aborted) throw readAborted(spec.signal)
      const entries = await (ahead ?? cursor.next(Math.min(SCAN_ENTRIES, left), SCAN_BYTES))
      if (entries.length === 0) return
      left -= entries.length
      // The next block comes while this one is consumed; if it fails, whoever waits for it hears of it.
      ahead = left === 0 ? undefined : cursor.next(Math.min(SCAN_ENTRIES, left), SCAN_BYTES)
      ahead?.catch(() => {})
      for (const group of groupsOf(entries)) yield await large.wholeEntries(group, spec)
    }
  } finally {
    // Nobody wants the block any more, nor what became of it; but the cursor is in use until it is there.
    await ahead?.catch(() => {})
    await cursor?.close()
    await view.close()
  }
}

/** A value as its caller wants it; what came as a stream is its bytes. */
export function decodeStored<T>(stored: WholeValue | undefined, spec: ReadSpec): T | undefined {
  if (stored === undefined) return undefined
  if (stored.isStream) return stored.value as T
  return decodeValue(stored.value, spec.valueEncoding) as T
}
