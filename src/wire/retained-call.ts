/**
 * What clients ask a member about retained checkpoints, and what they are answered: plain data, for the envelopes of
 * wire/envelope.ts (method `retained`). What comes in is checked here field by field.
 *
 *   retain    has the members retain the state      → { index, root }
 *   describe  the durable one that is whole here    → { index, root, slot, bytes }: of its description
 *   file      bytes of its description              → { wholeBytes, bytes }
 *   shard     bytes of this member's shard          → { wholeBytes, bytes }
 *   value     bytes of parts of a large value       → { wholeBytes, bytes }
 */
import { DecodeError } from './command.js'
import { SLOT_MAX } from './manifest.js'
import { isRoot } from './retained.js'

/** What can be asked. */
export type RetainedCall =
  | { readonly type: 'retain'; readonly timeoutMs: number }
  | { readonly type: 'describe' }
  | { readonly type: 'file'; readonly index: number; readonly offset: number }
  | {
      readonly type: 'shard'
      readonly index: number
      readonly part: number
      readonly offset: number
    }
  | {
      readonly type: 'value'
      readonly key: Uint8Array
      readonly manifest: Uint8Array
      readonly offset: number
    }

/** The answer to `describe`. */
export interface RetainedDescription {
  readonly index: number
  readonly root: string
  /** The index of this member's shards. */
  readonly slot: number
  readonly bytes: number
}

/** @throws {DecodeError} */
export function asRetainedCall(params: unknown): RetainedCall {
  const { type, timeoutMs, index, part, offset, key, manifest } = fieldsOf(params)
  if (type === 'retain' && isCount(timeoutMs)) return { type, timeoutMs }
  if (type === 'describe') return { type }
  if (type === 'file' && isCount(index) && isCount(offset)) return { type, index, offset }
  if (type === 'shard' && isCount(index) && isCount(part) && isCount(offset)) {
    return { type, index, part, offset }
  }
  if (type === 'value' && isCount(offset)) {
    if (key instanceof Uint8Array && manifest instanceof Uint8Array) {
      return { type, key, manifest, offset }
    }
  }
  throw new DecodeError('malformed call about a retained checkpoint')
}

/** @throws {DecodeError} */
export function asRetainedDescription(answer: unknown): RetainedDescription {
  const { index, root, slot, bytes } = fieldsOf(answer)
  if (isCount(index) && isRoot(root) && isCount(slot) && slot <= SLOT_MAX && isCount(bytes)) {
    return { index, root, slot, bytes }
  }
  throw new DecodeError('malformed answer about a retained checkpoint')
}

/** @throws {DecodeError} */
export function asRetainedCheckpoint(answer: unknown): { index: number; root: string } {
  const { index, root } = fieldsOf(answer)
  if (isCount(index) && isRoot(root)) return { index, root }
  throw new DecodeError('malformed answer about a retained checkpoint')
}

function fieldsOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? value : {}
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
