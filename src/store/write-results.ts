/** What the results of writes mean for their callers, and the errors that they become. */
import { StoreError } from '../base/errors.js'
import { type Command, RESULT_NO, RESULT_NO_LEASE, RESULT_TOO_LARGE } from '../wire/command.js'
import type { Coded } from './pending-writes.js'

/** What ended the wait for others did not undo the write, whoever says so: a member that closes or was removed, say. */
export function asCommitted(error: unknown): unknown {
  if (!(error instanceof StoreError) || error.outcome === 'committed') return error
  return new StoreError(error.code, error.message, { outcome: 'committed', cause: error })
}

/** @throws {StoreError} when nothing happened for another reason than what the command itself asks. */
export function accepted(command: Command, coded: Coded): Coded {
  const { code } = coded
  if (code === RESULT_TOO_LARGE) {
    throw new StoreError(
      'QUORATE_TOO_LARGE',
      'it would clear more keys than one step may; nothing was changed',
    )
  }
  const noLease = command.type === 'write' ? RESULT_NO : RESULT_NO_LEASE
  const mayLackLease = command.type === 'write' || command.type === 'txn'
  if (mayLackLease && code === noLease && !isClear(command)) {
    throw new StoreError(
      'QUORATE_NO_LEASE',
      'the lease does not exist (any more); nothing was changed',
    )
  }
  return coded
}

/** Of a write whose condition did not hold. */
export function conflict(): StoreError {
  const message = 'the key is not as the write expects it to be; nothing was changed'
  return new StoreError('QUORATE_CONFLICT', message)
}

function isClear(command: Command): boolean {
  return command.type === 'write' && command.operations.every(({ type }) => type === 'clear')
}
