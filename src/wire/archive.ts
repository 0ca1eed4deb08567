/**
 * A file of the archive: log entries in a row, kept after the log has let go of them (docs/formats.md).
 *
 *   file   8 magic "QuorArc\n" | u32 version = 1 | 8 cluster id | u64 first index | u32 entries | entry* | u64 check
 *   entry  u64 term | u8 kind | u32 bytes | data
 *
 * Integers are little-endian; `check` is the XXH64 of everything before. On disk: never change the meaning of a number
 * here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { Entry, EntryKind } from '../raft/types.js'
import { checksum } from './checksum.js'
import { DecodeError } from './command.js'

const MAGIC = Buffer.from('QuorArc\n')
const VERSION = 1
const HEADER_BYTES = 32
const ENTRY_HEADER_BYTES = 13
const KINDS: readonly EntryKind[] = ['normal', 'confChange', 'confChangeV2']

/** Entries of one cluster, in a row. */
export interface ArchivedEntries {
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly entries: readonly Entry[]
}

/** The file's bytes; at least one entry. */
export function encodeArchive({ clusterId, entries }: ArchivedEntries): Buffer {
  const head = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(head)
  head.writeUInt32LE(VERSION, 8)
  head.write(clusterId, 12, 'hex')
  writeU64(head, entries[0]!.index, 20)
  head.writeUInt32LE(entries.length, 28)
  const body = Buffer.concat([head, ...entries.flatMap(entryParts), Buffer.alloc(8)])
  body.writeBigUInt64LE(checksum(body.subarray(0, -8)), body.length - 8)
  return body
}

function entryParts({ term, kind, data }: Entry): Uint8Array[] {
  const head = Buffer.alloc(ENTRY_HEADER_BYTES)
  writeU64(head, term, 0)
  head[8] = KINDS.indexOf(kind)
  head.writeUInt32LE(data.length, 9)
  return [head, data]
}

/** What is in a file; the entries' data view `bytes`. @throws {DecodeError} */
export function decodeArchive(bytes: Buffer): ArchivedEntries {
  const end = bytes.length - 8
  if (end < HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) {
    throw new DecodeError('not a file of an archive')
  }
  const version = bytes.readUInt32LE(8)
  if (version !== VERSION) throw new DecodeError(`archive of unknown version ${version}`)
  if (bytes.readBigUInt64LE(end) !== checksum(bytes.subarray(0, end))) {
    throw new DecodeError('it fails its checksum')
  }
  const firstIndex = number(readU64(bytes, 20))
  const entries: Entry[] = []
  let at = HEADER_BYTES
  for (let i = 0; i < bytes.readUInt32LE(28); i++) {
    const start = at + ENTRY_HEADER_BYTES
    const kind = KINDS[bytes[at + 8]!]
    if (start > end || kind === undefined) throw new DecodeError('an entry is cut short')
    at = start + bytes.readUInt32LE(start - 4)
    if (at > end) throw new DecodeError('an entry is cut short')
    const term = number(readU64(bytes, start - ENTRY_HEADER_BYTES))
    entries.push({ index: firstIndex + i, term, kind, data: bytes.subarray(start, at) })
  }
  if (at !== end || entries.length === 0) throw new DecodeError('its entries do not add up')
  return { clusterId: bytes.toString('hex', 12, 20), entries }
}

function number(value: number | undefined): number {
  if (value === undefined) throw new DecodeError('a number beyond the safe integers')
  return value
}
