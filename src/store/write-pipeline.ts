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
 *      were sent under one number at most one is applied, and whoever still waits is in each of them
 *   3. `#pendingBytes` is the sum over all requests, at most `maxPendingBytes` plus one write
 */
import { StoreError } from '../base/errors.js'
import type { Backend, LinkAnswer, RequestLink } from '../member/backend.js'
import {
  commandBytes,
  type Operation,
  REQUEST_HEADER_BYTES,
  RequestWriter,
  renumberRequest,
} from '../wire/command.js'
import { encodeToken, type Position } from './token.js'

/** Requests sent and not answered; further writes collect in the next ones meanwhile. */
const WINDOW_REQUESTS = 64
/** The oldest request is sent again when nobody answered for so long and the leader is still the same. */
const RESEND_AFTER_MS = 3000
/** Room of a new request when nothing is known about its size. */
const CAPACITY_MIN = 512

/** What a write resolves to. All writes that travelled in one request share one result. */
export class WriteResult implements Position {
  /** The log index at which the write was applied; reads at this position or later see it. */
  readonly index: number
  readonly term: number
  readonly #clusterId: Uint8Array

  constructor(clusterId: Uint8Array, position: Position) {
    this.#clusterId = clusterId
    this.index = position.index
    this.term = position.term
  }

  /** A session token for this position; pass it to `store.session` on any member. */
  get token(): string {
    return encodeToken(this.#clusterId, this)
  }
}

/** Bounds of a pipeline, in bytes. */
export interface PipelineLimits {
  readonly maxRequestBytes: number
  readonly maxPendingBytes: number
}

/** One write's caller. */
interface Waiter {
  resolve(result: WriteResult): void
  reject(error: unknown): void
  readonly deadline: number
  /** Where its command lies in the writer, to take it out again before it is sent. */
  start: number
  end: number
  isSettled: boolean
}

interface Unsent {
  writer: RequestWriter
  waiters: Waiter[]
}

interface Sent {
  seq: number
  request: Buffer
  waiters: readonly Waiter[]
  /** How often it was sent under its present number. */
  attempts: number
}

/** The writes of one Store; see the file's comment. */
export class WritePipeline {
  readonly #backend: Backend
  readonly #limits: PipelineLimits
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
  #ended: unknown

  constructor(backend: Backend, limits: PipelineLimits) {
    this.#backend = backend
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

  /** Writes `operations` atomically; keys and values are copied before it returns. */
  write(
    operations: readonly Operation[],
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(operations, signal)
      if (refusal !== undefined) {
        reject(refusal)
        return
      }
      const { writer, waiters } = this.#openRequest(commandBytes(operations))
      const start = writer.bytes
      addCommand(writer, operations)
      const end = writer.bytes
      const waiter: Waiter = { resolve, reject, deadline, start, end, isSettled: false }
      waiters.push(waiter)
      this.#pendingBytes += end - start
      if (signal !== undefined) this.#watch(signal, waiter)
      this.#link.wake()
    })
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

  #refusal(operations: readonly Operation[], signal: AbortSignal | undefined): unknown | undefined {
    if (this.#ended !== undefined) return this.#ended
    if (signal?.aborted) return aborted(signal, 'none')
    const { refusal } = this.#link
    if (refusal !== undefined) return refusal
    if (this.#pendingBytes + commandBytes(operations) <= this.#limits.maxPendingBytes) {
      return undefined
    }
    return new StoreError(
      'QUORATE_OVERLOADED',
      `${this.#pendingBytes} bytes of writes are waiting already`,
      { retryable: true },
    )
  }

  #openRequest(bytes: number): Unsent {
    const last = this.#unsent[this.#unsent.length - 1]
    if (last !== undefined && last.writer.bytes + bytes <= this.#limits.maxRequestBytes) return last
    const capacity = Math.max(this.#capacity, REQUEST_HEADER_BYTES + bytes)
    const request: Unsent = { writer: new RequestWriter(capacity), waiters: [] }
    this.#unsent.push(request)
    return request
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
    const sent: Sent = { seq, request, waiters: unsent.waiters, attempts: 0 }
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
    for (const sent of this.#sent) {
      this.#leaveOut(sent)
      this.#send(sent)
    }
    this.#link.wake()
  }

  /** See the file's comment. */
  #leaveOut(sent: Sent): void {
    const left = this.#stillWanted(sent.waiters, sent.request)
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
      case 'applied':
      case 'duplicate':
        this.#sent.splice(at, 1)
        this.#settle(sent, new WriteResult(this.#backend.clusterId, answer))
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

  #settle(sent: Sent, result: WriteResult): void {
    for (const waiter of sent.waiters) {
      this.#pendingBytes -= waiter.end - waiter.start
      if (waiter.isSettled) continue
      waiter.isSettled = true
      waiter.resolve(result)
    }
  }

  #fail(waiters: readonly Waiter[], error: unknown): void {
    for (const waiter of waiters) {
      this.#pendingBytes -= waiter.end - waiter.start
      if (waiter.isSettled) continue
      waiter.isSettled = true
      waiter.reject(error)
    }
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
      this.#sent.push({ seq, request, waiters: sent.waiters, attempts: 0 })
    }
    this.#isResendDue = true
  }

  #onTick(now: number): void {
    for (const sent of this.#sent) this.#expireSent(sent, now)
    this.#expireUnsent(now)
    if (!this.#link.isReady) return
    const isSilent = this.#sent.length > 0 && now - this.#lastHeardAt >= RESEND_AFTER_MS
    if (this.#isResendDue || isSilent) this.#resend()
    if (this.#unsent.length > 0) this.#link.wake()
  }

  #expireSent(sent: Sent, now: number): void {
    for (const waiter of sent.waiters) {
      if (waiter.isSettled || now < waiter.deadline) continue
      waiter.isSettled = true
      waiter.reject(
        new StoreError('QUORATE_TIMEOUT', 'the write was sent and not answered in time', {
          outcome: 'unknown',
        }),
      )
    }
  }

  #expireUnsent(now: number): void {
    for (const unsent of this.#unsent) {
      for (const waiter of unsent.waiters) {
        if (waiter.isSettled || now < waiter.deadline) continue
        waiter.isSettled = true
        waiter.reject(this.#notSent())
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
    const left = this.#stillWanted(unsent.waiters, writer.view(0, writer.bytes))
    if (left === undefined) return
    unsent.writer = left.writer
    unsent.waiters = left.waiters
  }

  /** The commands of those who still wait, and they; undefined when everybody does. */
  #stillWanted(all: readonly Waiter[], request: Buffer): Unsent | undefined {
    const waiters = all.filter((waiter) => !waiter.isSettled)
    if (waiters.length === all.length) return undefined
    for (const { isSettled, start, end } of all) if (isSettled) this.#pendingBytes -= end - start
    const writer = new RequestWriter(request.length)
    for (const waiter of waiters) {
      const command = request.subarray(waiter.start, waiter.end)
      waiter.start = writer.bytes
      writer.copy(command)
      waiter.end = writer.bytes
    }
    return { writer, waiters }
  }

  #watch(signal: AbortSignal, waiter: Waiter): void {
    const onAbort = () => {
      if (waiter.isSettled) return
      waiter.isSettled = true
      const unsent = this.#unsent.find((request) => request.waiters.includes(waiter))
      waiter.reject(aborted(signal, unsent === undefined ? 'unknown' : 'none'))
      if (unsent === undefined) return
      this.#removeSettled(unsent)
      this.#unsent = this.#unsent.filter((request) => request.waiters.length > 0)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const { resolve, reject } = waiter
    waiter.resolve = (result) => {
      signal.removeEventListener('abort', onAbort)
      resolve(result)
    }
    waiter.reject = (error) => {
      signal.removeEventListener('abort', onAbort)
      reject(error)
    }
  }

  #onEnd(error: unknown): void {
    this.#ended = error
    const { unsent, sent } = { unsent: this.#unsent, sent: this.#sent }
    this.#unsent = []
    this.#sent = []
    for (const request of unsent) this.#fail(request.waiters, error)
    for (const request of sent) this.#fail(request.waiters, withUnknownOutcome(error))
  }
}

function addCommand(writer: RequestWriter, operations: readonly Operation[]): void {
  const [first] = operations
  if (first === undefined || operations.length > 1) writer.batch(operations)
  else if (first.type === 'put') writer.put(first.key, first.value)
  else writer.del(first.key)
}

function aborted(signal: AbortSignal, outcome: 'none' | 'unknown'): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the write was aborted by its caller', {
    outcome,
    cause: signal.reason,
  })
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
