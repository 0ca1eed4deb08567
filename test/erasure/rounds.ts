/** Rounds of encoding and rebuilding, with codes, lengths and losses mixed: what a misused heap does not bear. */

import { keyedBelow } from '../../src/base/prng.js'
import type { Backend } from '../../src/erasure/backend.js'
import { Codec } from '../../src/erasure/codec.js'

/** The codes of clusters of 2 to 9 members and a wide one; k + m <= 4 is where the published wrapper breaks. */
const CODES = [
  [1, 1],
  [2, 1],
  [2, 2],
  [3, 2],
  [4, 3],
  [5, 4],
  [10, 4],
] as const

const LENGTH_MAX = 2000

/** Makes `rounds` rounds; what went wrong in the first that failed, `undefined` when none did. */
export function mixedRounds(backend: Backend, rounds: number, seed: number): string | undefined {
  const codecs = CODES.map(
    ([dataShards, parityShards]) => new Codec(backend, { dataShards, parityShards }),
  )
  for (let round = 0; round < rounds; round++) {
    const draw = (below: number, ...keys: (number | string)[]): number =>
      keyedBelow(seed, below, round, ...keys)
    const codec = codecs[draw(codecs.length, 'code')]!
    const length = 1 + draw(draw(2, 'short') === 0 ? 64 : LENGTH_MAX, 'length')
    try {
      if (!isRoundRight(codec, length, draw)) return `round ${round} gave wrong bytes`
    } catch (error) {
      return `round ${round} threw ${String(error)}`
    }
  }
  return undefined
}

function isRoundRight(
  codec: Codec,
  length: number,
  draw: (below: number, ...keys: (number | string)[]) => number,
): boolean {
  const { dataShards: k, parityShards: m } = codec
  const data = Array.from({ length: k }, (_, shard) => {
    const state = draw(2 ** 32, 'data', shard)
    return Uint8Array.from({ length }, (_, i) => (Math.imul(state + i, 0x9e3779b1) >>> 13) & 255)
  })
  const parity = Array.from({ length: m }, () => new Uint8Array(length))
  codec.encodeSync(data, parity)
  const shards = [...data, ...parity]
  const first = draw(shards.length, 'first')
  const lost = Array.from({ length: 1 + draw(m, 'lost') }, (_, i) => (first + i) % shards.length)
  const rebuilt = shards.map((shard, i) => (lost.includes(i) ? new Uint8Array(length) : shard))
  codec.rebuildSync(rebuilt, lost)
  return lost.every((i) => Buffer.compare(rebuilt[i]!, shards[i]!) === 0)
}
