/**
 * The reads of a client: each goes to a member of its choice, and to another one when that fails, until its time is up.
 *
 * Bounded: WAITING_MAX reads wait here while nobody can be asked; more are QUORATE_OVERLOADED.
 */
import { StoreError } from '../../base/errors.js'
import type { PendingRead } from '../../member/backend.js'
import type { LogIndex, Term } from '../../raft/types.js'
import { type ReadAnswer, type ReadCall, readCallBytes } from '../../wire/read-call.js'
import { isElsewhere, noAnswer, unreached } from './asking.js'
import type { MemberLink, SentRead } from './member-link.js'

const WAITING_MAX = 16_384
/** Reads of more keys than this are measured before they are sent. */
const KEYS_UNMEASURED = 16
const RETRY_MS = 50

/** Whom reads are sent to. */
export interface ReadRoute {
  now(): number
  /** Not `without` unless there is nobody else. */
  forWeak(without: MemberLink | undefined): MemberLink | undefined
  forStrong(without: MemberLink | undefined): MemberLink | undefined
  /** The state at this index was seen. */
  seen(index: LogIndex): void
}

/** See the file's comment. */
export class RemoteReads {
  readonly #route: ReadRoute
  #waiting: RemoteRead[] = []
  /** The read whose latency is measured; undefined when the next one may be. */
  #sample: { readonly read: RemoteRead; readonly sentAt: number } | undefined
  #ended: unknown

  constructor(route: ReadRoute) {
    this.#route = route
  }

  add(pending: PendingRead): void {
    this.#send(new RemoteRead(pending, this.#outcome), undefined)
  }

  /** Lets reads time out that wait for a member, and looks for one. */
  tick(now: number): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const read of waiting) {
      if (read.pending.abandoned) continue
      if (now >= read.deadline) read.pending.fail(unreached(read.cause))
      else this.#send(read, undefined)
    }
  }

  /** Nothing is read any more. */
  end(error: unknown): void {
    this.#ended = error
    const waiting = this.#waiting
    this.#waiting = []
    for (const { pending } of waiting) pending.fail(error)
  }

  #send(read: RemoteRead, without: MemberLink | undefined): void {
    if (this.#ended !== undefined) {
      read.pending.fail(this.#ended)
      return
    }
    const { level } = read
    const route = this.#route
    const link = level === 'strong' ? route.forStrong(without) : route.forWeak(without)
    if (link === undefined) this.#wait(read)
    else if (isTooLong(read, link)) read.pending.fail(tooLong())
    else this.#sendTo(link, read)
  }

  #sendTo(link: MemberLink, read: RemoteRead): void {
    read.link = link
    if (this.#sample === undefined && read.level === 'eventual') {
      this.#sample = { read, sentAt: this.#route.now() }
    }
    link.read(read)
  }

  #wait(read: RemoteRead): void {
    if (this.#waiting.length < WAITING_MAX) {
      this.#waiting.push(read)
      return
    }
    const message = `${WAITING_MAX} reads wait for a member already`
    const about = { retryable: true, retryAfterMs: RETRY_MS }
    read.pending.fail(new StoreError('QUORATE_OVERLOADED', message, about))
  }

  readonly #outcome: ReadOutcome = {
    answered: (read, answer) => {
      this.#measure(read)
      if (read.pending.abandoned) return
      if (!('error' in answer)) {
        this.#route.seen(answer.index)
        read.pending.complete(answer.values, answer)
      } else if (isElsewhere(answer.error)) this.#again(read, answer.error)
      else read.pending.fail(answer.error)
    },
    lost: (read, error) => {
      if (this.#sample?.read === read) this.#sample = undefined
      if (!read.pending.abandoned) this.#again(read, error)
    },
    late: (read) => {
      if (this.#sample?.read === read) this.#sample = undefined
      if (read.pending.abandoned) return
      read.link?.noteFailure()
      read.pending.fail(noAnswer())
    },
  }

  #measure(read: RemoteRead): void {
    if (this.#sample?.read !== read) return
    read.link?.noteAnswer(this.#route.now() - this.#sample.sentAt)
    this.#sample = undefined
  }

  #again(read: RemoteRead, error: StoreError): void {
    read.cause = error
    read.link?.noteFailure()
    if (this.#route.now() >= read.deadline) read.pending.fail(unreached(error))
    else this.#send(read, read.link)
  }
}

interface ReadOutcome {
  answered(read: RemoteRead, answer: ReadAnswer): void
  lost(read: RemoteRead, error: StoreError): void
  late(read: RemoteRead): void
}

/** A read on its way. */
class RemoteRead implements SentRead {
  id = 0
  remainingMs = 0
  readonly level: ReadCall['level']
  readonly onBehind: ReadCall['onBehind']
  readonly minIndex: LogIndex
  readonly minTerm: Term
  readonly maxStalenessMs: number
  readonly keys: readonly Uint8Array[]
  readonly deadline: number
  readonly pending: PendingRead
  link: MemberLink | undefined
  cause: StoreError | undefined
  readonly #outcome: ReadOutcome

  constructor(pending: PendingRead, outcome: ReadOutcome) {
    this.level = pending.level
    this.onBehind = pending.onBehind
    this.minIndex = pending.minIndex
    this.minTerm = pending.minTerm
    this.maxStalenessMs = pending.maxStalenessMs
    this.keys = pending.keys
    this.deadline = pending.deadline
    this.pending = pending
    this.#outcome = outcome
  }

  answered(answer: ReadAnswer): void {
    this.#outcome.answered(this, answer)
  }

  lost(error: StoreError): void {
    this.#outcome.lost(this, error)
  }

  late(): void {
    this.#outcome.late(this)
  }
}

function isTooLong(read: RemoteRead, { news }: MemberLink): boolean {
  return read.keys.length > KEYS_UNMEASURED && readCallBytes(read) > (news?.maxFrameBytes ?? 0)
}

function tooLong(): StoreError {
  const message = 'the keys of one read are too long to send: ask for fewer at once'
  return new StoreError('QUORATE_TOO_LARGE', message)
}
