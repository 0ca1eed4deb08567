/** Puts good bytes in the place of damaged ones in the state machine's database. */
import { assert } from '../base/assert.js'
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { META_KEY } from './key-space.js'
import type { SharedDatabase } from './shared-database.js'

/**
 * Writes `stored` under `key` if what is there is `damaged` still, or as unreadable as it was when that is undefined,
 * and says whether it did. No other batch may be written meanwhile.
 */
export async function healValue(
  database: SharedDatabase,
  key: Uint8Array,
  damaged: Uint8Array | undefined,
  stored: Uint8Array,
): Promise<boolean> {
  if (!isStill(database, key, damaged)) return false
  const record = database.get(META_KEY)
  assert(record !== undefined, 'what is healed was applied once')
  const batch = database.batch()
  batch.put(key, stored)
  // Every batch carries the record of the state that it leaves.
  batch.put(META_KEY, record)
  await batch.write()
  return true
}

function isStill(
  database: SharedDatabase,
  key: Uint8Array,
  damaged: Uint8Array | undefined,
): boolean {
  try {
    const present = database.get(key)
    return damaged !== undefined && present !== undefined && equalBytes(present, damaged)
  } catch (error) {
    const isUnreadable = error instanceof StoreError && error.code === 'QUORATE_CORRUPTION'
    if (isUnreadable) return damaged === undefined
    throw error
  }
}
