/**
 * Writing bodies piece by piece and taking them apart again; integers little-endian.
 *
 * The reader refuses whatever lies beyond the end of its body, and every count is checked against what is left before
 * anything is allocated for it.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import { DecodeError } from './command.js'

const SLAB_BYTES = 65_536

/** Collects the bytes of one body after the other. What was taken stays as it is: memory is only ever appended to. */
export class ByteWriter {
  #slab: Buffer = Buffer.alloc(0)
  #start = 0
  #at = 0

  /** Bytes written since the last `take`. */
  get length(): number {
    return this.#at - this.#start
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#slab[this.#at++] = value
  }

  u16(value: number): void {
    this.#reserve(2)
    this.#at = this.#slab.writeUInt16LE(value, this.#at)
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#at = this.#slab.writeUInt32LE(value, this.#at)
  }

  /** A safe integer. */
  u64(value: number): void {
    this.#reserve(8)
    writeU64(this.#slab, value, this.#at)
    this.#at += 8
  }

  f64(value: number): void {
    this.#reserve(8)
    this.#at = this.#slab.writeDoubleLE(value, this.#at)
  }

  /** u32 length and the bytes. */
  bytes(value: Uint8Array): void {
    this.u32(value.length)
    this.#reserve(value.length)
    this.#slab.set(value, this.#at)
    this.#at += value.length
  }

  /** u16 length and UTF-8; what is longer is cut. */
  text(value: string): void {
    const bytes = Buffer.from(value).subarray(0, 65_535)
    this.u16(bytes.length)
    this.#reserve(bytes.length)
    this.#slab.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Forgets everything after the first `length` bytes. */
  truncate(length: number): void {
    this.#at = this.#start + length
  }

  /** What was written; the writer begins anew behind it. */
  take(): Buffer {
    const taken = this.#slab.subarray(this.#start, this.#at)
    this.#start = this.#at
    return taken
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#slab.length) return
    const { length } = this
    const grown = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (length + bytes)))
    this.#slab.copy(grown, 0, this.#start, this.#at)
    this.#slab = grown
    this.#start = 0
    this.#at = length
  }
}

/** Takes a body apart; what it gives views the body. Everything throws a DecodeError when the body is too short. */
export class ByteReader {
  readonly #body: Buffer
  #at = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  /** Bytes that are not read yet. */
  get left(): number {
    return this.#body.length - this.#at
  }

  u8(): number {
    return this.#body[this.#skip(1)]!
  }

  u16(): number {
    return this.#body.readUInt16LE(this.#skip(2))
  }

  u32(): number {
    return this.#body.readUInt32LE(this.#skip(4))
  }

  u64(): number {
    const value = readU64(this.#body, this.#skip(8))
    if (value === undefined) throw new DecodeError('a number beyond the safe integers')
    return value
  }

  /** Milliseconds: at least 0, or Infinity. */
  ms(): number {
    const value = this.#body.readDoubleLE(this.#skip(8))
    if (!(value >= 0)) throw new DecodeError('not a time')
    return value
  }

  /** Milliseconds, or NaN for undefined. */
  optionalMs(): number | undefined {
    const value = this.#body.readDoubleLE(this.#skip(8))
    if (Number.isNaN(value)) return undefined
    if (value < 0) throw new DecodeError('not a time')
    return value
  }

  bytes(): Buffer {
    const length = this.u32()
    const start = this.#skip(length)
    return this.#body.subarray(start, start + length)
  }

  text(): string {
    const length = this.u16()
    const start = this.#skip(length)
    return this.#body.toString('utf8', start, start + length)
  }

  /** The one of `names` that a byte is the position of. */
  oneOf<T>(names: readonly T[]): T {
    const name = names[this.u8()]
    if (name === undefined) throw new DecodeError('a number without a meaning')
    return name
  }

  /** A u32 count of things that take at least `leastBytes` each, and those things. */
  list<T>(leastBytes: number, read: () => T): T[] {
    const count = this.u32()
    if (count * leastBytes > this.left) throw new DecodeError('a list is cut short')
    const items: T[] = []
    for (let i = 0; i < count; i++) items.push(read())
    return items
  }

  #skip(bytes: number): number {
    const start = this.#at
    if (bytes > this.left) throw new DecodeError('cut short')
    this.#at = start + bytes
    return start
  }
}
