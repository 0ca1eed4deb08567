/**
 * The one thing a backend does: computes target shards from source shards by a plan, for one or several stripes.
 *
 * All shards of a stripe have the same length; stripes may differ, and a length may be 0. Targets overlap neither
 * sources nor each other: `codec.ts` checks both before a backend sees the operation.
 */
import type { Plan } from './code.js'

/** `sources` and `targets` hold, stripe after stripe, the shards in the order of the plan's indexes. */
export interface Operation {
  readonly plan: Plan
  readonly sources: readonly Uint8Array[]
  readonly targets: readonly Uint8Array[]
}

/** The bytes that `operation` reads. */
export function sourceBytes({ sources }: Operation): number {
  let bytes = 0
  for (const source of sources) bytes += source.length
  return bytes
}

/** Cuts `operation` into ones of a single stripe and at most `shardBytesMax` of each shard; nothing is copied. */
export function* slicesOf(operation: Operation, shardBytesMax: number): Generator<Operation> {
  const { plan, sources, targets } = operation
  const k = plan.sources.length
  const rows = plan.targets.length
  for (let stripe = 0; stripe * k < sources.length; stripe++) {
    const from = sources.slice(stripe * k, stripe * k + k)
    const to = targets.slice(stripe * rows, stripe * rows + rows)
    const length = from[0]!.length
    for (let at = 0; at < length; at += shardBytesMax) {
      const end = Math.min(length, at + shardBytesMax)
      yield {
        plan,
        sources: from.map((shard) => shard.subarray(at, end)),
        targets: to.map((shard) => shard.subarray(at, end)),
      }
    }
  }
}
