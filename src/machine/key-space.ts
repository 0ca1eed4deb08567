/**
 * Where things lie in the state machine's database: one prefix byte, then the key (docs/formats.md).
 *
 * Every range that is read has explicit bounds inside one prefix.
 */
import type { KeyRange } from '../env/database.js'
import { KEY_BYTES_MAX } from '../wire/command.js'

/** On disk: the state record, under this byte alone; members and retained checkpoints, under it and one more. */
const META_PREFIX = 0x00
const MEMBERS_SUFFIX = 0x01
const RETAINED_SUFFIX = 0x02
/** On disk: the user's keys. */
export const DATA_PREFIX = 0x01
/** On disk: one record per client. */
export const SESSION_PREFIX = 0x02
/** On disk: one record per lease (lease-record.ts). */
export const LEASE_PREFIX = 0x03
/** On disk: a lease and a key that was written with it; a list of what to look at when the lease ends. */
export const ATTACHMENT_PREFIX = 0x04
/** On disk: a key that was written with a time to live (lease-record.ts). */
export const TTL_PREFIX = 0x05
/** On disk: a key that a coded value was put under; a list of what to look at for large values. */
export const CODED_PREFIX = 0x06

/** The key of the state record. */
export const META_KEY: Buffer = Buffer.of(META_PREFIX)
/** The key of the members (wire/directory.ts). */
export const MEMBERS_KEY: Buffer = Buffer.of(META_PREFIX, MEMBERS_SUFFIX)

/** The key of what is retained (wire/retained.ts); not there before anything was. */
export const RETAINED_KEY: Buffer = Buffer.of(META_PREFIX, RETAINED_SUFFIX)

/** All keys below `prefix`. */
export function prefixRange(prefix: number): KeyRange {
  return { gte: Buffer.of(prefix), lt: Buffer.of(prefix + 1) }
}

/** `key` below `prefix`, in memory of its own. */
export function prefixed(prefix: number, key: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + key.length)
  bytes[0] = prefix
  bytes.set(key, 1)
  return bytes
}

/** The user's range as a range of the database. */
export function dataRange(range: KeyRange): KeyRange {
  return {
    ...(range.gt !== undefined
      ? { gt: prefixed(DATA_PREFIX, range.gt) }
      : { gte: prefixed(DATA_PREFIX, range.gte ?? NO_KEY) }),
    ...(range.lte !== undefined
      ? { lte: prefixed(DATA_PREFIX, range.lte) }
      : { lt: range.lt === undefined ? END_OF_DATA : prefixed(DATA_PREFIX, range.lt) }),
  }
}

/** Everything that is attached to `lease`. */
export function attachmentsOf(lease: Uint8Array): KeyRange {
  const gte = prefixed(ATTACHMENT_PREFIX, lease)
  const lt = Buffer.from(gte)
  // The prefix is not the largest byte, so this ends.
  let at = lt.length - 1
  while (lt[at] === 0xff) lt[at--] = 0
  lt[at]!++
  return { gte, lt }
}

const NO_KEY = Buffer.alloc(0)
const END_OF_DATA = Buffer.of(DATA_PREFIX + 1)

/** Puts DATA_PREFIX before keys without allocating: what it returns holds until the next call. */
export class DataKey {
  readonly #bytes: Buffer = Buffer.allocUnsafe(1 + KEY_BYTES_MAX)

  constructor() {
    this.#bytes[0] = DATA_PREFIX
  }

  /** @param key at most KEY_BYTES_MAX bytes */
  of(key: Uint8Array): Buffer {
    this.#bytes.set(key, 1)
    return this.#bytes.subarray(0, 1 + key.length)
  }
}
