/** Writes under way, by what their callers wait for; each raises the session that it belongs to. */
import type { SessionState } from './session-state.js'
import type { Position } from './token.js'
import { PendingWrite, type WriteResult } from './write-pipeline.js'

/** A write that stands in the leader's log and may yet be lost with it (`ack: 'leader'`). */
export interface AppendedWrite {
  /** Where it stands in the log, unless the leader loses its place before it is committed. */
  readonly index: number
  readonly term: number
  /** Settles like the same write with `ack: 'quorum'`; need not be waited for. */
  readonly committed: Promise<WriteResult>
}

/** What a conditional command came to. */
export interface Coded {
  readonly result: WriteResult
  readonly code: number
}

/** A write that raises the session it belongs to. */
abstract class SessionWrite extends PendingWrite {
  readonly #session: SessionState | undefined
  protected readonly reject: (error: unknown) => void

  constructor(
    deadline: number,
    ackLeader: boolean,
    signal: AbortSignal | undefined,
    session: SessionState | undefined,
    reject: (error: unknown) => void,
  ) {
    super(deadline, ackLeader, signal)
    this.#session = session
    this.reject = reject
  }

  override done(result: WriteResult, code: number): void {
    this.#session?.raise(result)
    this.settle(result, code)
  }

  override appended(_position: Position): void {}

  override fail(error: unknown): void {
    this.reject(error)
  }

  protected abstract settle(result: WriteResult, code: number): void
}

/** A write without a result byte. */
export class Writing extends SessionWrite {
  readonly #resolve: (result: WriteResult) => void

  constructor(
    deadline: number,
    signal: AbortSignal | undefined,
    session: SessionState | undefined,
    resolve: (result: WriteResult) => void,
    reject: (error: unknown) => void,
  ) {
    super(deadline, false, signal, session, reject)
    this.#resolve = resolve
  }

  protected override settle(result: WriteResult): void {
    this.#resolve(result)
  }
}

/** A write with a result byte. */
export class Deciding extends SessionWrite {
  readonly #resolve: (coded: Coded) => void

  constructor(
    deadline: number,
    signal: AbortSignal | undefined,
    session: SessionState | undefined,
    resolve: (coded: Coded) => void,
    reject: (error: unknown) => void,
  ) {
    super(deadline, false, signal, session, reject)
    this.#resolve = resolve
  }

  protected override settle(result: WriteResult, code: number): void {
    this.#resolve({ result, code })
  }
}

/** A write whose caller goes on once it stands in the leader's log. */
export class Appending extends SessionWrite {
  readonly #resolve: (appended: AppendedWrite) => void
  readonly #committed: Promise<WriteResult>
  #commit: (result: WriteResult) => void = () => {}
  #lose: (error: unknown) => void = () => {}
  #isAppended = false

  constructor(
    deadline: number,
    signal: AbortSignal | undefined,
    session: SessionState | undefined,
    resolve: (appended: AppendedWrite) => void,
    reject: (error: unknown) => void,
  ) {
    super(deadline, true, signal, session, reject)
    this.#resolve = resolve
    this.#committed = new Promise((commit, lose) => {
      this.#commit = commit
      this.#lose = lose
    })
    // Who does not look at it has said so by the level of its acknowledgement.
    this.#committed.catch(() => undefined)
  }

  override appended({ index, term }: Position): void {
    this.#isAppended = true
    this.#resolve({ index, term, committed: this.#committed })
  }

  override fail(error: unknown): void {
    if (this.#isAppended) this.#lose(error)
    else this.reject(error)
  }

  protected override settle(result: WriteResult): void {
    this.#commit(result)
    // The answer that it stands in the log may have been lost.
    if (!this.#isAppended) this.appended(result)
  }
}
