/**
 * Reads a segment that has no table: every record in it is verified from its first byte to its last, because after a
 * crash a record may be there in part. Damage never hides what lies behind it.
 */
import { asBuffer } from '../base/bytes.js'
import type { DiskFile } from '../env/disk.js'
import { DecodeError } from '../wire/command.js'
import { decodeShardHead, openShard, type ShardHead } from '../wire/shard.js'
import {
  RECORD_ALIGNMENT,
  readShardFrame,
  recordBytes,
  SHARD_FRAME_BYTES,
  SHARD_SEGMENT_HEADER_BYTES,
  type ShardFrame,
  type TableRow,
} from '../wire/shard-segment.js'
import type { ShardName } from './shard-index.js'

/** Bytes of a segment that are not what was written. */
export interface Damage {
  readonly position: number
  readonly reason: string
  /** Whose they are, if that can still be read. */
  readonly shard: ShardName | undefined
}

/** What a segment without a table holds. */
export interface ScannedSegment {
  readonly rows: readonly TableRow[]
  /** The end of the last intact record. */
  readonly end: number
  /** Where the last write began: what lies before it was durable. */
  readonly lastGroup: number
  /** Of what was durable: in the last write the same is no damage, but a torn write. */
  readonly damage: readonly Damage[]
  /** Whether there is anything between the records, damage or what is left of a torn write. */
  readonly hasGaps: boolean
}

type Found =
  | { readonly type: 'record'; readonly frame: ShardFrame; readonly row: TableRow }
  | { readonly type: 'damaged'; readonly frame: ShardFrame; readonly fault: Damage }
  | { readonly type: 'nothing' }

const WINDOW_BYTES = 4_194_304

/** Reads the records of segment `number`, whose file has `size` bytes. */
export async function scanSegment(
  file: DiskFile,
  number: number,
  size: number,
): Promise<ScannedSegment> {
  const window = new Window(file, size)
  const rows: TableRow[] = []
  const faults: Damage[] = []
  let end = SHARD_SEGMENT_HEADER_BYTES
  let lastGroup = end
  for (let position = end; position < size; ) {
    const found = await recordAt(window, number, position)
    if (found.type === 'nothing') {
      faults.push({ position, reason: 'there is no record', shard: undefined })
      position = await nextFrame(window, number, position + RECORD_ALIGNMENT)
      continue
    }
    lastGroup = Math.max(lastGroup, found.frame.group)
    position += recordBytes(found.frame.bytes)
    if (found.type === 'damaged') {
      faults.push(found.fault)
      continue
    }
    rows.push(found.row)
    end = position
  }
  const damage = faults.filter(({ position }) => position < lastGroup)
  return { rows, end, lastGroup, damage, hasGaps: faults.some(({ position }) => position < end) }
}

async function recordAt(window: Window, number: number, position: number): Promise<Found> {
  const start = await window.read(position, SHARD_FRAME_BYTES)
  const frame = readShardFrame(start, 0, number, position)
  if (frame === undefined) return { type: 'nothing' }
  const bytes = await window.read(position + SHARD_FRAME_BYTES, frame.bytes)
  try {
    const { head, digest } = openShard(bytes)
    // The window is used again.
    const row = { position, digest: Buffer.from(digest), head: ownHead(head) }
    return { type: 'record', frame, row }
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    return {
      type: 'damaged',
      frame,
      fault: { position, reason: error.message, shard: nameIn(bytes) },
    }
  }
}

/** The position of the next frame from `from` on; the end of the file when there is none. */
async function nextFrame(window: Window, number: number, from: number): Promise<number> {
  for (let position = from; position < window.size; ) {
    const bytes = await window.read(position, WINDOW_BYTES)
    for (let at = 0; at + SHARD_FRAME_BYTES <= bytes.length; at += RECORD_ALIGNMENT) {
      if (readShardFrame(bytes, at, number, position + at) !== undefined) return position + at
    }
    const tried = Math.floor((bytes.length - SHARD_FRAME_BYTES) / RECORD_ALIGNMENT) + 1
    if (tried <= 0) break
    position += tried * RECORD_ALIGNMENT
  }
  return window.size
}

/** Which shard a damaged one is, as far as its head is sound. */
function nameIn(bytes: Buffer): ShardName | undefined {
  try {
    const { id, part, index } = decodeShardHead(bytes)
    return { id, part, index }
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

function ownHead(head: ShardHead): ShardHead {
  return { ...head, clusterId: Buffer.from(head.clusterId), key: Buffer.from(head.key) }
}

/** A file that is read from its start to its end in few large reads. */
class Window {
  readonly size: number
  readonly #file: DiskFile
  #memory: Buffer = Buffer.alloc(0)
  #bytes: Buffer = Buffer.alloc(0)
  #start = 0

  constructor(file: DiskFile, size: number) {
    this.#file = file
    this.size = size
  }

  /** The file from `position` on, up to `bytes` of it and less only at its end; valid until the next call. */
  async read(position: number, bytes: number): Promise<Buffer> {
    const wanted = Math.max(0, Math.min(bytes, this.size - position))
    if (position < this.#start || position + wanted > this.#start + this.#bytes.length) {
      const length = Math.min(Math.max(wanted, WINDOW_BYTES), this.size - position)
      if (this.#memory.length < length) this.#memory = Buffer.allocUnsafe(length)
      const got = await this.#file.read(this.#memory.subarray(0, length), position)
      this.#bytes = asBuffer(this.#memory.subarray(0, got))
      this.#start = position
    }
    const offset = position - this.#start
    return this.#bytes.subarray(offset, offset + wanted)
  }
}
