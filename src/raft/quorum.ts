/**
 * Quorum arithmetic for majorities and for joint configurations (Raft §5.3, thesis §4.3).
 *
 * The empty majority commits everything and wins every vote: that makes the empty half of a configuration
 * that is not joint neutral, so nothing else ever asks whether a configuration is joint.
 */
import type { LogIndex } from './types.js'

/** What a vote came to, as far as it can be known. */
export type VoteResult = 'won' | 'pending' | 'lost'

/** The least number of voters that is more than half of `voterCount`. */
export function majority(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1
}

/**
 * The highest index that a majority has reached, given what each of `count` voters has reached: the first
 * `count` places of `acked`, which are put into ascending order. Infinity for no voters. Quadratic in `count`
 * but without allocation, because it runs for every acknowledgement and configurations are small.
 */
export function majorityIndex(acked: LogIndex[], count: number): LogIndex {
  if (count === 0) return Number.POSITIVE_INFINITY
  for (let i = 1; i < count; i++) {
    const value = acked[i]!
    let j = i - 1
    while (j >= 0 && acked[j]! > value) {
      acked[j + 1] = acked[j]!
      j--
    }
    acked[j + 1] = value
  }
  return acked[count - majority(count)]!
}

/** What `granted` and `rejected` of `voterCount` votes come to. */
export function majorityVote(voterCount: number, granted: number, rejected: number): VoteResult {
  if (voterCount === 0) return 'won'
  const needed = majority(voterCount)
  if (granted >= needed) return 'won'
  return voterCount - rejected >= needed ? 'pending' : 'lost'
}

/** A joint vote is won when both halves have won and lost as soon as one has lost. */
export function jointVote(incoming: VoteResult, outgoing: VoteResult): VoteResult {
  if (incoming === outgoing) return incoming
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'
}
