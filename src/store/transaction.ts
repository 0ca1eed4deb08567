/** Batches and transactions as the caller says them, and as operations and compares of a command. */
import type { Clear, Command, Compare, Expiry, Operation, Put } from '../wire/command.js'
import { CLEAR_LIMIT_MAX } from '../wire/command.js'
import type { KeyBounds } from './call-options.js'
import { encodeKey, encodeValue, isByteStream, type Key, type ValueEncoding } from './encoding.js'
import { encodeRange } from './key-range.js'
import { refuseUnknown } from './open-options.js'

/** When a value goes by itself; at most one of the two. */
export interface ExpiryOptions {
  /**
   * Milliseconds until the key is removed, unless it is written again before: 1 to 10 years, by the clock of whoever
   * leads. It is removed a little later rather than earlier, and after a change of leader the time begins anew.
   */
  readonly ttlMs?: number
  /** The id of a lease (see `Store.lease`): the key goes when the lease does. */
  readonly lease?: string
}

/** One change of a batch or transaction. */
export type BatchOperation =
  | ({ readonly type: 'put'; readonly key: Key; readonly value: unknown } & ExpiryOptions)
  | { readonly type: 'del'; readonly key: Key }
  /** Removes the keys of a range: at most 100,000, or as many as `limit` says (1 to 1,000). */
  | ({
      readonly type: 'clear'
      readonly limit?: number
      readonly reverse?: boolean
    } & KeyBounds)

/** What a transaction asks of the state before it changes it. */
export type Condition =
  /** The key's last change was at this log index (see `getWithMeta`); 0: there is no such key. */
  | { readonly key: Key; readonly revision: number }
  | { readonly key: Key; readonly exists: boolean }
  /** The stored bytes are those that this value has in the call's encoding; never those of a value in shards. */
  | { readonly key: Key; readonly value: unknown }
  /** No key lies in the range. */
  | ({ readonly empty: true } & KeyBounds)

/** If all conditions hold, all of `then` is done, else all of `else`: in one step, at one place of the log. */
export interface Transaction {
  readonly if: readonly Condition[]
  readonly then?: readonly BatchOperation[]
  readonly else?: readonly BatchOperation[]
}

const TTL_MS_MAX = 10 * 366 * 24 * 3_600_000
const BOUNDS = ['gt', 'gte', 'lt', 'lte'] as const
const NOTHING = new Uint8Array(0)
const LEASE_PATTERN = /^[0-9a-f]{16}$/

/** How values become bytes, and how long they may be. */
export interface ValueRules {
  readonly encoding: ValueEncoding
  /** Of values that are compared. */
  readonly maxBytes: number
  /** Of values that are stored. */
  readonly maxPutBytes: number
}

/** @throws {TypeError | RangeError} */
export function encodeTransaction(
  txn: Transaction,
  rules: ValueRules,
): Command & { readonly type: 'txn' } {
  if (typeof txn !== 'object' || txn === null) throw new TypeError('a transaction is an object')
  refuseUnknown('a transaction', txn, ['if', 'then', 'else'])
  if (!Array.isArray(txn.if)) throw new TypeError('if is an array of conditions')
  return {
    type: 'txn',
    compares: txn.if.map((condition) => encodeCondition(condition, rules)),
    then: encodeOperations(txn.then ?? [], rules),
    else: encodeOperations(txn.else ?? [], rules),
  }
}

/** @throws {TypeError | RangeError} */
export function encodeOperations(
  operations: readonly BatchOperation[],
  rules: ValueRules,
): Operation[] {
  if (!Array.isArray(operations)) throw new TypeError('operations are an array')
  return operations.map((operation) => encodeOperation(operation, rules))
}

/** A put, of which the value's bytes are not copied. @throws {TypeError | RangeError} */
export function encodePut(
  key: Key,
  value: unknown,
  expiry: ExpiryOptions | undefined,
  { encoding, maxPutBytes }: ValueRules,
): Put {
  const put = {
    type: 'put',
    key: encodeKey(key),
    value: encodeValue(value, encoding, maxPutBytes),
  } as const
  const when = expiry === undefined ? undefined : encodeExpiry(expiry)
  return when === undefined ? put : { ...put, expiry: when }
}

/** A put whose value is still to come; its key is copied. @throws {TypeError | RangeError} */
export function encodePlaceholder(key: Key, expiry: ExpiryOptions): Put {
  const put = { type: 'put', key: Buffer.from(encodeKey(key)), value: NOTHING } as const
  const when = encodeExpiry(expiry)
  return when === undefined ? put : { ...put, expiry: when }
}

/** The bytes of a lease's id. @throws {TypeError} */
export function encodeLease(id: unknown): Uint8Array {
  if (typeof id !== 'string' || !LEASE_PATTERN.test(id)) {
    throw new TypeError('a lease is named by its id, 16 hexadecimal digits')
  }
  return Buffer.from(id, 'hex')
}

/** Throws unless `ms` is a time that a value or lease may have. */
export function requireTtl(ms: unknown): number {
  if (typeof ms !== 'number') throw new TypeError('ttlMs is a number')
  if (Number.isSafeInteger(ms) && ms >= 1 && ms <= TTL_MS_MAX) return ms
  throw new RangeError(`ttlMs is a whole number from 1 to ${TTL_MS_MAX}, not ${ms}`)
}

function encodeExpiry({ ttlMs, lease }: ExpiryOptions): Expiry | undefined {
  if (ttlMs !== undefined && lease !== undefined) {
    throw new TypeError('a value has a ttlMs or a lease, not both')
  }
  if (ttlMs !== undefined) return { type: 'ttl', ttlMs: requireTtl(ttlMs) }
  return lease === undefined ? undefined : { type: 'lease', lease: encodeLease(lease) }
}

function encodeOperation(operation: BatchOperation, rules: ValueRules): Operation {
  if (typeof operation !== 'object' || operation === null) {
    throw new TypeError('an operation of a batch is an object')
  }
  switch (operation.type) {
    case 'put':
      refuseUnknown('a put', operation, ['type', 'key', 'value', 'ttlMs', 'lease'])
      if (isByteStream(operation.value)) throw new TypeError('a stream is stored by put alone')
      return encodePut(operation.key, operation.value, operation, rules)
    case 'del':
      return { type: 'del', key: encodeKey(operation.key) }
    case 'clear':
      return encodeClear(operation)
    default:
      throw new TypeError('the type of an operation is put, del or clear')
  }
}

/** @throws {TypeError | RangeError} */
export function encodeClear(
  clear: {
    readonly limit?: number
    readonly reverse?: boolean
  } & KeyBounds,
): Clear {
  refuseUnknown('a clear', clear, ['type', 'limit', 'reverse', ...BOUNDS])
  const { limit = Number.POSITIVE_INFINITY, reverse = false } = clear
  if (typeof reverse !== 'boolean') throw new TypeError('reverse is true or false')
  const isBounded = Number.isSafeInteger(limit) && limit >= 1 && limit <= CLEAR_LIMIT_MAX
  if (limit !== Number.POSITIVE_INFINITY && !isBounded) {
    throw new RangeError(`the limit of a clear is a whole number from 1 to ${CLEAR_LIMIT_MAX}`)
  }
  return { type: 'clear', range: encodeRange(clear), reverse, limit }
}

function encodeCondition(condition: Condition, { encoding, maxBytes }: ValueRules): Compare {
  if (typeof condition !== 'object' || condition === null) {
    throw new TypeError('a condition is an object')
  }
  if ('empty' in condition) {
    refuseUnknown('a condition', condition, ['empty', ...BOUNDS])
    if (condition.empty !== true) throw new TypeError('empty is true')
    return { type: 'empty', range: encodeRange(condition) }
  }
  const key = encodeKey(condition.key)
  if ('revision' in condition) {
    refuseUnknown('a condition', condition, ['key', 'revision'])
    return { type: 'revision', key, revision: requireRevision(condition.revision) }
  }
  if ('exists' in condition) {
    refuseUnknown('a condition', condition, ['key', 'exists'])
    if (typeof condition.exists !== 'boolean') throw new TypeError('exists is true or false')
    return { type: condition.exists ? 'exists' : 'absent', key }
  }
  refuseUnknown('a condition', condition, ['key', 'value'])
  if (!('value' in condition)) {
    throw new TypeError('a condition has a revision, exists, a value, or empty')
  }
  return { type: 'value', key, value: encodeValue(condition.value, encoding, maxBytes) }
}

/** Throws unless `revision` is 0 or a log index. */
export function requireRevision(revision: unknown): number {
  if (typeof revision !== 'number') throw new TypeError('a revision is a number')
  if (Number.isSafeInteger(revision) && revision >= 0) return revision
  throw new RangeError(`a revision is 0 or a log index, not ${revision}`)
}
