/**
 * Questions about the membership on their way to the leader, from the Stores and clients of this member.
 *
 * A question waits until a leader is known, and goes on waiting when the one asked does not lead (any more) and
 * nothing happened. One that was sent and whose answer may be lost, because the way to the leader changed, fails with
 * outcome `unknown`: what became of it shows in the membership, and `expectConfIndex` makes asking again safe.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import { type CallResult, storeErrorOf } from '../wire/envelope.js'
import {
  asMembershipAnswer,
  type MembershipAnswer,
  type MembershipRequest,
} from '../wire/membership.js'

/** Questions that may wait at once. */
const QUESTIONS_MAX = 256

/** How questions leave. */
export interface QuestionRoute {
  /** Whether somebody is known who leads and can be reached. */
  readonly isReady: boolean
  /** Answers here, when this member leads; undefined when it does not. */
  answerHere(request: MembershipRequest): Promise<MembershipAnswer> | undefined
  /** Sends to the leader; undefined when that failed. */
  send(id: number, request: MembershipRequest): NodeId | undefined
}

interface Question {
  readonly id: number
  readonly request: MembershipRequest
  readonly deadline: number
  readonly signal: AbortSignal | undefined
  /** Whom it was sent to; `here` while this member answers itself. */
  sentTo: NodeId | 'here' | undefined
  resolve(answer: MembershipAnswer): void
  reject(error: unknown): void
}

/** All questions of one member that are not answered. */
export class Questions {
  readonly #time: Time
  readonly #route: QuestionRoute
  readonly #open = new Map<number, Question>()
  #nextId: number

  /** `firstId` is drawn anew at each start, so that a late answer to an earlier life finds nobody. */
  constructor(time: Time, route: QuestionRoute, firstId: number) {
    this.#time = time
    this.#route = route
    this.#nextId = firstId
  }

  /** Asks the leader. @throws {StoreError} QUORATE_NO_LEADER, QUORATE_TIMEOUT, QUORATE_OVERLOADED; the leader's. */
  ask(request: MembershipRequest, signal: AbortSignal | undefined): Promise<MembershipAnswer> {
    if (this.#open.size >= QUESTIONS_MAX) {
      const message = `${QUESTIONS_MAX} questions about members are waiting already`
      return Promise.reject(new StoreError('QUORATE_OVERLOADED', message, { retryable: true }))
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextId++
      const deadline = this.#time.now() + request.timeoutMs
      const question = { id, request, deadline, signal, sentTo: undefined, resolve, reject }
      this.#open.set(id, question)
      this.#send(question)
    })
  }

  /** The answer to question `id`; nobody waits for one that comes late. */
  onReply(from: NodeId, id: number, result: CallResult): void {
    const question = this.#open.get(id)
    if (question?.sentTo !== from) return
    if ('error' in result) this.#fail(question, storeErrorOf(result.error))
    else this.#settle(question, asMembershipAnswer(question.request.type, result.ok))
  }

  /** The way to the leader is new: answers to what was sent before may be lost. */
  reset(): void {
    for (const question of [...this.#open.values()]) {
      if (question.sentTo === undefined) this.#send(question)
      else if (question.sentTo !== 'here') this.#fail(question, lostAnswer())
    }
  }

  tick(now: number): void {
    for (const question of [...this.#open.values()]) {
      if (question.signal?.aborted) this.#fail(question, aborted(question))
      else if (now >= question.deadline) this.#fail(question, expiry(question))
      else if (question.sentTo === undefined) this.#send(question)
    }
  }

  end(error: unknown): void {
    for (const question of [...this.#open.values()]) this.#fail(question, error)
  }

  #send(question: Question): void {
    if (!this.#route.isReady) return
    const answering = this.#route.answerHere(question.request)
    if (answering === undefined) {
      question.sentTo = this.#route.send(question.id, question.request)
      return
    }
    question.sentTo = 'here'
    answering.then(
      (answer) => this.#settle(question, answer),
      (error: unknown) => this.#fail(question, error),
    )
  }

  #settle(question: Question, answer: MembershipAnswer): void {
    if (this.#open.delete(question.id)) question.resolve(answer)
  }

  #fail(question: Question, error: unknown): void {
    const isUndone = error instanceof StoreError && error.outcome === 'none'
    const isElsewhere = isUndone && error.code === 'QUORATE_NO_LEADER'
    if (isElsewhere && this.#time.now() < question.deadline) {
      // The next tick or the next leader has it tried again.
      question.sentTo = undefined
      return
    }
    if (this.#open.delete(question.id)) question.reject(error)
  }
}

function lostAnswer(): StoreError {
  return new StoreError('QUORATE_NO_LEADER', 'the leader changed before it answered', {
    outcome: 'unknown',
    retryable: true,
  })
}

function aborted({ signal, sentTo }: Question): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
    outcome: sentTo === undefined ? 'none' : 'unknown',
    cause: signal?.reason,
  })
}

function expiry({ sentTo, request }: Question): StoreError {
  if (sentTo === undefined) {
    return new StoreError('QUORATE_NO_LEADER', 'no leader was reached in time', {
      retryable: true,
    })
  }
  return new StoreError('QUORATE_TIMEOUT', `no answer within ${request.timeoutMs} ms`, {
    outcome: request.type === 'list' ? 'none' : 'unknown',
    retryable: request.type === 'list',
  })
}
