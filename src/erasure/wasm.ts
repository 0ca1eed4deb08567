/**
 * The codec in WebAssembly: the module of `@digitaldefiance/reed-solomon-erasure.wasm`, which is Rust's
 * reed-solomon-erasure, called through its raw exports.
 *
 * The package's own wrapper frees the buffer of availability flags after `reconstruct` has freed it already, and
 * so corrupts its heap: from the second call on for k + m <= 4 (design D8). Here the module frees it, once. The
 * shards are lent, so one buffer for them serves all calls and nothing is left to leak.
 *
 * The exports know whole codes only: `encode` fills all parity shards, `reconstruct` all missing data shards.
 * Anything else is made from these two. Neither takes an empty shard or a code without parity; operations on
 * those have nothing to do and never come here.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { assert, InvariantError } from '../base/assert.js'
import { type Backend, runSlices } from './backend.js'
import { type Operation, slicesOf } from './operation.js'

/** What is used of the global: the compiler's library declares it for browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  /** Borrows the shards; 0 when all went well. */
  encode(shards: number, bytes: number, dataShards: number, parityShards: number): number
  /** Borrows the shards and takes the flags over; 0 when all went well. */
  reconstruct(
    shards: number,
    bytes: number,
    dataShards: number,
    parityShards: number,
    flags: number,
    flagCount: number,
  ): number
  __wbindgen_malloc(bytes: number): number
  __wbindgen_free(address: number, bytes: number): void
}

/** Of each shard per call: each call builds its matrices anew, and holds the event loop up. */
const SLICE_BYTES = 64 * 1024

/** Reads and instantiates the module; throws when the package or WebAssembly is not there. */
export function loadWasmBackend(): WasmBackend {
  const path = createRequire(import.meta.url).resolve(
    '@digitaldefiance/reed-solomon-erasure.wasm/wasm',
  )
  const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)))
  return new WasmBackend(instance.exports as Exports)
}

/** Copies shards in and results out, slice by slice, so that memory is bounded by the code. */
export class WasmBackend implements Backend {
  readonly name = 'wasm'
  readonly instructions = 'wasm'
  readonly inlineBytesMax: number = SLICE_BYTES
  readonly #exports: Exports
  /** Where all n shards of a slice lie, one after the other; grows to the largest slice met. */
  #slab = { address: 0, bytes: 0 }

  constructor(exports: Exports) {
    this.#exports = exports
  }

  run(operation: Operation): void {
    for (const slice of slicesOf(operation, SLICE_BYTES)) this.#runSlice(slice)
  }

  runLater(operation: Operation): Promise<void> {
    return runSlices(operation, SLICE_BYTES, (slice) => this.#runSlice(slice))
  }

  /** The bytes that the module's memory has grown to. */
  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength
  }

  #runSlice({ plan, sources, targets }: Operation): void {
    const length = sources[0]!.length
    const { dataShards, parityShards } = plan
    const bytes = length * (dataShards + parityShards)
    const slab = this.#slabOf(bytes)
    const memory = new Uint8Array(this.#exports.memory.buffer)
    plan.sources.forEach((index, i) => {
      memory.set(sources[i]!, slab + index * length)
    })
    if (plan.sources.some((index) => index >= dataShards)) this.#reconstruct(plan, slab, bytes)
    if (plan.targets.some((index) => index >= dataShards)) {
      this.#check('encode', this.#exports.encode(slab, bytes, dataShards, parityShards))
    }
    // The memory may have grown, which detaches views of it.
    const results = new Uint8Array(this.#exports.memory.buffer, slab, bytes)
    plan.targets.forEach((index, i) => {
      targets[i]!.set(results.subarray(index * length, index * length + length))
    })
  }

  #reconstruct(
    { dataShards, parityShards, sources }: Operation['plan'],
    slab: number,
    bytes: number,
  ) {
    const n = dataShards + parityShards
    const flags = this.#exports.__wbindgen_malloc(n)
    const memory = new Uint8Array(this.#exports.memory.buffer, flags, n).fill(0)
    for (const index of sources) memory[index] = 1
    const { reconstruct } = this.#exports
    this.#check('reconstruct', reconstruct(slab, bytes, dataShards, parityShards, flags, n))
  }

  #check(call: string, result: number): void {
    if (result !== 0)
      throw new InvariantError('the wasm codec refused valid shards', { call, result })
  }

  #slabOf(bytes: number): number {
    if (bytes <= this.#slab.bytes) return this.#slab.address
    const { __wbindgen_malloc: allocate, __wbindgen_free: free } = this.#exports
    if (this.#slab.bytes > 0) free(this.#slab.address, this.#slab.bytes)
    this.#slab = { address: 0, bytes: 0 }
    // In powers of two: the allocator of the module does not join what is freed in many sizes.
    const room = 2 ** Math.ceil(Math.log2(bytes))
    const address = allocate(room)
    assert(address !== 0, 'the wasm codec has no memory', { room })
    this.#slab = { address, bytes: room }
    return address
  }
}
