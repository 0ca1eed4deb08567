/** Waiting for a state without reading anything: what views, backups and the member itself do. */
import type { ReadDemand } from './backend.js'
import { DemandedRead } from './demand.js'
import { readAborted } from './read-refusals.js'

const NO_KEYS: readonly Uint8Array[] = []

/** A read without keys; it fails with QUORATE_ABORTED when `signal` aborts. */
export class Reach extends DemandedRead {
  readonly fail: (error: unknown) => void
  readonly complete: () => void
  readonly #signal: AbortSignal | undefined

  constructor(
    demand: ReadDemand,
    signal: AbortSignal | undefined,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    super(NO_KEYS, demand, demand.deadline)
    this.#signal = signal
    const onAbort = () => reject(readAborted(signal))
    this.complete = () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }
    this.fail = (error) => {
      signal?.removeEventListener('abort', onAbort)
      reject(error)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
  }

  get abandoned(): boolean {
    return this.#signal?.aborted === true
  }
}
