/**
 * The manifest of an image: which state it is, and the chunks that it is made of, in key order (docs/formats.md).
 *
 *   manifest  8 magic "QuorImg\n" | u32 version = 1 | 8 cluster id | u64 index | u64 term | 8 digest | u64 entries
 *             | u64 bytes | u32 sessions | u8 autoLeave | u8 0 | u16 voters | u16 votersOutgoing | u16 learners
 *             | u16 learnersNext | u64 node * | u32 memberBytes | members | u32 chunks | chunk* | u64 root
 *   chunk     u32 bytes | u32 entries | u64 hash | u32 keyBytes | first key
 *
 * Integers are little-endian. `root` is the XXH64 of everything before it: two members hold the same state exactly if
 * their roots at the same index are equal. On disk and on the wire: never change the meaning of a number here.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { ConfState, LogIndex, NodeId, Term } from '../raft/types.js'
import { DecodeError, KEY_BYTES_MAX } from './command.js'
import { CHUNK_BYTES_MAX, hashOf, type ImageChunk } from './image-chunk.js'

/** Which state an image holds, without its chunks. */
export interface ImageHeader {
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  /** The state after the entry here, which is of `term`. */
  readonly index: LogIndex
  readonly term: Term
  readonly conf: ConfState
  /** The members (wire/directory.ts). */
  readonly members: Uint8Array
  /** The state machine's digest at `index`, 16 hexadecimal digits. */
  readonly digest: string
  /** Session records among the entries. */
  readonly sessions: number
}

/** An image, without the bytes of its chunks. */
export interface ImageManifest extends ImageHeader {
  /** Records in all chunks. */
  readonly entries: number
  /** Bytes of all chunks. */
  readonly bytes: number
  readonly chunks: readonly ImageChunk[]
  /** Of everything else here, 16 hexadecimal digits. */
  readonly root: string
}

const MAGIC = 'QuorImg\n'
const VERSION = 1
const HEADER_BYTES = 74
const CHUNK_HEADER_BYTES = 20
/** A key of the database has a prefix byte. */
const FIRST_KEY_BYTES_MAX = KEY_BYTES_MAX + 1

/** The manifest of the image that consists of `chunks`. */
export function sealManifest(header: ImageHeader, chunks: readonly ImageChunk[]): ImageManifest {
  const entries = chunks.reduce((sum, chunk) => sum + chunk.entries, 0)
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0)
  const unsealed = { ...header, entries, bytes, chunks, root: '' }
  return { ...unsealed, root: hashOf(encodeBody(unsealed)) }
}

/** Whether `root` is that of the rest: a manifest that was put together from pieces is whole. */
export function isSealed(manifest: ImageManifest): boolean {
  return hashOf(encodeBody(manifest)) === manifest.root
}

/** The manifest's bytes; about 40 and a key for each chunk. */
export function encodeManifest(manifest: ImageManifest): Buffer {
  return Buffer.concat([encodeBody(manifest), u64Of(manifest.root)])
}

function encodeBody(manifest: ImageManifest): Buffer {
  const { conf, members, chunks } = manifest
  const groups = [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext]
  const nodes = groups.flat()
  const head = Buffer.alloc(HEADER_BYTES + 8 * nodes.length)
  head.write(MAGIC, 'latin1')
  head.writeUInt32LE(VERSION, 8)
  head.write(manifest.clusterId, 12, 'hex')
  writeU64(head, manifest.index, 20)
  writeU64(head, manifest.term, 28)
  head.write(manifest.digest, 36, 'hex')
  writeU64(head, manifest.entries, 44)
  writeU64(head, manifest.bytes, 52)
  head.writeUInt32LE(manifest.sessions, 60)
  head[64] = conf.autoLeave ? 1 : 0
  groups.forEach((group, i) => {
    head.writeUInt16LE(group.length, 66 + 2 * i)
  })
  nodes.forEach((node, i) => {
    writeU64(head, node, HEADER_BYTES + 8 * i)
  })
  return Buffer.concat([
    head,
    u32(members.length),
    members,
    u32(chunks.length),
    ...chunks.flatMap(chunkParts),
  ])
}

function chunkParts({ firstKey, bytes, entries, hash }: ImageChunk): Uint8Array[] {
  const head = Buffer.alloc(CHUNK_HEADER_BYTES)
  head.writeUInt32LE(bytes, 0)
  head.writeUInt32LE(entries, 4)
  u64Of(hash).copy(head, 8)
  head.writeUInt32LE(firstKey.length, 16)
  return [head, firstKey]
}

/** A hash as the number it is. */
function u64Of(hash: string): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(`0x${hash}`))
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/**
 * Reads a manifest; its parts view `bytes`.
 * @throws {DecodeError} when it is damaged, cut short, of another version, or does not add up
 */
export function decodeManifest(bytes: Buffer): ImageManifest {
  if (bytes.length < HEADER_BYTES + 16 || bytes.toString('latin1', 0, 8) !== MAGIC) {
    throw new DecodeError('not the manifest of an image')
  }
  const version = bytes.readUInt32LE(8)
  if (version !== VERSION) throw new DecodeError(`manifest of unknown version ${version}`)
  const body = bytes.subarray(0, -8)
  const root = hexOf(bytes.subarray(-8))
  if (hashOf(body) !== root) throw new DecodeError('the manifest fails its checksum')
  const counts = [0, 1, 2, 3].map((i) => body.readUInt16LE(66 + 2 * i))
  const reader = new Reader(body, HEADER_BYTES)
  const group = (i: number): NodeId[] => Array.from({ length: counts[i]! }, () => reader.u64())
  const conf: ConfState = {
    voters: group(0),
    votersOutgoing: group(1),
    learners: group(2),
    learnersNext: group(3),
    autoLeave: body[64] === 1,
  }
  const members = reader.take(reader.u32())
  const chunks: ImageChunk[] = []
  for (let left = reader.u32(); left > 0; left--) chunks.push(reader.chunk())
  reader.end()
  const fixed = new Reader(body, 20)
  const [index, term] = [fixed.u64(), fixed.u64()]
  const digest = fixed.take(8).toString('hex')
  const [entries, total] = [fixed.u64(), fixed.u64()]
  const header: ImageHeader = {
    clusterId: body.toString('hex', 12, 20),
    index,
    term,
    conf,
    members,
    digest,
    sessions: fixed.u32(),
  }
  requireSums(chunks, entries, total)
  return { ...header, entries, bytes: total, chunks, root }
}

/** The sums are there to be shown before all is there: they must be those of the chunks, which must be in order. */
function requireSums(chunks: readonly ImageChunk[], entries: number, bytes: number): void {
  let [foundEntries, foundBytes] = [0, 0]
  for (const [i, chunk] of chunks.entries()) {
    foundEntries += chunk.entries
    foundBytes += chunk.bytes
    const before = chunks[i - 1]
    if (before !== undefined && Buffer.compare(before.firstKey, chunk.firstKey) >= 0) {
      throw new DecodeError('the chunks of a manifest are out of order')
    }
  }
  if (foundEntries !== entries || foundBytes !== bytes) {
    throw new DecodeError('the sums of a manifest are wrong')
  }
}

function hexOf(bytes: Buffer): string {
  return bytes.readBigUInt64LE().toString(16).padStart(16, '0')
}

/** Reads fields one after the other; past the end of the bytes is a DecodeError. */
class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  u32(): number {
    return this.take(4).readUInt32LE()
  }

  u64(): number {
    const value = readU64(this.take(8), 0)
    if (value === undefined) throw new DecodeError('a number beyond the safe integers')
    return value
  }

  chunk(): ImageChunk {
    const bytes = this.u32()
    const entries = this.u32()
    const hash = hexOf(this.take(8))
    const keyBytes = this.u32()
    if (bytes > CHUNK_BYTES_MAX || keyBytes > FIRST_KEY_BYTES_MAX) {
      throw new DecodeError('a chunk of a manifest is out of bounds')
    }
    return { firstKey: this.take(keyBytes), bytes, entries, hash }
  }

  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new DecodeError('a manifest is cut short')
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new DecodeError('bytes left over after a manifest')
  }
}
