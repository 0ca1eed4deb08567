/** The large values in what an entry has changed, fetched for whoever watches. */
import { asBuffer, equalBytes } from '../base/bytes.js'
import type { Change, EntryChanges } from '../member/backend.js'
import { bytesOf, type FetchSpec, isGone, type LargeReads, type WholeValue } from './large-reads.js'

/**
 * Why the value of a put is not given. `gone`: it is a large one, and another change has taken its place meanwhile,
 * which follows. `too-large`: all of one event together are at most `limits.maxGetBytes`; `store.read` gives it.
 */
export type Omission = 'gone' | 'too-large'

/** A change with the bytes of its value, or why they are not there. */
export type WholeChange = Omit<Change, 'isCoded'> & {
  readonly isStream?: boolean
  readonly omitted?: Omission
}

/**
 * The changes of an entry with their values.
 * @throws {StoreError} QUORATE_BLOB_UNREADABLE, QUORATE_TIMEOUT, QUORATE_ABORTED
 */
export async function wholeChanges(
  large: LargeReads,
  { index, changes }: EntryChanges,
  spec: FetchSpec,
): Promise<WholeChange[]> {
  const whole: WholeChange[] = []
  let room = large.maxBytes
  for (const [i, { type, key, value, isCoded }] of changes.entries()) {
    if (value === undefined || !isCoded) {
      whole.push({ type, key, value })
      continue
    }
    const stored = { value: asBuffer(value), revision: index, isCoded }
    const bytes = bytesOf(stored)
    // The changes of one entry have one revision: only the last one of a key may be found by it.
    const isReplaced = changes.slice(i + 1).some((later) => equalBytes(later.key, key))
    const found =
      bytes > room ? 'too-large' : await fetched(large, key, stored, { ...spec, isReplaced })
    if (typeof found === 'string') {
      whole.push({ type, key, value, omitted: found })
      continue
    }
    room -= bytes
    whole.push({ type, key, value: found.value, isStream: found.isStream === true })
  }
  return whole
}

async function fetched(
  large: LargeReads,
  key: Uint8Array,
  stored: WholeValue,
  spec: FetchSpec,
): Promise<WholeValue | 'gone'> {
  try {
    const [value] = await large.whole([key], [stored], spec)
    return value!
  } catch (error) {
    if (isGone(error)) return 'gone'
    throw error
  }
}
