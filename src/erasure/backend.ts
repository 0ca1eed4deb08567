/** What computes shards: the native addon, WebAssembly or plain JavaScript, all with the same bytes. */
import { type Operation, slicesOf } from './operation.js'

/** The kinds of backend, the fastest first. */
export const BACKENDS = ['native', 'wasm', 'javascript'] as const

/** A kind of backend. */
export type BackendName = (typeof BACKENDS)[number]

/** Carries out operations. Trusts them to be valid. */
export interface Backend {
  readonly name: BackendName
  /** What the kernel is made of: `avx2`, `neon`, … for the addon; the name again for the others. */
  readonly instructions: string
  /** Up to so many source bytes, `run` costs less than `runLater` saves. */
  readonly inlineBytesMax: number

  /** Computes the targets before it returns. */
  run(operation: Operation): void

  /**
   * Computes the targets without holding the event loop up: on another thread, or piece by piece.
   * The shards are not copied: they may not be changed, transferred or resized until the promise settles.
   *
   * @throws {StoreError} by rejection: `OVERLOADED` when too many operations wait already
   */
  runLater(operation: Operation): Promise<void>
}

/** `runLater` for a backend without threads: one slice per turn of the event loop. */
export async function runSlices(
  operation: Operation,
  shardBytesMax: number,
  run: (slice: Operation) => void,
): Promise<void> {
  for (const slice of slicesOf(operation, shardBytesMax)) {
    await new Promise<void>((resolve) => setImmediate(resolve))
    run(slice)
  }
}
