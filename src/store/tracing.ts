/**
 * Tracing channels: one for each operation, `quorate:put`, `quorate:get`, …, for node:diagnostics_channel.
 *
 * A call with a subscriber publishes `start` and `end` on the turn of the call, `asyncStart` and `asyncEnd` when it has
 * an answer, and `error` when it fails, all with one TraceContext; spans can be made of that without any change to the
 * application. Without a subscriber a call costs a few nanoseconds more.
 */
import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import { type Outcome, StoreError } from '../base/errors.js'

/** The operations that are traced; each has the channel `quorate:` and its name. */
export type TracedOperation =
  | 'put'
  | 'del'
  | 'batch'
  | 'clear'
  | 'txn'
  | 'get'
  | 'getWithMeta'
  | 'getMany'
  | 'read'
  | 'scan'
  | 'watch'

/** What subscribers get; the fields after `keys` are there as soon as they are known. */
export interface TraceContext {
  readonly operation: TracedOperation
  /** The level of a read, the acknowledgement of a write, as the call or its defaults have it. */
  readonly level: string | undefined
  readonly ack: unknown
  /** How many keys the call names; of a scan how many it has given. */
  keys: number
  /** The log index of a write's result, of the state that a read with meta saw, of a watch's event. */
  index?: number
  /** Of a call that failed with a StoreError. */
  code?: string
  outcome?: Outcome
  /** What the call resolved to, and what it failed with: set by node:diagnostics_channel. */
  result?: unknown
  error?: unknown
}

/** What is known of a call before it is made. */
export interface CallFacts {
  readonly level?: string | undefined
  readonly ack?: unknown
  readonly keys: number
}

/** The channel of one operation. */
export class Trace {
  readonly #operation: TracedOperation
  readonly #channel: TracingChannel<string, TraceContext>
  readonly #indexOf: ((result: never) => number | undefined) | undefined

  /** `indexOf` finds the log index in what a call resolves to; undefined: there is none. */
  constructor(operation: TracedOperation, indexOf?: (result: never) => number | undefined) {
    this.#operation = operation
    this.#indexOf = indexOf
    this.#channel = tracingChannel<string, TraceContext>(`quorate:${operation}`)
  }

  /** Whether anybody listens. */
  get isOn(): boolean {
    return this.#channel.hasSubscribers
  }

  /** Makes a call under the eyes of the subscribers. */
  promise<T>(facts: CallFacts, call: () => Promise<T>): Promise<T> {
    const context = this.#context(facts)
    const watched = () =>
      call().then(
        (result) => {
          const index = this.#indexOf?.(result as never)
          if (index !== undefined) context.index = index
          return result
        },
        (error: unknown) => {
          noteFailure(context, error)
          throw error
        },
      )
    return this.#channel.tracePromise(watched, context) as Promise<T>
  }

  /** Goes through `entries` under the eyes of the subscribers: one call from the first entry to the end. */
  async *entries<T>(facts: CallFacts, entries: AsyncIterable<T>): AsyncGenerator<T, undefined> {
    const context = this.#context(facts)
    const ended = new Ended()
    const call = this.#channel.tracePromise(() => ended.promise, context) as Promise<void>
    try {
      for await (const entry of entries) {
        context.keys++
        yield entry
      }
      ended.resolve()
    } catch (error) {
      noteFailure(context, error)
      ended.reject(error)
      throw error
    } finally {
      // Also when the loop was left early. Its error has its own way out.
      ended.resolve()
      await call.catch(() => undefined)
    }
  }

  #context({ level, ack, keys }: CallFacts): TraceContext {
    return { operation: this.#operation, level, ack, keys }
  }
}

/** A promise that is settled from outside. */
class Ended {
  resolve: () => void = () => {}
  reject: (error: unknown) => void = () => {}
  readonly promise: Promise<void> = new Promise((resolve, reject) => {
    this.resolve = resolve
    this.reject = reject
  })
}

function noteFailure(context: TraceContext, error: unknown): void {
  if (!(error instanceof StoreError)) return
  context.code = error.code
  context.outcome = error.outcome
}

function indexOfWrite({ index }: { readonly index: number }): number {
  return index
}

function indexOfEvent({
  value,
}: IteratorResult<{ readonly index: number }, undefined>): number | undefined {
  return value?.index
}

/** The channels. */
export const TRACES: { readonly [operation in TracedOperation]: Trace } = {
  put: new Trace('put', indexOfWrite),
  del: new Trace('del', indexOfWrite),
  batch: new Trace('batch', indexOfWrite),
  clear: new Trace('clear', indexOfWrite),
  txn: new Trace('txn', indexOfWrite),
  get: new Trace('get'),
  getWithMeta: new Trace('getWithMeta', ({ appliedIndex }: { readonly appliedIndex: number }) => {
    return appliedIndex
  }),
  getMany: new Trace('getMany'),
  read: new Trace('read'),
  scan: new Trace('scan'),
  watch: new Trace('watch', indexOfEvent),
}
