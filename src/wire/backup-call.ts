/**
 * What a client that makes a backup asks a member for, and what it is answered: plain data, for the envelopes of
 * wire/envelope.ts (method `backup`). What comes in is checked here field by field.
 *
 *   begin   holds the state fast              → { id, manifestBytes }
 *   piece   bytes of a chunk, or of the       → { wholeBytes, bytes }
 *           manifest when `firstKey` is empty
 *   value   bytes of a large value, or of     → { wholeBytes, bytes }
 *           parts of it, by their manifest
 *   end     lets the state go                 → {}
 */
import { DecodeError } from './command.js'

/** What can be asked. */
export type BackupCall =
  | { readonly type: 'begin'; readonly level: BackupLevel; readonly timeoutMs: number }
  | {
      readonly type: 'piece'
      readonly id: number
      readonly firstKey: Uint8Array
      readonly offset: number
    }
  | {
      readonly type: 'value'
      readonly id: number
      readonly key: Uint8Array
      readonly manifest: Uint8Array
      readonly offset: number
    }
  | { readonly type: 'end'; readonly id: number }

/** As for reads; a session's position means nothing to another client. */
export type BackupLevel = 'strong' | 'eventual'

/** The answer to `begin`. */
export interface BackupBegun {
  readonly id: number
  readonly manifestBytes: number
}

/** The answer to `piece` and `value`: at least one byte from `offset` on. */
export interface BackupPiece {
  /** Of the whole chunk, manifest, or value. */
  readonly wholeBytes: number
  readonly bytes: Uint8Array
}

/** @throws {DecodeError} */
export function asBackupCall(params: unknown): BackupCall {
  const { type, level, timeoutMs, id, firstKey, key, manifest, offset } = fieldsOf(params)
  if (type === 'begin' && (level === 'strong' || level === 'eventual') && isCount(timeoutMs)) {
    return { type, level, timeoutMs }
  }
  if (type === 'piece' && isCount(id) && firstKey instanceof Uint8Array && isCount(offset)) {
    return { type, id, firstKey, offset }
  }
  if (type === 'value' && isCount(id) && isCount(offset)) {
    if (key instanceof Uint8Array && manifest instanceof Uint8Array) {
      return { type, id, key, manifest, offset }
    }
  }
  if (type === 'end' && isCount(id)) return { type, id }
  throw new DecodeError('malformed call for a backup')
}

/** @throws {DecodeError} */
export function asBackupBegun(answer: unknown): BackupBegun {
  const { id, manifestBytes } = fieldsOf(answer)
  if (isCount(id) && isCount(manifestBytes)) return { id, manifestBytes }
  throw new DecodeError('malformed answer about a backup')
}

/** @throws {DecodeError} */
export function asBackupPiece(answer: unknown): BackupPiece {
  const { wholeBytes, bytes } = fieldsOf(answer)
  if (isCount(wholeBytes) && bytes instanceof Uint8Array && bytes.length > 0) {
    return { wholeBytes, bytes }
  }
  throw new DecodeError('malformed piece of a backup')
}

function fieldsOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? value : {}
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
