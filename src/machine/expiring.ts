/** What goes by itself, as the database lists it: for the clock of a leader that has just begun (member/expiry.ts). */
import { asBuffer } from '../base/bytes.js'
import type { DatabaseSnapshot } from '../env/database.js'
import type { Attachment } from '../wire/command.js'
import type { ExpiryNote } from './expiry-note.js'
import {
  ATTACHMENT_PREFIX,
  DATA_PREFIX,
  LEASE_PREFIX,
  prefixed,
  prefixRange,
  TTL_PREFIX,
} from './key-space.js'
import { attachmentOf, decodeLease, decodeTtl } from './lease-record.js'
import { readStoredValue } from './stored-value.js'

const SLICE_ENTRIES = 1000
const SLICE_BYTES = 65_536
/** Their values are read, too. */
const SWEPT_ENTRIES = 64

/** Every lease and then every key with a time to live, some at a time. @throws {StoreError} QUORATE_CORRUPTION */
export async function* expiringIn(
  snapshot: DatabaseSnapshot,
): AsyncGenerator<readonly ExpiryNote[], void, undefined> {
  for await (const slice of slicesOf(snapshot, LEASE_PREFIX)) {
    yield slice.map(([key, record]): ExpiryNote => {
      const lease = key.subarray(1)
      const { generation, ttlMs, isEnding } = decodeLease(lease, record)
      return { type: 'lease', lease, generation, ttlMs, isEnding }
    })
  }
  for await (const slice of slicesOf(snapshot, TTL_PREFIX)) {
    yield slice.map(([databaseKey, record]): ExpiryNote => {
      const key = databaseKey.subarray(1)
      return { type: 'key', key, ...decodeTtl(key, record) }
    })
  }
}

/** A part of the attachments, looked through. */
export interface Sweep {
  /** Those whose key was written without the lease since. */
  readonly detached: readonly Attachment[]
  /** Where the next part begins; undefined after the last. */
  readonly next: Uint8Array | undefined
}

/**
 * Looks through some attachments, from where the last part ended, and at the values under their keys.
 * @throws {StoreError} QUORATE_CORRUPTION
 */
export async function sweep(
  snapshot: DatabaseSnapshot,
  from: Uint8Array | undefined,
): Promise<Sweep> {
  const { gte, ...end } = prefixRange(ATTACHMENT_PREFIX)
  const range = from === undefined ? { gte: gte!, ...end } : { gt: from, ...end }
  const cursor = snapshot.cursor({ range, reverse: false })
  try {
    const listed = await cursor.next(SWEPT_ENTRIES, SLICE_BYTES)
    const all = listed.map(([key]) => attachmentOf(asBuffer(key)))
    const stored = await snapshot.getMany(all.map(({ key }) => prefixed(DATA_PREFIX, key)))
    const detached = all.filter(({ lease, key }, i) => !isAttached(key, stored[i], lease))
    return { detached, next: listed.at(-1)?.[0] }
  } finally {
    await cursor.close()
  }
}

function isAttached(key: Buffer, stored: Uint8Array | undefined, lease: Buffer): boolean {
  if (stored === undefined) return false
  const { expiry } = readStoredValue(key, asBuffer(stored))
  return expiry?.type === 'lease' && lease.equals(expiry.lease)
}

async function* slicesOf(
  snapshot: DatabaseSnapshot,
  prefix: number,
): AsyncGenerator<(readonly [key: Buffer, value: Buffer])[], void, undefined> {
  const cursor = snapshot.cursor({ range: prefixRange(prefix), reverse: false })
  try {
    for (;;) {
      const slice = await cursor.next(SLICE_ENTRIES, SLICE_BYTES)
      if (slice.length === 0) return
      yield slice.map(([key, value]) => [asBuffer(key), asBuffer(value)] as const)
    }
  } finally {
    await cursor.close()
  }
}
