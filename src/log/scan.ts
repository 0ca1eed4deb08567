/** Reads a segment forward, batch by batch, believing nothing that fails its check. */
import { asBuffer } from '../base/bytes.js'
import type { DiskFile } from '../env/disk.js'
import type { EntryId, EntryKind } from '../raft/types.js'
import {
  digestOf,
  FRAME_HEADER_BYTES,
  type Frame,
  frameBytesAt,
  type LogState,
  readFrame,
} from '../wire/log-frame.js'

const WINDOW_BYTES = 1_048_576
const FRAME_ALIGNMENT = 8

/** What a frame told, without the data of entries. */
export type ScannedFrame =
  | {
      readonly type: 'entry'
      readonly id: EntryId
      readonly kind: EntryKind
      readonly position: number
      readonly bytes: number
    }
  | { readonly type: 'state'; readonly state: LogState }

/** A batch whose every byte passed its check. */
export interface ScannedBatch {
  readonly frames: readonly ScannedFrame[]
  readonly end: number
  readonly check: bigint
}

/** One file read through a window that moves forward; memory is the window or the largest frame. */
export class SegmentScan {
  readonly #file: DiskFile
  readonly #size: number
  readonly #segment: number
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0
  #memory: Buffer = Buffer.alloc(0)

  constructor(file: DiskFile, size: number, segment: number) {
    this.#file = file
    this.#size = size
    this.#segment = segment
  }

  /** The batch number `batch` if it begins at `start` and is whole. */
  async batchAt(start: number, batch: number): Promise<ScannedBatch | undefined> {
    const frames: ScannedFrame[] = []
    const checks: bigint[] = []
    let position = start
    for (;;) {
      if (!this.#isLoaded(position)) await this.#loadFrame(position)
      const frame = this.#frameAt(position)
      if (frame === undefined || frame.batch !== batch) return undefined
      const end = position + frame.bytes
      if (frame.type === 'commit') {
        const isWhole = frame.start === start && frame.digest === digestOf(checks)
        return isWhole ? { frames, end, check: frame.check } : undefined
      }
      frames.push(scanned(frame, position))
      checks.push(frame.check)
      position = end
    }
  }

  /**
   * The position of an intact frame of a batch after `batch`, looked for from `start` on. A batch is written
   * when the one before it is durable, so such a frame proves that batch `batch` was once whole.
   */
  async laterBatchAfter(start: number, batch: number): Promise<number | undefined> {
    for (let position = start; position + FRAME_HEADER_BYTES <= this.#size; ) {
      const window = await this.#load(position, FRAME_HEADER_BYTES)
      const last = window.length - FRAME_HEADER_BYTES
      let candidate: number | undefined
      for (let offset = 0; offset <= last; offset += FRAME_ALIGNMENT) {
        if (frameBytesAt(window, offset, this.#segment, position + offset) === 0) continue
        candidate = position + offset
        break
      }
      if (candidate === undefined) {
        position += Math.floor(last / FRAME_ALIGNMENT) * FRAME_ALIGNMENT + FRAME_ALIGNMENT
        continue
      }
      await this.#loadFrame(candidate)
      const frame = this.#frameAt(candidate)
      if (frame !== undefined && frame.batch > batch) return candidate
      position = candidate + FRAME_ALIGNMENT
    }
    return undefined
  }

  /** Where the last byte from `start` on that is not zero ends; `start` when all are. */
  async dirtyEnd(start: number): Promise<number> {
    let dirtyEnd = start
    const zeros = Buffer.alloc(Math.min(WINDOW_BYTES, this.#size - start))
    for (let position = start; position < this.#size; ) {
      const window = await this.#load(position, 1)
      const chunk = window.subarray(0, zeros.length)
      if (!chunk.equals(zeros.subarray(0, chunk.length))) {
        let length = chunk.length
        while (chunk[length - 1] === 0) length--
        dirtyEnd = position + length
      }
      position += chunk.length
    }
    return dirtyEnd
  }

  /** The frame at `position`, of which all that there is must be loaded. */
  #frameAt(position: number): Frame | undefined {
    return readFrame(this.#window, position - this.#windowStart, this.#segment, position)
  }

  /** Whether the window holds all of the frame at `position`, or enough to see that there is none. */
  #isLoaded(position: number): boolean {
    const offset = position - this.#windowStart
    if (offset < 0 || offset + FRAME_HEADER_BYTES > this.#window.length) return false
    return (
      offset + frameBytesAt(this.#window, offset, this.#segment, position) <= this.#window.length
    )
  }

  async #loadFrame(position: number): Promise<void> {
    if (position + FRAME_HEADER_BYTES > this.#size) return
    const head = await this.#load(position, FRAME_HEADER_BYTES)
    const bytes = frameBytesAt(head, 0, this.#segment, position)
    if (position + bytes <= this.#size) await this.#load(position, bytes)
  }

  /** The file from `position` on: at least `bytes`, which must not reach beyond its end, usually more. */
  async #load(position: number, bytes: number): Promise<Buffer> {
    const offset = position - this.#windowStart
    if (offset < 0 || offset + bytes > this.#window.length) {
      const wanted = Math.min(Math.max(bytes, WINDOW_BYTES), this.#size - position)
      if (this.#memory.length < wanted) this.#memory = Buffer.allocUnsafe(wanted)
      const got = await this.#file.read(this.#memory.subarray(0, wanted), position)
      this.#window = asBuffer(this.#memory.subarray(0, got))
      this.#windowStart = position
      return this.#window
    }
    return this.#window.subarray(offset)
  }
}

function scanned(frame: Exclude<Frame, { type: 'commit' }>, position: number): ScannedFrame {
  if (frame.type === 'state') return { type: 'state', state: frame.state }
  const { term, index, kind } = frame.entry
  return { type: 'entry', id: { term, index }, kind, position, bytes: frame.bytes }
}
