/** What the benchmark of large values asks of a member in a process of its own. */
import type { MemberOperations } from '../src/cli/processes/operations.js'
import type { Store, StoreMetrics } from '../src/index.js'

/** Puts of fresh keys: so many, so many at a time. */
export interface LargePuts {
  readonly prefix: string
  readonly valueBytes: number
  readonly count: number
  readonly inFlight: number
}

/** What became of them. */
export interface LargePutsResult {
  readonly seconds: number
  /** Of each put. */
  readonly latenciesMs: readonly number[]
}

/** A value that comes as a stream. */
export interface StreamedValue {
  readonly key: string
  readonly bytes: number
}

/** How a stream went by. */
export interface StreamedResult {
  readonly seconds: number
  readonly bytes: number
  /** Of all its bytes, in order. */
  readonly hash: string
}

/** Memory of a process. */
export interface MemoryUse {
  /** Resident now. */
  readonly rss: number
  /** Of that, what buffers take. */
  readonly buffers: number
}

/** The operations of large-process.ts. */
export interface LargeOperations extends MemberOperations {
  putMany(store: Store, request: LargePuts): Promise<LargePutsResult>
  putStream(store: Store, request: StreamedValue): Promise<StreamedResult>
  readStream(store: Store, request: { readonly key: string }): Promise<StreamedResult>
  checkpoint(store: Store, request: undefined): Promise<number>
  metrics(store: Store, request: undefined): Promise<StoreMetrics>
  memory(store: Store, request: undefined): Promise<MemoryUse>
}
