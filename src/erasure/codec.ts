/**
 * Erasure coding for the rest of the engine: k data shards and m parity shards, any k of which are enough.
 *
 * Shards are the caller's buffers, wherever they lie; nothing is copied but into WebAssembly. Each call takes one
 * stripe or several: lists of buffers, stripe after stripe, of which those of one stripe have one length.
 *
 * The codec cannot tell a damaged shard from a sound one: it computes something wrong from it. Callers check the
 * checksums of shards first and treat a damaged one as missing.
 */
import type { Backend } from './backend.js'
import { Code } from './code.js'
import { type Operation, sourceBytes } from './operation.js'

/** What a codec is for. */
export interface CodecOptions {
  /** k: so many shards are needed to read. From 1. */
  readonly dataShards: number
  /** m: so many shards may be lost. From 0; k + m is at most 255. */
  readonly parityShards: number
  /**
   * Operations that read at most so many bytes are done before the call returns; larger ones do not hold up the
   * event loop. Defaults to what pays with the backend; `Infinity` never leaves the thread.
   */
  readonly inlineBytesMax?: number
}

/** Encodes, rebuilds and verifies stripes of one code. Holds nothing that must be closed. */
export class Codec {
  readonly dataShards: number
  readonly parityShards: number
  readonly #backend: Backend
  readonly #code: Code
  readonly #inlineBytesMax: number

  /** @throws {RangeError} when there is no such code */
  constructor(backend: Backend, options: CodecOptions) {
    this.#backend = backend
    this.#code = new Code(options.dataShards, options.parityShards)
    this.dataShards = options.dataShards
    this.parityShards = options.parityShards
    this.#inlineBytesMax = options.inlineBytesMax ?? backend.inlineBytesMax
  }

  /**
   * Fills `parity` from `data`.
   *
   * @param data    k buffers per stripe; not copied, do not change, transfer or resize them until it settles
   * @param parity  m buffers per stripe, of the length of the stripe's data; filled when it settles
   * @throws {TypeError | RangeError} at the call, when the buffers do not fit the code or each other, or overlap
   * @throws {StoreError} by rejection: `OVERLOADED` when too many operations wait already
   */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): Promise<void> {
    return this.#run(this.#encoding(data, parity))
  }

  /** As `encode`, before it returns. */
  encodeSync(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    this.#backend.run(this.#encoding(data, parity))
  }

  /**
   * Fills the shards whose indexes are `wanted`, data or parity, from k of the others.
   *
   * @param shards  n buffers per stripe, data first; `undefined` for a shard that is not at hand and not wanted.
   *                Every stripe lacks the same ones. Of the buffers that are not wanted the first k are read.
   * @param wanted  distinct indexes from 0 to n - 1 of shards to fill
   * @throws {TypeError | RangeError} as `encode`, and when fewer than k shards are left to read
   * @throws {StoreError} as `encode`
   */
  rebuild(shards: readonly (Uint8Array | undefined)[], wanted: readonly number[]): Promise<void> {
    return this.#run(this.#rebuilding(shards, wanted))
  }

  /** As `rebuild`, before it returns. */
  rebuildSync(shards: readonly (Uint8Array | undefined)[], wanted: readonly number[]): void {
    this.#backend.run(this.#rebuilding(shards, wanted))
  }

  /** Whether the parity of all stripes is that of their data; computes it anew, stripe by stripe. */
  async verify(shards: readonly Uint8Array[]): Promise<boolean> {
    const n = this.#code.shards
    checkCount('shards', shards.length, n)
    for (let at = 0; at < shards.length; at += n) {
      const data = shards.slice(at, at + this.dataShards)
      const parity = shards.slice(at + this.dataShards, at + n)
      const computed = parity.map((shard) => new Uint8Array(shard.length))
      await this.encode(data, computed)
      if (parity.some((shard, i) => Buffer.compare(shard, computed[i]!) !== 0)) return false
    }
    return true
  }

  #run(operation: Operation): Promise<void> {
    if (sourceBytes(operation) > this.#inlineBytesMax) return this.#backend.runLater(operation)
    this.#backend.run(operation)
    return Promise.resolve()
  }

  #encoding(data: readonly Uint8Array[], parity: readonly Uint8Array[]): Operation {
    checkCount('data shards', data.length, this.dataShards)
    const stripes = data.length / this.dataShards
    if (parity.length !== stripes * this.parityShards) {
      throw new RangeError(
        `${stripes} stripes have ${stripes * this.parityShards} parity shards, not ${parity.length}`,
      )
    }
    return checked({ plan: this.#code.encoding, sources: data, targets: parity })
  }

  #rebuilding(shards: readonly (Uint8Array | undefined)[], wanted: readonly number[]): Operation {
    const n = this.#code.shards
    checkCount('shards', shards.length, n)
    const isWanted = new Set(wanted)
    if (
      isWanted.size !== wanted.length ||
      wanted.some((index) => !(index in shards) || index >= n)
    ) {
      throw new RangeError(`wanted shards are distinct indexes below ${n}, not ${wanted.join()}`)
    }
    const k = this.dataShards
    const chosen: number[] = []
    for (let index = 0; index < n && chosen.length < k; index++) {
      if (shards[index] !== undefined && !isWanted.has(index)) chosen.push(index)
    }
    if (chosen.length < k) throw new RangeError(`${k} shards are needed, ${chosen.length} are left`)
    return checked({
      plan: this.#code.plan(chosen, [...wanted]),
      sources: pick(shards, n, chosen),
      targets: pick(shards, n, wanted),
    })
  }
}

function checkCount(what: string, count: number, perStripe: number): void {
  if (count % perStripe === 0) return
  throw new RangeError(`a stripe has ${perStripe} ${what}; ${count} are no whole stripes`)
}

function pick(
  shards: readonly (Uint8Array | undefined)[],
  n: number,
  indexes: readonly number[],
): Uint8Array[] {
  const picked: Uint8Array[] = []
  for (let stripe = 0; stripe < shards.length; stripe += n) {
    for (const index of indexes) {
      const shard = shards[stripe + index]
      if (shard === undefined)
        throw new RangeError(`shard ${index} is missing in some stripes only`)
      picked.push(shard)
    }
  }
  return picked
}

function checked(operation: Operation): Operation {
  const { plan, sources, targets } = operation
  const k = plan.sources.length
  const rows = plan.targets.length
  for (const shard of [...sources, ...targets]) checkBuffer(shard)
  for (let stripe = 0; stripe * k < sources.length; stripe++) {
    const stripeSources = sources.slice(stripe * k, stripe * k + k)
    checkStripe(stripeSources, targets.slice(stripe * rows, stripe * rows + rows))
  }
  return operation
}

/** Memory that can shrink or that other threads write is no place for a kernel to read or write. */
function checkBuffer(shard: unknown): void {
  if (!(shard instanceof Uint8Array)) throw new TypeError('a shard is a Uint8Array')
  const { buffer } = shard
  if (buffer instanceof ArrayBuffer && !(buffer as { resizable?: boolean }).resizable) return
  throw new TypeError('a shard lies neither in shared nor in resizable memory')
}

function checkStripe(sources: readonly Uint8Array[], targets: readonly Uint8Array[]): void {
  const length = sources[0]!.length
  for (const shard of [...sources, ...targets]) {
    if (shard.length === length) continue
    throw new RangeError(`shards of one stripe have one length: ${length} and ${shard.length}`)
  }
  targets.forEach((target, i) => {
    const others = [...sources, ...targets.slice(i + 1)]
    if (others.some((other) => overlap(target, other))) {
      throw new RangeError('a shard that is filled overlaps another one')
    }
  })
}

function overlap(a: Uint8Array, b: Uint8Array): boolean {
  if (a.buffer !== b.buffer) return false
  return a.byteOffset < b.byteOffset + b.length && b.byteOffset < a.byteOffset + a.length
}
