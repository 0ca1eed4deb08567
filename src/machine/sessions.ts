/**
 * Exactly once (design D5, trap T-67): what each client has had applied, as part of the replicated state.
 *
 * A client numbers its requests from 1 and sends the next ones without waiting; a request may come again after a
 * change of leader, and in more than one log entry. Only its first coming is applied; the later ones are told where
 * that was. Everything here is a function of the log alone: no clock, and eviction in log order, so that all
 * members hold the same table at the same index. That needs the same `maxSessions` on all members.
 *
 * The rules, for a request (clientId, seq, floor, base) in the entry at `index`:
 *   known client     seq <= lastSeq                    duplicate: answered from memory, or `stale` below the floor
 *                    seq === lastSeq + 1               applied, unless it is WINDOW or more above the floor, or
 *                                                      RESULTS_KEPT_MAX bytes of results are kept above it: gap
 *                    seq > lastSeq + 1                 gap: a request before it was lost; it must come again first
 *   unknown client   seq === 1, base >= evictedThrough a new client: applied
 *                    otherwise                         expired
 * Only `applied` changes anything. What its commands answered is remembered with it, so that a duplicate is told the
 * same: a transaction is never decided a second time.
 *
 * Why an evicted client is never taken for a new one: its `base` is an index that it knew before its first request
 * was proposed, so base < the index of its first entry <= its lastActive <= evictedThrough, which never falls.
 * The price is that a new client whose base is older than the last activity of an evicted one is `expired`, too:
 * nothing was applied, and it begins again with a fresh id and a newer base.
 *
 * Invariants:
 *   1. `results` of a session are those of the requests floor..lastSeq, at most WINDOW, and `resultBytes` their sum
 *   2. the map's order is the order of `touch` and so of `lastActive`, rising
 *   3. at most `maxSessions` sessions
 */
import { assert } from '../base/assert.js'
import { EMPTY } from '../base/bytes.js'
import type { LogIndex, Term } from '../raft/types.js'
import type { RequestHeader } from '../wire/request.js'

/** What became of a request; only `applied` changed the state. */
export type RequestStatus =
  | 'applied'
  /** It was applied before, at the index given. */
  | 'duplicate'
  /** A request before it has not been applied, or too many are unanswered: send it again, in order. */
  | 'gap'
  /** The client is not known (any more): whether it was applied once cannot be told here. */
  | 'expired'
  /** It was applied before, but the client itself said that it needs no answer any more. */
  | 'stale'

/** What became of a request, and in which entry: of a duplicate the entry that applied it, else the present one. */
export interface RequestOutcome {
  readonly status: RequestStatus
  readonly index: LogIndex
  readonly term: Term
  /** The result bytes of its commands that have one (wire/command.ts); empty unless it was applied, now or before. */
  readonly results: Uint8Array
}

/** What is remembered of one client. */
export interface Session {
  /** The client's 8 bytes as latin1, for the map. */
  readonly id: string
  lastSeq: number
  /** Requests before this one are answered and forgotten. */
  floor: number
  /** Of the requests floor..lastSeq, in order. */
  readonly results: RequestOutcome[]
  /** Of all `results` together. */
  resultBytes: number
  /** The table's count of touches when the last request was applied; unique. */
  touch: number
  /** The index of the entry with the last request that was applied. */
  lastActive: LogIndex
}

/** How many requests of a client may be unanswered at a time: `floor .. floor + WINDOW - 1`. */
export const WINDOW = 1024
/** With so many bytes of results unanswered nothing more of a client is applied. */
export const RESULTS_KEPT_MAX = 1_048_576

/** All sessions, in memory. */
export class SessionTable {
  readonly #maxSessions: number
  readonly #sessions = new Map<string, Session>()
  readonly #changed = new Set<string>()
  #evictedThrough: LogIndex
  #touches: number

  /** @param sessions in the order of their touches */
  constructor(
    maxSessions: number,
    evictedThrough: LogIndex,
    touches: number,
    sessions: readonly Session[],
  ) {
    this.#maxSessions = maxSessions
    this.#evictedThrough = evictedThrough
    this.#touches = touches
    for (const session of sessions) this.#sessions.set(session.id, session)
  }

  get size(): number {
    return this.#sessions.size
  }

  get evictedThrough(): LogIndex {
    return this.#evictedThrough
  }

  get touches(): number {
    return this.#touches
  }

  /** Decides about a request and remembers it if it is to be applied; the caller then applies its commands. */
  admit(request: RequestHeader, index: LogIndex, term: Term): RequestOutcome {
    const id = request.clientId.toString('latin1')
    const known = this.#sessions.get(id)
    if (known === undefined) {
      const isNew = request.seq === 1 && request.base >= this.#evictedThrough
      if (!isNew) return { status: 'expired', index, term, results: EMPTY }
      return this.#apply(newSession(id), request, index, term)
    }
    if (request.seq <= known.lastSeq) return answerAgain(known, request.seq, index, term)
    const isNext = request.seq === known.lastSeq + 1
    const floor = Math.max(known.floor, request.floor)
    const isInWindow = request.seq - floor < WINDOW && bytesAbove(known, floor) < RESULTS_KEPT_MAX
    if (!isNext || !isInWindow) return { status: 'gap', index, term, results: EMPTY }
    return this.#apply(known, request, index, term)
  }

  /** The commands of a request that was just admitted answered `results`, which is kept; its outcome with them. */
  answer(request: RequestHeader, results: Uint8Array): RequestOutcome {
    const session = this.#sessions.get(request.clientId.toString('latin1'))
    assert(session?.lastSeq === request.seq, 'the request is the newest of its client')
    const last = session.results.length - 1
    const outcome: RequestOutcome = { ...session.results[last]!, results }
    session.results[last] = outcome
    session.resultBytes += results.length
    return outcome
  }

  /** Calls `put` or `del` once for each session that changed since the last call, with its final state. */
  takeChanges(put: (session: Session) => void, del: (id: string) => void): void {
    for (const id of this.#changed) {
      const session = this.#sessions.get(id)
      if (session === undefined) del(id)
      else put(session)
    }
    this.#changed.clear()
  }

  #apply(session: Session, request: RequestHeader, index: LogIndex, term: Term): RequestOutcome {
    const outcome: RequestOutcome = { status: 'applied', index, term, results: EMPTY }
    session.lastSeq = request.seq
    session.results.push(outcome)
    if (request.floor > session.floor) {
      session.resultBytes = bytesAbove(session, request.floor)
      session.results.splice(0, request.floor - session.floor)
      session.floor = request.floor
    }
    session.lastActive = index
    this.#touch(session)
    if (this.#sessions.size > this.#maxSessions) this.#evictOldest()
    return outcome
  }

  /** Moves the session to the end of the map, which is the order of eviction. */
  #touch(session: Session): void {
    const wasNewest = session.touch !== 0 && session.touch === this.#touches
    session.touch = ++this.#touches
    this.#changed.add(session.id)
    if (wasNewest) return
    this.#sessions.delete(session.id)
    this.#sessions.set(session.id, session)
  }

  #evictOldest(): void {
    const [oldest] = this.#sessions.values()
    this.#sessions.delete(oldest!.id)
    this.#changed.add(oldest!.id)
    assert(oldest!.lastActive >= this.#evictedThrough, 'sessions are evicted in log order')
    this.#evictedThrough = oldest!.lastActive
  }
}

function newSession(id: string): Session {
  return { id, lastSeq: 0, floor: 1, results: [], resultBytes: 0, touch: 0, lastActive: 0 }
}

/** The bytes of results that are kept when everything below `floor` goes. */
function bytesAbove({ results, resultBytes, floor: present }: Session, floor: number): number {
  if (resultBytes === 0) return 0
  let bytes = resultBytes
  const gone = Math.min(floor - present, results.length)
  for (let i = 0; i < gone; i++) bytes -= results[i]!.results.length
  return bytes
}

function answerAgain(session: Session, seq: number, index: LogIndex, term: Term): RequestOutcome {
  const first = session.results[seq - session.floor]
  if (first === undefined) return { status: 'stale', index, term, results: EMPTY }
  return { ...first, status: 'duplicate' }
}
