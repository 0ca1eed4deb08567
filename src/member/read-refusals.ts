/** Why a member does not serve a read, as the caller hears it. */
import { StoreError } from '../base/errors.js'
import type { LogIndex, Term } from '../raft/types.js'
import type { PendingRead } from './backend.js'

/** What is known where a read is refused. */
export interface ReadSituation {
  readonly appliedIndex: LogIndex
  readonly hasLeader: boolean
}

/** Its caller has given it up. */
export function readAborted(signal: AbortSignal | undefined): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the read was aborted by its caller', {
    cause: signal?.reason,
  })
}

/** The state has not reached the position. */
export function behind(
  { level, minIndex }: PendingRead,
  { appliedIndex }: ReadSituation,
): StoreError {
  if (level === 'strong') {
    const message = `the read was confirmed, and this member, at index ${appliedIndex}, is behind`
    return new StoreError('QUORATE_TIMEOUT', message, { retryable: true })
  }
  const message = `index ${minIndex} is asked for, this member has applied ${appliedIndex}`
  return new StoreError('QUORATE_BEHIND_TOKEN', message, { retryable: true })
}

/** The state is not proven to be young enough. */
export function tooStale({ maxStalenessMs }: PendingRead): StoreError {
  const message = `the state is not proven to be at most ${maxStalenessMs} ms old`
  return new StoreError('QUORATE_TOO_STALE', message, { retryable: true })
}

/** No ReadIndex round was confirmed for it. */
export function unconfirmed(_read: PendingRead, { hasLeader }: ReadSituation): StoreError {
  return hasLeader
    ? new StoreError('QUORATE_TIMEOUT', 'no quorum confirmed the read in time', { retryable: true })
    : new StoreError('QUORATE_NO_LEADER', 'no leader is known to confirm the read', {
        retryable: true,
      })
}

/** A bound is reached. */
export function overloaded(message: string, retryAfterMs: number): StoreError {
  return new StoreError('QUORATE_OVERLOADED', message, { retryable: true, retryAfterMs })
}

/** The entry at the position is another one than the session saw: the log was begun anew after a loss. */
export function ofAnotherLog({ minIndex, minTerm }: PendingRead, term: Term): StoreError {
  return badToken(`entry ${minIndex} is of term ${term} here, and of term ${minTerm} there`)
}

/** Nobody can have seen the position. */
export function aheadOfEverything({ minIndex }: PendingRead, committed: LogIndex): StoreError {
  return badToken(`index ${minIndex} is ahead of everything committed, ${committed}`)
}

function badToken(why: string): StoreError {
  return new StoreError('QUORATE_BAD_TOKEN', `the session token cannot be used: ${why}`)
}
