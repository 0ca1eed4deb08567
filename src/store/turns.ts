/** Turns for what only so many may do at once: the others wait, in the order in which they came. */
import { StoreError } from '../base/errors.js'

/** More do not wait: QUORATE_OVERLOADED. */
const WAITING_MAX = 4_096
const RETRY_MS = 100

/** See the file's comment. */
export class Turns {
  readonly #atOnce: number
  readonly #waiting = new Set<() => void>()
  #taken = 0

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  /**
   * Resolves when it is the caller's turn; the function given ends it, and may be called twice.
   * @throws {StoreError} QUORATE_OVERLOADED; QUORATE_ABORTED by `signal`, at any time before
   */
  async enter(signal: AbortSignal | undefined): Promise<() => void> {
    if (this.#taken >= this.#atOnce) await this.#wait(signal)
    else this.#taken++
    let isOver = false
    return () => {
      if (!isOver) this.#pass()
      isOver = true
    }
  }

  /** The turn goes to the next one, if there is one. */
  #pass(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#taken--
    else next()
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= WAITING_MAX) throw overloaded()
    if (signal?.aborted) throw abortedBy(signal)
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        this.#waiting.delete(begin)
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = (): void => {
        this.#waiting.delete(begin)
        reject(abortedBy(signal!))
      }
      this.#waiting.add(begin)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}

function abortedBy(signal: AbortSignal): StoreError {
  const message = 'aborted before its turn came'
  return new StoreError('QUORATE_ABORTED', message, { cause: signal.reason })
}

function overloaded(): StoreError {
  const message = `${WAITING_MAX} large values wait for their turn already`
  const about = { retryable: true, retryAfterMs: RETRY_MS }
  return new StoreError('QUORATE_OVERLOADED', message, about)
}
