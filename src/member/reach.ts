/** Waiting for a state without reading anything: what views, backups and the member itself do. */
import { StoreError } from '../base/errors.js'
import type { LogIndex, Term } from '../raft/types.js'
import type { PendingRead, ReadDemand } from './backend.js'

/** A read without keys; it fails with QUORATE_ABORTED when `signal` aborts. */
export class Reach implements PendingRead {
  readonly keys: readonly Uint8Array[] = []
  readonly level: PendingRead['level']
  readonly minIndex: LogIndex
  readonly minTerm: Term
  readonly maxStalenessMs: number
  readonly onBehind: PendingRead['onBehind']
  readonly deadline: number
  readonly fail: (error: unknown) => void
  readonly complete: () => void
  readonly #signal: AbortSignal | undefined

  constructor(
    demand: ReadDemand,
    signal: AbortSignal | undefined,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.level = demand.level
    this.minIndex = demand.minIndex
    this.minTerm = demand.minTerm
    this.maxStalenessMs = demand.maxStalenessMs
    this.onBehind = demand.onBehind
    this.deadline = demand.deadline
    this.#signal = signal
    const onAbort = () => reject(abortedBy(signal))
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

function abortedBy(signal: AbortSignal | undefined): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the read was aborted by its caller', {
    cause: signal?.reason,
  })
}
