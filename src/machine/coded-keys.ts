/** Large values as the database lists them: for repairs, and for the leader, which drops what need not be listed. */
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { DatabaseSnapshot } from '../env/database.js'
import type { LogIndex } from '../raft/types.js'
import type { Manifest } from '../wire/manifest.js'
import { CODED_PREFIX, DATA_PREFIX, prefixed, prefixRange } from './key-space.js'
import { readStoredValue, type StoredValue } from './stored-value.js'

/** The value of every record under CODED_PREFIX: its version. */
export const CODED_RECORD: Buffer = Buffer.of(1)

const SLICE_BYTES = 65_536

/** A large value that an entry put into force. */
export interface CodedNote {
  readonly key: Buffer
  /** Its digests view the entry. */
  readonly manifest: Manifest
}

/** An entry that put none into force. */
export const NO_CODED: readonly CodedNote[] = []

/** A large value of the state. */
export interface CodedValue {
  readonly key: Buffer
  /** Encoded. */
  readonly manifest: Buffer
  readonly revision: LogIndex
}

/** A part of what is listed. */
export interface CodedSlice {
  readonly values: readonly CodedValue[]
  /** Keys that have another value now, or none. */
  readonly stale: readonly Buffer[]
  /** The last key that was looked at, from where the next part goes on; undefined after the last part. */
  readonly next: Buffer | undefined
}

/** Where it says that a large value was put under `key`. */
export function codedKey(key: Uint8Array): Buffer {
  return prefixed(CODED_PREFIX, key)
}

/**
 * Looks at up to `limit` listed keys after `after`, in order, and at their values. A value that fails its checksum is
 * in neither list: it is found, and mended, when it is read.
 * @throws {StoreError} QUORATE_CORRUPTION when the database cannot read
 */
export async function codedKeysIn(
  snapshot: DatabaseSnapshot,
  after: Uint8Array | undefined,
  limit: number,
): Promise<CodedSlice> {
  const all = prefixRange(CODED_PREFIX)
  const range = after === undefined ? all : { gt: codedKey(after), lt: all.lt! }
  const cursor = snapshot.cursor({ range, reverse: false })
  try {
    const listed = await cursor.next(limit, SLICE_BYTES)
    const keys = listed.map(([key]) => asBuffer(key).subarray(1))
    const found = await snapshot.getMany(keys.map((key) => prefixed(DATA_PREFIX, key)))
    const values: CodedValue[] = []
    const stale: Buffer[] = []
    keys.forEach((key, i) => {
      const stored = intact(key, found[i])
      if (stored === 'damaged') return
      if (stored?.isCoded) values.push({ key, manifest: stored.value, revision: stored.revision })
      else stale.push(key)
    })
    return { values, stale, next: keys.at(-1) }
  } finally {
    await cursor.close()
  }
}

function intact(
  key: Uint8Array,
  bytes: Uint8Array | undefined,
): StoredValue | 'damaged' | undefined {
  if (bytes === undefined) return undefined
  try {
    return readStoredValue(key, asBuffer(bytes))
  } catch (error) {
    if (error instanceof StoreError && error.code === 'QUORATE_CORRUPTION') return 'damaged'
    throw error
  }
}
