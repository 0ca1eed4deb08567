/**
 * What a client asks of a member beside its requests (wire/forward.ts), its reads (wire/read-call.ts) and its calls
 * (wire/envelope.ts): views, cursors, watches, waiting until something is applied, and the bytes of large values.
 *
 *   asks         ask*
 *   ask          u32 id | u8 kind | ...
 *     1 view     u8 cut | demand              gives the view the ask's id
 *     2 values   u32 view | keys
 *     3 cursor   u32 view | u8 reverse | range    gives the cursor the ask's id; not answered
 *     4 entries  u32 cursor | u32 maxEntries | u32 maxBytes
 *     5 watch    u64 after | u64 afterTerm | range    gives the watch the ask's id; not answered
 *     6 changes  u32 watch | u32 maxBytes
 *     7 applied  u64 index | u8 where (0 here, 1 all, 2 members) | u32 members | f64 remainingMs
 *     8 end      u32 id of a view, a cursor, a watch or an ask that is not answered; not answered itself
 *     9 probe
 *     10 blobOpen    u8 isStream | u32 bytes | key | f64 remainingMs    gives the upload the ask's id; not answered
 *     11 blobWrite   u32 upload | u32 bytes | bytes    answered when more may follow
 *     12 blobFinish  u32 upload                        answered with the manifest
 *     13 blobDrop    u32 upload                        not answered; nothing refers to it, nor ever will
 *     14 blobFetch   u32 bytes | key | u32 bytes | manifest | u64 start | u64 end | f64 remainingMs
 *   demand       u8 level | u8 onBehind | u64 minIndex | u64 minTerm | f64 maxStalenessMs | f64 remainingMs
 *   keys         u32 count | (u32 bytes | key)*
 *   range        u8 bounds (1 gt, 2 gte, 4 lt, 8 lte) | (u32 bytes | key)*    in this order
 *
 * All integers are little-endian; times are what is left of them, because clocks differ. Ids are given by the client,
 * and never twice on one connection. On the wire: never change the meaning of a number here, add new ones.
 */
import { unreachable } from '../base/assert.js'
import type { KeyRange } from '../env/database.js'
import type { LogIndex, Term } from '../raft/types.js'
import { type ByteReader, type ByteWriter, ByteReader as Reader } from './byte-stream.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'
import type { OnBehind, ReadLevel } from './read-call.js'

/** On the wire: the kinds of frames between a client and a member that only they have. */
export const FRAME_RESET = 100
export const FRAME_ASKS = 101
export const FRAME_REPLIES = 102
export const FRAME_NEWS = 103

/** The last id of a connection: then it has to be made anew. */
export const ASK_ID_MAX = 0xffff_ffff

/** Which state may serve, as it travels. */
export interface AskedDemand {
  readonly level: ReadLevel
  readonly onBehind: OnBehind
  readonly minIndex: LogIndex
  readonly minTerm: Term
  readonly maxStalenessMs: number
  readonly remainingMs: number
}

/** One ask, without its id. */
export type Ask =
  | { readonly type: 'view'; readonly cut: 'newest' | 'exact'; readonly demand: AskedDemand }
  | { readonly type: 'values'; readonly view: number; readonly keys: readonly Uint8Array[] }
  | {
      readonly type: 'cursor'
      readonly view: number
      readonly range: KeyRange
      readonly reverse: boolean
    }
  | {
      readonly type: 'entries'
      readonly cursor: number
      readonly maxEntries: number
      readonly maxBytes: number
    }
  | {
      readonly type: 'watch'
      readonly after: LogIndex
      readonly afterTerm: Term
      readonly range: KeyRange
    }
  | { readonly type: 'changes'; readonly watch: number; readonly maxBytes: number }
  | {
      readonly type: 'applied'
      readonly index: LogIndex
      readonly where: 'here' | 'all' | { readonly members: number }
      readonly remainingMs: number
    }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'probe' }
  | BlobAsk

/** One ask about the bytes of a large value, without its id. */
export type BlobAsk =
  | {
      readonly type: 'blobOpen'
      readonly isStream: boolean
      readonly key: Uint8Array
      readonly remainingMs: number
    }
  | { readonly type: 'blobWrite'; readonly upload: number; readonly bytes: Uint8Array }
  | { readonly type: 'blobFinish' | 'blobDrop'; readonly upload: number }
  | {
      readonly type: 'blobFetch'
      readonly key: Uint8Array
      /** It may name those parts only that the range lies in (store/large-value.ts). */
      readonly manifest: Uint8Array
      readonly start: number
      readonly end: number
      readonly remainingMs: number
    }

/** On the wire: a kind is sent as its position here. */
const KINDS = [
  undefined,
  'view',
  'values',
  'cursor',
  'entries',
  'watch',
  'changes',
  'applied',
  'end',
  'probe',
  'blobOpen',
  'blobWrite',
  'blobFinish',
  'blobDrop',
  'blobFetch',
] as const
const CUTS = ['newest', 'exact'] as const
const LEVELS: readonly ReadLevel[] = ['strong', 'session', 'eventual']
const ON_BEHIND: readonly OnBehind[] = ['wait', 'forward', 'fail']
const BOUNDS = ['gt', 'gte', 'lt', 'lte'] as const
const HERE = 0
const ALL = 1
const MEMBERS = 2

/** Adds one ask to a body. */
export function writeAsk(writer: ByteWriter, id: number, ask: Ask): void {
  writer.u32(id)
  writer.u8(KINDS.indexOf(ask.type))
  switch (ask.type) {
    case 'view':
      writer.u8(CUTS.indexOf(ask.cut))
      writeDemand(writer, ask.demand)
      return
    case 'values':
      writer.u32(ask.view)
      writer.u32(ask.keys.length)
      for (const key of ask.keys) writer.bytes(key)
      return
    case 'cursor':
      writer.u32(ask.view)
      writer.u8(ask.reverse ? 1 : 0)
      writeRange(writer, ask.range)
      return
    case 'entries':
      writer.u32(ask.cursor)
      writer.u32(ask.maxEntries)
      writer.u32(ask.maxBytes)
      return
    case 'watch':
      writer.u64(ask.after)
      writer.u64(ask.afterTerm)
      writeRange(writer, ask.range)
      return
    case 'changes':
      writer.u32(ask.watch)
      writer.u32(ask.maxBytes)
      return
    case 'applied':
      writeApplied(writer, ask)
      return
    case 'end':
      writer.u32(ask.id)
      return
    case 'probe':
      return
    default:
      writeBlobAsk(writer, ask)
  }
}

function writeBlobAsk(writer: ByteWriter, ask: BlobAsk): void {
  switch (ask.type) {
    case 'blobOpen':
      writer.u8(ask.isStream ? 1 : 0)
      writer.bytes(ask.key)
      writer.f64(ask.remainingMs)
      return
    case 'blobWrite':
      writer.u32(ask.upload)
      writer.bytes(ask.bytes)
      return
    case 'blobFinish':
    case 'blobDrop':
      writer.u32(ask.upload)
      return
    case 'blobFetch':
      writer.bytes(ask.key)
      writer.bytes(ask.manifest)
      writer.u64(ask.start)
      writer.u64(ask.end)
      writer.f64(ask.remainingMs)
      return
    default:
      unreachable(ask)
  }
}

/** Takes a body apart; keys and ranges view it. @throws {DecodeError} */
export function decodeAsks(body: Buffer): { id: number; ask: Ask }[] {
  const reader = new Reader(body)
  const asks: { id: number; ask: Ask }[] = []
  while (reader.left > 0) asks.push({ id: reader.u32(), ask: readAsk(reader) })
  return asks
}

function readAsk(reader: ByteReader): Ask {
  const type = reader.oneOf(KINDS)
  switch (type) {
    case 'view':
      return { type, cut: reader.oneOf(CUTS), demand: readDemand(reader) }
    case 'values':
      return { type, view: reader.u32(), keys: reader.list(4, () => readKey(reader)) }
    case 'cursor': {
      const view = reader.u32()
      const reverse = reader.u8() === 1
      return { type, view, reverse, range: readRange(reader) }
    }
    case 'entries':
      return { type, cursor: reader.u32(), maxEntries: reader.u32(), maxBytes: reader.u32() }
    case 'watch': {
      const after = reader.u64()
      return { type, after, afterTerm: reader.u64(), range: readRange(reader) }
    }
    case 'changes':
      return { type, watch: reader.u32(), maxBytes: reader.u32() }
    case 'applied':
      return readApplied(reader)
    case 'end':
      return { type, id: reader.u32() }
    case 'probe':
      return { type }
    case undefined:
      throw new DecodeError('an ask without a kind')
    default:
      return readBlobAsk(reader, type)
  }
}

function readBlobAsk(reader: ByteReader, type: BlobAsk['type']): BlobAsk {
  switch (type) {
    case 'blobOpen': {
      const isStream = reader.u8() === 1
      return { type, isStream, key: readKey(reader), remainingMs: reader.ms() }
    }
    case 'blobWrite':
      return { type, upload: reader.u32(), bytes: reader.bytes() }
    case 'blobFinish':
    case 'blobDrop':
      return { type, upload: reader.u32() }
    case 'blobFetch': {
      const key = readKey(reader)
      const manifest = reader.bytes()
      return {
        type,
        key,
        manifest,
        start: reader.u64(),
        end: reader.u64(),
        remainingMs: reader.ms(),
      }
    }
    default:
      return unreachable(type)
  }
}

function writeDemand(writer: ByteWriter, demand: AskedDemand): void {
  writer.u8(LEVELS.indexOf(demand.level))
  writer.u8(ON_BEHIND.indexOf(demand.onBehind))
  writer.u64(demand.minIndex)
  writer.u64(demand.minTerm)
  writer.f64(demand.maxStalenessMs)
  writer.f64(demand.remainingMs)
}

function readDemand(reader: ByteReader): AskedDemand {
  return {
    level: reader.oneOf(LEVELS),
    onBehind: reader.oneOf(ON_BEHIND),
    minIndex: reader.u64(),
    minTerm: reader.u64(),
    maxStalenessMs: reader.ms(),
    remainingMs: reader.ms(),
  }
}

function writeApplied(
  writer: ByteWriter,
  { index, where, remainingMs }: Ask & { type: 'applied' },
): void {
  writer.u64(index)
  writer.u8(where === 'here' ? HERE : where === 'all' ? ALL : MEMBERS)
  writer.u32(typeof where === 'object' ? where.members : 0)
  writer.f64(remainingMs)
}

function readApplied(reader: ByteReader): Ask {
  const index = reader.u64()
  const kind = reader.u8()
  const members = reader.u32()
  if (kind > MEMBERS) throw new DecodeError('applied where?')
  const where = kind === HERE ? 'here' : kind === ALL ? 'all' : { members }
  return { type: 'applied', index, where, remainingMs: reader.ms() }
}

function writeRange(writer: ByteWriter, range: KeyRange): void {
  let bounds = 0
  BOUNDS.forEach((name, i) => {
    if (range[name] !== undefined) bounds |= 1 << i
  })
  writer.u8(bounds)
  for (const name of BOUNDS) {
    const key = range[name]
    if (key !== undefined) writer.bytes(key)
  }
}

function readRange(reader: ByteReader): KeyRange {
  const bounds = reader.u8()
  if (bounds > 15 || (bounds & 3) === 3 || (bounds & 12) === 12) {
    throw new DecodeError('a range with two bounds on one side')
  }
  const range: Partial<Record<keyof KeyRange, Uint8Array>> = {}
  BOUNDS.forEach((name, i) => {
    if ((bounds & (1 << i)) !== 0) range[name] = readBound(reader)
  })
  return range
}

function readBound(reader: ByteReader): Buffer {
  const key = reader.bytes()
  // A bound may be one byte longer than a key: the first after all keys that begin with it.
  if (key.length > KEY_BYTES_MAX + 1) throw new DecodeError('a bound is too long')
  return key
}

function readKey(reader: ByteReader): Buffer {
  const key = reader.bytes()
  if (key.length === 0 || key.length > KEY_BYTES_MAX) throw new DecodeError('not a key')
  return key
}

/** The body of a reset frame: what was sent on this link and is not answered has to be sent again. */
export function encodeReset(link: number): Buffer {
  const body = Buffer.allocUnsafe(4)
  body.writeUInt32LE(link, 0)
  return body
}

/** @throws {DecodeError} */
export function decodeReset(body: Buffer): number {
  if (body.length !== 4) throw new DecodeError('malformed reset')
  return body.readUInt32LE(0)
}
