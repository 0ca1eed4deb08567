/**
 * Session tokens: a position in the log that a session has seen, as a short printable string.
 *
 *   s1. base64url( u8 version | clusterId 8 bytes | varint incarnation | varint group count
 *                  | { varint group | varint index | varint term }* | seal )
 *   seal: version 1, u32 CRC-32; version 2, the first 16 bytes of HMAC-SHA256 under the Stores' `tokenKey`
 *
 * One group (0) exists today. The cluster id keeps a token of another cluster from being taken for a position: a
 * cluster that is restored or recovered has an id of its own, so its incarnation is always 0. The checksum finds what
 * a cookie damaged on the way; only the key tells a token that was made up from one that was given out (design D6).
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'

const PREFIX = 's1.'
const CHECKED = 1
const SEALED = 2
const INCARNATION = 0
const GROUP = 0
const CLUSTER_ID_BYTES = 8
const CHECKSUM_BYTES = 4
const SEAL_BYTES = 16
/** A token is not longer than this; checked before anything is decoded. */
const TEXT_MAX = 200

/** A position in the log of group 0. */
export interface Position {
  readonly index: number
  readonly term: number
}

/** Makes and reads the tokens of one cluster. */
export class Tokens {
  readonly #clusterId: Uint8Array
  readonly #key: Uint8Array | undefined

  /** @param key with one, only tokens that it sealed are taken; without, only tokens that no key sealed */
  constructor(clusterId: Uint8Array, key: Uint8Array | undefined) {
    this.#clusterId = clusterId
    this.#key = key
  }

  /** The token for `position`. */
  encode(position: Position): string {
    const bytes = [this.#key === undefined ? CHECKED : SEALED, ...this.#clusterId]
    for (const value of [INCARNATION, 1, GROUP, position.index, position.term]) {
      pushVarint(bytes, value)
    }
    const body = Buffer.from(bytes)
    return PREFIX + Buffer.concat([body, this.#sealOf(body)]).toString('base64url')
  }

  /**
   * The position in `token`.
   * @throws {StoreError} QUORATE_BAD_TOKEN when it is malformed, of another cluster or not sealed as here.
   */
  decode(token: string): Position {
    if (!token.startsWith(PREFIX) || token.length > TEXT_MAX) throw bad('it is not a session token')
    const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url')
    const sealBytes = this.#requireVersion(bytes[0])
    if (bytes.length < 1 + CLUSTER_ID_BYTES + sealBytes) throw bad('it is cut short')
    const body = bytes.subarray(0, -sealBytes)
    if (!timingSafeEqual(this.#sealOf(body), bytes.subarray(-sealBytes))) {
      throw bad(this.#key === undefined ? 'its checksum does not match' : 'it was not given out')
    }
    if (!equalBytes(body.subarray(1, 1 + CLUSTER_ID_BYTES), this.#clusterId)) {
      throw bad('it belongs to another cluster')
    }
    return positionIn(body.subarray(1 + CLUSTER_ID_BYTES))
  }

  /** The length of the seal. */
  #requireVersion(version: number | undefined): number {
    const expected = this.#key === undefined ? CHECKED : SEALED
    if (version === expected) return version === SEALED ? SEAL_BYTES : CHECKSUM_BYTES
    if (version === SEALED) throw bad('it is sealed by a key, and there is no tokenKey here')
    if (version === CHECKED) throw bad('no key sealed it, and there is a tokenKey here')
    throw bad(`its version is ${version}`)
  }

  #sealOf(body: Uint8Array): Buffer {
    if (this.#key !== undefined) {
      return createHmac('sha256', this.#key).update(body).digest().subarray(0, SEAL_BYTES)
    }
    const checksum = Buffer.alloc(CHECKSUM_BYTES)
    checksum.writeUInt32LE(crc32(body))
    return checksum
  }
}

function positionIn(bytes: Uint8Array): Position {
  const [incarnation, groups, group, index, term, ...rest] = readVarints(bytes)
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
