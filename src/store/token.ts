/**
 * Session tokens: a position in the log that a session has seen, as a short printable string.
 *
 *   s1. base64url( u8 version = 1 | clusterId 8 bytes | varint incarnation | varint group count
 *                  | { varint group | varint index | varint term }* | u32 CRC-32 )
 *
 * One group (0) exists today. The cluster id and the checksum keep a token of another cluster, or one that was
 * damaged on its way through a cookie, from being taken for a position (design D6).
 */
import { crc32 } from 'node:zlib'
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'

const PREFIX = 's1.'
const VERSION = 1
const INCARNATION = 0
const GROUP = 0
const CLUSTER_ID_BYTES = 8
const CHECKSUM_BYTES = 4
/** A token is not longer than this; checked before anything is decoded. */
const TEXT_MAX = 200

/** A position in the log of group 0. */
export interface Position {
  readonly index: number
  readonly term: number
}

/** The token for `position` in the cluster. */
export function encodeToken(clusterId: Uint8Array, position: Position): string {
  const bytes = [VERSION, ...clusterId]
  for (const value of [INCARNATION, 1, GROUP, position.index, position.term]) {
    pushVarint(bytes, value)
  }
  const body = Buffer.from(bytes)
  const checksum = Buffer.alloc(CHECKSUM_BYTES)
  checksum.writeUInt32LE(crc32(body))
  return PREFIX + Buffer.concat([body, checksum]).toString('base64url')
}

/**
 * The position in `token`.
 * @throws {StoreError} QUORATE_BAD_TOKEN when it is malformed or of another cluster.
 */
export function decodeToken(clusterId: Uint8Array, token: string): Position {
  if (!token.startsWith(PREFIX) || token.length > TEXT_MAX) throw bad('it is not a session token')
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url')
  if (bytes.length < 1 + CLUSTER_ID_BYTES + CHECKSUM_BYTES) throw bad('it is cut short')
  const body = bytes.subarray(0, -CHECKSUM_BYTES)
  if (crc32(body) !== bytes.readUInt32LE(body.length)) throw bad('its checksum does not match')
  if (body[0] !== VERSION) throw bad(`its version is ${body[0]}`)
  if (!equalBytes(body.subarray(1, 1 + CLUSTER_ID_BYTES), clusterId)) {
    throw bad('it belongs to another cluster')
  }
  const [incarnation, groups, group, index, term, ...rest] = readVarints(
    body.subarray(1 + CLUSTER_ID_BYTES),
  )
  if (incarnation !== INCARNATION) throw bad('it belongs to another life of the cluster')
  if (groups !== 1 || group !== GROUP || rest.length > 0) throw bad('it names unknown groups')
  if (index === undefined || term === undefined) throw bad('it is cut short')
  return { index, term }
}

function bad(why: string): StoreError {
  return new StoreError('QUORATE_BAD_TOKEN', `the session token cannot be used: ${why}`)
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
}

function readVarints(bytes: Uint8Array): number[] {
  const values: number[] = []
  let value = 0
  let scale = 1
  for (const byte of bytes) {
    value += (byte % 128) * scale
    scale *= 128
    if (!Number.isSafeInteger(value)) throw bad('a number in it is too large')
    if (byte < 128) {
      values.push(value)
      value = 0
      scale = 1
    }
  }
  return values
}
