/**
 * The four session guarantees (Terry et al. 1994), by log positions.
 *
 *   read-your-writes      a read is served at or after the index of every write of its session
 *   monotonic-reads       and at or after the index of every earlier read
 *   monotonic-writes      writes have indexes in the order in which they were called, also when several are in flight
 *   writes-follow-reads   a write has a higher index than every read that was answered before it was called
 *
 * "Earlier" is answered before the call, within the session or before a token left the session that came into this
 * one: what a session had seen when it exported a token binds every session that imported it. Reads at `eventual`
 * are not promised anything and bind nothing; they are looked at all the same, to tell whether the level was ever
 * exercised. That a read shows the state of the index it names is prefix.ts's matter.
 */
import { type History, isWrite, type Operation, type TokenEvent } from '../history.js'
import { type Answered, acknowledgedWrites, answeredReads, indexOf } from './answered.js'
import { describeCall, eventsOf } from './describe.js'
import type { Verdict } from './verdict.js'

/** What was looked at. */
export interface SessionsObserved {
  readonly sessions: number
  /** Reads at `session` or `strong`, and acknowledged writes, of sessions. */
  readonly reads: number
  readonly writes: number
  /** Answers of sessions without an index: any makes the verdict `unknown`. */
  readonly withoutIndex: number
  /** Imports of a token that was exported in this history. */
  readonly tokens: number
  /** Of the reads at `session`: those that missed a write somebody had acknowledged before they were called. */
  readonly staleReads: number
  /** Reads at `eventual` in sessions, and how many of them went back behind what the session had seen. */
  readonly eventualReads: number
  readonly eventualReadsGoneBack: number
}

/** A guarantee that was broken. */
export interface SessionFault {
  readonly rule: 'read-your-writes' | 'monotonic-reads' | 'monotonic-writes' | 'writes-follow-reads'
  readonly counterexample: string
  readonly events: readonly number[]
}

/** Whether every session kept its guarantees, also across tokens. O(n log n). */
export function checkSessions(history: History): Verdict<SessionsObserved> {
  const sweep = new Sweep()
  for (const step of stepsOf(history)) sweep.take(step)
  const sessions = new Set(history.calls.flatMap(({ session }) => session ?? [])).size
  const observed = { ...sweep.observed, sessions }
  const fault = sweep.fault ?? firstReorderedWrite(history)
  if (fault !== undefined) return { verdict: 'violation', ...fault, observed }
  if (observed.withoutIndex > 0) {
    return {
      verdict: 'unknown',
      reason: `${observed.withoutIndex} answers name no index`,
      observed,
    }
  }
  return { verdict: 'ok', observed }
}

/** The highest read and the highest write that a session has seen. */
interface Floors {
  readonly read: Answered<Operation> | undefined
  readonly write: Answered<Operation> | undefined
}

const NOTHING_SEEN: Floors = { read: undefined, write: undefined }

/** A step of the sweep over a history. */
type Step =
  | { readonly i: number; readonly type: 'call' | 'answer'; readonly call: Answered<Operation> }
  | { readonly i: number; readonly type: 'token'; readonly event: TokenEvent }

/** Goes through a history in the order of its events, and keeps what each session and each token has seen. */
class Sweep {
  #fault: SessionFault | undefined
  readonly #floors = new Map<string, Floors>()
  readonly #tokens = new Map<string, Floors>()
  /** The highest write that anybody has had acknowledged. */
  #newest = 0
  readonly #observed: { -readonly [K in keyof Omit<SessionsObserved, 'sessions'>]: number } = {
    reads: 0,
    writes: 0,
    withoutIndex: 0,
    tokens: 0,
    staleReads: 0,
    eventualReads: 0,
    eventualReadsGoneBack: 0,
  }

  /** The first guarantee that was broken. */
  get fault(): SessionFault | undefined {
    return this.#fault
  }

  get observed(): Omit<SessionsObserved, 'sessions'> {
    return this.#observed
  }

  take(step: Step): void {
    if (step.type === 'token') this.#token(step.event)
    else if (step.type === 'call') this.#call(step.call)
    else this.#answer(step.call)
  }

  #token({ type, session, token }: TokenEvent): void {
    const floors = this.#floorsOf(session)
    const seen = this.#tokens.get(token)
    if (type === 'export') this.#tokens.set(token, merged(seen ?? NOTHING_SEEN, floors))
    else if (seen !== undefined) {
      this.#observed.tokens++
      this.#floors.set(session, merged(floors, seen))
    }
  }

  #call(call: Answered<Operation>): void {
    if (call.session === undefined) return
    const index = indexOf(call)
    const floors = this.#floorsOf(call.session)
    const { operation } = call
    if (isWrite(operation)) this.#observed.writes++
    else if (operation.level === 'eventual') this.#observed.eventualReads++
    else this.#observed.reads++
    if (index === undefined) {
      this.#observed.withoutIndex++
      return
    }
    const fault = isWrite(operation) ? writeFault(call, floors) : readFault(call, floors)
    if (isWrite(operation) || operation.level !== 'eventual') this.#fault ??= fault
    else if (fault !== undefined) this.#observed.eventualReadsGoneBack++
    if (!isWrite(operation) && operation.level === 'session' && index < this.#newest) {
      this.#observed.staleReads++
    }
  }

  #answer(call: Answered<Operation>): void {
    const index = indexOf(call)
    if (index === undefined) return
    const { operation, session } = call
    if (isWrite(operation)) this.#newest = Math.max(this.#newest, index)
    if (session === undefined) return
    if (isWrite(operation)) this.#raise(session, { read: undefined, write: call })
    else if (operation.level !== 'eventual') this.#raise(session, { read: call, write: undefined })
  }

  #raise(session: string, seen: Floors): void {
    this.#floors.set(session, merged(this.#floorsOf(session), seen))
  }

  #floorsOf(session: string): Floors {
    return this.#floors.get(session) ?? NOTHING_SEEN
  }
}

function stepsOf(history: History): Step[] {
  const answered = [...answeredReads(history.calls), ...acknowledgedWrites(history.calls)]
  const steps = answered.flatMap((call): Step[] => [
    { i: call.invoked.i, type: 'call', call },
    { i: call.outcome.at.i, type: 'answer', call },
  ])
  for (const event of history.tokens) steps.push({ i: event.i, type: 'token', event })
  return steps.sort((a, b) => a.i - b.i)
}

function merged(a: Floors, b: Floors): Floors {
  return { read: higher(a.read, b.read), write: higher(a.write, b.write) }
}

function higher(
  a: Answered<Operation> | undefined,
  b: Answered<Operation> | undefined,
): Answered<Operation> | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return indexOf(b)! > indexOf(a)! ? b : a
}

function readFault(
  read: Answered<Operation>,
  { read: seen, write }: Floors,
): SessionFault | undefined {
  const index = indexOf(read)!
  if (write !== undefined && index < indexOf(write)!) return told('read-your-writes', write, read)
  if (seen !== undefined && index < indexOf(seen)!) return told('monotonic-reads', seen, read)
  return undefined
}

function writeFault(
  write: Answered<Operation>,
  { read, write: seen }: Floors,
): SessionFault | undefined {
  const index = indexOf(write)!
  if (seen !== undefined && index <= indexOf(seen)!) return told('monotonic-writes', seen, write)
  if (read !== undefined && index <= indexOf(read)!) return told('writes-follow-reads', read, write)
  return undefined
}

/**
 * A write with a lower index than one that the session called before it, answered or not at the time. Writes in
 * flight together may share an entry, and so an index.
 */
function firstReorderedWrite(history: History): SessionFault | undefined {
  const highest = new Map<string, Answered<Operation>>()
  for (const write of acknowledgedWrites(history.calls)) {
    if (write.session === undefined || indexOf(write) === undefined) continue
    const before = highest.get(write.session)
    if (before !== undefined && indexOf(write)! < indexOf(before)!) {
      return told('monotonic-writes', before, write)
    }
    highest.set(write.session, write)
  }
  return undefined
}

function told(
  rule: SessionFault['rule'],
  earlier: Answered<Operation>,
  later: Answered<Operation>,
): SessionFault {
  return {
    rule,
    counterexample: `${describeCall(later)}; but its session had before it: ${describeCall(earlier)}`,
    events: [...eventsOf(earlier), ...eventsOf(later)],
  }
}
