/**
 * The self-test that every backend passes before it is used: golden parity and rebuilt shards.
 *
 * A kernel that is wrong on some processor would write shards from which nobody can read the value back, so a
 * backend that fails is passed over (klauspost/reedsolomon retracted four releases for wrong kernels).
 */
import { crc32 } from 'node:zlib'
import { equalBytes } from '../base/bytes.js'
import type { Backend } from './backend.js'
import { Code } from './code.js'

/** Lengths around the steps of all kernels: 16, 32, 64 and 128 bytes. */
const LENGTHS = [1, 15, 64, 97, 159, 1030]

/** k, m, and the CRC-32 of all parity shards of all `LENGTHS`, one after the other. */
const GOLDEN: readonly (readonly [dataShards: number, parityShards: number, crc: number])[] = [
  [1, 2, 0x21f63f96],
  [2, 1, 0x8a170498],
  [3, 2, 0xd9ba9b7a],
  [4, 2, 0x263dd1fd],
  [5, 5, 0xe1c30ca2],
  [10, 4, 0x7c878c50],
]

/** What is wrong with `backend`; `undefined` when nothing is. Takes about a millisecond. */
export function faultOf(backend: Backend): string | undefined {
  for (const [dataShards, parityShards, golden] of GOLDEN) {
    const code = new Code(dataShards, parityShards)
    let crc = 0
    for (const length of LENGTHS) {
      const shards = encoded(backend, code, length)
      for (const parity of shards.slice(dataShards)) crc = crc32(parity, crc)
      if (!rebuildsLost(backend, code, shards)) {
        return `${dataShards}+${parityShards} shards of ${length} bytes are rebuilt wrong`
      }
    }
    if (crc !== golden) return `${dataShards}+${parityShards} shards have wrong parity`
  }
  return undefined
}

function encoded(backend: Backend, code: Code, length: number): Uint8Array[] {
  const sources = code.encoding.sources.map((shard) =>
    Uint8Array.from({ length }, (_, i) => shard * 83 + i * 29 + (i >> 3)),
  )
  const targets = code.encoding.targets.map(() => new Uint8Array(length))
  backend.run({ plan: code.encoding, sources, targets })
  return [...sources, ...targets]
}

/** Loses as many shards as the code can bear, from the middle, so that data and parity are among them. */
function rebuildsLost(backend: Backend, code: Code, shards: readonly Uint8Array[]): boolean {
  const { dataShards, parityShards } = code
  const first = Math.ceil(dataShards / 2)
  const indexes = shards.map((_, index) => index)
  const lost = indexes.slice(first, first + parityShards)
  const left = indexes.filter((index) => !lost.includes(index))
  const targets = lost.map((index) => new Uint8Array(shards[index]!.length))
  const sources = left.map((index) => shards[index]!)
  backend.run({ plan: code.plan(left, lost), sources, targets })
  return lost.every((index, i) => equalBytes(shards[index]!, targets[i]!))
}
