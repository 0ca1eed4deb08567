/** Applies one entry whose commands depend on the state: decides about its requests and carries them out. */
import { asBuffer, EMPTY } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Entry } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { isOwnRequest, type RequestHeader, readCommands, visitRequests } from '../wire/request.js'
import type { Change } from './change-history.js'
import type { CodedNote } from './coded-keys.js'
import type { ShardMembers } from './coverage.js'
import type { ExpiryNote } from './expiry-note.js'
import { Interpreter } from './interpreter.js'
import type { Overlay } from './overlay.js'
import type { RequestOutcome, SessionTable } from './sessions.js'
import type { StateDigest } from './state-digest.js'

/** What an entry is applied to. */
export interface EntryTarget {
  /** The state before the entry, over what the database holds. */
  readonly overlay: Overlay
  readonly sessions: SessionTable
  readonly digest: StateDigest
  /** Of the configuration at the entry. */
  readonly shardMembers: () => ShardMembers
}

/** What became of the entry. */
export interface Interpreted {
  readonly outcomes: readonly RequestOutcome[]
  readonly changes: readonly Change[]
  readonly expiry: readonly ExpiryNote[]
  readonly coded: readonly CodedNote[]
  /** Whether what is retained is something else now. */
  readonly hasRetained: boolean
}

/**
 * Puts everything that `entry` does into the target; the database stays as it is. Gives the event loop turns
 * meanwhile; nothing else may be applied until it is done.
 * @throws {StoreError} QUORATE_FORMAT when it cannot be decoded; QUORATE_CORRUPTION when what it reads is damaged
 */
export async function interpretEntry(entry: Entry, target: EntryTarget): Promise<Interpreted> {
  try {
    const { overlay, digest, shardMembers } = target
    const interpreter = new Interpreter(overlay, digest, entry, shardMembers)
    const outcomes = await applyRequests(entry, target, interpreter)
    const { changes, notes: expiry, coded, hasRetained } = interpreter
    return { outcomes, changes, expiry, coded, hasRetained }
  } catch (error) {
    throw error instanceof DecodeError ? undecodable(entry, error) : error
  }
}

/** What an entry is refused with whose bytes nobody understands. */
export function undecodable({ index }: Entry, cause: DecodeError): StoreError {
  return new StoreError('QUORATE_FORMAT', `entry ${index}: ${cause.message}`, { cause })
}

async function applyRequests(
  entry: Entry,
  { sessions, digest }: EntryTarget,
  interpreter: Interpreter,
): Promise<RequestOutcome[]> {
  const { index, term } = entry
  const data = asBuffer(entry.data)
  const requests: (readonly [RequestHeader, number])[] = []
  visitRequests(data, (request, offset) => requests.push([request, offset]))
  const outcomes: RequestOutcome[] = []
  for (const [request, offset] of requests) {
    // The leader's own requests are safe to repeat: each item says what must not have changed.
    const isOwn = isOwnRequest(request)
    let outcome: RequestOutcome = isOwn
      ? { status: 'applied', index, term, results: EMPTY }
      : sessions.admit(request, index, term)
    if (outcome.status === 'applied') {
      const results: number[] = []
      for (const command of readCommands(data, offset, request)) {
        const result = await interpreter.run(command)
        if (result !== undefined) results.push(result)
      }
      if (results.length > 0 && !isOwn) outcome = sessions.answer(request, Uint8Array.from(results))
    }
    outcomes.push(outcome)
    digest.addOutcome(request, outcome)
  }
  return outcomes
}
