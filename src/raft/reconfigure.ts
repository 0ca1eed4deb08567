/**
 * A configuration comes into force: on every node when it applies the entry of the change (thesis §4.1, §4.3;
 * differs from the paper, where it is in force as soon as it is appended).
 */
import { abortTransfer, advanceCommit, releaseReads } from './leader.js'
import { changeConf } from './membership.js'
import { broadcastAppend, sendEntries } from './replication.js'
import type { CoreState } from './state.js'
import { type ConfChangeV2, NONE } from './types.js'

/** Changes the configuration by a committed change. */
export function applyConfChange(state: CoreState, change: ConfChangeV2): void {
  const { log, tracker } = state
  const result = changeConf(tracker.conf, change)
  // An invalid change is one on every node: each ignores it (trap T-55).
  if ('refused' in result) return
  tracker.switchTo(result.conf, result.fresh, Math.max(log.lastIndex, 1))
  if (state.role !== 'leader') return
  if (tracker.isSelfVoter) leadNewConf(state)
  else if (state.options.stepDownOnRemoval) state.becomeFollower(state.term, NONE)
}

/** Another quorum may mean that more is committed and confirmed, and there may be new nodes to be sent to. */
function leadNewConf(state: CoreState): void {
  if (advanceCommit(state)) {
    broadcastAppend(state)
  } else {
    for (const peer of state.tracker.peers) if (peer.id !== state.id) sendEntries(state, peer)
  }
  releaseReads(state)
  const { transferTarget } = state
  if (transferTarget !== NONE && !state.tracker.isVoter(transferTarget)) abortTransfer(state)
}
