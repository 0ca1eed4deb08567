/**
 * Carries out the commands of one entry that depend on the state: transactions, clears, leases, coded values, and plain
 * ones between them. The rest is applied without looking (apply-batch.ts).
 *
 * Invariants:
 *   1. a command happens as a whole or, when its result says so, not at all
 *   2. what an entry does depends on the state before it and on its bytes alone; in particular not on any clock
 *   3. an entry removes at most CLEAR_KEYS_MAX keys, and about CLEAR_BYTES_MAX bytes of keys, by clears and the ends of
 *      leases together
 *   4. a manifest comes into the state only in the term of its blob, and only when the members of its index hold enough
 *      shards of every part; no shard is read for that. So a blob that no entry of its term introduced never will be
 */
import { unreachable } from '../base/assert.js'
import { asBuffer, equalBytes } from '../base/bytes.js'
import type { EntryId, LogIndex } from '../raft/types.js'
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
  RESULT_UNCOVERED,
  RESULT_YES,
  type Respread,
  type Retain,
  type Retained,
  readsState,
} from '../wire/command.js'
import { decodeManifest, isSameBlob, type Manifest } from '../wire/manifest.js'
import type { ReadCommand, ReadOperation, ReadPut } from '../wire/read-command.js'
import { encodeRetained } from '../wire/retained.js'
import type { Change } from './change-history.js'
import { CODED_RECORD, type CodedNote, codedKey } from './coded-keys.js'
import { isCovered, type ShardMembers } from './coverage.js'
import { type Effect, Effects } from './effects.js'
import type { ExpiryNote } from './expiry-note.js'
import { attachmentsOf, DATA_PREFIX, dataRange, prefixed, RETAINED_KEY } from './key-space.js'
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
import { begun, confirmed, readRetained } from './retained-record.js'
import type { StateDigest } from './state-digest.js'
import { makeStoredValue, readStoredValue, type StoredValue } from './stored-value.js'

/** The commands of the entry at one index; see the file's comment. */
export class Interpreter {
  readonly #overlay: Overlay
  readonly #entry: EntryId
  readonly #index: LogIndex
  readonly #shardMembers: () => ShardMembers
  readonly #effects: Effects
  #hasRetained = false
  #removedKeys = 0
  #removedBytes = 0

  /**
   * What its commands do goes into `overlay` and `digest`.
   * @param shardMembers those of the configuration at the entry
   */
  constructor(
    overlay: Overlay,
    digest: StateDigest,
    entry: EntryId,
    shardMembers: () => ShardMembers,
  ) {
    this.#overlay = overlay
    this.#effects = new Effects(digest)
    this.#entry = entry
    this.#index = entry.index
    this.#shardMembers = shardMembers
  }

  /** What happened to the users' keys, in order. */
  get changes(): readonly Change[] {
    return this.#effects.changes
  }

  get notes(): readonly ExpiryNote[] {
    return this.#effects.notes
  }

  /** The large values that came into force, in order. */
  get coded(): readonly CodedNote[] {
    return this.#effects.coded
  }

  /** Whether what is retained is something else now. */
  get hasRetained(): boolean {
    return this.#hasRetained
  }

  /**
   * Carries out `command`; its result byte if it has one.
   * @throws {StoreError} QUORATE_CORRUPTION, QUORATE_FORMAT; {DecodeError} for a manifest of a newer version
   */
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
      case 'respread':
        await this.#respread(command)
        return undefined
      case 'forget':
        for (const key of command.keys) await this.#forget(key)
        return undefined
      case 'retain':
      case 'retained':
        await this.#retain(command)
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
    if (!this.#noteCoded(operations)) return RESULT_UNCOVERED
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

  /** Notes the coded values among `operations`; false when the shards of one are not on enough members. */
  #noteCoded(operations: readonly ReadOperation[]): boolean {
    const noted: Effect[] = []
    for (const operation of operations) {
      if (operation.type !== 'put' || !operation.coded) continue
      const manifest = decodeManifest(operation.value)
      if (!this.#mayIntroduce(manifest)) return false
      noted.push({ type: 'coded', coded: { key: asBuffer(operation.key), manifest } })
    }
    for (const effect of noted) this.#effects.add(effect)
    return true
  }

  #mayIntroduce(manifest: Manifest): boolean {
    return manifest.id.term === this.#entry.term && isCovered(manifest, this.#shardMembers())
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
        return isPlainValue(stored) && equalBytes(stored.value, compare.value)
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

  /** Done also when it is done already: on a member that mended the value with what another had by then. */
  async #respread({ expected, put }: Respread<ReadOperation>): Promise<void> {
    const stored = await this.#stored(put.key)
    if (!stored?.isCoded) return
    const [before, manifest] = [decodeManifest(stored.value), decodeManifest(put.value)]
    const isExpected = isSameBlob(before.id, expected) || isSameBlob(before.id, manifest.id)
    const isSameValue = before.bytes === manifest.bytes && before.isStream === manifest.isStream
    if (!isExpected || !isSameValue || !this.#mayIntroduce(manifest)) return
    const { revision, expiry } = stored
    const { stored: bytes, seal } = makeStoredValue({ ...put, ...(expiry && { expiry }) }, revision)
    this.#overlay.set(prefixed(DATA_PREFIX, put.key), bytes)
    const coded = { key: asBuffer(put.key), manifest }
    this.#effects.add({ type: 'respread', coded, bytes: put.value.length, seal })
  }

  async #forget(key: Uint8Array): Promise<void> {
    if ((await this.#stored(key))?.isCoded) return
    this.#setRecord(codedKey(key), undefined)
  }

  async #retain(command: Retain | Retained): Promise<void> {
    const before = readRetained(await this.#overlay.get(RETAINED_KEY))
    const after =
      command.type === 'retain'
        ? begun(before, command, this.#entry, this.#shardMembers())
        : confirmed(before, command)
    if (after === undefined) return
    this.#setRecord(RETAINED_KEY, encodeRetained(after))
    this.#hasRetained = true
  }

  async #lease(id: Uint8Array): Promise<Lease | undefined> {
    const record = await this.#overlay.get(leaseKey(id))
    return record === undefined ? undefined : decodeLease(id, record)
  }

  async #stored(key: Uint8Array): Promise<StoredValue | undefined> {
    const bytes = await this.#overlay.get(prefixed(DATA_PREFIX, key))
    return bytes === undefined ? undefined : readStoredValue(key, bytes)
  }

  #put(put: ReadPut): void {
    const { key, value, expiry, coded } = put
    const { stored, seal } = makeStoredValue(put, this.#index)
    this.#overlay.set(prefixed(DATA_PREFIX, key), stored)
    const plain = { type: 'put' as const, key: asBuffer(key), value: asBuffer(value) }
    const change = coded ? { ...plain, isCoded: coded } : plain
    this.#effects.add({ type: 'put', change, seal })
    // These follow from the value, which is digested: they need no effect of their own.
    if (coded) this.#overlay.set(codedKey(key), CODED_RECORD)
    if (expiry === undefined) return
    if (expiry.type === 'lease') this.#overlay.set(attachmentKey(expiry.lease, key), ATTACHMENT)
    else this.#overlay.set(ttlKey(key), encodeTtl(key, { ...expiry, revision: this.#index }))
    if (expiry.type === 'ttl') {
      this.#note({ type: 'key', key, revision: this.#index, ttlMs: expiry.ttlMs })
    }
  }

  #del(key: Buffer): void {
    this.#overlay.set(prefixed(DATA_PREFIX, key), undefined)
    this.#effects.add({ type: 'del', key })
  }

  #setLease(id: Uint8Array, lease: Lease): void {
    this.#setRecord(leaseKey(id), encodeLease(id, lease))
    const { ttlMs, generation, isEnding } = lease
    this.#note({ type: 'lease', lease: id, generation, ttlMs, isEnding })
  }

  #setRecord(key: Buffer, value: Buffer | undefined): void {
    this.#overlay.set(key, value)
    this.#effects.add({ type: 'record', key, value })
  }

  #note(note: ExpiryNote): void {
    this.#effects.add({ type: 'note', note })
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
    this.#effects.undo()
    this.#removedKeys = removedKeys
    this.#removedBytes = removedBytes
  }

  #commit(): void {
    this.#effects.commit()
    this.#overlay.keep()
  }
}

function isPlainValue(stored: StoredValue | undefined): stored is StoredValue {
  return stored !== undefined && !stored.isCoded
}

function isAttached(stored: StoredValue | undefined, lease: Uint8Array): boolean {
  return stored?.expiry?.type === 'lease' && equalBytes(stored.expiry.lease, lease)
}
