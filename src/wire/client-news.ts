/**
 * What a member tells its clients by itself: where it stands, who leads, and who the members are. Sent when a client
 * has come in, whenever something of it changes, and about every second; a call of wire/envelope.ts.
 */
import type { LogIndex, Term } from '../raft/types.js'
import { DecodeError } from './command.js'
import { type CallError, decodeCall, encodeCall } from './envelope.js'
import type { MemberPart } from './membership.js'

/** What a client may do: each may what those before it may. `join` may only ask to become a member. */
export type ClientRole = 'join' | 'read' | 'write' | 'admin'

/** The roles from the least to the most. */
export const CLIENT_ROLES: readonly ClientRole[] = ['join', 'read', 'write', 'admin']

/** The word of one member to one client. */
export interface ClientNews {
  readonly memberId: string
  /** What this client may do. */
  readonly role: ClientRole
  readonly leader: string | undefined
  readonly term: Term
  /** Whether requests sent here reach a leader. */
  readonly isReady: boolean
  /** Whether reads are served here. */
  readonly isServing: boolean
  readonly appliedIndex: LogIndex
  /** Why no new write is taken at present. */
  readonly refusal: CallError | undefined
  readonly confIndex: LogIndex
  readonly members: readonly NewsMember[]
  /** The bounds that a client has to keep to. */
  readonly maxValueBytes: number
  readonly maxRequestBytes: number
  readonly maxFrameBytes: number
  /** Values of more bytes are stored as shards; undefined: none are. */
  readonly blobThresholdBytes: number | undefined
}

/** A member, and where it is reached. */
export interface NewsMember {
  readonly id: string
  readonly address: string | undefined
  readonly as: MemberPart
}

const METHOD = 'news'
const MEMBERS_MAX = 1_000

/** The body of a news frame. */
export function encodeNews(news: ClientNews): Uint8Array {
  return encodeCall({ id: 0, method: METHOD, params: news })
}

/** @throws {DecodeError} */
export function decodeNews(body: Buffer): ClientNews {
  const { method, params } = decodeCall(body)
  if (method !== METHOD) throw new DecodeError('news of an unknown kind')
  const fields = fieldsOf(params)
  const role = CLIENT_ROLES.find((known) => known === fields.role)
  if (role === undefined) throw new DecodeError('news with an unknown role')
  return {
    memberId: text(fields.memberId),
    role,
    leader: optionalText(fields.leader),
    term: index(fields.term),
    isReady: fields.isReady === true,
    isServing: fields.isServing === true,
    appliedIndex: index(fields.appliedIndex),
    refusal: refusalOf(fields.refusal),
    confIndex: index(fields.confIndex),
    members: membersOf(fields.members),
    maxValueBytes: index(fields.maxValueBytes),
    maxRequestBytes: index(fields.maxRequestBytes),
    maxFrameBytes: index(fields.maxFrameBytes),
    blobThresholdBytes: optionalIndex(fields.blobThresholdBytes),
  }
}

type Fields = Readonly<Partial<Record<string, unknown>>>

function fieldsOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null) throw new DecodeError('not an object')
  return value as Fields
}

function text(value: unknown): string {
  if (typeof value === 'string') return value
  throw new DecodeError('not a text')
}

function optionalText(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : text(value)
}

function index(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new DecodeError('not a whole number from 0 up')
}

function optionalIndex(value: unknown): number | undefined {
  return value === undefined || value === null ? undefined : index(value)
}

function membersOf(value: unknown): NewsMember[] {
  if (!Array.isArray(value) || value.length > MEMBERS_MAX) throw new DecodeError('no members')
  return value.map((entry) => {
    const { id, address, as } = fieldsOf(entry)
    return {
      id: text(id),
      address: optionalText(address),
      as: as === 'learner' ? 'learner' : 'voter',
    }
  })
}

function refusalOf(value: unknown): CallError | undefined {
  if (value === undefined || value === null) return undefined
  const { code, message, retryable } = fieldsOf(value)
  return {
    code: text(code),
    message: text(message),
    outcome: 'none',
    retryable: retryable === true,
  }
}
