/** Small, exact operations on byte arrays. */

/** The empty byte array, shared. */
export const EMPTY: Uint8Array = new Uint8Array(0)

/** Orders byte arrays as LevelDB does: byte by byte, a prefix before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

/** Whether two byte arrays hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** A Buffer over the same memory; nothing is copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const MAX_HIGH = 0x1fffff

/**
 * Writes a safe integer as u64, little-endian. Raft positions and sequence numbers are safe integers in memory
 * and 64 bits on disk and wire.
 */
export function writeU64(target: Buffer, value: number, offset: number): void {
  target.writeUInt32LE(value % 0x1_0000_0000, offset)
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4)
}

/** Reads a u64, little-endian; `undefined` when it is beyond the safe integers (which nothing here writes). */
export function readU64(source: Buffer, offset: number): number | undefined {
  const high = source.readUInt32LE(offset + 4)
  if (high > MAX_HIGH) return undefined
  return high * 0x1_0000_0000 + source.readUInt32LE(offset)
}
