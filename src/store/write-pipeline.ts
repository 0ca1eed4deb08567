/**
 * Writes on their way: collects those of one turn into a request, sends requests in order, and settles each
 * write when its request is answered.
 *
 * Exactly once (design D5): requests are numbered without gaps under one client id and sent in order; whatever
 * is unanswered when the way to the leader changes is sent again under the same number, because a hole in the
 * numbers would stop everything after it. What is sent again leaves out the writes whose callers have given up,
 * which may leave an empty request: a write that timed out is not tried again behind its caller's back, though the
 * first try may still succeed. A request is numbered when it is first sent; until then a write that times out is
 * taken out again and certainly never happens.
 *
 * Invariants:
 *   1. the numbers of `#sent` are contiguous and ascending, and those of `#unsent` come after them
 *   2. bytes of a request never change once it was sent: a renumbered or shortened one is a copy; of those that
 *      were sent under one number at most one is applied, and whoever still waits is in each of them, with its
 *      result at the same place: what leaves a sent request and has a result leaves an empty transaction behind
 *   3. `#pendingBytes` is the sum over all requests, at most `maxPendingBytes` plus one write
 */
import { StoreError } from '../base/errors.js'
import type { Backend, LinkAnswer, RequestLink } from '../member/backend.js'
import type { CallMeters } from '../member/call-meters.js'
import { type Command, hasResult, type Operation, type Put } from '../wire/command.js'
import { commandBytes } from '../wire/command-bytes.js'
import {
  REQUEST_HEADER_BYTES,
  RESULTS_MAX,
  RequestWriter,
  renumberRequest,
} from '../wire/request.js'
import type { Companion } from './lease.js'
import type { Position, Tokens } from './token.js'
import { WriteFollower } from './write-follower.js'

/** Requests sent and not answered; further writes collect in the next ones meanwhile. */
const WINDOW_REQUESTS = 64
/** The oldest request is sent again when nobody answered for so long and the leader is still the same. */
const RESEND_AFTER_MS = 3000
/** When it may be worth trying again where too much waits: a few replication rounds. */
const OVERLOADED_RETRY_MS = 50
/** Room of a new request when nothing is known about its size. */
const CAPACITY_MIN = 512

/** What a write resolves to. All writes that travelled in one request share one result. */
export class WriteResult implements Position {
  /** The log index at which the write was applied; reads at this position or later see it. */
  readonly index: number
  /** The term of the entry at `index`. */
  readonly term: number
  readonly #tokens: Tokens

  constructor(tokens: Tokens, position: Position) {
    this.#tokens = tokens
    this.index = position.index
    this.term = position.term
  }

  /** A session token for this position; pass it to `store.session` on any member. */
  get token(): string {
    return this.#tokens.encode(this)
  }
}

/** Bounds of a pipeline, in bytes. */
export interface PipelineLimits {
  readonly maxRequestBytes: number
  readonly maxPendingBytes: number
}

/** What a command without a result byte has for a result. */
export const NO_RESULT: number = -1
/** Takes the place of a command with a result whose caller has given up. */
const NOTHING: Command = { type: 'txn', compares: [], then: [], else: [] }

/** One write under way; its maker says what its ends mean. Exactly one of `done` and `fail` is called, once. */
export abstract class PendingWrite {
  /** On the backend's clock. */
  readonly deadline: number
  /** Whether `appended` is called when the write stands in the leader's log, before it is committed. */
  readonly ackLeader: boolean
  readonly signal: AbortSignal | undefined
  /** The rest is the pipeline's: where its command lies in the writer, and where its result among the results. */
  start = 0
  end = 0
  resultAt: number = NO_RESULT
  isSettled = false
  unwatch: (() => void) | undefined

  constructor(deadline: number, ackLeader: boolean, signal: AbortSignal | undefined) {
    this.deadline = deadline
    this.ackLeader = ackLeader
    this.signal = signal
  }

  /** It happened at `result`; `code` is the result byte of the command (wire/command.ts), or NO_RESULT. */
  abstract done(result: WriteResult, code: number): void
  abstract appended(position: Position): void
  abstract fail(error: unknown): void
}

interface Unsent {
  writer: RequestWriter
  waiters: PendingWrite[]
  /** How many writes had been called with the last one in it. */
  calls: number
  /** When the first was called. */
  readonly since: number
}

interface Sent {
  seq: number
  request: Buffer
  waiters: readonly PendingWrite[]
  readonly calls: number
  readonly since: number
  /** How often it was sent under its present number. */
  attempts: number
}

/** The writes of one Store; see the file's comment. */
export class WritePipeline {
  readonly #backend: Backend
  readonly #meters: CallMeters
  readonly #limits: PipelineLimits
  readonly #tokens: Tokens
  #link: RequestLink
  #clientId: Uint8Array
  #base: number
  #nextSeq = 1
  #unsent: Unsent[] = []
  #sent: Sent[] = []
  #pendingBytes = 0
  #capacity = CAPACITY_MIN
  #isResendDue = false
  #lastHeardAt: number
  /** Writes that were taken. */
  #calls = 0
  readonly #followers = new Set<WriteFollower>()
  readonly #companions = new Set<Companion>()
  #ended: unknown

  constructor(backend: Backend, limits: PipelineLimits, tokens: Tokens) {
    this.#backend = backend
    this.#tokens = tokens
    this.#meters = backend.calls
    this.#limits = limits
    this.#clientId = backend.newClientId()
    this.#base = backend.appliedIndex
    this.#lastHeardAt = backend.now()
    this.#link = this.#openLink()
  }

  /** Bytes of writes that are not settled. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Sends `command`, whose keys and values are copied before it returns. @throws {RangeError} see RequestWriter */
  write(command: Command, write: PendingWrite): void {
    const bytes = commandBytes(command)
    const refusal = this.#refusal(bytes, write.signal)
    this.#meters.writes++
    if (refusal !== undefined) {
      this.#meters.failed(refusal)
      write.fail(refusal)
      return
    }
    const unsent = this.#openRequest(bytes)
    const { writer, waiters } = unsent
    unsent.calls = ++this.#calls
    write.resultAt = hasResult(command) ? writer.resultCount : NO_RESULT
    const start = writer.bytes
    addCommand(writer, command)
    write.start = start
    write.end = writer.bytes
    if (write.ackLeader) writer.askForAppended()
    waiters.push(write)
    this.#pendingBytes += write.end - start
    if (write.signal !== undefined) this.#watch(write.signal, write)
    this.#link.wake()
  }

  /** Follows the writes that are called from now on. */
  follow(): WriteFollower {
    const isPending = (mark: number) =>
      [...this.#sent, ...this.#unsent].some(
        ({ calls, waiters }) => calls > mark && waiters.some(({ isSettled }) => !isSettled),
      )
    const follower = new WriteFollower(this.#calls, isPending, (ended) =>
      this.#followers.delete(ended),
    )
    this.#followers.add(follower)
    return follower
  }

  /** Lets `companion` go along until the returned function is called. */
  accompany(companion: Companion): () => void {
    this.#companions.add(companion)
    return () => this.#companions.delete(companion)
  }

  /** Whether there is somebody to send requests to. */
  get isReady(): boolean {
    return this.#link.isReady
  }

  /** Why no write is taken at present. */
  refusal(signal: AbortSignal | undefined): unknown {
    return this.#refusal(0, signal)
  }

  close(): void {
    this.#link.close()
  }

  #openLink(): RequestLink {
    return this.#backend.openLink({
      flush: () => this.#flush(),
      answer: (answer) => this.#onAnswer(answer),
      reset: () => this.#resend(),
      tick: (now) => this.#onTick(now),
      end: (error) => this.#onEnd(error),
    })
  }

  #refusal(bytes: number, signal: AbortSignal | undefined): unknown | undefined {
    if (this.#ended !== undefined) return this.#ended
    if (signal?.aborted) return aborted(signal, 'none')
    const { refusal } = this.#link
    if (refusal !== undefined) return refusal
    if (this.#pendingBytes + bytes <= this.#limits.maxPendingBytes) return undefined
    this.#backend.overloaded?.({ what: 'writes', retryAfterMs: OVERLOADED_RETRY_MS })
    return new StoreError(
      'QUORATE_OVERLOADED',
      `${this.#pendingBytes} bytes of writes are waiting already`,
      { retryable: true, retryAfterMs: OVERLOADED_RETRY_MS },
    )
  }

  #openRequest(bytes: number): Unsent {
    const last = this.#unsent[this.#unsent.length - 1]
    if (last !== undefined && this.#hasRoom(last.writer, bytes)) return last
    const capacity = Math.max(this.#capacity, REQUEST_HEADER_BYTES + bytes)
    const writer = new RequestWriter(capacity)
    const request: Unsent = { writer, waiters: [], calls: 0, since: this.#backend.now() }
    this.#unsent.push(request)
    return request
  }

  #hasRoom({ bytes, resultCount }: RequestWriter, more: number): boolean {
    return bytes + more <= this.#limits.maxRequestBytes && resultCount < RESULTS_MAX
  }

  #flush(): void {
    if (!this.#link.isReady) return
    while (this.#unsent.length > 0 && this.#sent.length < WINDOW_REQUESTS) {
      this.#send(this.#number(this.#unsent.shift()!))
    }
  }

  #number(unsent: Unsent): Sent {
    const seq = this.#nextSeq++
    this.#capacity = Math.max(CAPACITY_MIN, unsent.writer.bytes)
    const request = unsent.writer.finish(this.#clientId, seq, this.#floor(seq), this.#base)
    if (this.#sent.length === 0) this.#lastHeardAt = this.#backend.now()
    this.#meters.requests++
    this.#meters.requestBytes += request.length
    const { waiters, calls, since } = unsent
    const sent: Sent = { seq, request, waiters, calls, since, attempts: 0 }
    this.#sent.push(sent)
    return sent
  }

  #floor(seq: number): number {
    return this.#sent[0]?.seq ?? seq
  }

  #send(sent: Sent): void {
    sent.attempts++
    this.#link.send(sent.request, sent.seq)
  }

  #resend(): void {
    this.#isResendDue = false
    this.#lastHeardAt = this.#backend.now()
    this.#meters.resends += this.#sent.length
    for (const sent of this.#sent) {
      this.#leaveOut(sent)
      this.#send(sent)
    }
    this.#link.wake()
  }

  /** See the file's comment. */
  #leaveOut(sent: Sent): void {
    const left = this.#stillWanted(sent.waiters, sent.request, 'sent')
    if (left === undefined) return
    const { writer, waiters } = left
    sent.request = writer.finish(this.#clientId, sent.seq, this.#floor(sent.seq), this.#base)
    sent.waiters = waiters
  }

  #onAnswer(answer: LinkAnswer): void {
    const at = this.#sent.findIndex((sent) => sent.seq === answer.seq)
    const sent = this.#sent[at]
    if (sent === undefined) return
    this.#lastHeardAt = this.#backend.now()
    switch (answer.status) {
      case 'appended':
        for (const write of sent.waiters) {
          if (write.ackLeader && !write.isSettled) write.appended(answer)
        }
        return
      case 'applied':
      case 'duplicate':
        this.#sent.splice(at, 1)
        this.#settle(sent, answer)
        if (this.#unsent.length > 0) this.#link.wake()
        return
      case 'stale':
        this.#sent.splice(at, 1)
        this.#fail(sent.waiters, expired('committed'))
        return
      case 'gap':
      case 'refused':
        // Not at once: the leader is busy, or the whole window is about to be refused one by one.
        this.#isResendDue = true
        return
      case 'expired':
        this.#onExpired()
        return
    }
  }

  #settle(sent: Sent, answer: LinkAnswer): void {
    for (const follower of this.#followers) {
      if (sent.calls > follower.mark) follower.happened(answer.index)
    }
    this.#meters.writeMs.record(this.#backend.now() - sent.since)
    const result = new WriteResult(this.#tokens, answer)
    for (const write of sent.waiters) {
      this.#pendingBytes -= write.end - write.start
      if (write.isSettled) continue
      const code = write.resultAt === NO_RESULT ? NO_RESULT : answer.results[write.resultAt]
      if (code === undefined) {
        this.#reject(write, resultsMissing())
        continue
      }
      end(write)
      write.done(result, code)
    }
  }

  #fail(waiters: readonly PendingWrite[], error: unknown): void {
    for (const write of waiters) {
      this.#pendingBytes -= write.end - write.start
      this.#reject(write, error)
    }
  }

  #reject(write: PendingWrite, error: unknown): void {
    if (write.isSettled) return
    end(write)
    this.#meters.failed(error)
    write.fail(error)
  }

  /**
   * The cluster has forgotten this client. A request that was sent once was not applied and will not be: only
   * number 1 can begin a client, and one that was refused stays refused. It goes on under a new client. One
   * that was sent again may have been applied before the client was forgotten. The link is new as well: a
   * late answer to an old number must not be taken for one to the same number of the new client.
   */
  #onExpired(): void {
    const old = this.#sent
    this.#sent = []
    this.#link.close()
    this.#link = this.#openLink()
    this.#clientId = this.#backend.newClientId()
    this.#base = this.#backend.appliedIndex
    this.#nextSeq = 1
    for (const sent of old) {
      if (sent.attempts > 1) {
        this.#fail(sent.waiters, expired('unknown'))
        continue
      }
      const seq = this.#nextSeq++
      const floor = this.#floor(seq)
      const request = renumberRequest(sent.request, this.#clientId, seq, floor, this.#base)
      const { waiters, calls, since } = sent
      this.#sent.push({ seq, request, waiters, calls, since, attempts: 0 })
    }
    this.#isResendDue = true
  }

  #onTick(now: number): void {
    for (const sent of this.#sent) this.#expireSent(sent, now)
    this.#expireUnsent(now)
    for (const follower of this.#followers) follower.look()
    for (const companion of this.#companions) companion.tick(now)
    if (!this.#link.isReady) return
    const isSilent = this.#sent.length > 0 && now - this.#lastHeardAt >= RESEND_AFTER_MS
    if (this.#isResendDue || isSilent) this.#resend()
    if (this.#unsent.length > 0) this.#link.wake()
  }

  #expireSent(sent: Sent, now: number): void {
    for (const write of sent.waiters) {
      if (write.isSettled || now < write.deadline) continue
      const message = 'the write was sent and not answered in time'
      this.#reject(write, new StoreError('QUORATE_TIMEOUT', message, { outcome: 'unknown' }))
    }
  }

  #expireUnsent(now: number): void {
    for (const unsent of this.#unsent) {
      for (const write of unsent.waiters) {
        if (!write.isSettled && now >= write.deadline) this.#reject(write, this.#notSent())
      }
      this.#removeSettled(unsent)
    }
    this.#unsent = this.#unsent.filter((unsent) => unsent.waiters.length > 0)
  }

  #notSent(): StoreError {
    return this.#link.isReady
      ? new StoreError('QUORATE_TIMEOUT', 'the write waited behind others for too long', {
          retryable: true,
        })
      : new StoreError('QUORATE_NO_LEADER', 'no leader was reached in time; nothing was sent', {
          retryable: true,
        })
  }

  /** Takes the commands of settled callers out of a request that was never sent. */
  #removeSettled(unsent: Unsent): void {
    const { writer } = unsent
    const left = this.#stillWanted(unsent.waiters, writer.view(0, writer.bytes), 'unsent')
    if (left === undefined) return
    unsent.writer = left.writer
    unsent.waiters = left.waiters
  }

  /** The commands of those who still wait, and they; undefined when everybody does. See invariant 2. */
  #stillWanted(
    all: readonly PendingWrite[],
    request: Buffer,
    state: 'sent' | 'unsent',
  ): Pick<Unsent, 'writer' | 'waiters'> | undefined {
    if (!all.some(({ isSettled }) => isSettled)) return undefined
    const writer = new RequestWriter(request.length)
    const waiters: PendingWrite[] = []
    for (const write of all) {
      const { start, end: commandEnd, isSettled, resultAt } = write
      if (isSettled) this.#pendingBytes -= commandEnd - start
      if (isSettled && (state === 'unsent' || resultAt === NO_RESULT)) continue
      write.start = writer.bytes
      write.resultAt = resultAt === NO_RESULT ? NO_RESULT : writer.resultCount
      if (isSettled) writer.add(NOTHING)
      else writer.copy(request.subarray(start, commandEnd))
      write.end = writer.bytes
      if (isSettled) this.#pendingBytes += write.end - write.start
      else if (write.ackLeader) writer.askForAppended()
      waiters.push(write)
    }
    return { writer, waiters }
  }

  #watch(signal: AbortSignal, write: PendingWrite): void {
    const onAbort = () => {
      if (write.isSettled) return
      const unsent = this.#unsent.find((request) => request.waiters.includes(write))
      this.#reject(write, aborted(signal, unsent === undefined ? 'unknown' : 'none'))
      if (unsent === undefined) return
      this.#removeSettled(unsent)
      this.#unsent = this.#unsent.filter((request) => request.waiters.length > 0)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    write.unwatch = () => signal.removeEventListener('abort', onAbort)
  }

  #onEnd(error: unknown): void {
    this.#ended = error
    const { unsent, sent } = { unsent: this.#unsent, sent: this.#sent }
    this.#unsent = []
    this.#sent = []
    for (const request of unsent) this.#fail(request.waiters, error)
    for (const request of sent) this.#fail(request.waiters, withUnknownOutcome(error))
    for (const follower of this.#followers) follower.look()
    for (const companion of this.#companions) companion.end(error)
  }
}

/** Nobody waits for it any more. */
function end(write: PendingWrite): void {
  write.isSettled = true
  write.unwatch?.()
}

/** The ways of the hot path make no object of what they write. */
function addCommand(writer: RequestWriter, command: Command): void {
  if (command.type !== 'write') {
    writer.add(command)
    return
  }
  const { operations } = command
  const [first] = operations
  if (first === undefined || operations.length > 1) writer.batch(operations)
  else if (isPlainPut(first)) writer.put(first.key, first.value)
  else if (first.type === 'del') writer.del(first.key)
  else writer.add(command)
}

function isPlainPut(operation: Operation): operation is Put {
  return operation.type === 'put' && operation.expiry === undefined && !operation.coded
}

function aborted(signal: AbortSignal, outcome: 'none' | 'unknown'): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the write was aborted by its caller', {
    outcome,
    cause: signal.reason,
  })
}

/** The answer is of another version of the format, or damaged. */
function resultsMissing(): StoreError {
  const message = 'the answer lacks the result of this write, which happened'
  return new StoreError('QUORATE_FORMAT', message, { outcome: 'committed' })
}

function expired(outcome: 'unknown' | 'committed'): StoreError {
  return new StoreError(
    'QUORATE_SESSION_EXPIRED',
    'the record that keeps this write from happening twice was evicted before its answer came',
    { outcome },
  )
}

/** What was sent may have happened, whatever ended the backend. */
function withUnknownOutcome(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error
  return new StoreError(error.code, error.message, { outcome: 'unknown', cause: error })
}
