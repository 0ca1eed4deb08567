/** Watches over the upload of a large value: ends it when its caller aborts, it stands still, or the Store ends. */
import { StoreError } from '../base/errors.js'
import type { Companion } from './lease.js'

/** See the file's comment. Goes along with the writes of a Store (WritePipeline.accompany). */
export class Watchdog implements Companion {
  readonly #timeoutMs: number
  readonly #lateness: () => StoreError
  readonly #ending = new AbortController()
  readonly #caller: AbortSignal | undefined
  readonly #onAbort = (): void => this.end(abortedBy(this.#caller!))
  #progressAt: number
  #bytes = 0
  #onEnd: ((error: unknown) => void) | undefined

  /** @param lateness what it ends with when there was no progress for `timeoutMs` */
  constructor(
    now: number,
    timeoutMs: number,
    caller: AbortSignal | undefined,
    lateness: () => StoreError,
  ) {
    this.#progressAt = now
    this.#timeoutMs = timeoutMs
    this.#caller = caller
    this.#lateness = lateness
    caller?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Aborted when it is over; the reason is the error that the caller gets. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** So many bytes were taken. What is sent again after a failure is progress once there is more of it than before. */
  progress(bytes: number, now: number): void {
    if (bytes <= this.#bytes) return
    this.#bytes = bytes
    this.#progressAt = now
  }

  tick(now: number): void {
    if (now - this.#progressAt >= this.#timeoutMs) this.end(this.#lateness())
  }

  end(error: unknown): void {
    if (this.signal.aborted) return
    this.#ending.abort(error)
    this.#onEnd?.(error)
  }

  /** Watches no more. */
  leave(): void {
    this.#caller?.removeEventListener('abort', this.#onAbort)
  }

  /** `work`, or the error with which it is over before. One call at a time. */
  orEnd<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#onEnd = reject
      if (this.signal.aborted) reject(this.signal.reason)
      work.then(resolve, reject)
    })
  }
}

function abortedBy({ reason }: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the write was aborted by its caller', { cause: reason })
}
