/**
 * What the core wants done since the last `ready`, in the order in which it came up.
 *
 * Messages that promise something (votes and append answers) are kept apart: they leave only when everything
 * up to then is durable, also those to this node itself (traps T-5, T-36).
 */
import type {
  Dropped,
  DropReason,
  FetchTask,
  Forwarded,
  LogIndex,
  Message,
  NodeId,
  Proposed,
  ReadState,
  SnapshotWanted,
} from './types.js'

/** Shared by all that is empty, so that an idle `ready` allocates nothing. */
const NOTHING: readonly never[] = Object.freeze([])

function taken<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NOTHING : list
}

/** Lists of effects; `take…` hands a list over and starts a new one. */
export class Outbox {
  #messages: Message[] = []
  #responses: Message[] = []
  #reads: ReadState[] = []
  #proposed: Proposed[] = []
  #forwarded: Forwarded[] = []
  #dropped: Dropped[] = []
  #fetches: FetchTask[] = []
  #snapshotsWanted: SnapshotWanted[] = []

  /** May leave at once. */
  send(message: Message): void {
    this.#messages.push(message)
  }

  /** Leaves once everything that was appended or voted so far is durable. */
  sendAfterAppend(message: Message): void {
    this.#responses.push(message)
  }

  serveRead(token: number, index: LogIndex): void {
    this.#reads.push({ token, index })
  }

  propose(proposed: Proposed): void {
    this.#proposed.push(proposed)
  }

  forward(token: number, leader: NodeId): void {
    this.#forwarded.push({ token, leader })
  }

  drop(token: number, why: DropReason, leader: NodeId): void {
    this.#dropped.push({ token, why, leader })
  }

  fetch(task: FetchTask): void {
    this.#fetches.push(task)
  }

  wantSnapshot(wanted: Omit<SnapshotWanted, 'messagesBefore'>): void {
    this.#snapshotsWanted.push({ ...wanted, messagesBefore: this.#messages.length })
  }

  get hasResponses(): boolean {
    return this.#responses.length > 0
  }

  get isEmpty(): boolean {
    return (
      this.#messages.length === 0 &&
      this.#responses.length === 0 &&
      this.#proposed.length === 0 &&
      this.#reads.length === 0 &&
      this.#dropped.length === 0 &&
      this.#forwarded.length === 0 &&
      this.#fetches.length === 0 &&
      this.#snapshotsWanted.length === 0
    )
  }

  takeResponses(): readonly Message[] {
    const responses = taken(this.#responses)
    if (responses.length > 0) this.#responses = []
    return responses
  }

  /** Everything but the responses, which belong to an append task. */
  take(): {
    readonly messages: readonly Message[]
    readonly reads: readonly ReadState[]
    readonly proposed: readonly Proposed[]
    readonly forwarded: readonly Forwarded[]
    readonly dropped: readonly Dropped[]
    readonly fetches: readonly FetchTask[]
    readonly snapshotsWanted: readonly SnapshotWanted[]
  } {
    const all = {
      messages: taken(this.#messages),
      reads: taken(this.#reads),
      proposed: taken(this.#proposed),
      forwarded: taken(this.#forwarded),
      dropped: taken(this.#dropped),
      fetches: taken(this.#fetches),
      snapshotsWanted: taken(this.#snapshotsWanted),
    }
    if (all.messages.length > 0) this.#messages = []
    if (all.reads.length > 0) this.#reads = []
    if (all.proposed.length > 0) this.#proposed = []
    if (all.forwarded.length > 0) this.#forwarded = []
    if (all.dropped.length > 0) this.#dropped = []
    if (all.fetches.length > 0) this.#fetches = []
    if (all.snapshotsWanted.length > 0) this.#snapshotsWanted = []
    return all
  }

  /** Forgets everything that would touch the disk, the network or a client's trust: the core has halted. */
  discard(): void {
    this.#messages = []
    this.#responses = []
    this.#reads = []
    this.#fetches = []
    this.#snapshotsWanted = []
  }
}
