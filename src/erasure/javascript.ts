/**
 * The codec in plain JavaScript: the reference for the tests, and what is left where neither the addon nor
 * WebAssembly runs (`node --jitless`).
 */
import { type Backend, runSlices } from './backend.js'
import { multiply } from './field.js'
import type { Operation } from './operation.js'

/** About a millisecond of work for a small code. */
const SLICE_BYTES = 32 * 1024

/** Multiplies byte by byte through a table of all products, 64 KiB. */
export class JavaScriptBackend implements Backend {
  readonly name = 'javascript'
  readonly instructions = 'javascript'
  readonly inlineBytesMax: number = SLICE_BYTES
  readonly #products = Array.from({ length: 256 }, (_, a) =>
    Uint8Array.from({ length: 256 }, (_, b) => multiply(a, b)),
  )

  run({ plan, sources, targets }: Operation): void {
    const k = plan.sources.length
    const rows = plan.targets.length
    targets.forEach((target, t) => {
      const row = t % rows
      const stripe = (t - row) / rows
      target.fill(0)
      for (let j = 0; j < k; j++) {
        this.#addScaled(target, sources[stripe * k + j]!, plan.coefficients[row * k + j]!)
      }
    })
  }

  runLater(operation: Operation): Promise<void> {
    return runSlices(operation, SLICE_BYTES, (slice) => this.run(slice))
  }

  #addScaled(target: Uint8Array, source: Uint8Array, coefficient: number): void {
    const products = this.#products[coefficient]!
    for (let i = 0; i < target.length; i++) target[i]! ^= products[source[i]!]!
  }
}
