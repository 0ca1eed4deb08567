/** What benchmarks ask of a member in a process of its own. */
import type { MemberOperations } from '../src/cli/processes/operations.js'
import type { MemberStatus, ReadLevel, Store, StoreMetrics } from '../src/index.js'
import type { Measurement } from './measure.js'
import type { OpenResult } from './open-loop.js'
import type { OpenLoad } from './pace.js'
import type { Probed, ProbeLog } from './probes.js'
import type { Acknowledged, Seen } from './sequence.js'
import type { Watched } from './watchers.js'
import type { Workload } from './workload.js'

/** A closed loop: so many operations at a time, each after another. */
export interface ClosedLoad {
  readonly workload: Workload
  readonly inFlight: number
  readonly ms: number
}

/** An open loop. */
export interface PacedLoad {
  readonly workload: Workload
  readonly load: OpenLoad
}

/** The operations of load-process.ts. */
export interface LoadOperations extends MemberOperations {
  fill(
    store: Store,
    request: { readonly keyCount: number; readonly valueBytes: number },
  ): Promise<void>
  closed(store: Store, request: ClosedLoad): Promise<Measurement>
  /**
   * Listens for arrivals on a port of the loopback, which it resolves with: a generator in another process sends the
   * due time of each operation as a 64-bit float, and closes the connection in the end.
   */
  listen(store: Store, request: PacedLoad): Promise<number>
  /** What became of the load since `listen`; resolves when its generator is gone and nothing is outstanding. */
  result(store: Store, request: undefined): Promise<OpenResult>
  metrics(store: Store, request: undefined): Promise<StoreMetrics>
  /** Scans of everything at a level, one after the other; counted in entries. */
  scanAll(
    store: Store,
    request: { readonly level: ReadLevel; readonly keyCount: number; readonly ms: number },
  ): Promise<Measurement>
  /** The 99th percentile of the event loop's delay, in ms, since the last call. */
  loopDelay(store: Store, request: undefined): Promise<number>
  /** Begins watchers instead of those that there are; resolves when all of them see what comes. */
  watch(
    store: Store,
    request: { readonly watchers: number; readonly watched: Watched },
  ): Promise<void>
  /** Bytes of memory that the process holds. */
  memory(store: Store, request: undefined): Promise<number>
  status(store: Store, request: undefined): Promise<MemberStatus>
  /** See Probes; one set at a time. */
  startProbes(store: Store, request: undefined): Promise<void>
  probesAnsweredSince(store: Store, time: number): Promise<boolean>
  stopProbes(store: Store, request: undefined): Promise<Readonly<Record<Probed, ProbeLog>>>
  /** See sequence.ts; one of each at a time. */
  startWriter(store: Store, request: undefined): Promise<void>
  stopWriter(store: Store, request: undefined): Promise<readonly Acknowledged[]>
  startReader(store: Store, request: undefined): Promise<void>
  stopReader(store: Store, request: undefined): Promise<readonly Seen[]>
}
