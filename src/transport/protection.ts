/** What must protect an address before anything listens on it or dials it (design D11). */
import { StoreError } from '../base/errors.js'
import { isLocalAddress } from '../env/address.js'
import type { TlsOptions } from '../env/network.js'

/** The shortest secret that is accepted, in bytes. */
const SECRET_BYTES_MIN = 16

/** How connections are protected. */
export interface Protection {
  readonly tls: TlsOptions | undefined
  /** At least 16 bytes, the same on all members and clients. */
  readonly secret: Uint8Array | undefined
}

/** @throws {RangeError} when the secret is so short that it could be guessed. */
export function checkSecret(secret: Uint8Array | undefined): void {
  if (secret !== undefined && secret.length < SECRET_BYTES_MIN) {
    throw new RangeError(`a shared secret has at least ${SECRET_BYTES_MIN} bytes`)
  }
}

/** @throws {StoreError} QUORATE_INSECURE unless `address` is on this machine only, or protected. */
export function checkAddress(address: string, protection: Protection): void {
  const isLocal = isLocalAddress(address)
  if (isLocal || protection.tls !== undefined || protection.secret !== undefined) return
  const message = `${address} is not on this machine only: it needs tls or a shared secret`
  throw new StoreError('QUORATE_INSECURE', message)
}

/** Whether `address`, which came from outside, is one and may be dialed. */
export function isProtected(address: string, protection: Protection): boolean {
  try {
    checkAddress(address, protection)
    return true
  } catch (error) {
    if (error instanceof StoreError || error instanceof TypeError) return false
    throw error
  }
}
