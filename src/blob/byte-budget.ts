/**
 * Memory that large values may take on their way, shared by all that are under way: who wants more than is left waits
 * its turn, of WAITING_MAX at most.
 */
import { StoreError } from '../base/errors.js'

const WAITING_MAX = 4096

interface Waiting {
  readonly bytes: number
  readonly admit: () => void
}

/** See the file's comment. */
export class ByteBudget {
  readonly #limit: number
  #used = 0
  #waiting: Waiting[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  get usedBytes(): number {
    return this.#used
  }

  /**
   * Resolves when `bytes` are set aside, in order of the calls; more than there are at all wait for all of them.
   * @throws {StoreError} QUORATE_OVERLOADED
   */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.tryTake(bytes)) return
    if (this.#waiting.length >= WAITING_MAX) {
      const message = 'too many large values wait to be read or written'
      throw new StoreError('QUORATE_OVERLOADED', message, { retryable: true })
    }
    await new Promise<void>((admit) => this.#waiting.push({ bytes, admit }))
  }

  /** Whether `bytes` could be set aside at once. */
  tryTake(bytes: number): boolean {
    if (this.#used > 0 && this.#used + bytes > this.#limit) return false
    this.#used += bytes
    return true
  }

  /** Gives back what `take` or `tryTake` set aside. */
  give(bytes: number): void {
    this.#used -= bytes
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined || !this.tryTake(first.bytes)) return
      this.#waiting.shift()
      first.admit()
    }
  }
}
