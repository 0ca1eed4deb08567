/** A load generator in a process of its own: the parent's side. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { LatencySummary } from './latencies.js'
import type { ClosedLoad, PacedLoad } from './load-operations.js'
import type { Measurement } from './measure.js'
import type { PacedResult } from './open-loop.js'
import type { OpenLoad } from './pace.js'

/** What generator-process.ts does. */
export interface GeneratorOperations {
  /** Sends due times to a member that listens (LoadOperations.listen); resolves with the lateness. */
  drive(request: { readonly port: number; readonly load: OpenLoad }): Promise<LatencySummary>
  /** An open loop through `connect`. */
  open(request: PacedLoad & { readonly addresses: readonly string[] }): Promise<PacedResult>
  /** A closed loop through `connect`. */
  closed(request: ClosedLoad & { readonly addresses: readonly string[] }): Promise<Measurement>
  /** A closed loop on classic-level alone, in this process: what a store is compared with. Made in `dir` when missing. */
  alone(request: ClosedLoad & { readonly dir: string }): Promise<Measurement>
}

/** Parent to child. */
export interface GeneratorRequest {
  readonly id: number
  readonly operation: keyof GeneratorOperations
  readonly request: unknown
}

interface GeneratorResponse {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** A running generator. End it, or its process stays as long as this one. */
export class Generator {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, Pending>()
  #calls = 0

  constructor() {
    const script = join(import.meta.dirname, 'generator-process.js')
    this.#process = fork(script, { serialization: 'advanced', stdio: ['ignore', 2, 2, 'ipc'] })
    this.#process.on('message', ({ id, result, error }: GeneratorResponse) => {
      const pending = this.#pending.get(id)
      this.#pending.delete(id)
      if (error === undefined) pending?.resolve(result)
      else pending?.reject(new Error(`the generator failed: ${error}`))
    })
    this.#process.on('exit', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('the generator has ended'))
      this.#pending.clear()
    })
  }

  call<K extends keyof GeneratorOperations>(
    operation: K,
    request: Parameters<GeneratorOperations[K]>[0],
  ): ReturnType<GeneratorOperations[K]> {
    const answer = new Promise((resolve, reject) => {
      const id = this.#calls++
      this.#pending.set(id, { resolve, reject })
      const message: GeneratorRequest = { id, operation, request }
      this.#process.send(message, (error) => {
        if (error === null) return
        this.#pending.delete(id)
        reject(error)
      })
    })
    return answer as ReturnType<GeneratorOperations[K]>
  }

  end(): void {
    this.#process.kill('SIGKILL')
  }
}
