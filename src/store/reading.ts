/** A single read of the Store's own, on its way to a backend and back. */
import type {
  Backend,
  OnBehind,
  PendingRead,
  ReadLevel,
  Served,
  StoredValue,
} from '../member/backend.js'
import { readAborted } from '../member/read-refusals.js'
import type { ReadSpec } from './call-options.js'
import { type Found, hasCoded, type WholeValue } from './large-reads.js'
import type { SessionState } from './session-state.js'

/** What a read makes of what was found. */
export type Decode<R> = (values: readonly (WholeValue | undefined)[], served: Served) => R

/** What was asked, for asking again. */
export interface Asked<R> {
  readonly keys: readonly Uint8Array[]
  readonly spec: ReadSpec
  readonly decode: Decode<R>
}

/** What all reads of a Reader need. */
export interface ReadParts {
  readonly backend: Backend
  readonly session: SessionState | undefined
  /** Brings large values into memory. */
  whole<R>(asked: Asked<R>, found: Found, served: Served): Promise<R>
}

/** A read of the Store's own: completes its promise, and lets a signal abandon it. */
export class Reading<R> implements PendingRead {
  readonly keys: readonly Uint8Array[]
  readonly level: ReadLevel
  readonly minIndex: number
  readonly minTerm: number
  readonly maxStalenessMs: number
  readonly onBehind: OnBehind
  readonly deadline: number
  abandoned = false
  readonly spec: ReadSpec
  readonly decode: Decode<R>
  readonly #parts: ReadParts
  readonly #calledAt: number
  readonly #resolve: (result: R | Promise<R>) => void
  readonly #reject: (error: unknown) => void
  #unwatch: (() => void) | undefined

  constructor(
    parts: ReadParts,
    keys: readonly Uint8Array[],
    spec: ReadSpec,
    decode: Decode<R>,
    resolve: (result: R | Promise<R>) => void,
    reject: (error: unknown) => void,
  ) {
    const { backend, session } = parts
    const isBound = session !== undefined && spec.level === 'session'
    this.keys = keys
    this.level = spec.level
    this.minIndex = isBound ? session.position.index : 0
    this.minTerm = isBound ? session.position.term : 0
    this.maxStalenessMs = spec.maxStalenessMs
    this.onBehind = spec.onBehind
    this.spec = spec
    this.decode = decode
    this.#calledAt = backend.now()
    this.deadline = this.#calledAt + spec.timeoutMs
    this.#parts = parts
    this.#resolve = resolve
    this.#reject = reject
  }

  complete(values: readonly (StoredValue | undefined)[], served: Served): void {
    this.#unwatch?.()
    const { backend, session } = this.#parts
    if (this.level === 'strong') backend.calls.strongRead(this.#calledAt, backend)
    session?.raise(served)
    if (hasCoded(values)) {
      this.#resolve(this.#parts.whole(this, values, copyOf(served)))
      return
    }
    try {
      this.#resolve(this.decode(values, served))
    } catch (error) {
      this.fail(error)
    }
  }

  fail(error: unknown): void {
    this.#unwatch?.()
    this.#parts.backend.calls.failed(error)
    this.#reject(error)
  }

  /** Abandons the read when `signal` aborts; false when it has aborted already. */
  watch(signal: AbortSignal): boolean {
    const onAbort = () => {
      this.abandoned = true
      this.fail(readAborted(signal))
    }
    if (signal.aborted) {
      onAbort()
      return false
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#unwatch = () => signal.removeEventListener('abort', onAbort)
    return true
  }
}

/** What `served` says now: it may say something else later. */
export function copyOf({ index, term, servedBy, role, stalenessMs }: Served): Served {
  return { index, term, servedBy, role, stalenessMs }
}
