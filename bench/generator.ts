/** A process that is no member, generator or client: the parent's side. */
import { join } from 'node:path'
import { Child } from './child.js'
import type { LatencySummary } from './latencies.js'
import type { ClosedLoad, PacedLoad } from './load-operations.js'
import type { Measurement } from './measure.js'
import type { OpenResult } from './open-loop.js'
import type { OpenLoad } from './pace.js'
import type { Probed, ProbeLog } from './probes.js'
import type { Seen } from './sequence.js'

/** An open loop through `connect`. */
export type ClientLoad = PacedLoad & { readonly addresses: readonly string[] }

/** What generator-process.ts does. */
export interface GeneratorOperations {
  /** Sends due times to a member that listens (`listen`); resolves with the lateness. */
  drive(request: { readonly port: number; readonly load: OpenLoad }): Promise<LatencySummary>
  /** As LoadOperations.listen and result, on a store that is connected from outside. */
  listen(request: ClientLoad): Promise<number>
  result(request: undefined): Promise<OpenResult>
  /** As those of LoadOperations, on a store that is connected from outside. */
  startProbes(request: { readonly addresses: readonly string[] }): Promise<void>
  probesAnsweredSince(time: number): Promise<boolean>
  stopProbes(request: undefined): Promise<Readonly<Record<Probed, ProbeLog>>>
  startReader(request: { readonly addresses: readonly string[] }): Promise<void>
  stopReader(request: undefined): Promise<readonly Seen[]>
  /** A closed loop through `connect`. */
  closed(request: ClosedLoad & { readonly addresses: readonly string[] }): Promise<Measurement>
  /**
   * A closed loop on classic-level alone, in this process: what a store is compared with. Made in `dir` when
   * missing.
   */
  alone(request: ClosedLoad & { readonly dir: string }): Promise<Measurement>
  /** As `listen`, on such a classic-level. */
  listenAlone(request: PacedLoad & { readonly dir: string }): Promise<number>
}

/** A running generator. End it, or its process stays as long as this one. */
export class Generator {
  readonly #child = new Child<GeneratorOperations>(
    join(import.meta.dirname, 'generator-process.js'),
  )

  call<K extends keyof GeneratorOperations>(
    operation: K,
    request: Parameters<GeneratorOperations[K]>[0],
  ): ReturnType<GeneratorOperations[K]> {
    return this.#child.call(operation, request as never) as ReturnType<GeneratorOperations[K]>
  }

  end(): void {
    this.#child.end()
  }
}
