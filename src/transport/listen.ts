/** Opening a port: checked before, and with an error that says which address it was about. */
import { StoreError } from '../base/errors.js'
import type { Connection, Listener, Network } from '../env/network.js'
import { checkAddress, type Protection } from './protection.js'

/** @throws {StoreError} QUORATE_INSECURE; QUORATE_NETWORK when the address cannot be listened on. */
export async function listen(
  network: Network,
  address: string,
  protection: Protection,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  checkAddress(address, protection)
  try {
    return await network.listen(address, protection.tls, onConnection)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new StoreError('QUORATE_NETWORK', `cannot listen on ${address}: ${why}`, { cause })
  }
}
