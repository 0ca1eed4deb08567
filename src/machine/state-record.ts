/**
 * The one record that says which state the database holds; written in the same batch as every effect (trap T-37).
 *
 *   u8 version = 2 | u8 autoLeave | u16 voters | u16 votersOutgoing | u16 learners | u16 learnersNext
 *   | u64 appliedIndex | u64 appliedTerm | u64 evictedThrough | u64 touches | u32 sessions
 *   | 8 bytes digest | u64 node * | u32 CRC-32 of all before
 *
 * Little-endian; the nodes in the order of the four counts. `evictedThrough`, `touches` and `sessions` belong to the
 * session table (sessions.ts), the digest to state-digest.ts. Version 1 had no digest and was never released.
 */
import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { ConfState, LogIndex, NodeId, Term } from '../raft/types.js'

/** Where the state stands. */
export interface StateRecord {
  readonly appliedIndex: LogIndex
  readonly appliedTerm: Term
  readonly conf: ConfState
  /** No evicted client was active after this entry. */
  readonly evictedThrough: LogIndex
  /** Requests applied so far: the clock by which the least recently used session is told. */
  readonly touches: number
  /** How many session records there are: one that is lost would let a request be applied twice. */
  readonly sessions: number
  /** Of everything that the entries up to here did: 16 hex digits (state-digest.ts). */
  readonly digest: string
}

const VERSION = 2
const HEADER_BYTES = 54
const DIGEST_AT = 46
const DIGEST_BYTES = 8

/** The record's bytes, in memory of their own. */
export function encodeStateRecord(record: StateRecord): Buffer {
  const { conf } = record
  const groups = [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext]
  const nodes = groups.flat()
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + 8 * nodes.length + 4)
  bytes[0] = VERSION
  bytes[1] = conf.autoLeave ? 1 : 0
  groups.forEach((group, i) => {
    bytes.writeUInt16LE(group.length, 2 + 2 * i)
  })
  writeU64(bytes, record.appliedIndex, 10)
  writeU64(bytes, record.appliedTerm, 18)
  writeU64(bytes, record.evictedThrough, 26)
  writeU64(bytes, record.touches, 34)
  bytes.writeUInt32LE(record.sessions, 42)
  bytes.write(record.digest, DIGEST_AT, DIGEST_BYTES, 'hex')
  nodes.forEach((node, i) => {
    writeU64(bytes, node, HEADER_BYTES + 8 * i)
  })
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

/** @throws {StoreError} QUORATE_FORMAT for another version; QUORATE_CORRUPTION when the bytes are damaged. */
export function decodeStateRecord(bytes: Buffer): StateRecord {
  if (bytes.length < HEADER_BYTES + 4) throw corrupt()
  if (bytes.readUInt32LE(bytes.length - 4) !== crc32(bytes.subarray(0, -4))) throw corrupt()
  if (bytes[0] !== VERSION) {
    throw new StoreError('QUORATE_FORMAT', `state record of unknown version ${bytes[0]}`)
  }
  const counts = [0, 1, 2, 3].map((i) => bytes.readUInt16LE(2 + 2 * i))
  const total = counts.reduce((sum, count) => sum + count)
  if (bytes.length !== HEADER_BYTES + 8 * total + 4) throw corrupt()
  const u64 = (offset: number): number => {
    const value = readU64(bytes, offset)
    if (value === undefined) throw corrupt()
    return value
  }
  const nodes = Array.from({ length: total }, (_, i): NodeId => u64(HEADER_BYTES + 8 * i))
  const group = (i: number): NodeId[] => nodes.splice(0, counts[i]!)
  return {
    appliedIndex: u64(10),
    appliedTerm: u64(18),
    evictedThrough: u64(26),
    touches: u64(34),
    sessions: bytes.readUInt32LE(42),
    digest: bytes.toString('hex', DIGEST_AT, DIGEST_AT + DIGEST_BYTES),
    conf: {
      voters: group(0),
      votersOutgoing: group(1),
      learners: group(2),
      learnersNext: group(3),
      autoLeave: bytes[1] === 1,
    },
  }
}

function corrupt(): StoreError {
  return new StoreError('QUORATE_CORRUPTION', 'the state record is damaged')
}
