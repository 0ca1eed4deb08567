/** What the hot-path benchmark asks of the process whose store it measures. */
import type { MemberOperations } from '../src/cli/processes/operations.js'
import type { ReadLevel, Store } from '../src/index.js'
import type { Measurement } from './measure.js'

/** One operation of a store, or of classic-level alone. */
export type Operation =
  | { readonly kind: 'put' }
  | { readonly kind: 'get' | 'view get' | 'scan'; readonly level: ReadLevel }
  | { readonly kind: 'level put' | 'level get' | 'level getSync' | 'level batch' | 'level scan' }

/** The operations of hot-path-process.ts. */
export interface HotPathOperations extends MemberOperations {
  /** Fills the store; with `levelDir`, a classic-level database in that folder as well. */
  fill(store: Store, request: { readonly levelDir: string | undefined }): Promise<void>
  measure(
    store: Store,
    request: { readonly operation: Operation; readonly inFlight: number; readonly ms: number },
  ): Promise<Measurement>
}
