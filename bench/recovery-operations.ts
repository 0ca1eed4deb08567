/** What the parent of the recovery benchmark asks of the process that holds the store. */
import type { Operations } from '../src/cli/processes/operations.js'
import type { Store } from '../src/index.js'

/** Writes that ran beside something else. */
export interface Beside {
  /** How long the other thing took. */
  readonly ms: number
  readonly puts: number
  /** The longest time in which no put was acknowledged, with 64 in flight. */
  readonly longestStallMs: number
  /** The most memory while it ran (without mapped files, where the system tells), above what there was before. */
  readonly memoryBytes: number
}

/** What is done while writes go on. */
export type Action =
  | { readonly kind: 'nothing'; readonly ms: number }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'backup'; readonly dest: string }
  | { readonly kind: 'newcomer'; readonly id: string; readonly address: string }

/** See recovery-process.ts. */
export interface RecoveryOperations extends Operations {
  /** Writes the keys from..from+count-1, in no order, with values of `valueBytes`. */
  fill(
    store: Store,
    request: { readonly from: number; readonly count: number; readonly valueBytes: number },
  ): Promise<void>
  /** Does `action` while writes go on. */
  beside(store: Store, request: { readonly action: Action }): Promise<Beside>
  checkpoint(store: Store, request: undefined): Promise<void>
  /** Begins to watch memory. */
  watchMemory(store: Store, request: undefined): Promise<void>
  /** The most memory since, above what there was then. */
  memory(store: Store, request: undefined): Promise<number>
}
