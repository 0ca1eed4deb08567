/** Shards for the tests: made from a seed, and lying in memory with canaries around them. */
import assert from 'node:assert/strict'
import { keyedU32 } from '../../src/base/prng.js'
import type { Backend } from '../../src/erasure/backend.js'
import { allBackends } from '../../src/erasure/choose.js'
import { Codec } from '../../src/erasure/codec.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'

/** Every backend and instruction set that works on this machine, with a name for titles. */
export const backends: readonly (readonly [name: string, backend: Backend])[] = allBackends().map(
  (backend) => [
    backend.name === 'native' ? `native:${backend.instructions}` : backend.name,
    backend,
  ],
)

/** `count` buffers of `length` bytes that differ from each other. */
export function randomShards(count: number, length: number, seed: number): Buffer[] {
  return Array.from({ length: count }, (_, shard) => {
    let state = keyedU32(seed, shard) | 1
    return Buffer.from(
      Uint8Array.from({ length }, () => {
        state ^= state << 13
        state ^= state >>> 17
        state ^= state << 5
        return state >>> 11
      }),
    )
  })
}

/** All n shards of a stripe with random data; the parity is the reference's. */
export function referenceShards(k: number, m: number, length: number, seed: number): Buffer[] {
  const codec = new Codec(new JavaScriptBackend(), { dataShards: k, parityShards: m })
  const data = randomShards(k, length, seed)
  const parity = emptyShards(m, length)
  codec.encodeSync(data, parity)
  return [...data, ...parity]
}

/** `count` buffers of `length` zeros. */
export function emptyShards(count: number, length: number): Buffer[] {
  return Array.from({ length: count }, () => Buffer.alloc(length))
}

/** Every subset of the numbers below `n`. */
export function subsets(n: number): number[][] {
  return Array.from({ length: 2 ** n }, (_, bits) =>
    Array.from({ length: n }, (_, i) => i).filter((i) => (bits >> i) & 1),
  )
}

const CANARY = 0xa5
const MARGIN = 64

/** A piece of memory with canaries on both sides. */
export class Guarded {
  readonly bytes: Uint8Array
  readonly #room: Uint8Array

  /** @param misalignment  where `bytes` begins, relative to a multiple of 64 */
  constructor(length: number, misalignment: number) {
    this.#room = new Uint8Array(MARGIN + misalignment + length + MARGIN).fill(CANARY)
    this.bytes = this.#room.subarray(MARGIN + misalignment, MARGIN + misalignment + length)
  }

  /** Fails unless every canary is as it was. */
  check(where: string): void {
    const { byteOffset, length } = this.bytes
    const around = [
      ...this.#room.subarray(0, byteOffset),
      ...this.#room.subarray(byteOffset + length),
    ]
    assert.ok(
      around.every((byte) => byte === CANARY),
      `wrote outside of a shard: ${where}`,
    )
  }
}
