/**
 * What a log entry asks of the replicated state: commands, each atomic, made of operations and compares. Their bytes
 * are in command-codec.ts, requests and entries in request.ts.
 *
 * A command that can fail, branch or stop early has one result byte, the same on every member (RESULT_*):
 *   write   none when it only puts and deletes. With a lease or a coded value: 1 done; 0 a lease does not exist; 5 see
 *           below. A clear of its own: 1 the range is empty now, 2 there may be more. Several operations with a clear
 *           among them: 1 done; 3, 4 below
 *   txn     1 `then` ran, 0 `else` ran; 2 a lease that the branch puts with does not exist; 3, 4, 5 see below
 *   grant   1 granted, 0 the lease exists already
 *   keepAlive  1 the lease lives, 0 it does not exist
 *   revoke  1 it is gone with its keys, 2 it is not alive any more but has keys left: call again; 0 it did not exist
 * 3: nothing happened, because it would clear more than one entry may (CLEAR_KEYS_MAX, CLEAR_BYTES_MAX). 4: nothing
 * happened, because others in the same entry cleared so much: send it again. 5: nothing happened, because the shards of
 * a coded value count no more: term or members have changed since they were stored. With 0 and 2 of a missing lease
 * nothing of the command happened either.
 */
import type { KeyRange } from '../env/database.js'
import type { BlobId } from './manifest.js'

/** The largest key, in bytes. */
export const KEY_BYTES_MAX = 65_536
/** A lease's name, in bytes. */
export const LEASE_BYTES = 8
/** The largest limit of one clear, other than none at all: so that keys of any length stay within memory. */
export const CLEAR_LIMIT_MAX = 1000
/** All commands of one entry together clear at most so many keys, and so many bytes of keys and one key more. */
export const CLEAR_KEYS_MAX = 100_000
export const CLEAR_BYTES_MAX = 16_777_216

/** In logs and on the wire: the result bytes; which command gives which is said in the file's comment. */
export const RESULT_NO = 0
export const RESULT_YES = 1
export const RESULT_PARTLY = 2
export const RESULT_NO_LEASE = 2
export const RESULT_TOO_LARGE = 3
export const RESULT_AGAIN = 4
export const RESULT_UNCOVERED = 5

/** When a value goes by itself: a time after it was written, or with a lease (8 bytes). */
export type Expiry =
  | { readonly type: 'ttl'; readonly ttlMs: number }
  | { readonly type: 'lease'; readonly lease: Uint8Array }

/** Stores a value; what its key was attached to before it is not any more. */
export interface Put {
  readonly type: 'put'
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly expiry?: Expiry
  /** The value lies in shards: `value` is its manifest (manifest.ts). */
  readonly coded?: true
}

/** Removes a key. */
export interface Del {
  readonly type: 'del'
  readonly key: Uint8Array
}

/** Removes the keys of a range, from its start, or from its end when `reverse`. */
export interface Clear {
  readonly type: 'clear'
  readonly range: KeyRange
  readonly reverse: boolean
  /** 1 to CLEAR_LIMIT_MAX, or Infinity. */
  readonly limit: number
}

/** One change inside a command. */
export type Operation = Put | Del | Clear

/**
 * What a transaction asks about the state. A revision of 0 is that of no key. The value of a key that is coded is equal
 * to none: what lies in shards is not read here.
 */
export type Compare =
  | { readonly type: 'revision'; readonly key: Uint8Array; readonly revision: number }
  | { readonly type: 'exists' | 'absent'; readonly key: Uint8Array }
  | { readonly type: 'value'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'empty'; readonly range: KeyRange }

/** A value with a time of its own that is due: the one that the entry at `revision` put under `key`. */
export interface DueKey {
  readonly key: Uint8Array
  readonly revision: number
}

/** A lease that is due: nobody kept it alive after the entry at `generation`. */
export interface DueLease {
  readonly lease: Uint8Array
  readonly generation: number
}

/** A key that may be listed under a lease without need, because it was written without it since. */
export interface Attachment {
  readonly lease: Uint8Array
  readonly key: Uint8Array
}

/** What the leader alone asks for: things whose time has come by its clock. */
export interface Expire {
  readonly type: 'expire'
  readonly keys: readonly DueKey[]
  readonly leases: readonly DueLease[]
  readonly detached: readonly Attachment[]
}

/**
 * What the leader alone asks for: other shards in the place of those of the blob `expected`, with the same bytes. Only
 * while the key still has that blob; it keeps its revision and expiry.
 */
export interface Respread<O = Operation> {
  readonly type: 'respread'
  readonly expected: BlobId
  /** A coded one without expiry. */
  readonly put: Extract<O, { readonly type: 'put' }>
}

/** What the leader alone asks for: no list of coded values names these keys any more, unless they are coded. */
export interface Forget {
  readonly type: 'forget'
  readonly keys: readonly Uint8Array[]
}

/** What the leader alone asks for: the state right after this entry is to be retained, with so many data shards. */
export interface Retain {
  readonly type: 'retain'
  readonly dataShards: number
}

/** What the leader alone asks for: the state that is retained at `index` is durable at enough members. */
export interface Retained {
  readonly type: 'retained'
  readonly index: number
  /** 8 bytes: of its image. */
  readonly root: Uint8Array
}

/** One atomic step of the state. `O` is Operation when it is made, ReadOperation when it is read. */
export type Command<O = Operation> =
  | { readonly type: 'write'; readonly operations: readonly O[] }
  | {
      readonly type: 'txn'
      readonly compares: readonly Compare[]
      readonly then: readonly O[]
      readonly else: readonly O[]
    }
  | { readonly type: 'grant'; readonly lease: Uint8Array; readonly ttlMs: number }
  | { readonly type: 'keepAlive' | 'revoke'; readonly lease: Uint8Array }
  | Expire
  | Respread<O>
  | Forget
  | Retain
  | Retained

/** Whether `command` has a result byte. */
export function hasResult(command: Command): boolean {
  if (command.type === 'write') return command.operations.some(readsState)
  return !isOwnCommand(command)
}

const OWN_TYPES: ReadonlySet<Command['type']> = new Set([
  'expire',
  'respread',
  'forget',
  'retain',
  'retained',
])

/** Whether `command` is one that only the leader asks for. */
export function isOwnCommand({ type }: Pick<Command, 'type'>): boolean {
  return OWN_TYPES.has(type)
}

/** Whether what `operation` does depends on the state. */
export function readsState(operation: Operation): boolean {
  if (operation.type === 'put')
    return operation.coded === true || operation.expiry?.type === 'lease'
  return operation.type === 'clear'
}

/** Why bytes were refused by a decoder; never thrown for bytes that this version wrote. */
export class DecodeError extends Error {
  override readonly name: string = 'DecodeError'
}
