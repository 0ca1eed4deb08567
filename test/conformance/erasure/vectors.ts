/**
 * The vectors of `erasure-vectors.json`: parity that klauspost/reedsolomon computed for 20 codes and 6 lengths.
 *
 * The data of a vector is not in the file but made from its seed: one byte per step of a xorshift32 generator,
 * shard after shard. Parity is there as hex for short shards, and as the beginning of its SHA-256 for all. Half of
 * the vectors are of Cauchy matrices, which this codec does not use.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Backend } from '../../../src/erasure/backend.js'
import { Codec } from '../../../src/erasure/codec.js'

/** One vector, named as in the file. */
export interface Vector {
  readonly K: number
  readonly M: number
  readonly ShardLen: number
  readonly Matrix: 'vandermonde' | 'cauchy'
  readonly DataSeed: number
  readonly ParityHex: readonly string[] | null
  readonly ParitySha256: readonly string[]
}

/** The Vandermonde vectors of `file`. */
export function readVectors(file: string): Vector[] {
  const all = JSON.parse(readFileSync(file, 'utf8')) as readonly Vector[]
  return all.filter(({ Matrix }) => Matrix === 'vandermonde')
}

/** For people: `10+4, 1000 bytes`. */
export function describeVector({ K, M, ShardLen }: Vector): string {
  return `${K}+${M}, ${ShardLen} bytes`
}

/**
 * What `backend` gets wrong about `vector`: its parity, or the first m shards rebuilt from the rest; `undefined`
 * when nothing.
 */
export function faultIn(vector: Vector, backend: Backend): string | undefined {
  const { K, M, ShardLen } = vector
  const codec = new Codec(backend, { dataShards: K, parityShards: M })
  const data = dataOf(vector)
  const parity = Array.from({ length: M }, () => new Uint8Array(ShardLen))
  codec.encodeSync(data, parity)
  const wrong = parity.findIndex((shard, i) => !isExpected(vector, i, shard))
  if (wrong !== -1) return `parity shard ${wrong} is wrong`
  const shards = [...data, ...parity]
  const lost = shards.slice(0, M).map((shard) => new Uint8Array(shard.length))
  codec.rebuildSync([...lost, ...shards.slice(M)], [...lost.keys()])
  const bad = lost.findIndex((shard, i) => Buffer.compare(shard, shards[i]!) !== 0)
  return bad === -1 ? undefined : `shard ${bad} is rebuilt wrong`
}

function dataOf({ K, ShardLen, DataSeed }: Vector): Uint8Array[] {
  let state = DataSeed
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 11
  }
  return Array.from({ length: K }, () => Uint8Array.from({ length: ShardLen }, next))
}

function isExpected({ ParityHex, ParitySha256 }: Vector, i: number, shard: Uint8Array): boolean {
  const hash = createHash('sha256').update(shard).digest('hex')
  if (!hash.startsWith(ParitySha256[i]!)) return false
  return ParityHex === null || ParityHex[i] === Buffer.from(shard).toString('hex')
}
