/** `connect`: a Store whose members are in other processes. */
import { EventEmitter } from 'node:events'
import { nodeEnv } from '../../env/node-env.js'
import { stayAlive } from '../../env/stay-alive.js'
import { checkAddress } from '../../transport/protection.js'
import { type Store, type StoreEmitter, storeOver } from '../store.js'
import { type ConnectOptions, type ConnectSettings, resolveConnect } from './connect-options.js'
import { RemoteBackend, type RemoteWorld } from './remote-backend.js'

/** A client has no database of its own. */
const NO_MEMORY = { writeBufferBytes: 1024 * 1024, cacheBytes: 0 }

/**
 * Connects to a running cluster: the same Store as `Store.open` gives, without a member in this process.
 *
 * One address is enough: the others are learned from the members, and kept up to date. Resolves when one member
 * has answered; from then on lost connections are made again by themselves, calls go to whichever member can serve
 * them, and writes happen exactly once whoever fails meanwhile. A cursor of a scan ends with QUORATE_NETWORK
 * (retryable) when the member that keeps its state is lost. Costs a connection to each member, up to eight; keeps
 * the process alive until `close`.
 *
 * @param addresses `host:port` or `unix:/path`, of one member or several.
 * @throws {StoreError} QUORATE_NETWORK nobody answered in time; QUORATE_UNAUTHORIZED, QUORATE_FORBIDDEN;
 *   QUORATE_INSECURE a non-loopback address without `tls` or `secret`; QUORATE_FORMAT another version;
 *   QUORATE_WRONG_CLUSTER the addresses are of several clusters; QUORATE_OVERLOADED they have too many clients.
 * @throws {TypeError | RangeError} an option is unknown, of the wrong type or out of bounds.
 */
export async function connect(
  addresses: string | readonly string[],
  options: ConnectOptions = {},
): Promise<Store> {
  const settings = resolveConnect(addresses, options)
  for (const address of settings.pool.addresses) checkAddress(address, settings.pool)
  // Without a connection, for a while, nothing else would keep the process from ending.
  return connectOver(nodeEnv(NO_MEMORY), settings, stayAlive())
}

/**
 * Connects in a given world; what `connect` does in the real one. `onClosed` is called once, when the Store is closed
 * or could not be connected.
 */
export async function connectOver(
  world: RemoteWorld,
  { pool, store, connectTimeoutMs }: ConnectSettings,
  onClosed: () => void,
): Promise<Store> {
  const emitter: StoreEmitter = new EventEmitter()
  const backend = new RemoteBackend(world, pool, {
    leader: (leader, term) => emitter.emit('leader', { leader, term }),
    membership: (change) => emitter.emit('membership', change),
    closed: onClosed,
  })
  try {
    const bounds = await backend.ready(world.time.now() + connectTimeoutMs)
    return storeOver(backend, { ...store, ...bounds }, emitter)
  } catch (error) {
    await backend.close()
    throw error
  }
}
