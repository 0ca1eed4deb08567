/** The options of `connect`: checked here once, defaults applied here once. */
import { parseAddress } from '../../env/address.js'
import type { TlsOptions } from '../../env/network.js'
import type { ReadLevel } from '../../member/backend.js'
import { resolveSecret } from '../client-grants.js'
import type { KeyEncoding, ValueEncoding } from '../encoding.js'
import {
  refuseUnknown,
  requireOneOf,
  requireTimeout,
  resolveCalls,
  type StoreSettings,
} from '../open-options.js'
import { BALANCES, type Balance } from './balance.js'
import type { PoolOptions } from './pool.js'

/** What `connect` takes beside addresses. */
export interface ConnectOptions {
  /** A certificate of the authority that the members trust. */
  readonly tls?: TlsOptions
  /** The members' secret, or this client's own (see `clients` of `Store.open`). */
  readonly secret?: string | Uint8Array
  /**
   * Which member serves a weak read: the `nearest` by measured latency (the default), each in turn (`round-robin`),
   * any (`random`), or the one with the fewest reads unanswered (`least-outstanding`). Slow and failing members are
   * left out until they are well again. Strong reads and writes go to the leader.
   */
  readonly balance?: Balance
  /** How long `connect` waits for the first member; default 10,000. */
  readonly connectTimeoutMs?: number
  /** As in `Store.open`: the same key, where the members have one. */
  readonly tokenKey?: string | Uint8Array
  /** How values become bytes; default `msgpack`. As in `Store.open`, like what follows. */
  readonly valueEncoding?: ValueEncoding
  readonly keyEncoding?: KeyEncoding
  readonly consistency?: ReadLevel
  /** How long a call may take that names no `timeoutMs`; default 5,000. */
  readonly timeoutMs?: number
  /** Written but unanswered bytes; more is QUORATE_OVERLOADED. Default 64 MiB. */
  readonly maxPendingBytes?: number
  /** Large values that one `get` brings into memory; more is QUORATE_TOO_LARGE. Default 256 MiB. */
  readonly maxGetBytes?: number
}

/** The options of `connect`, complete. */
export interface ConnectSettings {
  readonly pool: PoolOptions
  readonly connectTimeoutMs: number
  /** Without the bounds that the members tell. */
  readonly store: Omit<StoreSettings, 'maxValueBytes' | 'maxRequestBytes'>
}

const OPTION_NAMES: readonly (keyof ConnectOptions)[] = [
  'tls',
  'secret',
  'balance',
  'connectTimeoutMs',
  'tokenKey',
  'valueEncoding',
  'keyEncoding',
  'consistency',
  'timeoutMs',
  'maxPendingBytes',
  'maxGetBytes',
]
const CONNECT_MS = 10_000
const DIAL_MS = 5_000
const PENDING_BYTES = 64 * 1024 * 1024
const GET_BYTES = 256 * 1024 * 1024

/** @throws {TypeError | RangeError} */
export function resolveConnect(
  addresses: string | readonly string[],
  options: ConnectOptions,
): ConnectSettings {
  refuseUnknown('connect', options, OPTION_NAMES)
  const { maxPendingBytes = PENDING_BYTES, maxGetBytes = GET_BYTES } = options
  for (const [name, bytes] of Object.entries({ maxPendingBytes, maxGetBytes })) {
    if (Number.isSafeInteger(bytes) && bytes >= 1) continue
    throw new RangeError(`${name} is a whole number from 1 on`)
  }
  return {
    pool: {
      addresses: resolveAddresses(addresses),
      balance: requireOneOf('balance', options.balance ?? 'nearest', BALANCES),
      tls: options.tls,
      secret: resolveSecret('secret', options.secret),
      timeoutMs: DIAL_MS,
    },
    connectTimeoutMs: requireTimeout(options.connectTimeoutMs ?? CONNECT_MS),
    store: {
      ...resolveCalls(options),
      maxPendingBytes,
      maxGetBytes,
    },
  }
}

function resolveAddresses(addresses: unknown): readonly string[] {
  const list: unknown = typeof addresses === 'string' ? [addresses] : addresses
  if (!Array.isArray(list) || list.length === 0 || list.some((at) => typeof at !== 'string')) {
    throw new TypeError('connect takes an address or a list of addresses')
  }
  for (const address of list as string[]) parseAddress(address)
  return [...new Set(list as string[])]
}
