/** Calls of a log, and beside it the states that they should lead to. */
import type { RaftLog } from '../../src/log/raft-log.js'
import type { Entry, HardState } from '../../src/raft/types.js'
import { entries } from './log-fixture.js'
import { appended, compacted, type LogModel, lastIndexOf } from './log-model.js'

/**
 * One call, relative to the log as it is then, so that any sequence makes sense: `append` at the end, with what
 * is there committed or not; `overwrite` from `back` entries before the end, in a new term; `vote` in a new
 * term; `commit` all there is, as a hint; `compact` some committed entries; `snapshot` instead of the log.
 */
export type Call =
  | { readonly kind: 'append'; readonly sizes: readonly number[]; readonly commits: boolean }
  | { readonly kind: 'overwrite'; readonly sizes: readonly number[]; readonly back: number }
  | { readonly kind: 'vote'; readonly vote: number }
  | { readonly kind: 'commit' }
  | { readonly kind: 'compact'; readonly count: number }
  | { readonly kind: 'snapshot'; readonly ahead: number }

/** What was asked of a log so far. */
export class Workload {
  /** The log before the first call and after each. */
  readonly states: LogModel[]
  /** Of the calls, the last that was acknowledged; all before it are durable too. */
  acknowledged = 0
  readonly #log: RaftLog

  constructor(log: RaftLog, state: LogModel) {
    this.#log = log
    this.states = [state]
  }

  /** The log as it will be when all calls are done. */
  get state(): LogModel {
    return this.states.at(-1)!
  }

  async start(call: Call): Promise<void> {
    const number = this.states.length
    await this.#start(call)
    this.acknowledged = Math.max(this.acknowledged, number)
  }

  #start(call: Call): Promise<void> {
    const { term, vote, commit } = this.state.hardState
    const last = lastIndexOf(this.state)
    switch (call.kind) {
      case 'append': {
        const hardState = call.commits ? { term, vote, commit: last } : undefined
        return this.#append(some(last + 1, term, call.sizes), hardState)
      }
      case 'overwrite': {
        const from = Math.max(commit + 1, last + 1 - call.back)
        return this.#append(some(from, term + 1, call.sizes), { term: term + 1, vote: 0, commit })
      }
      case 'vote':
        return this.#append([], { term: term + 1, vote: call.vote, commit })
      case 'commit':
        return this.#append([], { term, vote, commit: last })
      case 'compact': {
        const first = this.state.previous.index + 1
        const index = Math.min(first + call.count, commit)
        return this.#compact(index, this.state.entries[index - first]?.term ?? term)
      }
      case 'snapshot':
        return this.#compact(Math.max(commit + 1, last) + call.ahead, term + 1)
    }
  }

  #append(list: readonly Entry[], hardState: HardState | undefined): Promise<void> {
    this.states.push(appended(this.state, list, hardState))
    return this.#log.append({ entries: list, hardState, mustSync: list.length > 0 })
  }

  #compact(index: number, term: number): Promise<void> {
    this.states.push(compacted(this.state, { index, term }))
    return this.#log.compactTo(index, term)
  }
}

function some(first: number, term: number, sizes: readonly number[]): Entry[] {
  return sizes.flatMap((size, i) =>
    entries(first + i, String(term), Buffer.alloc(size, `${first + i}.${term} `)),
  )
}
