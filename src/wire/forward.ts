/**
 * What members say to each other beside the messages of the core: requests handed to the leader, the answers,
 * how much of the log nobody needs any more, and questions about the membership. The frame's kind says which; all
 * integers little-endian.
 *
 *   request   u32 link | request (wire/command.ts)
 *   answers   { u32 link | u8 status | u64 seq | u64 index | u64 term }*
 *   retained  u64 index: every member has the log up to here (0 from a member that does not lead); a sign of life
 *   question  a call of wire/envelope.ts about the membership (wire/membership.ts)
 *   reply     its answer
 *   space     u8: 1 the sender's disk is low, 2 it leads and takes no new writes for want of space; or both
 *
 * On the wire: never change the meaning of a number here, add new ones.
 */
import { asBuffer, readU64, writeU64 } from '../base/bytes.js'
import { DecodeError } from './command.js'

/** On the wire: what the body of a member's frame is. */
export const FRAME_MESSAGE = 1
export const FRAME_REQUEST = 2
export const FRAME_ANSWERS = 3
export const FRAME_RETAINED = 4
export const FRAME_QUESTION = 5
export const FRAME_REPLY = 6
export const FRAME_SPACE = 10

const ANSWER_BYTES = 29
const LINK_BYTES = 4

/**
 * What became of a request. `applied` and `duplicate`: it happened, at `index`. `gap`: an earlier request of
 * the client is missing, nothing happened. `expired`: the client is not known any more, nothing happened this
 * time. `stale`: it happened, but its index is forgotten. `refused`: the leader did not take it.
 */
export type AnswerStatus = 'applied' | 'duplicate' | 'gap' | 'expired' | 'stale' | 'refused'

/** On the wire: a status is sent as its position here. */
const STATUSES: readonly AnswerStatus[] = [
  'applied',
  'duplicate',
  'gap',
  'expired',
  'stale',
  'refused',
]

/** The answer to one request of one link. */
export interface Answer {
  readonly link: number
  readonly seq: number
  readonly status: AnswerStatus
  readonly index: number
  readonly term: number
}

/** The parts of a request frame; `request` is not copied. */
export function encodeRequest(link: number, request: Uint8Array): Uint8Array[] {
  const head = Buffer.allocUnsafe(LINK_BYTES)
  head.writeUInt32LE(link, 0)
  return [head, request]
}

/** Takes a request frame apart; the request views `body` and is not yet validated. */
export function decodeRequest(body: Buffer): { link: number; request: Buffer } {
  if (body.length < LINK_BYTES) throw new DecodeError('request frame cut short')
  return { link: body.readUInt32LE(0), request: body.subarray(LINK_BYTES) }
}

/** The body of an answers frame. */
export function encodeAnswers(answers: readonly Answer[]): Uint8Array {
  const body = Buffer.allocUnsafe(answers.length * ANSWER_BYTES)
  let at = 0
  for (const answer of answers) {
    body.writeUInt32LE(answer.link, at)
    body[at + 4] = STATUSES.indexOf(answer.status)
    writeU64(body, answer.seq, at + 5)
    writeU64(body, answer.index, at + 13)
    writeU64(body, answer.term, at + 21)
    at += ANSWER_BYTES
  }
  return body
}

/** Takes an answers frame apart. */
export function decodeAnswers(body: Buffer): Answer[] {
  if (body.length % ANSWER_BYTES !== 0) throw new DecodeError('answers frame cut short')
  const answers: Answer[] = []
  for (let at = 0; at < body.length; at += ANSWER_BYTES) {
    const status = STATUSES[body[at + 4]!]
    const seq = readU64(body, at + 5)
    const index = readU64(body, at + 13)
    const term = readU64(body, at + 21)
    if (status === undefined || seq === undefined || index === undefined || term === undefined) {
      throw new DecodeError('malformed answer')
    }
    answers.push({ link: body.readUInt32LE(at), seq, status, index, term })
  }
  return answers
}

/** What a member says about the room on its disk. */
export interface SpaceReport {
  readonly isLow: boolean
  /** It leads, and takes no new writes. */
  readonly refuses: boolean
}

/** The body of a space frame. */
export function encodeSpace({ isLow, refuses }: SpaceReport): Uint8Array {
  return Uint8Array.of((isLow ? 1 : 0) | (refuses ? 2 : 0))
}

/** Takes a space frame apart. */
export function decodeSpace(body: Uint8Array): SpaceReport {
  const flags = body.length === 1 ? body[0]! : 255
  if (flags > 3) throw new DecodeError('malformed space frame')
  return { isLow: (flags & 1) !== 0, refuses: (flags & 2) !== 0 }
}

/** The body of a retained frame. */
export function encodeRetained(index: number): Uint8Array {
  const body = Buffer.allocUnsafe(8)
  writeU64(body, index, 0)
  return body
}

/** The index of a retained frame. */
export function decodeRetained(bytes: Uint8Array): number {
  const body = asBuffer(bytes)
  const index = body.length === 8 ? readU64(body, 0) : undefined
  if (index === undefined) throw new DecodeError('malformed retained frame')
  return index
}
