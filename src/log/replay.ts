/**
 * What the batches of a log add up to, replayed in the order in which they were written.
 *
 * The oldest segment may begin in the middle of history: what stood before it was compacted. So the place
 * before its first entry counts as known only when the compaction point, which every segment repeats at its
 * head, has been found to lie there or later (`hole`).
 */
import type { EntryId, HardState, LogIndex } from '../raft/types.js'
import type { LogState } from '../wire/log-frame.js'
import { EntryIndex } from './entry-index.js'
import type { ScannedFrame } from './scan.js'

/** The state of a log, as of the last batch applied. */
export class Replay {
  readonly index: EntryIndex
  #hardState: HardState = { term: 0, vote: 0, commit: 0 }
  #previous: EntryId = { term: 0, index: 0 }

  /** `firstIndex` is that of the oldest segment there is. */
  constructor(firstIndex: LogIndex) {
    this.index = new EntryIndex(firstIndex - 1)
  }

  get hardState(): HardState {
    return this.#hardState
  }

  get previous(): EntryId {
    return this.#previous
  }

  /** Entries that should be there and are not: those after `previous` up to here; `undefined` when none. */
  get hole(): LogIndex | undefined {
    return this.index.base > this.#previous.index ? this.index.base : undefined
  }

  /** Applies a frame of `segment`; returns what is wrong with it, which no log that was written by us has. */
  apply(segment: number, frame: ScannedFrame): string | undefined {
    if (frame.type === 'state') return this.#applyState(frame.state)
    const { id, position, bytes } = frame
    if (id.index <= this.#previous.index) return `entry ${id.index} is already compacted`
    if (id.index > this.index.lastIndex + 1) return `entry ${id.index} does not follow the log`
    this.index.append(id, { segment, position, bytes })
    return undefined
  }

  #applyState(state: LogState): string | undefined {
    if (state.previous.index < this.#previous.index) return 'the compaction point went back'
    if (state.hardState.term < this.#hardState.term) return 'the term went back'
    this.#hardState = state.hardState
    this.#previous = state.previous
    if (state.previous.index > this.index.base) this.index.compactTo(state.previous.index)
    this.index.truncateAfter(state.lastIndex)
    if (state.lastIndex > this.index.lastIndex) return `entry ${state.lastIndex} is missing`
    return undefined
  }
}
