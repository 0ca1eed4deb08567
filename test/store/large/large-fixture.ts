/** Clusters in which small values are large: some hundred bytes make a blob, some thousand several parts. */
import { TestCluster } from '../../../src/sim/kit/test-cluster.js'
import type { ErasureOptions, OpenOptions } from '../../../src/store/open-options.js'

export const THRESHOLD = 300
export const SMALL: ErasureOptions = {
  threshold: THRESHOLD,
  unitBytes: 512,
  shardBytes: 1024,
  codec: 'javascript',
  inlineBytesMax: Number.POSITIVE_INFINITY,
  stallMs: 1000,
}
export const BINARY = { valueEncoding: 'binary' } as const

export function startLarge(
  options: { seed?: number; members?: readonly string[]; store?: Partial<OpenOptions> } = {},
): Promise<TestCluster> {
  const { store, ...rest } = options
  return TestCluster.start({ ...rest, store: { erasure: SMALL, ...store } })
}

/** `length` bytes that differ from place to place and from one `seed` to another. */
export function content(length: number, seed: number = length): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed * 2654435761 + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** The same bytes piece by piece. */
export async function* inPieces(bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** All that a stream gives. */
export async function collected(stream: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream ?? []) pieces.push(piece)
  return Buffer.concat(pieces)
}
