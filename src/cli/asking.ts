/** The connection of a command that asks a running member. */
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
  const network = new NodeNetwork()
  const limits = { ...protection, timeoutMs }
  const connection = await ClientConnection.connect(
    network,
    new NodeTime(),
    new NodeRandom(),
    address,
    limits,
  )
  try {
    return await asking(connection)
  } finally {
    connection.close()
  }
}
