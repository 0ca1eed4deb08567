/**
 * How far the others are behind a leader, in time: a member is caught up when it has at least 90 % of the leader's
 * log (or lacks only a handful of entries: in a short log a single one on its way may be more than a tenth) and
 * everything that the leader had a second ago. Nothing less may vote anew or be handed leadership.
 */
import type { LogIndex } from '../raft/types.js'

const BEHIND_MS_MAX = 1_000
const SHARE_MIN = 0.9
const HANDFUL = 8
/** Samples kept at most; enough for a tick of 50 ms, and coarser ticks need fewer. */
const SAMPLES_MAX = 32

interface Sample {
  readonly at: number
  readonly lastIndex: LogIndex
}

/** Remembers where the leader's log ended during the last second. */
export class Pace {
  /** Rising in both; the first one is the newest that is a second old, or the oldest there is. */
  #samples: Sample[] = []

  /** Takes in where the log ends now; called with every tick of a leader. */
  note(now: number, lastIndex: LogIndex): void {
    this.#samples.push({ at: now, lastIndex })
    const old = this.#samples.findLastIndex(({ at }) => now - at >= BEHIND_MS_MAX)
    const excess = this.#samples.length - SAMPLES_MAX
    this.#samples.splice(0, Math.max(old, excess, 0))
  }

  /** Whether a log up to `matchIndex` is caught up with one that ends at `lastIndex` now. */
  isCaughtUp(matchIndex: LogIndex, lastIndex: LogIndex): boolean {
    const aSecondAgo = this.#samples[0]?.lastIndex ?? lastIndex
    const isClose = matchIndex >= SHARE_MIN * lastIndex || matchIndex + HANDFUL >= lastIndex
    return matchIndex >= aSecondAgo && isClose
  }

  /** Another leadership begins. */
  reset(): void {
    this.#samples = []
  }
}
