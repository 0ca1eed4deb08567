/**
 * "Tell me when you have applied this": what members say to each other for writes that wait until they are applied
 * elsewhere, too. The frame's kind says which; integers little-endian.
 *
 *   await     u64 index: the sender wants to hear how far the state of the other one is, until it has this index
 *   applied   u64 index: the sender has applied everything up to here
 *
 * Either may be lost; whoever waits asks again.
 */
import { readU64, writeU64 } from '../base/bytes.js'
import type { LogIndex } from '../raft/types.js'
import { DecodeError } from './command.js'

/** On the wire. */
export const FRAME_AWAIT_APPLIED = 42
export const FRAME_APPLIED = 43

/** The body of either frame. */
export function encodeAppliedIndex(index: LogIndex): Buffer {
  const body = Buffer.allocUnsafe(8)
  writeU64(body, index, 0)
  return body
}

/** @throws {DecodeError} */
export function decodeAppliedIndex(body: Buffer): LogIndex {
  const index = body.length === 8 ? readU64(body, 0) : undefined
  if (index === undefined) throw new DecodeError('malformed applied index')
  return index
}
