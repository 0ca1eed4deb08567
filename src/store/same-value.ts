/**
 * Finds a large value again that was coded anew: its revision stays, no change is told of, and what it was coded into
 * before goes after the grace. Whoever has an older manifest of it finds the present one by key and revision.
 */
import type { Backend, StoredValue } from '../member/backend.js'
import { DemandedRead, demand } from '../member/demand.js'
import type { LogIndex } from '../raft/types.js'
import type { FetchSpec } from './large-reads.js'

/**
 * What stands under `key` now, if it is a large value of this revision; undefined when another took its place.
 * @throws {StoreError} what reads fail with
 */
export function findSame(
  backend: Pick<Backend, 'now' | 'read'>,
  key: Uint8Array,
  revision: LogIndex,
  { timeoutMs }: FetchSpec,
): Promise<StoredValue | undefined> {
  const deadline = backend.now() + timeoutMs
  return new Promise((resolve, reject) => {
    backend.read(new Lookup({ key, revision, deadline, resolve, reject }))
  })
}

interface LookupParts {
  readonly key: Uint8Array
  readonly revision: LogIndex
  readonly deadline: number
  readonly resolve: (stored: StoredValue | undefined) => void
  readonly reject: (error: unknown) => void
}

class Lookup extends DemandedRead {
  readonly abandoned = false
  readonly #parts: LookupParts

  constructor(parts: LookupParts) {
    // An older state may have what stood there before.
    super([parts.key], demand('session', parts.revision, parts.deadline), parts.deadline)
    this.#parts = parts
  }

  complete([stored]: readonly (StoredValue | undefined)[]): void {
    const { revision, resolve } = this.#parts
    resolve(stored?.isCoded && stored.revision === revision ? stored : undefined)
  }

  fail(error: unknown): void {
    this.#parts.reject(error)
  }
}
