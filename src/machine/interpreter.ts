/**
 * Carries out the commands of one entry that depend on the state: transactions, clears, leases, and plain ones between
 * them. The rest is applied without looking (apply-batch.ts).
 *
 * Invariants:
 *   1. a command happens as a whole or, when its result says so, not at all
 *   2. what an entry does depends on the state before it and on its bytes alone; in particular not on any clock
 *   3. an entry removes at most CLEAR_KEYS_MAX keys, and about CLEAR_BYTES_MAX bytes of keys, by clears and the ends of
 *      leases together
 */
import { unreachable } from '../base/assert.js'
import { asBuffer, equalBytes } from '../base/bytes.js'
import type { LogIndex } from '../raft/types.js'
import {
  CLEAR_BYTES_MAX,
  CLEAR_KEYS_MAX,
  type Clear,
  type Compare,
  type Expire,
  RESULT_AGAIN,
  RESULT_NO,
  RESULT_NO_LEASE,
  RESULT_PARTLY,
  RESULT_TOO_LARGE,
  RESULT_YES,
  readsState,
} from '../wire/command.js'
import type { ReadCommand, ReadOperation, ReadPut } from '../wire/read-command.js'
import type { Change } from './change-history.js'
import type { ExpiryNote } from './expiry-note.js'
import { attachmentsOf, DATA_PREFIX, dataRange, prefixed } from './key-space.js'
import {
  ATTACHMENT,
  attachmentKey,
  attachmentOf,
  decodeLease,
  decodeTtl,
  encodeLease,
  encodeTtl,
  type Lease,
  leaseKey,
  ttlKey,
} from './lease-record.js'
import type { Overlay } from './overlay.js'
import type { StateDigest } from './state-digest.js'
import { makeStoredValue, readStoredValue, type StoredValue } from './stored-value.js'

/** What a command has done so far; counts only when the command ends well. */
type Effect =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer; readonly seal: number }
  | { readonly type: 'del'; readonly key: Buffer }
  /** A record about leases, by its key in the database. */
  | { readonly type: 'record'; readonly key: Buffer; readonly value: Buffer | undefined }
  | { readonly type: 'note'; readonly note: ExpiryNote }

/** The commands of the entry at one index; see the file's comment. */
export class Interpreter {
  readonly #overlay: Overlay
  readonly #digest: StateDigest
  readonly #index: LogIndex
  readonly #changes: Change[] = []
  readonly #notes: ExpiryNote[] = []
  #effects: Effect[] = []
  #removedKeys = 0
  #removedBytes = 0

  /** What its commands do goes into `overlay` and `digest`. */
  constructor(overlay: Overlay, digest: StateDigest, index: LogIndex) {
    this.#overlay = overlay
    this.#digest = digest
    this.#index = index
  }

  /** What happened to the users' keys, in order. */
  get changes(): readonly Change[] {
    return this.#changes
  }

  get notes(): readonly ExpiryNote[] {
    return this.#notes
  }

  /** Carries out `command`; its result byte if it has one. @throws {StoreError} QUORATE_CORRUPTION, QUORATE_FORMAT */
  async run(command: ReadCommand): Promise<number | undefined> {
    const result = await this.#run(command)
    this.#commit()
    return result
  }

  async #run(command: ReadCommand): Promise<number | undefined> {
    switch (command.type) {
      case 'write':
        return this.#write(command.operations)
      case 'txn': {
        const holds = await this.#holdAll(command.compares)
        const result = await this.#attempt(holds ? command.then : command.else, RESULT_NO_LEASE)
        return result === RESULT_YES && !holds ? RESULT_NO : result
      }
      case 'grant':
        return this.#grant(command.lease, command.ttlMs)
      case 'keepAlive':
        return this.#keepAlive(command.lease)
      case 'revoke': {
        const lease = await this.#lease(command.lease)
        return lease === undefined ? RESULT_NO : this.#end(command.lease, lease)
      }
      case 'expire':
        await this.#expire(command)
        return undefined
      default:
        return unreachable(command)
    }
  }

  async #write(operations: readonly ReadOperation[]): Promise<number | undefined> {
    const [first] = operations
    if (operations.length === 1 && first!.type === 'clear') return this.#clearAlone(first!)
    if (operations.some(readsState)) return this.#attempt(operations, RESULT_NO)
    for (const operation of operations) {
      if (operation.type === 'put') this.#put(operation)
      else if (operation.type === 'del') this.#del(asBuffer(operation.key))
    }
    return undefined
  }

  /** Does all of `operations` or nothing; `noLease` when one of their leases is not alive. */
  async #attempt(operations: readonly ReadOperation[], noLease: number): Promise<number> {
    if (!(await this.#areAlive(operations))) return noLease
    const [keys, bytes] = [this.#removedKeys, this.#removedBytes]
    for (const operation of operations) {
      if (operation.type === 'put') this.#put(operation)
      else if (operation.type === 'del') this.#del(asBuffer(operation.key))
      else if ((await this.#clear(operation, CLEAR_BYTES_MAX)) === 'full') {
        this.#undo(keys, bytes)
        return keys === 0 ? RESULT_TOO_LARGE : RESULT_AGAIN
      }
    }
    return RESULT_YES
  }

  async #clearAlone(clear: Clear): Promise<number> {
    const [keys, bytes] = [this.#removedKeys, this.#removedBytes]
    if (clear.limit === Number.POSITIVE_INFINITY) {
      return (await this.#clear(clear, CLEAR_BYTES_MAX)) === 'empty' ? RESULT_YES : RESULT_PARTLY
    }
    // With a limit it is all or nothing; so the first one of an entry must find room, however long its keys are.
    const maxBytes = keys === 0 ? Number.POSITIVE_INFINITY : CLEAR_BYTES_MAX
    const reached = await this.#clear(clear, maxBytes)
    if (reached !== 'full') return reached === 'empty' ? RESULT_YES : RESULT_PARTLY
    this.#undo(keys, bytes)
    return RESULT_AGAIN
  }

  /** Removes keys until the range is empty, the limit is reached, or the entry may remove no more. */
  async #clear(clear: Clear, maxBytes: number): Promise<'empty' | 'limit' | 'full'> {
    let left = clear.limit
    for await (const [key] of this.#overlay.range(dataRange(clear.range), clear.reverse)) {
      if (!this.#mayRemove(maxBytes)) return 'full'
      this.#countRemoved(key)
      this.#del(key.subarray(1))
      if (--left === 0) return 'limit'
    }
    return 'empty'
  }

  async #areAlive(operations: readonly ReadOperation[]): Promise<boolean> {
    for (const operation of operations) {
      if (operation.type !== 'put' || operation.expiry?.type !== 'lease') continue
      const lease = await this.#lease(operation.expiry.lease)
      if (lease === undefined || lease.isEnding) return false
    }
    return true
  }

  async #holdAll(compares: readonly Compare[]): Promise<boolean> {
    for (const compare of compares) if (!(await this.#holds(compare))) return false
    return true
  }

  async #holds(compare: Compare): Promise<boolean> {
    if (compare.type === 'empty') {
      for await (const _ of this.#overlay.range(dataRange(compare.range), false)) return false
      return true
    }
    const stored = await this.#stored(compare.key)
    switch (compare.type) {
      case 'revision':
        return (stored?.revision ?? 0) === compare.revision
      case 'exists':
        return stored !== undefined
      case 'absent':
        return stored === undefined
      case 'value':
        return stored !== undefined && equalBytes(stored.value, compare.value)
      default:
        return unreachable(compare)
    }
  }

  async #grant(id: Uint8Array, ttlMs: number): Promise<number> {
    if ((await this.#lease(id)) !== undefined) return RESULT_NO
    const index = this.#index
    this.#setLease(id, { ttlMs, granted: index, generation: index, isEnding: false })
    return RESULT_YES
  }

  async #keepAlive(id: Uint8Array): Promise<number> {
    const lease = await this.#lease(id)
    if (lease === undefined || lease.isEnding) return RESULT_NO
    this.#setLease(id, { ...lease, generation: this.#index })
    return RESULT_YES
  }

  /** Removes what is attached to the lease, and then the lease; as much of it as the entry may. */
  async #end(id: Uint8Array, lease: Lease): Promise<number> {
    for await (const [listed] of this.#overlay.range(attachmentsOf(id), false)) {
      if (!this.#mayRemove(CLEAR_BYTES_MAX)) {
        this.#setLease(id, { ...lease, isEnding: true })
        return RESULT_PARTLY
      }
      this.#countRemoved(listed)
      const { key } = attachmentOf(listed)
      if (isAttached(await this.#stored(key), id)) this.#del(key)
      this.#setRecord(listed, undefined)
    }
    this.#setRecord(leaseKey(id), undefined)
    this.#note({ type: 'settledLease', lease: id })
    return RESULT_YES
  }

  /** Each item counts only if nothing was written, and nobody kept it alive, since the leader saw it. */
  async #expire({ keys, leases, detached }: Expire): Promise<void> {
    for (const { key, revision } of keys) await this.#expireKey(key, revision)
    for (const { lease: id, generation } of leases) {
      const lease = await this.#lease(id)
      if (lease === undefined) this.#note({ type: 'settledLease', lease: id })
      else if (lease.isEnding || lease.generation === generation) await this.#end(id, lease)
    }
    for (const { lease, key } of detached) {
      if (isAttached(await this.#stored(key), lease)) continue
      this.#setRecord(attachmentKey(lease, key), undefined)
    }
  }

  async #expireKey(key: Uint8Array, revision: LogIndex): Promise<void> {
    this.#note({ type: 'settledKey', key, revision })
    const record = await this.#overlay.get(ttlKey(key))
    if (record === undefined || decodeTtl(key, record).revision !== revision) return
    this.#setRecord(ttlKey(key), undefined)
    const stored = await this.#stored(key)
    const isDue = stored?.expiry?.type === 'ttl' && stored.revision === revision
    if (isDue) this.#del(asBuffer(key))
  }

  async #lease(id: Uint8Array): Promise<Lease | undefined> {
    const record = await this.#overlay.get(leaseKey(id))
    return record === undefined ? undefined : decodeLease(id, record)
  }

  async #stored(key: Uint8Array): Promise<StoredValue | undefined> {
    const bytes = await this.#overlay.get(prefixed(DATA_PREFIX, key))
    return bytes === undefined ? undefined : readStoredValue(key, bytes)
  }

  #put({ key, value, checksum, expiry }: ReadPut): void {
    const { stored, seal } = makeStoredValue(value, checksum, this.#index, expiry)
    this.#overlay.set(prefixed(DATA_PREFIX, key), stored)
    this.#effects.push({ type: 'put', key: asBuffer(key), value: asBuffer(value), seal })
    if (expiry === undefined) return
    // These follow from the value, which is digested: they need no effect of their own.
    if (expiry.type === 'lease') this.#overlay.set(attachmentKey(expiry.lease, key), ATTACHMENT)
    else this.#overlay.set(ttlKey(key), encodeTtl(key, { ...expiry, revision: this.#index }))
    if (expiry.type === 'ttl') {
      this.#note({ type: 'key', key, revision: this.#index, ttlMs: expiry.ttlMs })
    }
  }

  #del(key: Buffer): void {
    this.#overlay.set(prefixed(DATA_PREFIX, key), undefined)
    this.#effects.push({ type: 'del', key })
  }

  #setLease(id: Uint8Array, lease: Lease): void {
    this.#setRecord(leaseKey(id), encodeLease(id, lease))
    const { ttlMs, generation, isEnding } = lease
    this.#note({ type: 'lease', lease: id, generation, ttlMs, isEnding })
  }

  #setRecord(key: Buffer, value: Buffer | undefined): void {
    this.#overlay.set(key, value)
    this.#effects.push({ type: 'record', key, value })
  }

  #note(note: ExpiryNote): void {
    this.#effects.push({ type: 'note', note })
  }

  #mayRemove(maxBytes: number): boolean {
    return this.#removedKeys < CLEAR_KEYS_MAX && this.#removedBytes < maxBytes
  }

  #countRemoved(key: Buffer): void {
    this.#removedKeys++
    this.#removedBytes += key.length
  }

  #undo(removedKeys: number, removedBytes: number): void {
    this.#overlay.undo()
    this.#effects = []
    this.#removedKeys = removedKeys
    this.#removedBytes = removedBytes
  }

  #commit(): void {
    for (const effect of this.#effects) {
      switch (effect.type) {
        case 'put': {
          const { key, value, seal } = effect
          this.#digest.addPut(seal, key.length, value.length)
          this.#changes.push({ type: 'put', key, value })
          break
        }
        case 'del':
          this.#digest.addDel(effect.key)
          this.#changes.push({ type: 'del', key: effect.key, value: undefined })
          break
        case 'record':
          this.#digest.addRecord(effect.key, effect.value)
          break
        case 'note':
          this.#notes.push(effect.note)
          break
        default:
          unreachable(effect)
      }
    }
    this.#effects = []
    this.#overlay.keep()
  }
}

function isAttached(stored: StoredValue | undefined, lease: Uint8Array): boolean {
  return stored?.expiry?.type === 'lease' && equalBytes(stored.expiry.lease, lease)
}
