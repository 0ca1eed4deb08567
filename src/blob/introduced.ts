/**
 * Which blobs of the present term were put into force: when another value has taken their place, they can go before
 * the term ends (verdict.ts). Bounded: of more than BLOBS_MAX the oldest are forgotten, and wait for the next term.
 */
import type { LogIndex } from '../raft/types.js'
import { type BlobId, blobName } from '../wire/manifest.js'

const BLOBS_MAX = 65_536

/** See the file's comment. */
export class Introduced {
  readonly #blobs = new Map<string, LogIndex>()

  /** The blob was in force in the state at `index`. */
  note(id: BlobId, index: LogIndex): void {
    const name = blobName(id)
    if (this.#blobs.has(name)) return
    this.#blobs.set(name, index)
    if (this.#blobs.size <= BLOBS_MAX) return
    const [oldest] = this.#blobs.keys()
    this.#blobs.delete(oldest!)
  }

  /** An index at which it was in force; undefined when none is known. */
  indexOf(id: BlobId): LogIndex | undefined {
    return this.#blobs.get(blobName(id))
  }

  /** Another term began, which settles all of them, or the state is another one. */
  clear(): void {
    this.#blobs.clear()
  }
}
