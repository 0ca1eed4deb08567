/**
 * What two sides say before anything else (design D11), each as one frame:
 *
 *   dialer                                   acceptor
 *   hello      u8 role | 8 clusterId | u64 from | u64 to | 16 nonce | 8 incarnation | i8 priority
 *              | u16 memberIdBytes | memberId | address
 *                                            challenge  8 clusterId | u64 node | 16 nonce
 *                                                       | 8 incarnation | memberId
 *   proof      0 or 32 bytes
 *                                            welcome    0 or 32 bytes
 *                              or, at any point, refused  u8 code | message
 *
 * Texts are UTF-8; the last one fills the rest of the body. A client has no cluster, node, incarnation, member id or
 * address: zeros and "". The incarnation tells a member from another one that began later in an empty folder under
 * the same name (trap T-14); the address is where the dialer believes that it can be dialed, empty if nowhere.
 * The proofs are empty without a shared secret; with one they are HMAC-SHA256 over both hello and challenge
 * (transport/session-key.ts). On the wire: never change the meaning of a number here, add new ones.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { StoreErrorCode } from '../base/errors.js'
import type { NodeId } from '../raft/types.js'
import { DecodeError } from './command.js'
import { ADDRESS_BYTES_MAX, INCARNATION_BYTES } from './directory.js'

/** On the wire: kinds of the transport's own frames. */
export const FRAME_HELLO = 240
export const FRAME_CHALLENGE = 241
export const FRAME_PROOF = 242
export const FRAME_WELCOME = 243
export const FRAME_REFUSED = 244
export const FRAME_PING = 245
export const FRAME_PONG = 246
export const FRAME_CALL = 247
export const FRAME_ANSWER = 248

export const CLUSTER_ID_BYTES = 8
export const NONCE_BYTES = 16
/** No frame of a handshake is longer. */
export const HANDSHAKE_BYTES_MAX = 1_024
/** The longest member id in bytes of UTF-8. */
export const MEMBER_ID_BYTES_MAX = 256
/** The incarnation of somebody without one: a client, or a member whose peer has not been seen yet. */
export const NO_INCARNATION: string = '00'.repeat(INCARNATION_BYTES)

const HELLO_BYTES = 1 + CLUSTER_ID_BYTES + 16 + NONCE_BYTES + INCARNATION_BYTES + 3
const CHALLENGE_BYTES = CLUSTER_ID_BYTES + 8 + NONCE_BYTES + INCARNATION_BYTES

/** What a dialer wants to be: another member, whose frames come in, or a client, whose calls are answered. */
export type DialerRole = 'member' | 'client'

/** On the wire: a role is sent as its position here, from 1. */
const ROLES: readonly DialerRole[] = ['member', 'client']

/** Who dials, and whom it expects to find. */
export interface Hello {
  readonly role: DialerRole
  readonly clusterId: Uint8Array
  readonly from: NodeId
  readonly to: NodeId
  readonly memberId: string
  readonly nonce: Uint8Array
  /** Hexadecimal. */
  readonly incarnation: string
  /** How much it wants to lead, -100 to 100. */
  readonly priority: number
  readonly address: string
}

/** Who answers. */
export interface Challenge {
  readonly clusterId: Uint8Array
  readonly node: NodeId
  readonly memberId: string
  readonly nonce: Uint8Array
  /** Hexadecimal. */
  readonly incarnation: string
}

/** Why a connection was refused. */
export interface Refusal {
  readonly code: StoreErrorCode
  readonly message: string
}

/** On the wire: a code is sent as its position here. */
const REFUSAL_CODES: readonly StoreErrorCode[] = [
  'QUORATE_FORMAT',
  'QUORATE_WRONG_CLUSTER',
  'QUORATE_WRONG_MEMBER',
  'QUORATE_UNAUTHORIZED',
  'QUORATE_OVERLOADED',
  'QUORATE_REMOVED',
]

export function encodeHello(hello: Hello): Buffer {
  const memberId = Buffer.from(hello.memberId)
  const head = Buffer.alloc(HELLO_BYTES)
  head[0] = ROLES.indexOf(hello.role) + 1
  head.set(hello.clusterId, 1)
  writeU64(head, hello.from, 9)
  writeU64(head, hello.to, 17)
  head.set(hello.nonce, 25)
  head.set(Buffer.from(hello.incarnation, 'hex'), 41)
  head.writeInt8(hello.priority, 49)
  head.writeUInt16LE(memberId.length, 50)
  return Buffer.concat([head, memberId, Buffer.from(hello.address)])
}

/** @throws {DecodeError} */
export function decodeHello(body: Buffer): Hello {
  if (body.length < HELLO_BYTES) throw new DecodeError('hello cut short')
  const role = ROLES[body[0]! - 1]
  if (role === undefined) throw new DecodeError('unknown role in hello')
  const addressAt = HELLO_BYTES + body.readUInt16LE(50)
  if (addressAt > body.length) throw new DecodeError('hello cut short')
  if (body.length - addressAt > ADDRESS_BYTES_MAX) throw new DecodeError('address too long')
  return {
    role,
    clusterId: body.subarray(1, 9),
    from: nodeAt(body, 9),
    to: nodeAt(body, 17),
    nonce: body.subarray(25, 41),
    incarnation: body.toString('hex', 41, 49),
    priority: body.readInt8(49),
    memberId: memberIdAt(body, HELLO_BYTES, addressAt),
    address: body.toString('utf8', addressAt),
  }
}

export function encodeChallenge(challenge: Challenge): Buffer {
  const head = Buffer.alloc(CHALLENGE_BYTES)
  head.set(challenge.clusterId, 0)
  writeU64(head, challenge.node, 8)
  head.set(challenge.nonce, 16)
  head.set(Buffer.from(challenge.incarnation, 'hex'), 32)
  return Buffer.concat([head, Buffer.from(challenge.memberId)])
}

/** @throws {DecodeError} */
export function decodeChallenge(body: Buffer): Challenge {
  if (body.length < CHALLENGE_BYTES) throw new DecodeError('challenge cut short')
  return {
    clusterId: body.subarray(0, 8),
    node: nodeAt(body, 8),
    nonce: body.subarray(16, 32),
    incarnation: body.toString('hex', 32, CHALLENGE_BYTES),
    memberId: memberIdAt(body, CHALLENGE_BYTES, body.length),
  }
}

/** A long message is cut: it is for people. */
export function encodeRefusal(refusal: Refusal): Buffer {
  const code = Buffer.of(REFUSAL_CODES.indexOf(refusal.code))
  return Buffer.concat([code, Buffer.from(refusal.message)]).subarray(0, HANDSHAKE_BYTES_MAX)
}

/** @throws {DecodeError} */
export function decodeRefusal(body: Buffer): Refusal {
  const code = REFUSAL_CODES[body[0] ?? REFUSAL_CODES.length]
  if (code === undefined) throw new DecodeError('unknown code in a refusal')
  return { code, message: body.toString('utf8', 1) }
}

function nodeAt(body: Buffer, at: number): NodeId {
  const node = readU64(body, at)
  if (node === undefined) throw new DecodeError('node beyond the safe integers')
  return node
}

function memberIdAt(body: Buffer, from: number, to: number): string {
  if (to - from > MEMBER_ID_BYTES_MAX) throw new DecodeError('member id too long')
  return body.toString('utf8', from, to)
}
