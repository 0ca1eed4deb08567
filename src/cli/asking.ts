/** The connection of a command that asks a running member: it lives for one asking. */
import { NodeNetwork } from '../env/node-network.js'
import { NodeRandom } from '../env/node-random.js'
import { NodeTime } from '../env/node-time.js'
import { ClientConnection } from '../transport/client.js'
import type { Protection } from '../transport/protection.js'

/** What `asking` makes of the member at `address`. @throws {StoreError} as ClientConnection.connect */
export async function ask<T>(
  address: string,
  protection: Protection,
  timeoutMs: number,
  asking: (connection: ClientConnection) => Promise<T>,
): Promise<T> {
  const connection = await ClientConnection.connect(
    new NodeNetwork(),
    new NodeTime(),
    new NodeRandom(),
    address,
    { ...protection, timeoutMs },
  )
  try {
    return await asking(connection)
  } finally {
    connection.close()
  }
}
