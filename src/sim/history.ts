/**
 * Histories: what clients of a cluster called, when, and what they were told. Made in a simulation or taken from a
 * real deployment, kept as text, and judged by sim/checkers. docs/history-format.md describes the text.
 *
 * JSON Lines: a header, then one event a line. `i` numbers the events as they happened, seen from one place; it is
 * what "before" means to the checkers. `t` is milliseconds on one clock, and counts for staleness only. A process
 * has one call open at a time: `ok` answers it, `fail` says that it certainly did not and will not happen, `info`
 * that nobody knows: it may take effect at any later time, and its process calls nothing more. An invocation that
 * is not answered at all counts as `info`.
 *
 * The format's version is in the header. Changing the meaning of what is there needs a new one; new fields do not.
 */

/** The format written here; any other is refused. */
export const HISTORY_VERSION = 1

/** What is stored at a key, reduced to something that compares with `===`. Give every write a value of its own. */
export type Value = string | number | boolean

/** What a read found at a key; `null` is nothing. */
export type Found = Value | null

/** The consistency that a read was asked for. */
export type ReadLevel = 'strong' | 'session' | 'eventual'

/** When a write is answered. One that only its leader has (`leader`) may be lost after its `ok`. */
export type WriteAck = 'leader' | 'quorum' | 'applied' | 'all' | { readonly members: number }

/** One change of one key. */
export type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: Value }
  | { readonly type: 'del'; readonly key: string }

interface ReadTerms {
  readonly level: ReadLevel
  readonly maxStalenessMs?: number
}

/** A read. A scan is of `gte <= key < lt`, where keys are ordered by their UTF-8 bytes. */
export type Read = ReadTerms &
  (
    | { readonly f: 'get'; readonly key: string }
    | { readonly f: 'getMany'; readonly keys: readonly string[] }
    | { readonly f: 'scan'; readonly gte?: string; readonly lt?: string }
  )

/** A write; a batch is atomic. */
export type Write = { readonly ack: WriteAck } & (
  | { readonly f: 'put'; readonly key: string; readonly value: Value }
  | { readonly f: 'del'; readonly key: string }
  | { readonly f: 'batch'; readonly changes: readonly Change[] }
)

/** What a client asks for. */
export type Operation = Read | Write

/** Where and when: `index` is the position of a write in the log, or the applied index a read was served at. */
export interface Place {
  readonly index?: number
  readonly term?: number
  readonly node?: string
}

/** What a client was told. `revision` is the index of the key's last change, 0 when there is no value. */
export type Result = Place &
  (
    | { readonly f: 'get'; readonly value: Found; readonly revision?: number }
    | { readonly f: 'getMany'; readonly values: readonly Found[] }
    | { readonly f: 'scan'; readonly entries: readonly (readonly [key: string, value: Value])[] }
    | { readonly f: 'put' | 'del' | 'batch' }
  )

/** When an event happened. */
export interface Moment {
  /** Its number in the history, rising. */
  readonly i: number
  /** Milliseconds since any one moment, never falling. */
  readonly t: number
}

/** Who calls: `session` where the session guarantees are wanted, `node` where the call was made. */
export interface Caller {
  readonly session?: string
  readonly node?: string
}

/** A call begins. */
export type InvokeEvent = Moment &
  Caller & { readonly type: 'invoke'; readonly process: number } & Operation

/** A call ends well. */
export type OkEvent = Moment & { readonly type: 'ok'; readonly process: number } & Result

/** A call ends without effect (`fail`), or nobody knows (`info`). */
export interface FailureEvent extends Moment {
  readonly type: 'fail' | 'info'
  readonly process: number
  readonly f: Operation['f']
  readonly error: string
}

/** A session's position leaves it as a token, or a token comes into a session. */
export interface TokenEvent extends Moment {
  readonly type: 'export' | 'import'
  readonly session: string
  /** The token, or a name for it. */
  readonly token: string
}

/** Something was done to the cluster: a crash, a partition, its healing. Checkers pass over it. */
export interface NemesisEvent extends Moment {
  readonly type: 'info'
  readonly process: 'nemesis'
  readonly f: string
  readonly value?: unknown
}

/** One line of a history. */
export type HistoryEvent = InvokeEvent | OkEvent | FailureEvent | TokenEvent | NemesisEvent

/** What became of a call. */
export type CallOutcome =
  | { readonly type: 'ok'; readonly at: Moment; readonly result: Result }
  | { readonly type: 'fail'; readonly at: Moment; readonly error: string }
  | { readonly type: 'unknown'; readonly error: string }

/** A call from its beginning to its end. */
export interface Call extends Caller {
  readonly process: number
  readonly invoked: Moment
  readonly operation: Operation
  readonly outcome: CallOutcome
}

/** A history by its calls, in the order of their invocation, and its tokens. */
export interface History {
  readonly calls: readonly Call[]
  readonly tokens: readonly TokenEvent[]
}

/** Whether `operation` changes anything. */
export function isWrite(operation: Operation): operation is Write {
  return operation.f === 'put' || operation.f === 'del' || operation.f === 'batch'
}

/** The changes that a write makes, in order. */
export function changesOf(write: Write): readonly Change[] {
  switch (write.f) {
    case 'put':
      return [{ type: 'put', key: write.key, value: write.value }]
    case 'del':
      return [{ type: 'del', key: write.key }]
    case 'batch':
      return write.changes
  }
}

/** Whether a scan covers `key`. */
export function covers(scan: Extract<Read, { f: 'scan' }>, key: string): boolean {
  if (scan.gte !== undefined && compareKeys(key, scan.gte) < 0) return false
  return scan.lt === undefined || compareKeys(key, scan.lt) < 0
}

/** Orders keys by their UTF-8 bytes, which differs from the order of strings beyond U+FFFF. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/**
 * Pairs invocations with their ends.
 *
 * @throws {HistoryError} when an end has no beginning, answers another kind of call, a process calls twice at a
 *   time or after an `info`, or numbers and times are out of order.
 */
export function pairCalls(events: readonly HistoryEvent[]): History {
  const pairing = new Pairing()
  for (const event of events) pairing.add(event)
  return pairing.finish()
}

/** A history that breaks the format's rules. */
export class HistoryError extends Error {
  override readonly name: string = 'HistoryError'
}

interface OpenCall {
  readonly event: InvokeEvent
  /** The call's place among all calls. */
  readonly position: number
}

class Pairing {
  readonly #calls: (Call | undefined)[] = []
  readonly #tokens: TokenEvent[] = []
  readonly #open = new Map<number, OpenCall>()
  readonly #retired = new Set<number>()
  #last: Moment = { i: Number.NEGATIVE_INFINITY, t: Number.NEGATIVE_INFINITY }

  add(event: HistoryEvent): void {
    if (event.i <= this.#last.i) throw new HistoryError(`event ${event.i} after ${this.#last.i}`)
    if (event.t < this.#last.t) throw new HistoryError(`event ${event.i}: time goes back`)
    this.#last = event
    if (isToken(event)) this.#tokens.push(event)
    else if (event.type === 'invoke') this.#begin(event)
    else if (!isNemesis(event)) this.#end(event)
  }

  finish(): History {
    for (const open of this.#open.values()) {
      this.#close(open, { type: 'unknown', error: 'the history ended before the call' })
    }
    return { calls: this.#calls.map((call) => call!), tokens: this.#tokens }
  }

  #begin(event: InvokeEvent): void {
    if (this.#open.has(event.process) || this.#retired.has(event.process)) {
      throw new HistoryError(`event ${event.i}: process ${event.process} has a call open`)
    }
    this.#open.set(event.process, { event, position: this.#calls.length })
    this.#calls.push(undefined)
  }

  #end(event: OkEvent | FailureEvent): void {
    const open = this.#open.get(event.process)
    if (open === undefined || open.event.f !== event.f) {
      throw new HistoryError(`event ${event.i} ends a ${event.f} that was not begun`)
    }
    if (!answers(open.event, event)) {
      throw new HistoryError(`event ${event.i} has another number of values than keys`)
    }
    this.#open.delete(event.process)
    if (event.type === 'info') this.#retired.add(event.process)
    this.#close(open, outcomeOf(event))
  }

  #close({ event, position }: OpenCall, outcome: CallOutcome): void {
    const { i, t, type: _type, process, session, node, ...operation } = event
    this.#calls[position] = {
      process,
      ...(session === undefined ? {} : { session }),
      ...(node === undefined ? {} : { node }),
      invoked: { i, t },
      operation,
      outcome,
    }
  }
}

function isToken(event: HistoryEvent): event is TokenEvent {
  return event.type === 'export' || event.type === 'import'
}

function isNemesis(event: HistoryEvent): event is NemesisEvent {
  return event.type === 'info' && event.process === 'nemesis'
}

function answers(call: Operation, end: OkEvent | FailureEvent): boolean {
  if (call.f !== 'getMany' || end.type !== 'ok' || end.f !== 'getMany') return true
  return call.keys.length === end.values.length
}

function outcomeOf(event: OkEvent | FailureEvent): CallOutcome {
  if (event.type === 'ok') {
    const { i, t, type: _type, process: _process, ...result } = event
    return { type: 'ok', at: { i, t }, result }
  }
  if (event.type === 'info') return { type: 'unknown', error: event.error }
  return { type: 'fail', at: { i: event.i, t: event.t }, error: event.error }
}
