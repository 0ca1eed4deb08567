/** What the torture test asks of its members. */
import type { MemberOperations } from '../../src/cli/processes/operations.js'
import type { Store } from '../../src/index.js'

/** The operations of the torture test's member-process.ts. */
export interface TortureOperations extends MemberOperations {
  /** Strong reads of bytes. */
  getMany(
    store: Store,
    request: { readonly keys: readonly string[]; readonly timeoutMs: number },
  ): Promise<readonly (Uint8Array | undefined)[]>
}
