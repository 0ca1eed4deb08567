/** Checks the records of a state one by one, as far as each carries its own proof. */
import { asBuffer } from '../base/bytes.js'
import { DATA_PREFIX, LEASE_PREFIX, TTL_PREFIX } from './key-space.js'
import { decodeLease, decodeTtl } from './lease-record.js'
import { readStoredValue } from './stored-value.js'

/**
 * Checks the record under `key`, which is that of the database. The state record, members and sessions are not looked
 * at: they are proven together.
 * @throws {StoreError} QUORATE_CORRUPTION naming the user's key; QUORATE_FORMAT for a record of a newer version
 */
export function proveRecord(key: Uint8Array, value: Uint8Array): void {
  const [id, bytes] = [key.subarray(1), asBuffer(value)]
  if (key[0] === DATA_PREFIX) readStoredValue(id, bytes)
  else if (key[0] === LEASE_PREFIX) decodeLease(id, bytes)
  else if (key[0] === TTL_PREFIX) decodeTtl(id, bytes)
}
