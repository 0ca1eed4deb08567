/**
 * The leader's desk for requests: packs those of one turn into entries, and answers each when its entry is
 * applied.
 *
 * An answer is given by position: the outcomes of an applied entry stand in the order in which the requests
 * were packed, and count only when the entry's term is the one it was proposed in. Whatever happens to a
 * request otherwise (overwritten, leadership lost) is not answered: its client sends it again and the
 * session table finds out (design D5).
 */
import { assert } from '../base/assert.js'
import type { AppliedEntry } from '../machine/state-machine.js'
import type { Dropped, NodeId, Proposed, ProposedEntry } from '../raft/types.js'
import { packEntry } from '../wire/command.js'
import type { Answer } from '../wire/forward.js'

/** Where a request came from: a link of a member. */
export interface Origin {
  readonly node: NodeId
  readonly link: number
  readonly seq: number
}

interface Batch {
  readonly term: number
  readonly origins: readonly Origin[]
}

/** Takes the answers for the links of one member. */
export type AnswerSink = (node: NodeId, answers: readonly Answer[]) => void

/** Requests that were handed to this member as the leader. */
export class Requests {
  readonly #maxEntryBytes: number
  readonly #sink: AnswerSink
  #requests: Uint8Array[] = []
  #origins: Origin[] = []
  #bytes = 0
  readonly #proposing = new Map<number, readonly Origin[]>()
  readonly #appended = new Map<number, Batch>()
  /** Even: odd tokens are those of reads. */
  #nextToken = 2

  constructor(maxEntryBytes: number, sink: AnswerSink) {
    this.#maxEntryBytes = maxEntryBytes
    this.#sink = sink
  }

  /** Collects a request for this turn's entry; `propose` is called when the entry is full. */
  add(
    origin: Origin,
    request: Uint8Array,
    propose: (token: number, entry: ProposedEntry) => void,
  ): void {
    if (this.#bytes > 0 && this.#bytes + request.length > this.#maxEntryBytes) this.flush(propose)
    this.#requests.push(request)
    this.#origins.push(origin)
    this.#bytes += request.length
  }

  /** Proposes what was collected as one entry. */
  flush(propose: (token: number, entry: ProposedEntry) => void): void {
    if (this.#requests.length === 0) return
    const data = packEntry(this.#requests)
    const token = this.#nextToken
    this.#nextToken += 2
    this.#proposing.set(token, this.#origins)
    this.#requests = []
    this.#origins = []
    this.#bytes = 0
    propose(token, { kind: 'normal', data })
  }

  /** The entry of a flush stands in the log. */
  onProposed(proposed: Proposed): void {
    const origins = this.#proposing.get(proposed.token)
    assert(origins !== undefined, 'a proposal that was never made stands in the log', { proposed })
    this.#proposing.delete(proposed.token)
    this.#appended.set(proposed.index, { term: proposed.term, origins })
  }

  /** The entry of a flush was not taken: nothing happened, and the clients hear so. */
  onDropped(dropped: Dropped): void {
    const origins = this.#proposing.get(dropped.token)
    assert(origins !== undefined, 'a proposal that was never made was dropped', { dropped })
    this.#proposing.delete(dropped.token)
    this.refuse(origins)
  }

  /** Answers the requests of entries that have been applied. */
  onApplied(applied: readonly AppliedEntry[]): void {
    if (this.#appended.size === 0) return
    const byNode = new Map<NodeId, Answer[]>()
    for (const entry of applied) {
      const batch = this.#appended.get(entry.index)
      if (batch === undefined) continue
      this.#appended.delete(entry.index)
      if (batch.term === entry.term) collectAnswers(batch.origins, entry, byNode)
    }
    for (const [node, answers] of byNode) this.#sink(node, answers)
  }

  /** Requests that this member did not take. */
  refuse(origins: readonly Origin[]): void {
    for (const { node, link, seq } of origins) {
      this.#sink(node, [{ link, seq, status: 'refused', index: 0, term: 0 }])
    }
  }

  /** This member does not lead any more: what it appended may or may not be committed by the next leader. */
  onLeadershipLost(): void {
    this.#requests = []
    this.#origins = []
    this.#bytes = 0
    this.#appended.clear()
  }
}

function collectAnswers(
  origins: readonly Origin[],
  entry: AppliedEntry,
  byNode: Map<NodeId, Answer[]>,
): void {
  assert(origins.length === entry.outcomes.length, 'an entry lost or gained requests', {
    index: entry.index,
    packed: origins.length,
    applied: entry.outcomes.length,
  })
  for (let i = 0; i < origins.length; i++) {
    const { node, link, seq } = origins[i]!
    const { status, index, term } = entry.outcomes[i]!
    let answers = byNode.get(node)
    if (answers === undefined) {
      answers = []
      byNode.set(node, answers)
    }
    answers.push({ link, seq, status, index, term })
  }
}
