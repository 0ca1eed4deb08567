/** The checkers by name, for histories of your own: from a simulation, a SpawnedCluster or a real deployment. */
import { checkApplied } from '../checkers/applied.js'
import { checkConvergence } from '../checkers/convergence.js'
import { checkExactlyOnce } from '../checkers/exactly-once.js'
import type { LinearizabilityVerdict } from '../checkers/linearizability.js'
import { checkLinearizability, DEFAULT_SEARCH_BUDGET } from '../checkers/linearizability.js'
import { checkPrefix } from '../checkers/prefix.js'
import { checkSessions } from '../checkers/sessions.js'
import { checkStaleness } from '../checkers/staleness.js'
import type { StoreOperation } from '../checkers/store-model.js'
import { partitionByBatch, partitionByKey, storeModel } from '../checkers/store-model.js'
import { checkWatches } from '../checkers/watches.js'
import { checkWhiteBox } from '../checkers/white-box.js'
import type { History } from '../history.js'

/** Whether strong reads and all writes are linearizable, seen from outside; see docs/testing.md for the two ways. */
function linearizable(
  history: History,
  together: 'byKey' | 'byBatch',
): LinearizabilityVerdict<StoreOperation> {
  const partition = together === 'byKey' ? partitionByKey : partitionByBatch
  return checkLinearizability(storeModel, partition(history), DEFAULT_SEARCH_BUDGET)
}

/** Each takes a history (`history.pair`), some also the committed log; see docs/testing.md. */
export const checkers: {
  readonly linearizable: typeof linearizable
  /** Any model of yours, over partitions of yours. */
  readonly search: typeof checkLinearizability
  readonly sessions: typeof checkSessions
  readonly staleness: typeof checkStaleness
  readonly prefix: typeof checkPrefix
  readonly exactlyOnce: typeof checkExactlyOnce
  readonly whiteBox: typeof checkWhiteBox
  readonly applied: typeof checkApplied
  readonly convergence: typeof checkConvergence
  /** Takes what watches gave instead of a history. */
  readonly watches: typeof checkWatches
} = {
  linearizable,
  search: checkLinearizability,
  sessions: checkSessions,
  staleness: checkStaleness,
  prefix: checkPrefix,
  exactlyOnce: checkExactlyOnce,
  whiteBox: checkWhiteBox,
  applied: checkApplied,
  convergence: checkConvergence,
  watches: checkWatches,
}
