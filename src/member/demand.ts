/** Demands of a member's own: what it waits for before it does something with its state. */

import type { LogIndex } from '../raft/types.js'
import type { ReadDemand, ReadLevel } from './backend.js'

/** A state of `level` that holds `minIndex`, of any age, waited for until `deadline`. */
export function demand(level: ReadLevel, minIndex: LogIndex, deadline: number): ReadDemand {
  return {
    level,
    minIndex,
    minTerm: 0,
    maxStalenessMs: Number.POSITIVE_INFINITY,
    onBehind: 'wait',
    deadline,
  }
}
