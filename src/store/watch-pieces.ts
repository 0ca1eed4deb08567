/** The state that a watch begins with, piece by piece. */
import { StoreError } from '../base/errors.js'
import type { ScanCursor, StateView } from '../member/backend.js'
import { type FoundEntry, groupsOf } from './large-reads.js'

/** About so much is fetched at a time. */
const BLOCK_BYTES = 256 * 1024
const BLOCK_ENTRIES = 512
/** What is said of a large value, and would be said of it in another state as well. */
const OF_VALUES: ReadonlySet<string> = new Set(['QUORATE_BLOB_UNREADABLE', 'QUORATE_TIMEOUT'])

/** One state as it is fetched; may be given up while a piece is under way. */
export class Pieces {
  readonly #view: StateView
  readonly #cursor: ScanCursor
  #work: Promise<unknown> = Promise.resolve()
  #closed: Promise<void> | undefined
  #closeFailure: { readonly error: unknown } | undefined
  /** Fetched, and not given yet. */
  #groups: Iterator<readonly FoundEntry[], undefined> | undefined

  constructor(view: StateView, cursor: ScanCursor) {
    this.#view = view
    this.#cursor = cursor
  }

  /** The next entries, with as many large values as may be in memory at once; none at the end. */
  async next(): Promise<readonly FoundEntry[]> {
    const group = this.#groups?.next().value
    if (group !== undefined) return group
    const piece = this.#cursor.next(BLOCK_ENTRIES, BLOCK_BYTES)
    this.#work = piece.then(
      () => undefined,
      // Whoever asked for the piece hears of it.
      () => undefined,
    )
    this.#groups = groupsOf(await piece)
    return this.#groups.next().value ?? []
  }

  /** Lets the state go although its owner may not come back. */
  abandon(): void {
    this.#closed ??= this.#close()
  }

  async close(): Promise<void> {
    this.abandon()
    await this.#closed
    if (this.#closeFailure !== undefined) throw this.#closeFailure.error
  }

  async #close(): Promise<void> {
    await this.#work
    try {
      await this.#cursor.close()
      await this.#view.close()
    } catch (error) {
      this.#closeFailure = { error }
    }
  }
}

/** The member that gave the state is gone, and nobody else has exactly this one. */
export class LostState extends Error {
  readonly isGiven: boolean

  constructor(cause: unknown, isGiven: boolean) {
    super('the state that was being given is lost', { cause })
    this.isGiven = isGiven
  }
}

/** Whether another state may be given where one cannot be given on. */
export function isPassing(error: unknown): boolean {
  return error instanceof StoreError && error.retryable && !OF_VALUES.has(error.code)
}
