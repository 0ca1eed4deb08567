/**
 * What a member says first on every connection that it dials to another one: for how long it votes for nobody else
 * after it has heard from a leader. Leases count on it (raft/lease.ts).
 *
 *   loyalty   u32 milliseconds; 0: it makes no such promise
 */
import { DecodeError } from './command.js'

/** On the wire. */
export const FRAME_LOYALTY = 44

export function encodeLoyalty(ms: number): Buffer {
  const body = Buffer.alloc(4)
  body.writeUInt32LE(ms)
  return body
}

/** @throws {DecodeError} */
export function decodeLoyalty(body: Buffer): number {
  if (body.length !== 4) throw new DecodeError('malformed loyalty')
  return body.readUInt32LE(0)
}
