/** Waiting for a state of affairs: conditions that are looked at whenever something may have changed. */
import type { Time } from '../env/time.js'

interface Waiter {
  readonly isMet: () => boolean
  readonly deadline: number
  resolve(isMet: boolean): void
  reject(error: unknown): void
}

/** All that is waited for in one place. Every wait has a deadline, so their number is bounded by that of calls. */
export class Conditions {
  readonly #time: Time
  #waiters: Waiter[] = []
  #ended: unknown

  constructor(time: Time) {
    this.#time = time
  }

  /** Resolves with true as soon as `isMet` holds, with false when `deadline` passes first. */
  until(deadline: number, isMet: () => boolean): Promise<boolean> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    if (isMet()) return Promise.resolve(true)
    return new Promise((resolve, reject) => {
      this.#waiters.push({ isMet, deadline, resolve, reject })
    })
  }

  /** Something may have changed, or time has passed. */
  look(): void {
    if (this.#waiters.length === 0) return
    const now = this.#time.now()
    this.#waiters = this.#waiters.filter(({ isMet, deadline, resolve }) => {
      const isMetNow = isMet()
      if (!isMetNow && now < deadline) return true
      resolve(isMetNow)
      return false
    })
  }

  /** Nothing changes any more: every wait fails with `error`. */
  end(error: unknown): void {
    this.#ended = error
    const waiters = this.#waiters
    this.#waiters = []
    for (const { reject } of waiters) reject(error)
  }
}
