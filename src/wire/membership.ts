/**
 * What is asked of a leader about its members, and what it answers: plain data, for the envelopes of wire/envelope.ts
 * between members and from clients. What comes in is checked here field by field.
 */
import type { LogIndex } from '../raft/types.js'
import { DecodeError } from './command.js'

/** A member votes, or only receives the log. */
export type MemberPart = 'voter' | 'learner'

/** One wish about one member. `add` adds a learner; `move` says where it listens from now on. */
export type MemberChange =
  | { readonly kind: 'add' | 'move'; readonly id: string; readonly address: string }
  | { readonly kind: 'promote' | 'demote' | 'remove'; readonly id: string }

/** What can be asked. Every question is answered once, within about `timeoutMs`. */
export type MembershipRequest =
  | { readonly type: 'list'; readonly timeoutMs: number }
  | {
      readonly type: 'change'
      /** All at once, through a joint configuration when there are several. */
      readonly changes: readonly MemberChange[]
      /** The answer to `list` that the changes are meant for: with another one they are refused. */
      readonly expectConfIndex: LogIndex
      /** How long those who are to be promoted may take to catch up. */
      readonly catchUpMs: number
      /** Whether large values may be left that would not survive what the new members are to survive. */
      readonly isForced: boolean
      readonly timeoutMs: number
    }
  /** Hands leadership to `to`, or to the best of the others. */
  | { readonly type: 'transfer'; readonly to: string | undefined; readonly timeoutMs: number }

/** A member as the leader knows it. */
export interface ListedMember {
  readonly id: string
  readonly address: string | undefined
  readonly as: MemberPart
  readonly isLeader: boolean
  /** Whether the leader has a proven connection to it and hears from it. */
  readonly isUp: boolean
  /** Everything up to here is known to be in its log. */
  readonly matchIndex: LogIndex
  /** Entries of the leader's log that it does not have yet. */
  readonly lag: number
}

/** The members at a moment. */
export interface Membership {
  /** The log index of the last change; pass it as `expectConfIndex` to change nothing but what was seen. */
  readonly confIndex: LogIndex
  /** The leader that answered. */
  readonly leader: string
  /** Whether a change of several members is under way: both the old and the new majority decide. */
  readonly isJoint: boolean
  readonly members: readonly ListedMember[]
}

/** What is answered, by the type of the request. */
export interface MembershipAnswers {
  readonly list: Membership
  readonly change: { readonly confIndex: LogIndex }
  readonly transfer: { readonly leader: string }
}

/** The answer to one request. */
export type MembershipAnswer = MembershipAnswers[keyof MembershipAnswers]

/** Changes that one request may carry. */
export const CHANGES_MAX = 64

/** @throws {DecodeError} when `value` is not a request. */
export function asMembershipRequest(value: unknown): MembershipRequest {
  const fields = asFields(value)
  const timeoutMs = asNumber(fields.timeoutMs)
  switch (fields.type) {
    case 'list':
      return { type: 'list', timeoutMs }
    case 'transfer':
      return { type: 'transfer', to: asOptionalText(fields.to), timeoutMs }
    case 'change': {
      const { changes, expectConfIndex, catchUpMs, isForced } = fields
      if (!Array.isArray(changes) || changes.length === 0 || changes.length > CHANGES_MAX) {
        throw new DecodeError(`a change has 1 to ${CHANGES_MAX} parts`)
      }
      return {
        type: 'change',
        changes: changes.map(asChange),
        expectConfIndex: asNumber(expectConfIndex),
        catchUpMs: asNumber(catchUpMs),
        isForced: isForced === true,
        timeoutMs,
      }
    }
    default:
      throw new DecodeError(`unknown question about members: ${String(fields.type)}`)
  }
}

/** @throws {DecodeError} when `value` is not the answer to a request of `type`. */
export function asMembershipAnswer<T extends keyof MembershipAnswers>(
  type: T,
  value: unknown,
): MembershipAnswers[T]
export function asMembershipAnswer(
  type: keyof MembershipAnswers,
  value: unknown,
): MembershipAnswer {
  const fields = asFields(value)
  switch (type) {
    case 'list':
      return asMembership(fields)
    case 'change':
      return { confIndex: asNumber(fields.confIndex) }
    case 'transfer':
      return { leader: asText(fields.leader) }
  }
}

function asMembership({ confIndex, leader, isJoint, members }: Fields): Membership {
  if (!Array.isArray(members)) throw new DecodeError('members is not a list')
  return {
    confIndex: asNumber(confIndex),
    leader: asText(leader),
    isJoint: isJoint === true,
    members: members.map((value) => {
      const { id, address, as, isLeader, isUp, matchIndex, lag } = asFields(value)
      return {
        id: asText(id),
        address: asOptionalText(address),
        as: as === 'voter' ? 'voter' : 'learner',
        isLeader: isLeader === true,
        isUp: isUp === true,
        matchIndex: asNumber(matchIndex),
        lag: asNumber(lag),
      }
    }),
  }
}

function asChange(value: unknown): MemberChange {
  const { kind, id, address } = asFields(value)
  switch (kind) {
    case 'add':
    case 'move':
      return { kind, id: asText(id), address: asText(address) }
    case 'promote':
    case 'demote':
    case 'remove':
      return { kind, id: asText(id) }
    default:
      throw new DecodeError(`unknown change ${String(kind)}`)
  }
}

type Fields = Readonly<Partial<Record<string, unknown>>>

function asFields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null) throw new DecodeError('not an object')
  return value as Fields
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value
  throw new DecodeError('not a text')
}

function asOptionalText(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : asText(value)
}

/** A number of at least 0; Infinity is one. */
function asNumber(value: unknown): number {
  if (typeof value === 'number' && value >= 0) return value
  throw new DecodeError('not a number from 0 up')
}
