/**
 * A new cluster from the checkpoint that a running one retains: its members are asked at once, each for its own shards,
 * and any k of them are enough. Large values come through whichever member can read them.
 *
 * Nothing is believed: a shard must be the one that was asked for and whole, a chunk have its hash, the manifest the
 * root that all members name. What is damaged or missing at one member is had from the others.
 */
import { StoreError } from '../base/errors.js'
import type { PartCoder } from '../blob/part-coder.js'
import type { PartSource } from '../blob/reseal.js'
import type { Env } from '../env/env.js'
import { foundCluster } from '../member/new-cluster.js'
import {
  headOf,
  type ImagePart,
  isHeadOf,
  partsOf,
  readChunk,
  type ShardGiver,
} from '../snapshot/coded-image.js'
import { abortedBy } from '../snapshot/image.js'
import type { ChunkReader } from '../snapshot/image-records.js'
import { ArchivedLog } from '../snapshot/log-archive.js'
import {
  decodeRetainedFile,
  RETAINED_FILE_BYTES_MAX,
  type RetainedFile,
} from '../snapshot/retained-file.js'
import { ClientConnection } from '../transport/client.js'
import type { Protection } from '../transport/protection.js'
import { asBackupPiece } from '../wire/backup-call.js'
import { DecodeError } from '../wire/command.js'
import type { ImageChunk } from '../wire/image-chunk.js'
import { encodeManifest, partDigest } from '../wire/manifest.js'
import {
  asRetainedDescription,
  type RetainedCall,
  type RetainedDescription,
} from '../wire/retained-call.js'
import { openShard, SHARD_BYTES_MAX } from '../wire/shard.js'
import type { MaintenanceOptions, RestoredStore } from './maintenance.js'
import { type Caller, understood } from './remote-state.js'

/** How long a piece may take. */
const PIECE_MS = 60_000
/** Chunks that are fetched before they are needed. */
const AHEAD = 2
/** A part of a large value of more bytes is none that any member wrote. */
const PART_BYTES_MAX = 512 * 1024 * 1024

/** Whose checkpoint is restored, and to what. */
export interface RetainedRestore extends MaintenanceOptions {
  /** Of members; enough of them must be reached. */
  readonly addresses: readonly string[]
  readonly protection: Protection
  /** How long a member may take to be connected, and to say what it has. */
  readonly timeoutMs: number
  readonly coder: PartCoder
  /** The name of the only member of the new cluster. */
  readonly id: string
}

/** A member that has the checkpoint whole. */
interface Source extends RetainedDescription {
  readonly caller: Caller
}

/**
 * Fills the folder `dir`, which must be empty or absent, or hold what is left of an attempt before.
 * @throws {StoreError} QUORATE_NOT_READY no member has a retained checkpoint; QUORATE_BLOB_UNREADABLE fewer than k do;
 *   QUORATE_CORRUPTION, QUORATE_NOT_EMPTY, QUORATE_NETWORK, QUORATE_ABORTED
 */
export async function restoreRetained(
  env: Env,
  dir: string,
  { addresses, protection, ...options }: RetainedRestore,
): Promise<RestoredStore> {
  const { network, time, random } = env
  const { timeoutMs, id } = options
  const opened = await Promise.allSettled(
    addresses.map((address) =>
      ClientConnection.connect(network, time, random, address, { ...protection, timeoutMs }),
    ),
  )
  const connections = opened.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  try {
    if (connections.length === 0) throw firstReason(opened)
    const sources = await newestAt(connections, timeoutMs)
    const file = await fileFrom(sources)
    const nothing = await ArchivedLog.open(env.disk, [], file.manifest.clusterId)
    const { clusterId, index, unreadable } = await foundCluster(env, dir, id, {
      image: { manifest: file.manifest, read: readerOf(file, sources, options) },
      initial: undefined,
      entries: (from) => nothing.entries(from, file.index),
      largeParts: valuesFrom(connections),
    })
    return { clusterId, id, index, unreadable }
  } finally {
    for (const connection of connections) connection.close()
  }
}

/** Those who have the newest one whole, each shard once. @throws why nobody has */
async function newestAt(callers: readonly Caller[], timeoutMs: number): Promise<Source[]> {
  const answers = await Promise.allSettled(
    callers.map(async (caller): Promise<Source> => {
      const answer = await caller.call('retained', { type: 'describe' }, timeoutMs)
      return { ...understood(() => asRetainedDescription(answer)), caller }
    }),
  )
  const sources = answers.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  if (sources.length === 0) throw firstReason(answers)
  const newest = Math.max(...sources.map(({ index }) => index))
  const bySlot = new Map<number, Source>()
  for (const source of sources) if (source.index === newest) bySlot.set(source.slot, source)
  return [...bySlot.values()].sort((a, b) => a.slot - b.slot)
}

/** The description, which must be that of the root that all of them name. */
async function fileFrom(sources: readonly Source[]): Promise<RetainedFile> {
  const { index, root } = sources[0]!
  if (sources.some((source) => source.root !== root)) {
    const message = `the members' checkpoints at index ${index} are not the same`
    throw new StoreError('QUORATE_CORRUPTION', message)
  }
  for (const source of sources) {
    const file = await orNothing(async () => {
      const call = { type: 'file', index } as const
      return decodeRetainedFile(await fetchWhole(source.caller, call, RETAINED_FILE_BYTES_MAX))
    })
    if (file?.index === index && file.manifest.root === root) return file
  }
  const message = `no member gives the description of the checkpoint at index ${index}`
  throw new StoreError('QUORATE_BLOB_UNREADABLE', message, { retryable: true })
}

/** Reads chunks in order, some ahead of time. */
function readerOf(
  file: RetainedFile,
  sources: readonly Source[],
  { coder, signal, onProgress }: Omit<RetainedRestore, 'addresses' | 'protection'>,
): ChunkReader {
  const { chunks } = file.manifest
  const parts = [...partsOf(chunks, file.dataShards)]
  const clusterId = Buffer.from(file.manifest.clusterId, 'hex')
  const givers = sources.map((source) => giverOf(source, file, clusterId))
  const coming = new Map<number, Promise<Buffer>>()
  const begin = (position: number): Promise<Buffer> => {
    const known = coming.get(position)
    if (known !== undefined) return known
    // Every one of them is asked first for its share of the chunks, so that none has to carry all.
    const turned = [
      ...givers.slice(position % givers.length),
      ...givers.slice(0, position % givers.length),
    ]
    const reading = readChunk(chunks[position]!, parts[position]!, turned, coder)
    reading.catch(() => {}) // whoever waits for it hears of it
    coming.set(position, reading)
    return reading
  }
  let [position, bytes] = [0, 0]
  return async (chunk: ImageChunk) => {
    if (signal?.aborted === true) throw abortedBy(signal)
    const ahead = Math.min(position + AHEAD, chunks.length - 1)
    for (let next = position; next <= ahead; next++) void begin(next)
    const content = await begin(position)
    coming.delete(position)
    position++
    bytes += chunk.bytes
    onProgress?.({ chunks: position, bytes })
    return content
  }
}

function giverOf(
  { caller, index, slot }: Source,
  file: RetainedFile,
  clusterId: Uint8Array,
): ShardGiver {
  const give = (part: ImagePart): Promise<Buffer | undefined> =>
    orNothing(async () => {
      const call = { type: 'shard', index, part: part.number } as const
      const { head, body } = openShard(await fetchWhole(caller, call, SHARD_BYTES_MAX))
      const isIt = head.index === slot && isHeadOf(head, headOf(file, clusterId, part, slot))
      return isIt ? body : undefined
    })
  return { index: slot, give }
}

/** The parts of large values, from whichever member can read them. */
function valuesFrom(callers: readonly Caller[]): PartSource {
  return async ({ key, manifest }, part) => {
    if (part.bytes > PART_BYTES_MAX) return undefined
    const alone = encodeManifest({ ...manifest, bytes: part.bytes, parts: [part] })
    let failure: unknown
    for (const caller of callers) {
      try {
        const call = { type: 'value', key, manifest: alone } as const
        const data = await fetchWhole(caller, call, part.bytes)
        if (partDigest(data).equals(part.digest)) return data
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        if (!isUnreadable(error)) failure = error
      }
    }
    if (failure !== undefined) throw failure
    return undefined
  }
}

function isUnreadable({ code }: StoreError): boolean {
  return code === 'QUORATE_BLOB_UNREADABLE' || code === 'QUORATE_BLOB_GONE'
}

/** A call for something that comes in pieces. */
type WholeCall = RetainedCall extends infer Call
  ? Call extends { readonly offset: number }
    ? Omit<Call, 'offset'>
    : never
  : never

async function fetchWhole(caller: Caller, call: WholeCall, bytesMax: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for (let offset = 0; ; ) {
    const answer = await caller.call('retained', { ...call, offset }, PIECE_MS)
    const { wholeBytes, bytes } = understood(() => asBackupPiece(answer))
    if (wholeBytes > bytesMax || offset + bytes.length > wholeBytes) {
      throw new StoreError('QUORATE_FORMAT', 'the member sends more than it has')
    }
    pieces.push(bytes)
    offset += bytes.length
    if (offset === wholeBytes) return Buffer.concat(pieces)
  }
}

/** What `read` gives; undefined when this member does not: another one may. */
async function orNothing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof StoreError || error instanceof DecodeError) return undefined
    throw error
  }
}

function firstReason(results: readonly PromiseSettledResult<unknown>[]): unknown {
  return results.find((one) => one.status === 'rejected')?.reason
}
