/**
 * What members say to each other beside the messages of the core: requests handed to the leader, the answers,
 * how much of the log nobody needs any more, and questions about the membership. The frame's kind says which; all
 * integers little-endian.
 *
 *   request   u32 link | request (wire/request.ts)
 *   answers   { u32 link | u8 status | u64 seq | u64 index | u64 term | u16 results | a byte for each }*
 *   retained  u64 index: every member has the log up to here (0 from a member that does not lead); a sign of life
 *   question  a call of wire/envelope.ts about the membership (wire/membership.ts)
 *   reply     its answer
 *   space     u8: 1 the sender's disk is low, 2 it leads and takes no new writes for want of space; or both
 *
 * On the wire: never change the meaning of a number here, add new ones.
 */
import { asBuffer, EMPTY, readU64, writeU64 } from '../base/bytes.js'
import { DecodeError } from './command.js'

/** On the wire: what the body of a member's frame is. */
export const FRAME_MESSAGE = 1
export const FRAME_REQUEST = 2
export const FRAME_ANSWERS = 3
export const FRAME_RETAINED = 4
export const FRAME_QUESTION = 5
export const FRAME_REPLY = 6
export const FRAME_SPACE = 10

/** Of an answer without results. */
const ANSWER_BYTES = 31
const LINK_BYTES = 4

/**
 * What became of a request. `applied` and `duplicate`: it happened, at `index`. `gap`: an earlier request of
 * the client is missing, nothing happened. `expired`: the client is not known any more, nothing happened this
 * time. `stale`: it happened, but its index is forgotten. `refused`: the leader did not take it. `appended`: it stands
 * in the leader's log and may still be lost; another answer follows if it is not.
 */
export type AnswerStatus =
  | 'applied'
  | 'duplicate'
  | 'gap'
  | 'expired'
  | 'stale'
  | 'refused'
  | 'appended'

/** On the wire: a status is sent as its position here. */
const STATUSES: readonly AnswerStatus[] = [
  'applied',
  'duplicate',
  'gap',
  'expired',
  'stale',
  'refused',
  'appended',
]

/** The answer to one request of one link. */
export interface Answer {
  readonly link: number
  readonly seq: number
  readonly status: AnswerStatus
  readonly index: number
  readonly term: number
  /** The result bytes of its commands that have one, in order (wire/command.ts); empty unless it happened. */
  readonly results: Uint8Array
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
  let bytes = answers.length * ANSWER_BYTES
  for (const { results } of answers) bytes += results.length
  const body = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const answer of answers) {
    body.writeUInt32LE(answer.link, at)
    body[at + 4] = STATUSES.indexOf(answer.status)
    writeU64(body, answer.seq, at + 5)
    writeU64(body, answer.index, at + 13)
    writeU64(body, answer.term, at + 21)
    body.writeUInt16LE(answer.results.length, at + 29)
    body.set(answer.results, at + ANSWER_BYTES)
    at += ANSWER_BYTES + answer.results.length
  }
  return body
}

/** Takes an answers frame apart. */
export function decodeAnswers(body: Buffer): Answer[] {
  const answers: Answer[] = []
  for (let at = 0; at < body.length; ) {
    const start = at + ANSWER_BYTES
    if (start > body.length) throw new DecodeError('answers frame cut short')
    const end = start + body.readUInt16LE(at + 29)
    if (end > body.length) throw new DecodeError('answers frame cut short')
    const status = STATUSES[body[at + 4]!]
    const seq = readU64(body, at + 5)
    const index = readU64(body, at + 13)
    const term = readU64(body, at + 21)
    if (status === undefined || seq === undefined || index === undefined || term === undefined) {
      throw new DecodeError('malformed answer')
    }
    // A copy, if there is anything: it is kept longer than the frame.
    const results = start === end ? EMPTY : Uint8Array.prototype.slice.call(body, start, end)
    answers.push({ link: body.readUInt32LE(at), seq, status, index, term, results })
    at = end
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
