/** Where user options enter: checked here once, defaults applied here once. */
import type { Logger, LogLevel } from '../base/logger.js'
import { parseAddress } from '../env/address.js'
import type { TlsOptions } from '../env/network.js'
import type { ReadLevel } from '../member/backend.js'
import { MEMBER_ID_PATTERN } from '../member/change-plan.js'
import {
  type CodingOptions,
  type JoinOptions,
  type LimitOptions,
  type MemberOptions,
  maxFrameBytes,
  type StorageOptions,
  type TimingOptions,
} from '../member/options.js'
import { type ClientGrant, resolveGrants, resolveSecret } from './client-grants.js'
import { KEY_ENCODINGS, type KeyEncoding, VALUE_ENCODINGS, type ValueEncoding } from './encoding.js'

/** The read levels by name. */
export const READ_LEVELS: readonly ReadLevel[] = ['strong', 'session', 'eventual']

/** What `Store.open` takes; only `dir` is required. */
export interface OpenOptions {
  /** The data folder; created when missing. One process at a time opens it. */
  readonly dir: string
  /** This member's name: 1 to 64 of `A-Z a-z 0-9 . _ -`. Required with `members`. */
  readonly id?: string
  /**
   * Addresses of all first members by name, this one included: `host:port` or `unix:/path`. The same everywhere.
   * Later the cluster itself knows who its members are; then these are hints where to find them.
   */
  readonly members?: Readonly<Record<string, string>>
  /**
   * Become a member of a running cluster: addresses of some of its members. Needs `id` and `listen`, and somebody
   * who calls `members.add`. Ignored once the folder is a member's.
   */
  readonly join?: readonly string[]
  /** How long `Store.open` waits to be added when it joins; default 60,000. */
  readonly joinTimeoutMs?: number
  /**
   * How much this member should lead, -100 to 100, default 0: when one of higher priority has kept up for ten
   * seconds, the leader hands over to it.
   */
  readonly priority?: number
  /**
   * How a strong read knows that the leader still leads. `quorum`, the default: it asks a majority, for all reads of a
   * turn at once; no clock is trusted. `lease`: a leader that a majority answered lately serves without asking, on the
   * assumption that the members' clocks run equally fast within some percent; and a leader whose process dies is
   * replaced after an election timeout, not at once. Used only while all voters have it and the same timing.
   */
  readonly strongReads?: 'quorum' | 'lease'
  /** A name that tells clusters with equally named members apart. */
  readonly cluster?: string
  /** Where to listen when that is not the own address in `members` (behind NAT, in a container). */
  readonly listen?: string
  /** Certificates of members and clients, in PEM; members prove theirs to each other. */
  readonly tls?: TlsOptions
  /** A secret that members and clients share, at least 16 bytes; an alternative to TLS that does not encrypt. */
  readonly secret?: string | Uint8Array
  /**
   * What clients may do: `read`, `write` (and read) or `admin` (everything), by the name in their certificate or by a
   * secret of their own. Needs `tls` or `secret`. Default: whoever comes in is an admin. See docs/operations.md.
   */
  readonly clients?: readonly ClientGrant[]
  /**
   * Where the member says what an operator may want to know: pino, or anything with its four levels in its order of
   * arguments. Default: nothing is said.
   */
  readonly logger?: Logger
  /**
   * Seals session tokens, at least 16 bytes, the same for all Stores and clients of the cluster: what users carry in
   * cookies cannot be made up then. Tokens that it did not seal are refused. Default: tokens have a checksum.
   */
  readonly tokenKey?: string | Uint8Array
  /** How values become bytes; default `msgpack`. */
  readonly valueEncoding?: ValueEncoding
  /** How scans give keys back; default `utf8`. */
  readonly keyEncoding?: KeyEncoding
  /** The level of reads that name none; default `strong`. */
  readonly consistency?: ReadLevel
  /** How long a call may take that names no `timeoutMs`; default 5,000. */
  readonly timeoutMs?: number
  /** Raft's clock; the defaults survive pauses of a busy process (1.5 to 3 s election timeout). */
  readonly timing?: Partial<TimingOptions>
  /** The bounds of queues and sizes (design D13). */
  readonly limits?: Partial<LimitOptions>
  /** Sizes on disk. */
  readonly storage?: Partial<StorageOptions>
  /**
   * Large values, which are stored as shards instead of whole on every member (docs/large-values.md). False: none are
   * written so through this member; those that are there are served all the same.
   */
  readonly erasure?: ErasureOptions | false
}

/** How large values are stored; may differ between members. */
export interface ErasureOptions {
  /** Values of more bytes than this, encoded, are stored as shards; default 262,144. */
  readonly threshold?: number
  /** At most so many shards are needed to read a value: more save space and bytes sent, fewer outlive more losses. */
  readonly kMax?: number
  /**
   * So many of the members that can be reached are not waited for: k is smaller by it. Default 1 from five voters on,
   * else 0.
   */
  readonly slack?: number
  /** Data in one shard at most; default 1,048,576. A value of more bytes than k such shards has several parts. */
  readonly shardBytes?: number
  /** Shards are verified, and read, in blocks of so many bytes: a power of two, default 65,536. */
  readonly unitBytes?: number
  /** What computes the shards: `native`, `wasm` or `javascript`; default: the fastest that is there. */
  readonly codec?: string
  /** Up to so many bytes are coded at once on the event loop; default: what pays with the codec. */
  readonly inlineBytesMax?: number
  /** What makes no progress for so long on its way to the members is sent in another way, or fails; default 2,000. */
  readonly stallMs?: number
  /** Parts of values kept in memory after they were read or written; default 64 MiB. */
  readonly cacheBytes?: number
  /** What was replaced is kept for so long, for those who read an older state; default 60,000. */
  readonly graceMs?: number
  /** So fast lost shards are made anew; default 64 MiB. */
  readonly repairBytesPerSecond?: number
  /** So fast stored shards are read over and over; default 2 MiB. */
  readonly scrubBytesPerSecond?: number
}

/** What a Store itself needs to know. */
export interface StoreSettings {
  readonly tokenKey: Uint8Array | undefined
  readonly valueEncoding: ValueEncoding
  readonly keyEncoding: KeyEncoding
  readonly consistency: ReadLevel
  readonly timeoutMs: number
  readonly maxValueBytes: number
  readonly maxRequestBytes: number
  readonly maxPendingBytes: number
  readonly maxGetBytes: number
}

const KIB = 1024
const MIB = 1024 * KIB

const JOIN_TIMEOUT_MS = 60_000

const TIMING: TimingOptions = { tickMs: 50, heartbeatMs: 150, electionMs: 1500 }

const LIMITS: LimitOptions = {
  maxValueBytes: MIB,
  maxGetBytes: 256 * MIB,
  maxRequestBytes: MIB,
  maxPendingBytes: 64 * MIB,
  maxPendingReads: 65_536,
  maxViews: 1024,
  maxWatches: 4096,
  maxUncommittedBytes: 64 * MIB,
  maxInflightBytes: 8 * MIB,
  maxInflightMessages: 256,
  maxQueuedBytes: 64 * MIB,
  entryCacheBytes: 32 * MIB,
  watchHistoryBytes: 16 * MIB,
  maxApplyBytes: 4 * MIB,
  maxClients: 256,
  maxSnapshotTransfers: 2,
  snapshotBytesPerSecond: 128 * MIB,
}

const STORAGE: StorageOptions = {
  segmentBytes: 64 * MIB,
  checkpointBytes: 64 * MIB,
  checkpointEntries: 500_000,
  checkpointMs: 300_000,
  keepLogBytes: 64 * MIB,
  minFreeBytes: 128 * MIB,
  compareMs: 5000,
  scrubBytesPerSecond: 2 * MIB,
  writeBufferBytes: 16 * MIB,
  cacheBytes: 32 * MIB,
}

const ERASURE = {
  threshold: 256 * KIB,
  kMax: 8,
  shardBytes: MIB,
  unitBytes: 64 * KIB,
  stallMs: 2000,
  cacheBytes: 64 * MIB,
  graceMs: 60_000,
  repairBytesPerSecond: 64 * MIB,
  scrubBytesPerSecond: 2 * MIB,
}

/** Bounds of large values on their way, in bytes (member/options.ts). */
const BLOB_LIMITS = {
  maxUploadBytes: 32 * MIB,
  maxUnackedBytes: 8 * MIB,
  maxReceivedBytes: 64 * MIB,
  maxFetchBytes: 64 * MIB,
}

/** Inclusive bounds of each number; what has none here is any positive safe integer. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = {
  tickMs: [1, 10_000],
  heartbeatMs: [1, 60_000],
  electionMs: [2, 600_000],
  maxValueBytes: [1, 16 * MIB],
  maxGetBytes: [1, 4096 * MIB],
  maxRequestBytes: [4 * KIB, 16 * MIB],
  snapshotBytesPerSecond: [KIB, Number.MAX_SAFE_INTEGER],
  segmentBytes: [64 * KIB, 1024 * MIB],
  checkpointBytes: [64 * KIB, Number.MAX_SAFE_INTEGER],
  keepLogBytes: [0, Number.MAX_SAFE_INTEGER],
  minFreeBytes: [0, Number.MAX_SAFE_INTEGER],
  scrubBytesPerSecond: [KIB, Number.MAX_SAFE_INTEGER],
  writeBufferBytes: [64 * KIB, 1024 * MIB],
  cacheBytes: [0, 1024 * 1024 * MIB],
  threshold: [0, Number.MAX_SAFE_INTEGER],
  kMax: [1, 128],
  shardBytes: [KIB, 8 * MIB],
  unitBytes: [512, MIB],
  graceMs: [0, Number.MAX_SAFE_INTEGER],
  repairBytesPerSecond: [KIB, Number.MAX_SAFE_INTEGER],
}

const STRONG_READS: readonly MemberOptions['strongReads'][] = ['quorum', 'lease']

const OPTION_NAMES: readonly (keyof OpenOptions)[] = [
  'dir',
  'id',
  'members',
  'cluster',
  'listen',
  'join',
  'joinTimeoutMs',
  'priority',
  'strongReads',
  'tls',
  'secret',
  'clients',
  'logger',
  'tokenKey',
  'valueEncoding',
  'keyEncoding',
  'consistency',
  'timeoutMs',
  'timing',
  'limits',
  'storage',
  'erasure',
]

/** Throws a TypeError when `options` has a name that is not among `known`. */
export function refuseUnknown(what: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw new TypeError(`${what} has no option ${name}; it has ${known.join(', ')}`)
    }
  }
}

/** Throws a TypeError unless `value` is one of `known`. */
export function requireOneOf<T extends string>(
  what: string,
  value: unknown,
  known: readonly T[],
): T {
  const found = known.find((name) => name === value)
  if (found === undefined) {
    throw new TypeError(`${what} is one of ${known.join(', ')}, not ${String(value)}`)
  }
  return found
}

/** Throws unless `value` is a number of milliseconds that a call may take: above 0, or Infinity. */
export function requireTimeout(value: unknown): number {
  if (typeof value !== 'number') throw new TypeError('timeoutMs is a number')
  if (!(value > 0)) throw new RangeError(`timeoutMs is above 0, not ${value}`)
  return value
}

/** How the calls of a Store are made that say nothing else. */
export type CallDefaults = Pick<
  OpenOptions,
  'valueEncoding' | 'keyEncoding' | 'consistency' | 'timeoutMs' | 'tokenKey'
>

/** The same for a member's Store and a client's. @throws {TypeError | RangeError} */
export function resolveCalls(options: CallDefaults): Pick<StoreSettings, keyof CallDefaults> {
  return {
    valueEncoding: requireOneOf(
      'valueEncoding',
      options.valueEncoding ?? 'msgpack',
      VALUE_ENCODINGS,
    ),
    keyEncoding: requireOneOf('keyEncoding', options.keyEncoding ?? 'utf8', KEY_ENCODINGS),
    consistency: requireOneOf('consistency', options.consistency ?? 'strong', READ_LEVELS),
    timeoutMs: requireTimeout(options.timeoutMs ?? 5000),
    tokenKey: resolveSecret('tokenKey', options.tokenKey),
  }
}

/** The options of a Store, complete. */
export function resolveSettings(options: OpenOptions): StoreSettings {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError('Store.open takes an options object with at least dir')
  }
  refuseUnknown('Store.open', options, OPTION_NAMES)
  const limits = resolveNumbers('limits', LIMITS, options.limits)
  return {
    ...resolveCalls(options),
    maxValueBytes: limits.maxValueBytes,
    maxRequestBytes: limits.maxRequestBytes,
    maxPendingBytes: limits.maxPendingBytes,
    maxGetBytes: limits.maxGetBytes,
  }
}

/** The options of the member behind a Store, complete. */
export function resolveMemberOptions(options: OpenOptions): MemberOptions {
  requireText('dir', options.dir)
  const { id, members } = options
  if (id !== undefined) requireMemberId(id)
  if (members !== undefined) requireMembers(id, members)
  if (options.cluster !== undefined) requireText('cluster', options.cluster)
  if (options.listen !== undefined) requireText('listen', options.listen)
  const timing = resolveNumbers('timing', TIMING, options.timing)
  if (timing.heartbeatMs * 2 > timing.electionMs || timing.tickMs > timing.heartbeatMs) {
    throw new RangeError('timing needs tickMs <= heartbeatMs <= electionMs / 2')
  }
  const limits = resolveNumbers('limits', LIMITS, options.limits)
  if (limits.maxQueuedBytes < maxFrameBytes(limits)) {
    throw new RangeError(
      `limits.maxQueuedBytes holds at least one frame: ${maxFrameBytes(limits)} bytes with this ` +
        'maxValueBytes and maxRequestBytes',
    )
  }
  return {
    dir: options.dir,
    id,
    members,
    cluster: options.cluster,
    listen: options.listen,
    join: resolveJoin(options),
    priority: resolvePriority(options.priority),
    strongReads: requireOneOf('strongReads', options.strongReads ?? 'quorum', STRONG_READS),
    tls: options.tls,
    secret: resolveSecret('secret', options.secret),
    clients: resolveGrants(
      options.clients,
      options.tls !== undefined || options.secret !== undefined,
    ),
    logger: requireLogger(options.logger),
    timing,
    limits,
    storage: resolveStorage(options.storage),
    coding: resolveErasure(options.erasure),
  }
}

function resolveErasure(given: OpenOptions['erasure']): CodingOptions {
  if (given !== undefined && given !== false && Object(given) !== given) {
    throw new TypeError('erasure is an object, or false')
  }
  const { slack, codec, inlineBytesMax, ...rest } = given || {}
  if (slack !== undefined) requireCount('erasure.slack', slack)
  if (codec !== undefined) requireText('erasure.codec', codec)
  if (inlineBytesMax !== undefined && inlineBytesMax !== Number.POSITIVE_INFINITY) {
    requireCount('erasure.inlineBytesMax', inlineBytesMax)
  }
  const { threshold, kMax, stallMs, ...sizes } = resolveNumbers('erasure', ERASURE, rest)
  if (!Number.isInteger(Math.log2(sizes.unitBytes))) {
    throw new RangeError('erasure.unitBytes is a power of two')
  }
  return {
    ...BLOB_LIMITS,
    ...sizes,
    thresholdBytes: given === false ? Number.POSITIVE_INFINITY : threshold,
    dataShardsMax: kMax,
    slack,
    codec,
    inlineBytesMax,
    uploadStallMs: stallMs,
  }
}

function requireCount(what: string, value: unknown): void {
  if (typeof value !== 'number') throw new TypeError(`${what} is a number`)
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${what} is a whole number from 0, not ${value}`)
  }
}

/** Two segments or memtables must fit into what is kept free, whatever their size. */
function resolveStorage(given: OpenOptions['storage']): StorageOptions {
  if (given !== undefined && Object(given) !== given) throw new TypeError('storage is an object')
  const { archive, ...sizes } = given ?? {}
  if (archive !== undefined) requireText('storage.archive', archive)
  const storage = { ...resolveNumbers('storage', STORAGE, sizes), archive }
  if (given?.minFreeBytes !== undefined) return storage
  return { ...storage, minFreeBytes: 2 * Math.max(storage.segmentBytes, storage.writeBufferBytes) }
}

function resolveJoin({
  join,
  joinTimeoutMs,
  id,
  listen,
  members,
}: OpenOptions): JoinOptions | undefined {
  if (join === undefined) {
    if (joinTimeoutMs !== undefined) throw new TypeError('joinTimeoutMs is for join')
    return undefined
  }
  if (!Array.isArray(join) || join.length === 0 || join.some((at) => typeof at !== 'string')) {
    throw new TypeError('join is a list of addresses')
  }
  for (const address of join) parseAddress(address)
  const port = listen ?? (id === undefined ? undefined : members?.[id])
  if (id === undefined || port === undefined) {
    throw new TypeError('a member that joins needs its id, and listen')
  }
  const timeoutMs = requireTimeout(joinTimeoutMs ?? JOIN_TIMEOUT_MS)
  return { addresses: join, listen: port, timeoutMs }
}

function resolvePriority(priority: unknown = 0): number {
  if (typeof priority !== 'number') throw new TypeError('priority is a number')
  if (Number.isInteger(priority) && priority >= -100 && priority <= 100) return priority
  throw new RangeError('priority is a whole number from -100 to 100')
}

function requireText(name: string, value: unknown): void {
  if (typeof value !== 'string') throw new TypeError(`${name} is a string`)
  if (value === '') throw new RangeError(`${name} is not empty`)
}

function requireMemberId(id: unknown): void {
  if (typeof id !== 'string') throw new TypeError('a member id is a string')
  if (!MEMBER_ID_PATTERN.test(id)) {
    throw new RangeError(`a member id is 1 to 64 of A-Z a-z 0-9 . _ -, not ${JSON.stringify(id)}`)
  }
}

function requireMembers(id: string | undefined, members: unknown): void {
  if (typeof members !== 'object' || members === null || Array.isArray(members)) {
    throw new TypeError('members is an object: addresses by member id')
  }
  const entries: [string, unknown][] = Object.entries(members)
  if (entries.length === 0) throw new RangeError('members names at least this member')
  for (const [name, address] of entries) {
    requireMemberId(name)
    requireText(`the address of ${name}`, address)
  }
  if (id === undefined) throw new TypeError('id is required with members')
  if (!(id in members)) throw new RangeError(`members does not name this member, ${id}`)
}

function requireLogger(logger: Logger | undefined): Logger | undefined {
  if (logger === undefined) return undefined
  const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']
  if (levels.every((level) => typeof logger?.[level] === 'function')) return logger
  throw new TypeError(`logger has the methods ${levels.join(', ')}`)
}

/** `given` over `defaults`, each number checked against its bounds. */
function resolveNumbers<T extends object>(what: string, defaults: T, given: unknown): T {
  if (given === undefined) return defaults
  if (typeof given !== 'object' || given === null) throw new TypeError(`${what} is an object`)
  refuseUnknown(what, given, Object.keys(defaults))
  const resolved: T = { ...defaults }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    if (typeof value !== 'number') throw new TypeError(`${what}.${name} is a number`)
    const [least, most] = BOUNDS[name] ?? [1, Number.MAX_SAFE_INTEGER]
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new RangeError(`${what}.${name} is a whole number from ${least} to ${most}`)
    }
    Object.assign(resolved, { [name]: value })
  }
  return resolved
}
