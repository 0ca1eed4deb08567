/**
 * The clients of a simulated cluster: carry out the schedule's calls, and record what they asked and were told. What
 * is not part of the history has its own place: watches, decisions, what expires.
 */
import { StoreError } from '../../base/errors.js'
import type { AppliedRequest } from '../checkers/committed-log.js'
import type { WatchedRange } from '../checkers/watches.js'
import type { Change, HistoryEvent, Operation, Result } from '../history.js'
import type { RecordedCall } from '../recorder.js'
import type { ClientEvent, Step } from '../schedule/schedule.js'
import { Calls, LATE_MS } from './calls.js'
import type { Cluster } from './cluster.js'
import { Deciders } from './deciders.js'
import { judge } from './judge.js'
import { Lessees } from './lessees.js'
import { rangeBetween, readCallOf } from './reading.js'
import type { Seat } from './seat.js'
import type { RunSetup } from './simulation.js'
import { type Stay, Stays } from './stays.js'
import { shortText, storedText, streamedText } from './values.js'
import { Watchers } from './watchers.js'
import type { Workload } from './workload.js'

const KEY_PREFIX = 'k'

interface OpenCall {
  readonly seat: Seat
  readonly stay: Stay | undefined
  readonly recorded: RecordedCall
  readonly operation: Operation
  readonly dueAtMs: number
  /** Where the newest watch had begun when it was called. */
  readonly watchedFrom: number
}

/** The simulator's own workload, and the settings it needs. */
export const ownWorkload: Omit<RunSetup<ClientEvent>, 'keepTrace'> = {
  workload: (cluster) => new Clients(cluster),
  store: { valueEncoding: 'utf8' },
  readValue: (bytes) => shortText(bytes.toString()),
}

/** All clients; see the file's comment. */
class Clients implements Workload<ClientEvent> {
  readonly #at: Cluster
  readonly #stays: Stays
  readonly #open = new Set<OpenCall>()
  readonly #watchers: Watchers
  readonly #calls: Calls
  readonly #deciders: Deciders
  readonly #lessees: Lessees

  constructor(at: Cluster) {
    this.#at = at
    this.#stays = new Stays(at)
    this.#watchers = new Watchers(at, shortText)
    this.#calls = new Calls(at)
    this.#deciders = new Deciders(at, this.#calls)
    this.#lessees = new Lessees(at, this.#calls)
  }

  get openCalls(): number {
    return this.#open.size + this.#calls.size
  }

  act(event: Step & ClientEvent): void {
    switch (event.type) {
      case 'write':
        this.#write(event)
        return
      case 'read':
        this.#read(event)
        return
      case 'handOver':
        this.#stays.handOver(event.client, event.to)
        return
      case 'checkpoint':
        this.#checkpoint(this.#seat(event.member))
        return
      case 'watch':
        this.#watchers.begin(event, this.#seat(event.member), this.#rangeOf(event.keys))
        return
      case 'decide':
        this.#deciders.decide(event, this.#seat(event.member))
        return
      case 'clear':
        this.#deciders.clear(event, this.#seat(event.member))
        return
      case 'expiring':
        this.#lessees.begin(event, this.#seat(event.member))
        return
    }
  }

  abandon(seat: Seat): void {
    this.#at.recorder.nemesis('ends', seat.name)
    this.#watchers.abandon(seat)
    this.#calls.abandon(seat)
    this.#lessees.abandon(seat)
    for (const call of this.#open) {
      if (call.seat !== seat) continue
      this.#open.delete(call)
      if ('level' in call.operation) {
        call.recorded.fail('the member ended')
      } else {
        this.#at.tally.unknownCalls++
        call.recorded.info('the member ended')
      }
    }
  }

  checkOverdue(): void {
    const { now } = this.#at.world
    this.#calls.checkOverdue()
    for (const { seat, operation, dueAtMs } of this.#open) {
      const due = Math.max(dueAtMs, seat.pausedUntil) + LATE_MS
      this.#at.findings.expect(
        now <= due,
        'C6 every call settles',
        () => `${operation.f} at ${seat.name} should have ended at ${due.toFixed(0)}`,
      )
    }
  }

  settle(): Promise<void> {
    return this.#lessees.settle()
  }

  async judge(): Promise<void> {
    const { watch, findings, tally, administration, knobs } = this.#at
    const { requests, lastIndex } = watch.model
    this.#stays.judge()
    const log = { requests: requests.map(ownPart), lastIndex }
    // Who has to have applied a write is not known from outside where members come and go.
    const members = administration.hasBegun ? undefined : knobs.members
    judge(this.history(), log, members, findings, tally)
    this.#deciders.judge({ requests, lastIndex })
    await this.#watchers.judge({ requests, lastIndex })
  }

  history(): readonly HistoryEvent[] {
    return this.#at.recorder.finish()
  }

  #write(event: Step & ClientEvent & { readonly type: 'write' }): void {
    const seat = this.#seat(event.member)
    for (let i = 0; i < event.count; i++) {
      const { store } = seat
      if (store === undefined) return
      const stay = event.inSession ? this.#stays.of(event.client, seat, store) : undefined
      const caller = stay !== undefined && this.#mayFollow(stay) ? stay : undefined
      const value = `${event.id.toString(36)}.${i}`
      const { ack = 'quorum' } = event
      const options = { timeoutMs: event.timeoutMs, ack }
      const target = caller?.session ?? store
      const keys = event.keys.map((key) => this.#key(key))
      const [key] = keys
      if (keys.length > 1) {
        const changes = keys.map((name, at) =>
          event.deletes && at > 0
            ? ({ type: 'del', key: name } as const)
            : ({ type: 'put', key: name, value } as const),
        )
        const stored = changes.map((change) =>
          change.type === 'put' ? { ...change, value: this.#padded(value) } : change,
        )
        this.#call(seat, { f: 'batch', changes, ack }, caller, event.timeoutMs, () =>
          target.batch(stored, options).then(({ index, term }) => ({ f: 'batch', index, term })),
        )
      } else if (event.deletes) {
        this.#call(seat, { f: 'del', key: key!, ack }, caller, event.timeoutMs, () =>
          target.del(key!, options).then(({ index, term }) => ({ f: 'del', index, term })),
        )
      } else {
        this.#call(seat, { f: 'put', key: key!, value, ack }, caller, event.timeoutMs, () =>
          target
            .put(key!, streamedText(value, this.#at.knobs) ?? this.#padded(value), options)
            .then(({ index, term }) => ({ f: 'put', index, term })),
        )
      }
    }
  }

  #read(event: Step & ClientEvent & { readonly type: 'read' }): void {
    const seat = this.#seat(event.member)
    const { store } = seat
    if (store === undefined) return
    // Only a get says at which index it was served, which is what session guarantees are about.
    const isPlain = event.shape !== 'get' || !event.inSession
    const caller = isPlain ? undefined : this.#stays.of(event.client, seat, store)
    const keys = [...new Set(event.keys.map((key) => this.#key(key)))]
    const read = readCallOf(event, keys, store, caller?.session ?? store)
    this.#call(seat, read.operation, caller, event.timeoutMs, () => read.make())
  }

  #call(
    seat: Seat,
    operation: Operation,
    stay: Stay | undefined,
    timeoutMs: number,
    make: () => Promise<Result>,
  ): void {
    const { recorder, trace } = this.#at
    const caller = { node: seat.name, ...(stay !== undefined && { session: stay.name }) }
    const recorded = recorder.invoke(operation, caller)
    trace.note(seat.name, `call ${JSON.stringify(operation)}`, undefined)
    const call: OpenCall = {
      seat,
      stay,
      recorded,
      operation,
      dueAtMs: this.#calls.dueAt(timeoutMs),
      watchedFrom: this.#watchers.newestBeginning,
    }
    this.#open.add(call)
    make().then(
      (result) => this.#succeeded(call, result),
      (error: unknown) => this.#failed(call, error),
    )
  }

  #succeeded(call: OpenCall, result: Result): void {
    if (!this.#open.delete(call)) return
    const { tally, trace } = this.#at
    if ('level' in call.operation) tally.reads[call.operation.level]++
    else {
      tally.writes++
      // What only its leader has may be lost, and its place given to another.
      if (call.operation.ack !== 'leader') {
        this.#watchers.acknowledged(result.index!, call.watchedFrom)
      }
    }
    call.recorded.ok({ node: call.seat.name, ...result })
    trace.note(call.seat.name, `ok ${JSON.stringify(result)}`, undefined)
  }

  #failed(call: OpenCall, error: unknown): void {
    if (!this.#open.delete(call)) return
    const { tally, trace, findings } = this.#at
    if (!(error instanceof StoreError)) {
      const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
      findings.report('A1 no assertion fails', `a call failed with ${words}`)
      return
    }
    trace.note(call.seat.name, `${error.code} ${error.outcome} ${call.operation.f}`, undefined)
    findings.expect(
      error.code !== 'QUORATE_BAD_TOKEN',
      'C2 session guarantees',
      () => `a position that a session was given is refused: ${error.message}`,
    )
    findings.expect(
      error.code !== 'QUORATE_CORRUPTION' || call.seat.isRotten,
      'S8 damage is never data',
      () => `${call.operation.f} at ${call.seat.name}: ${error.message}`,
    )
    if ('level' in call.operation || error.outcome === 'none') {
      tally.failedCalls++
      call.recorded.fail(error.code)
    } else {
      tally.unknownCalls++
      call.recorded.info(error.code)
    }
  }

  /**
   * Whether a write through the session may be called now. A large value takes its place in the log when it is stored,
   * and what is called meanwhile does not wait for it: who wants an order waits.
   */
  #mayFollow(stay: Stay): boolean {
    if (this.#at.knobs.largeValues === 'none') return true
    return ![...this.#open].some((call) => call.stay === stay && !('level' in call.operation))
  }

  #checkpoint(seat: Seat): void {
    const { trace, tally } = this.#at
    seat.store?.checkpoint().then(
      (index) => {
        tally.checkpoints++
        trace.note(seat.name, `checkpoint ${index}`, undefined)
      },
      (error: unknown) => {
        const words = error instanceof StoreError ? error.code : String(error)
        trace.note(seat.name, `checkpoint failed: ${words}`, undefined)
      },
    )
  }

  #seat(member: number): Seat {
    return this.#at.seatOf(member)
  }

  #key(key: number): string {
    return `${KEY_PREFIX}${String(key % this.#at.knobs.keys).padStart(2, '0')}`
  }

  /** No keys are all there are. */
  #rangeOf(keys: readonly number[]): WatchedRange {
    return keys.length === 0 ? {} : rangeBetween(keys.map((key) => this.#key(key)))
  }

  #padded(value: string): string {
    return storedText(value, this.#at.knobs)
  }
}

/** What the calls of the history did, of what clients sent together. */
function ownPart(request: AppliedRequest): AppliedRequest {
  const isOwn = (changes: readonly Change[]) =>
    changes.every(({ key }) => key.startsWith(KEY_PREFIX))
  return { ...request, commands: request.commands.filter(isOwn) }
}
