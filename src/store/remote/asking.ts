/**
 * Asking members until one of them can answer: what is asked more than once by itself, and when it is over.
 *
 * Only what changes nothing goes through here, so that it may be asked of another member whenever one fails.
 */
import { StoreError, type StoreErrorCode } from '../../base/errors.js'
import type { Ask } from '../../wire/client-ask.js'
import type { Reply } from '../../wire/client-reply.js'
import type { MemberLink } from './member-link.js'

/** What says nothing about the call, and everything about the member that was asked. */
const ELSEWHERE: ReadonlySet<StoreErrorCode> = new Set([
  'QUORATE_NETWORK',
  'QUORATE_NOT_OPEN',
  'QUORATE_NOT_READY',
  'QUORATE_STOPPED',
  'QUORATE_REMOVED',
  'QUORATE_LOG_FAILED',
])

/** Whether another member may answer what failed with `error`. */
export function isElsewhere(error: unknown): error is StoreError {
  return error instanceof StoreError && ELSEWHERE.has(error.code)
}

/** How to find somebody to ask. */
export interface Asking {
  now(): number
  /** Why nobody is asked any more; undefined while the client is open. */
  readonly ended: unknown
  /** Resolves when it may be worth looking for a member again. */
  later(): Promise<void>
}

/** What bounds an attempt, and whom it may ask. */
export interface Attempt {
  readonly deadline: number
  readonly signal: AbortSignal | undefined
  /** Whom to ask; not `without` unless there is nobody else. */
  pick(without: MemberLink | undefined): MemberLink | undefined
}

/**
 * Runs `ask` with one member after the other until it succeeds or fails for good. The first one is asked before this
 * returns, when there is one.
 * @throws {StoreError} QUORATE_NETWORK nobody could be reached in time; QUORATE_ABORTED; what a member answered.
 */
export async function attempt<T>(
  asking: Asking,
  { deadline, signal, pick }: Attempt,
  ask: (link: MemberLink) => Promise<T>,
): Promise<T> {
  let failed: MemberLink | undefined
  let cause: StoreError | undefined
  for (;;) {
    if (asking.ended !== undefined) throw asking.ended
    if (signal?.aborted) throw abortedBy(signal)
    if (asking.now() >= deadline) throw cause ?? unreached(undefined)
    const link = pick(failed)
    if (link !== undefined) {
      try {
        return await ask(link)
      } catch (error) {
        if (!isElsewhere(error)) throw error
        cause = unreached(error)
        link.noteFailure()
        failed = link
        // Whoever fails at once must not be asked without a pause.
        if (pick(link) !== undefined) continue
      }
    }
    await asking.later()
    failed = undefined
  }
}

/**
 * Asks one member. `signal` lets it forget the ask.
 * @throws {StoreError} the member's own; QUORATE_NETWORK when the connection is lost; QUORATE_TIMEOUT.
 */
export function askOnce(
  link: MemberLink,
  ask: Ask,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<{ id: number; reply: Reply }> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      link.forget(id)
      reject(abortedBy(signal!))
    }
    const settle = <T>(how: (value: T) => void) => {
      return (value: T): void => {
        signal?.removeEventListener('abort', onAbort)
        how(value)
      }
    }
    const id: number = link.ask(ask, {
      deadline,
      reply: settle((reply: Reply) => {
        if (reply.type === 'error') reject(reply.error)
        else resolve({ id, reply })
      }),
      lost: settle(reject),
      late: settle<void>(() => reject(noAnswer())),
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** The reply that an ask is answered with; any other one is of a version that is not known here. */
export function expectReply<T extends Reply['type']>(
  reply: Reply,
  type: T,
): Reply & { readonly type: T } {
  if (reply.type === type) return reply as Reply & { readonly type: T }
  throw new StoreError('QUORATE_FORMAT', `the member answers ${reply.type} where ${type} was asked`)
}

/** Nobody could be asked. */
export function unreached(cause: StoreError | undefined): StoreError {
  const why = cause === undefined ? 'no member is connected' : cause.message
  return new StoreError('QUORATE_NETWORK', `no member could answer in time: ${why}`, {
    retryable: true,
    cause,
  })
}

/** Somebody was asked, and time was up first. */
export function noAnswer(): StoreError {
  const message = 'the member that was asked did not answer in time'
  return new StoreError('QUORATE_TIMEOUT', message, { retryable: true })
}

export function abortedBy(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
    cause: signal.reason,
  })
}
