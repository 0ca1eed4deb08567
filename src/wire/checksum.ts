/** XXH64, the checksum of bytes at rest: log frames, shards, files. The one place that knows the library. */
import { Xxh64, xxh64 } from '@node-rs/xxhash'

/** Below this, gathering the parts costs less than the streaming interface's four microseconds. */
const GATHER_BYTES_MAX = 16_384

/** The XXH64 (seed 0) of `bytes`: about 0.2 microseconds and 8 GB/s. */
export function checksum(bytes: Uint8Array): bigint {
  return xxh64(bytes)
}

/** The XXH64 (seed 0) of `parts` as if they were one. */
export function checksumOf(parts: readonly Uint8Array[]): bigint {
  let bytes = 0
  for (const part of parts) bytes += part.length
  if (bytes <= GATHER_BYTES_MAX) return xxh64(Buffer.concat(parts, bytes))
  const hash = new Xxh64()
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** The XXH64 of `bytes` with a seed of 64 bits: bytes that are sound but belong elsewhere fail it. */
export function seededChecksum(bytes: Uint8Array, seed: bigint): bigint {
  return xxh64(bytes, seed)
}
