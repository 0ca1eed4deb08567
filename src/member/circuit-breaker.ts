/**
 * Keeps calls from a peer that does not answer them: after several failures in a row none are made for a while, then
 * a single one to see whether it is well again (half-open).
 *
 *   closed    calls are made; `failuresMax` failures in a row open it
 *   open      none are, for `restMs`
 *   half-open one is under way; its success closes, its failure opens it again
 */

/** See the file's comment. Every call that was admitted is reported once, by one of the three. */
export class CircuitBreaker {
  readonly #failuresMax: number
  readonly #restMs: number
  #failures = 0
  /** Undefined while closed. */
  #restsUntil: number | undefined
  #isProbing = false

  constructor(failuresMax: number, restMs: number) {
    this.#failuresMax = failuresMax
    this.#restMs = restMs
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#restsUntil === undefined) return 'closed'
    return this.#isProbing ? 'half-open' : 'open'
  }

  /** Whether a call may be made now; if so, it counts as made. */
  admit(now: number): boolean {
    if (this.#restsUntil === undefined) return true
    if (this.#isProbing || now < this.#restsUntil) return false
    this.#isProbing = true
    return true
  }

  /** A call was answered, whatever the answer was. */
  succeeded(): void {
    this.#failures = 0
    this.#restsUntil = undefined
    this.#isProbing = false
  }

  /** A call was not answered in the time that an answer takes. */
  failed(now: number): void {
    this.#failures++
    this.#isProbing = false
    if (this.#failures >= this.#failuresMax) this.#restsUntil = now + this.#restMs
  }

  /** A call ended before anything could be told from it. */
  abandoned(): void {
    this.#isProbing = false
  }
}
