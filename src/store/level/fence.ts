/**
 * Keeps the writes of a handle behind its reads that are not settled yet.
 *
 * abstract-level promises that a read does not see what is written after it on the same database. A read that learns
 * only later which state it is served from (a strong one, or one of another process) keeps that promise because the
 * writes after it are not sent before.
 *
 * Invariants:
 *   1. a write begins when every read begun before it is settled, and not before an earlier write
 *   2. `#waitingBytes` is the sum over the writes that wait, at most WAITING_BYTES_MAX and one write more
 */
import { StoreError } from '../../base/errors.js'

/** Keys and values of the writes that wait. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024
/** What each of them takes beside its bytes. */
const WRITE_OVERHEAD_BYTES = 128

interface WaitingWrite {
  /** The number of the last read begun before it. */
  readonly after: number
  readonly bytes: number
  begin(): void
}

/** See the file's comment. */
export class Fence {
  #lastRead = 0
  /** Numbers of reads that are not settled, ascending. */
  readonly #open = new Set<number>()
  #waiting: WaitingWrite[] = []
  #waitingBytes = 0

  /** Whether a write would have to wait. */
  get isClosed(): boolean {
    return this.#open.size > 0 || this.#waiting.length > 0
  }

  /** A read begins; the number is for `settled`. */
  enter(): number {
    this.#lastRead++
    this.#open.add(this.#lastRead)
    return this.#lastRead
  }

  /** The state of that read is chosen, or it has ended. */
  settled(read: number): void {
    this.#open.delete(read)
    if (this.#waiting.length > 0) this.#beginSome()
  }

  /**
   * Calls `write` when it may begin. What it writes must not change meanwhile.
   * @param bytes of its keys and values
   * @throws {StoreError} QUORATE_OVERLOADED too much waits already
   */
  async pass<T>(bytes: number, write: () => Promise<T>): Promise<T> {
    if (this.#waitingBytes >= WAITING_BYTES_MAX) {
      throw new StoreError(
        'QUORATE_OVERLOADED',
        `${this.#waitingBytes} bytes of writes wait for earlier reads already`,
        { retryable: true },
      )
    }
    const cost = bytes + WRITE_OVERHEAD_BYTES
    this.#waitingBytes += cost
    await new Promise<void>((resolve) => {
      this.#waiting.push({ after: this.#lastRead, bytes: cost, begin: resolve })
    })
    return write()
  }

  #beginSome(): void {
    const [oldest = Number.POSITIVE_INFINITY] = this.#open
    let count = 0
    for (const { after, bytes, begin } of this.#waiting) {
      if (oldest <= after) break
      count++
      this.#waitingBytes -= bytes
      begin()
    }
    this.#waiting.splice(0, count)
  }
}
