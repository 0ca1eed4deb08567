/** What the torture test asks of its members. */
import type { MemberOperations } from '../../src/cli/processes/operations.js'
import type { Membership, Replacement, Store } from '../../src/index.js'

/** A wish about the members. */
export type MembersRequest =
  | { readonly type: 'list' }
  | { readonly type: 'add'; readonly id: string; readonly address: string }
  | { readonly type: 'promote' | 'demote' | 'remove'; readonly id: string }
  | { readonly type: 'replace'; readonly replacements: readonly Replacement[] }
  | { readonly type: 'transfer' }

/** The operations of the torture test's member-process.ts. */
export interface TortureOperations extends MemberOperations {
  /** Strong reads of bytes. */
  getMany(
    store: Store,
    request: { readonly keys: readonly string[]; readonly timeoutMs: number },
  ): Promise<readonly (Uint8Array | undefined)[]>
  /** Carries out a wish about the members, then says who they are. */
  members(
    store: Store,
    request: { readonly wish: MembersRequest; readonly timeoutMs: number },
  ): Promise<Membership>
}
