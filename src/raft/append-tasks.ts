/**
 * Writes to the log: one task per `ready`, finished in the order in which they were handed out.
 *
 * Invariant: a task is outstanding from `take` to `done`; `done` names the oldest one.
 */
import { assert } from '../base/assert.js'
import type { CoreState } from './state.js'
import type { AppendTask, EntryId, HardState, Message, SnapshotMeta, Term } from './types.js'

/** What follows from a finished task. */
export interface FinishedTask {
  readonly id: number
  /** The term in which it was handed out. */
  readonly term: Term
  readonly responses: readonly Message[]
  /** The end of the log when it was handed out; undefined when all of it was durable before. */
  readonly flushed: EntryId | undefined
  readonly snapshot: SnapshotMeta | undefined
}

/** Makes append tasks and remembers what their completion means. */
export class AppendTasks {
  readonly #state: CoreState
  #lastId = 0
  #outstanding: FinishedTask[] = []
  #taken: HardState

  constructor(state: CoreState, stored: HardState) {
    this.#state = state
    this.#taken = { ...stored, commit: state.log.commitIndex }
  }

  get hasNext(): boolean {
    const { log, outbox } = this.#state
    return outbox.hasResponses || log.hasUntaken || log.hasUntakenSnapshot || this.#isStateChanged()
  }

  /** The next write; undefined when there is nothing to write and nothing to be answered after a write. */
  take(): AppendTask | undefined {
    if (!this.hasNext) return undefined
    const { log, outbox, term } = this.#state
    const { term: oldTerm, vote: oldVote } = this.#taken
    const hardState = this.#takeHardState()
    const isVoteChanged = this.#taken.term !== oldTerm || this.#taken.vote !== oldVote
    const snapshot = log.takeSnapshot()
    const entries = log.takeUntaken()
    const responses = outbox.takeResponses()
    const id = ++this.#lastId
    // Also without entries of its own: a task of an earlier term does not count any more when it ends.
    const flushed = log.isUnflushed ? { term: log.lastTerm, index: log.lastIndex } : undefined
    this.#outstanding.push({ id, term, responses, flushed, snapshot })
    const mustSync = isVoteChanged || entries.length > 0 || snapshot !== undefined
    return { id, entries, hardState, snapshot, mustSync, responses }
  }

  /** Ends the oldest task. */
  done(id: number): FinishedTask {
    const task = this.#outstanding.shift()
    assert(task !== undefined && task.id === id, 'append tasks end in order', {
      id,
      expected: task?.id,
    })
    return task
  }

  #isStateChanged(): boolean {
    const { term, vote, log } = this.#state
    const { term: oldTerm, vote: oldVote, commit } = this.#taken
    return term !== oldTerm || vote !== oldVote || log.commitIndex !== commit
  }

  #takeHardState(): HardState | undefined {
    if (!this.#isStateChanged()) return undefined
    const { term, vote, log } = this.#state
    this.#taken = { term, vote, commit: log.commitIndex }
    return this.#taken
  }
}
