/**
 * Frames: how everything that members and clients say is cut out of a stream of bytes.
 *
 *   stream    preamble | frame*
 *   preamble  "QRTE" | u16 version = 1 | u16 0
 *   frame     u64 tag | u32 bodyBytes | u8 kind | u8 0 | u16 group = 0 | body
 *
 * All integers are little-endian. The tag covers all bytes of the frame after it: XXH64, and once two sides
 * have proven a shared secret to each other, a keyed digest that also counts the frames
 * (transport/session-key.ts). `group` is room for several Raft groups on one connection.
 *
 * A length is checked against its bound before anything is allocated, and the tag before anything is read.
 * On the wire: never change the meaning of a number here, add new ones.
 */
import { checksum, checksumOf } from './checksum.js'
import { DecodeError } from './command.js'

/** On the wire: the version of everything that follows the preamble. */
export const WIRE_VERSION = 1
/** Bytes before a frame's body. */
export const FRAME_HEADER_BYTES = 16
/** Kinds from here on are the transport's own; those below belong to the members. */
export const TRANSPORT_KIND_MIN = 240

const PREAMBLE_BYTES = 8
const MAGIC = Buffer.from('QRTE')
const TAG_BYTES = 8
/** Frames with a body up to this size are copied together, so that many of them leave in one piece. */
const PACKED_BYTES = 4_096
const SLAB_BYTES = 65_536

/** Digests the bytes of a frame after its tag. A keyed one counts its calls: one call per frame, in order. */
export type FrameTag = (parts: readonly Uint8Array[]) => bigint

/** The tag of frames before a secret is proven, or where none is used: it finds damage, not malice. */
export const plainTag: FrameTag = (parts) =>
  parts.length === 1 ? checksum(parts[0]!) : checksumOf(parts)

/** What was wrong with a stream. */
export type FrameFault = 'magic' | 'version' | 'header' | 'oversized' | 'checksum'

/** A stream that is not to be read any further. */
export class FrameError extends DecodeError {
  readonly fault: FrameFault

  constructor(fault: FrameFault, message: string) {
    super(message)
    this.fault = fault
  }
}

/** The bytes each side sends before its first frame. */
export function encodePreamble(): Uint8Array {
  const bytes = Buffer.alloc(PREAMBLE_BYTES)
  MAGIC.copy(bytes, 0)
  bytes.writeUInt16LE(WIRE_VERSION, 4)
  return bytes
}

/** Collects frames until they are taken and written together. */
export class FrameWriter {
  #tag: FrameTag = plainTag
  #slab: Buffer = Buffer.alloc(0)
  #cut = 0
  #at = 0
  #parts: Uint8Array[] = []
  #queuedBytes = 0

  /** Bytes collected since the last `take`. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Frames pushed from now on carry this tag. */
  useTag(tag: FrameTag): void {
    this.#tag = tag
  }

  /** Adds one frame. Small bodies are copied; parts of large ones must not change until they are written. */
  push(kind: number, parts: readonly Uint8Array[]): void {
    let bodyBytes = 0
    for (const part of parts) bodyBytes += part.length
    const isPacked = bodyBytes <= PACKED_BYTES
    this.#reserve(FRAME_HEADER_BYTES + (isPacked ? bodyBytes : 0))
    const slab = this.#slab
    const start = this.#at
    slab.writeUInt32LE(bodyBytes, start + 8)
    slab.writeUInt32LE(kind, start + 12)
    this.#at = start + FRAME_HEADER_BYTES
    if (isPacked) {
      for (const part of parts) {
        slab.set(part, this.#at)
        this.#at += part.length
      }
      slab.writeBigUInt64LE(this.#tag([slab.subarray(start + TAG_BYTES, this.#at)]), start)
    } else {
      slab.writeBigUInt64LE(
        this.#tag([slab.subarray(start + TAG_BYTES, this.#at), ...parts]),
        start,
      )
      this.#cutSlab()
      this.#parts.push(...parts)
    }
    this.#queuedBytes += FRAME_HEADER_BYTES + bodyBytes
  }

  /** What was collected, in order; the writer keeps nothing of it. */
  take(): Uint8Array[] {
    this.#cutSlab()
    const parts = this.#parts
    this.#parts = []
    this.#queuedBytes = 0
    return parts
  }

  /** The slab is only ever appended to: what was taken from it stays as it is until it is written. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return
    this.#cutSlab()
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.#cut = 0
    this.#at = 0
  }

  #cutSlab(): void {
    if (this.#at > this.#cut) this.#parts.push(this.#slab.subarray(this.#cut, this.#at))
    this.#cut = this.#at
  }
}

/**
 * Cuts frames out of a stream. A frame that lies within one chunk is not copied: its body views the chunk.
 * Any other is gathered in a buffer of its own, which is allocated once, at its full length.
 */
export class FrameReader {
  readonly #onFrame: (kind: number, body: Buffer) => void
  #tag: FrameTag = plainTag
  #maxBodyBytes: number
  #stage: 'preamble' | 'header' | 'body' = 'preamble'
  /** The beginning of what the last chunk cut through; its length is what the stage asks for. */
  #partial: Buffer | undefined
  #filled = 0
  #isStopped = false

  constructor(maxBodyBytes: number, onFrame: (kind: number, body: Buffer) => void) {
    this.#maxBodyBytes = maxBodyBytes
    this.#onFrame = onFrame
  }

  /** From the next frame on, also within the chunk that is being read. */
  use(tag: FrameTag, maxBodyBytes: number): void {
    this.#tag = tag
    this.#maxBodyBytes = maxBodyBytes
  }

  /** Reads nothing more, also of the chunk that is being read. */
  stop(): void {
    this.#isStopped = true
    this.#partial = undefined
  }

  /**
   * Calls back for each frame that `chunk` completes.
   * @throws {FrameError} when the stream cannot be read any further.
   */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.#isStopped) {
      at = this.#partial === undefined ? this.#readFrom(chunk, at) : this.#fillFrom(chunk, at)
    }
  }

  /** Reads one preamble or frame that starts at `at`; returns where the next one starts. */
  #readFrom(chunk: Buffer, at: number): number {
    const left = chunk.length - at
    if (this.#stage === 'preamble') {
      if (left < PREAMBLE_BYTES) return this.#keep(chunk, at, PREAMBLE_BYTES)
      this.#readPreamble(chunk.subarray(at, at + PREAMBLE_BYTES))
      return at + PREAMBLE_BYTES
    }
    if (left < FRAME_HEADER_BYTES) return this.#keep(chunk, at, FRAME_HEADER_BYTES)
    const bytes = this.#frameBytes(chunk, at)
    if (left >= bytes) {
      this.#readFrame(chunk.subarray(at, at + bytes))
      return at + bytes
    }
    this.#stage = 'body'
    return this.#keep(chunk, at, bytes)
  }

  #keep(chunk: Buffer, at: number, bytes: number): number {
    this.#partial = Buffer.allocUnsafe(bytes)
    this.#filled = chunk.copy(this.#partial, 0, at)
    return chunk.length
  }

  /** Fills what an earlier chunk began; returns where in this one it ends. */
  #fillFrom(chunk: Buffer, at: number): number {
    const partial = this.#partial!
    const copied = chunk.copy(partial, this.#filled, at)
    this.#filled += copied
    if (this.#filled === partial.length) this.#readFilled(partial)
    return at + copied
  }

  #readFilled(partial: Buffer): void {
    if (this.#stage === 'header') {
      const bytes = this.#frameBytes(partial, 0)
      if (bytes > partial.length) {
        this.#stage = 'body'
        this.#keep(partial, 0, bytes)
        return
      }
    }
    this.#partial = undefined
    if (this.#stage === 'preamble') this.#readPreamble(partial)
    else this.#readFrame(partial)
  }

  #readPreamble(bytes: Buffer): void {
    this.#stage = 'header'
    if (!bytes.subarray(0, 4).equals(MAGIC)) {
      throw new FrameError('magic', 'not a stream of this protocol')
    }
    const version = bytes.readUInt16LE(4)
    if (version !== WIRE_VERSION || bytes.readUInt16LE(6) !== 0) {
      throw new FrameError('version', `wire format ${version}, here it is ${WIRE_VERSION}`)
    }
  }

  /** The length of the frame whose header is at `at`, checked before anything is allocated for it. */
  #frameBytes(source: Buffer, at: number): number {
    const bodyBytes = source.readUInt32LE(at + 8)
    if (source[at + 13] !== 0 || source.readUInt16LE(at + 14) !== 0) {
      throw new FrameError('header', 'unknown group or flags in a frame')
    }
    if (bodyBytes > this.#maxBodyBytes) {
      throw new FrameError(
        'oversized',
        `frame of ${bodyBytes} bytes, allowed ${this.#maxBodyBytes}`,
      )
    }
    return FRAME_HEADER_BYTES + bodyBytes
  }

  #readFrame(frame: Buffer): void {
    this.#stage = 'header'
    if (this.#tag([frame.subarray(TAG_BYTES)]) !== frame.readBigUInt64LE(0)) {
      throw new FrameError('checksum', 'a frame does not match its tag')
    }
    this.#onFrame(frame[12]!, frame.subarray(FRAME_HEADER_BYTES))
  }
}
