/**
 * What a parent process may ask of a member that lives in a child process: the calls that the demo and the
 * torture test make. Both sides are the same program, so the shapes are types and nothing more.
 */
import type { MemberStatus, ReadLevel, Store } from '../../index.js'

/** One value that was read: its digest and length instead of its bytes, and how long the read took. */
export interface Reading {
  /** SHA-256, hexadecimal; undefined when there is no value. */
  readonly sha256: string | undefined
  readonly milliseconds: number
}

/** What a read of many keys asks for. */
export interface ReadRequest {
  readonly keys: readonly string[]
  readonly level: ReadLevel
  /** What the session must have seen; undefined: nothing. */
  readonly token: string | undefined
  readonly inFlight: number
}

/** Operations by name: the store of the child first, then what the parent sent. */
export type Operations = Record<string, (store: Store, request: never) => Promise<unknown>>

/** The operations of member-process.ts. Values are bytes. */
export interface MemberOperations extends Operations {
  put(
    store: Store,
    request: { readonly key: string; readonly value: Uint8Array; readonly timeoutMs: number },
  ): Promise<{
    readonly index: number
    readonly token: string
    /** Time the put took in the child. */
    readonly milliseconds: number
  }>
  read(store: Store, request: ReadRequest): Promise<readonly Reading[]>
  status(store: Store, request: undefined): Promise<MemberStatus>
  /** Bytes that this member has sent to others since its start. */
  sentBytes(store: Store, request: undefined): Promise<number>
}

/** Parent to child. */
export interface Request {
  readonly call: number
  readonly operation: string
  readonly request: unknown
}

/** Child to parent. */
export interface Response {
  readonly call: number
  readonly result?: unknown
  readonly failure?: Failure
}

/** An error as plain data. */
export interface Failure {
  readonly message: string
  readonly code: string | undefined
  readonly outcome: string | undefined
  readonly retryable: boolean
}
