/**
 * Records a history while it happens: numbers the events, gives out processes, and closes what was never answered.
 *
 * The processes are lanes: a call takes the lowest free one, and gives it back when its outcome is known. A session
 * with several calls in flight uses several.
 */
import { assert } from '../base/assert.js'
import type {
  Caller,
  HistoryEvent,
  Moment,
  NemesisEvent,
  Operation,
  Result,
  TokenEvent,
} from './history.js'

/** The most events one recorder takes, about 1 GiB of them. */
export const RECORDED_EVENTS_MAX = 4_000_000

/** A call that was begun; end it once. */
export interface RecordedCall {
  /** It happened, with this result. */
  ok(result: Result): void
  /** It certainly did not and will not happen. */
  fail(error: string): void
  /** Nobody knows. */
  info(error: string): void
}

/** One history in the making. */
export class Recorder {
  readonly #now: () => number
  readonly #events: HistoryEvent[] = []
  readonly #open = new Map<number, Operation['f']>()
  /** Ascending. */
  readonly #free: number[] = []
  #processCount = 0

  /** @param now milliseconds on one clock that never goes back */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Begins a call; make it after this returns. @throws {RangeError} when the history is full. */
  invoke(operation: Operation, caller: Caller): RecordedCall {
    const process = this.#free.shift() ?? this.#processCount++
    this.#open.set(process, operation.f)
    this.#add({ ...this.#moment(), process, ...caller, type: 'invoke', ...operation })
    return {
      ok: (result) => {
        this.#close(process, result.f)
        this.#add({ ...this.#moment(), process, type: 'ok', ...result })
        this.#release(process)
      },
      fail: (error) => {
        const f = this.#close(process, operation.f)
        this.#add({ ...this.#moment(), process, type: 'fail', f, error })
        this.#release(process)
      },
      info: (error) => {
        const f = this.#close(process, operation.f)
        this.#add({ ...this.#moment(), process, type: 'info', f, error })
      },
    }
  }

  /** A session's position leaves it as `token`, or comes into it. */
  token(type: TokenEvent['type'], session: string, token: string): void {
    this.#add({ ...this.#moment(), type, session, token })
  }

  /** Something was done to the cluster. */
  nemesis(f: string, value: NemesisEvent['value']): void {
    this.#add({ ...this.#moment(), type: 'info', process: 'nemesis', f, value })
  }

  /** Closes every open call as unknown; the events, in order. Record nothing more. */
  finish(): readonly HistoryEvent[] {
    for (const [process, f] of this.#open) {
      const error = 'not answered before the history ended'
      this.#add({ ...this.#moment(), process, type: 'info', f, error })
    }
    this.#open.clear()
    return this.#events
  }

  #moment(): Moment {
    return { i: this.#events.length, t: this.#now() }
  }

  #add(event: HistoryEvent): void {
    if (this.#events.length >= RECORDED_EVENTS_MAX) {
      throw new RangeError(`a history holds at most ${RECORDED_EVENTS_MAX} events`)
    }
    this.#events.push(event)
  }

  #close(process: number, f: Operation['f']): Operation['f'] {
    assert(this.#open.get(process) === f, 'a call is ended once, by a result of its kind', { f })
    this.#open.delete(process)
    return f
  }

  #release(process: number): void {
    const at = this.#free.findIndex((free) => free > process)
    this.#free.splice(at === -1 ? this.#free.length : at, 0, process)
  }
}
