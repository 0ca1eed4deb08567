/**
 * The leader's desk for requests: packs those of one turn into entries, and answers each when its entry is
 * applied.
 *
 * An answer is given by position: the outcomes of an applied entry stand in the order in which the requests
 * were packed, and count only when the entry's term is the one it was proposed in. Whatever happens to a
 * request otherwise (overwritten, leadership lost) is not answered: its client sends it again and the
 * session table finds out (design D5).
 *
 * The leader's own requests (expiry.ts) travel with the others and are answered to nobody.
 */
import { assert } from '../base/assert.js'
import { EMPTY } from '../base/bytes.js'
import type { AppliedEntry } from '../machine/state-machine.js'
import type { Dropped, NodeId, Proposed, ProposedEntry } from '../raft/types.js'
import type { Answer } from '../wire/forward.js'
import { asksForAppended, packEntry } from '../wire/request.js'

/** Where a request came from: a link of a member. */
export interface Origin {
  readonly node: NodeId
  readonly link: number
  readonly seq: number
}

/** Undefined: the leader itself. */
type Origins = readonly (Origin | undefined)[]

/** What was packed into one entry. */
interface Proposal {
  readonly origins: Origins
  /** Those who want to hear that it stands in the log. */
  readonly waiting: readonly Origin[]
}

interface Batch {
  readonly term: number
  readonly origins: Origins
}

const NOBODY: readonly Origin[] = []

/** Takes the answers for the links of one member. */
export type AnswerSink = (node: NodeId, answers: readonly Answer[]) => void

/** Requests that were handed to this member as the leader. */
export class Requests {
  readonly #maxEntryBytes: number
  readonly #sink: AnswerSink
  #requests: Uint8Array[] = []
  #origins: (Origin | undefined)[] = []
  #waiting: readonly Origin[] = NOBODY
  #bytes = 0
  readonly #proposing = new Map<number, Proposal>()
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
    this.#collect(origin, request, propose)
    if (asksForAppended(request)) this.#waiting = [...this.#waiting, origin]
  }

  /** Collects a request of the leader itself. */
  addOwn(request: Uint8Array, propose: (token: number, entry: ProposedEntry) => void): void {
    this.#collect(undefined, request, propose)
  }

  /** Proposes what was collected as one entry. */
  flush(propose: (token: number, entry: ProposedEntry) => void): void {
    if (this.#requests.length === 0) return
    const data = packEntry(this.#requests)
    const token = this.#nextToken
    this.#nextToken += 2
    this.#proposing.set(token, { origins: this.#origins, waiting: this.#waiting })
    this.#forget()
    propose(token, { kind: 'normal', data })
  }

  /** The entry of a flush stands in the log. */
  onProposed(proposed: Proposed): void {
    const { token, index, term } = proposed
    const proposal = this.#proposing.get(token)
    assert(proposal !== undefined, 'a proposal that was never made stands in the log', { proposed })
    this.#proposing.delete(token)
    this.#appended.set(index, { term, origins: proposal.origins })
    if (proposal.waiting.length === 0) return
    const byNode = new Map<NodeId, Answer[]>()
    for (const { node, link, seq } of proposal.waiting) {
      give(byNode, node, { link, seq, status: 'appended', index, term, results: EMPTY })
    }
    this.#send(byNode)
  }

  /** The entry of a flush was not taken: nothing happened, and the clients hear so. */
  onDropped(dropped: Dropped): void {
    const proposal = this.#proposing.get(dropped.token)
    assert(proposal !== undefined, 'a proposal that was never made was dropped', { dropped })
    this.#proposing.delete(dropped.token)
    this.refuse(proposal.origins)
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
    this.#send(byNode)
  }

  /** Requests that this member did not take. */
  refuse(origins: Origins): void {
    const byNode = new Map<NodeId, Answer[]>()
    for (const origin of origins) {
      if (origin === undefined) continue
      const { node, link, seq } = origin
      give(byNode, node, { link, seq, status: 'refused', index: 0, term: 0, results: EMPTY })
    }
    this.#send(byNode)
  }

  /** This member does not lead any more: what it appended may or may not be committed by the next leader. */
  onLeadershipLost(): void {
    this.#forget()
    this.#appended.clear()
  }

  #collect(
    origin: Origin | undefined,
    request: Uint8Array,
    propose: (token: number, entry: ProposedEntry) => void,
  ): void {
    if (this.#bytes > 0 && this.#bytes + request.length > this.#maxEntryBytes) this.flush(propose)
    this.#requests.push(request)
    this.#origins.push(origin)
    this.#bytes += request.length
  }

  #forget(): void {
    this.#requests = []
    this.#origins = []
    this.#waiting = NOBODY
    this.#bytes = 0
  }

  #send(byNode: ReadonlyMap<NodeId, readonly Answer[]>): void {
    for (const [node, answers] of byNode) this.#sink(node, answers)
  }
}

function collectAnswers(
  origins: Origins,
  entry: AppliedEntry,
  byNode: Map<NodeId, Answer[]>,
): void {
  assert(origins.length === entry.outcomes.length, 'an entry lost or gained requests', {
    index: entry.index,
    packed: origins.length,
    applied: entry.outcomes.length,
  })
  for (let i = 0; i < origins.length; i++) {
    const origin = origins[i]
    if (origin === undefined) continue
    const { node, link, seq } = origin
    const { status, index, term, results } = entry.outcomes[i]!
    give(byNode, node, { link, seq, status, index, term, results })
  }
}

function give(byNode: Map<NodeId, Answer[]>, node: NodeId, answer: Answer): void {
  const answers = byNode.get(node)
  if (answers === undefined) byNode.set(node, [answer])
  else answers.push(answer)
}
