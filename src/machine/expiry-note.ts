/** What an entry says about things that go by themselves, for the leader's clock (member/expiry.ts). */
import type { LogIndex } from '../raft/types.js'

/**
 * `key`: the value that the entry at `revision` put goes after `ttlMs`. `lease`: it was granted or kept alive by the
 * entry at `generation`, or is ending and has keys left. `settledKey`, `settledLease`: nothing is to be waited for any
 * more. Bytes may view the entry.
 */
export type ExpiryNote =
  | {
      readonly type: 'key'
      readonly key: Uint8Array
      readonly revision: LogIndex
      readonly ttlMs: number
    }
  | {
      readonly type: 'lease'
      readonly lease: Uint8Array
      readonly generation: LogIndex
      readonly ttlMs: number
      readonly isEnding: boolean
    }
  | { readonly type: 'settledKey'; readonly key: Uint8Array; readonly revision: LogIndex }
  | { readonly type: 'settledLease'; readonly lease: Uint8Array }

/** An entry that says nothing. */
export const NO_NOTES: readonly ExpiryNote[] = []
