/**
 * How a leader sends its log to one peer: appends while it has the entries, a fetch when it only has their
 * terms, a snapshot when they are compacted (Raft §5.3, §7).
 */
import { assert } from '../base/assert.js'
import { entryBytes } from './entry-cache.js'
import type { Progress } from './progress.js'
import type { CoreState } from './state.js'
import type { Entry, LogIndex, NodeId } from './types.js'

const NO_ENTRIES: readonly Entry[] = Object.freeze([])

/** Sends what there is to send to `peer`, or an empty append that carries the commit index. */
export function sendAppend(state: CoreState, peer: Progress): void {
  if (!peer.isPaused) send(state, peer, 'evenEmpty')
}

/** Sends the next entries to `peer`; false when there were none to send now. */
export function sendEntries(state: CoreState, peer: Progress): boolean {
  return !peer.isPaused && send(state, peer, 'entriesOnly')
}

/** Sends an append to every peer. */
export function broadcastAppend(state: CoreState): void {
  const { peers } = state.tracker
  for (let i = 0; i < peers.length; i++) {
    const peer = peers[i]!
    if (peer.id !== state.id) sendAppend(state, peer)
  }
}

/**
 * Tells every peer that this node leads, and what of their log is committed. No further than what is known to
 * match: an unverified tail must not be committed by a heartbeat (trap T-8).
 */
export function broadcastHeartbeat(state: CoreState, context: number): void {
  for (const peer of state.tracker.peers) {
    if (peer.id === state.id) continue
    const commit = Math.min(peer.match, state.log.commitIndex)
    state.outbox.send({
      type: 'heartbeat',
      from: state.id,
      to: peer.id,
      term: state.term,
      commit,
      context,
    })
    peer.sentCommit = commit
  }
  if (context !== 0 && state.options.reads === 'lease') state.lease.sent(context)
}

/** Takes bodies that were fetched for a peer; ignored when that peer does not wait for them any more. */
export function takeFetched(state: CoreState, id: number, entries: readonly Entry[]): void {
  const peer = fetchingPeer(state, id)
  if (peer === undefined) return
  peer.fetchId = 0
  if (peer.state !== 'replicate' || peer.inflights.isFull) return
  if (!continues(state, peer.next, entries)) return
  const fitting = fit(entries, state.options.maxBytesPerMessage)
  appendMessage(state, peer, fitting)
  while (sendEntries(state, peer)) {
    // Until the window is full, or nothing is left in memory.
  }
}

/** Takes that bodies could not be fetched for a peer. */
export function fetchFailed(state: CoreState, id: number, why: 'compacted' | 'retry'): void {
  const peer = fetchingPeer(state, id)
  if (peer === undefined) return
  // With 'retry' the answer to the next heartbeat makes it try again.
  peer.fetchId = 0
  if (why === 'compacted' && peer.state === 'replicate') sendSnapshot(state, peer)
}

/** Takes in that a snapshot of the state at `index` is on its way to `id`. */
export function snapshotStarted(state: CoreState, id: NodeId, index: LogIndex): void {
  const peer = otherPeer(state, id)
  if (peer?.state === 'snapshot' && index >= peer.pendingSnapshot) peer.becomeSnapshot(index)
}

/** Takes in how sending a snapshot to `id` ended. */
export function snapshotEnded(state: CoreState, id: NodeId, how: 'sent' | 'failed'): void {
  const peer = otherPeer(state, id)
  if (peer?.state !== 'snapshot') return
  // First: or it would be probed from behind a snapshot that never arrived (trap T-20).
  if (how === 'failed') peer.pendingSnapshot = 0
  peer.becomeProbe()
  // The node's own answer, or that to a heartbeat, lets it go on.
  peer.isFlowPaused = true
}

/** Takes in that messages to `id` are being lost. */
export function peerUnreachable(state: CoreState, id: NodeId): void {
  const peer = otherPeer(state, id)
  if (peer?.state === 'replicate') peer.becomeProbe()
}

function send(state: CoreState, peer: Progress, what: 'evenEmpty' | 'entriesOnly'): boolean {
  const { log } = state
  if (log.termAt(peer.next - 1) === undefined) return sendSnapshot(state, peer)
  let entries: readonly Entry[] = NO_ENTRIES
  // Into a full window only empty appends go: should everything in it be lost, one of them gets a refusal,
  // which clears the window (trap T-21).
  const hasRoom = peer.state !== 'replicate' || !peer.inflights.isFull
  if (hasRoom && peer.next <= log.lastIndex) {
    if (peer.next >= log.cachedFrom) {
      entries = log.entriesFrom(peer.next, state.options.maxBytesPerMessage)
    } else if (peer.state === 'probe') {
      return probeWithoutEntries(state, peer)
    } else if (peer.fetchId === 0) {
      fetch(state, peer)
    }
  }
  if (entries.length === 0 && what === 'entriesOnly') return false
  appendMessage(state, peer, entries)
  return true
}

function appendMessage(state: CoreState, peer: Progress, entries: readonly Entry[]): void {
  const { log } = state
  const prevIndex = peer.next - 1
  const prevTerm = log.termAt(prevIndex)
  assert(prevTerm !== undefined, 'an append after a position that is compacted', { prevIndex })
  assert(entries.length === 0 || entries[0]!.index === peer.next, 'entries do not follow', {
    prevIndex,
  })
  const commit = log.commitIndex
  state.outbox.send({
    type: 'append',
    from: state.id,
    to: peer.id,
    term: state.term,
    prevIndex,
    prevTerm,
    entries,
    commit,
    session: peer.session,
  })
  let bytes = 0
  for (let i = 0; i < entries.length; i++) bytes += entryBytes(entries[i]!)
  peer.sent(entries.length, bytes)
  peer.sentCommit = commit
}

/**
 * Differs from etcd-io/raft, which probes with entries: here their bodies would have to be read first, and
 * perhaps for nothing, because a probe finds out whether the position is right.
 */
function probeWithoutEntries(state: CoreState, peer: Progress): boolean {
  appendMessage(state, peer, NO_ENTRIES)
  peer.isFlowPaused = true
  return true
}

function fetch(state: CoreState, peer: Progress): void {
  peer.fetchId = state.nextFetchId()
  state.outbox.fetch({
    id: peer.fetchId,
    peer: peer.id,
    from: peer.next,
    to: state.log.cachedFrom - 1,
    maxBytes: state.options.maxBytesPerMessage,
  })
}

/** Asks the driver for a snapshot to `peer`; false when that would be in vain now. */
export function sendSnapshot(state: CoreState, peer: Progress): boolean {
  // No snapshot for a node that may be gone; its first answer to a heartbeat brings us back here.
  if (!peer.isRecentlyActive) return false
  const atLeast = Math.max(1, state.log.previous.index)
  peer.becomeSnapshot(atLeast)
  state.outbox.wantSnapshot({ peer: peer.id, atLeast, term: state.term, session: peer.session })
  return true
}

function fetchingPeer(state: CoreState, id: number): Progress | undefined {
  if (state.role !== 'leader' || id === 0) return undefined
  return state.tracker.peers.find((peer) => peer.fetchId === id)
}

/** Whether `entries` are what this log has from `from` on: a failed read must never be sent (trap T-41). */
function continues(state: CoreState, from: LogIndex, entries: readonly Entry[]): boolean {
  if (entries.length === 0) return false
  return entries.every(
    (entry, i) => entry.index === from + i && state.log.termAt(entry.index) === entry.term,
  )
}

function fit(entries: readonly Entry[], maxBytes: number): readonly Entry[] {
  let bytes = 0
  for (let i = 0; i < entries.length; i++) {
    bytes += entryBytes(entries[i]!)
    if (bytes > maxBytes && i > 0) return entries.slice(0, i)
  }
  return entries
}

/** The peer that a local input is about; undefined when it is not a member or this node does not lead. */
function otherPeer(state: CoreState, id: NodeId): Progress | undefined {
  if (state.role !== 'leader' || id === state.id) return undefined
  return state.tracker.find(id)
}
