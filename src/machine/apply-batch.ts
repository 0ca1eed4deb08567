/**
 * Turns committed entries into batches of the database: the hot path of every write.
 *
 * One ApplyBatch serves a state machine for life. Nothing is allocated per operation: keys get their prefix and
 * values their header in scratch memory, which a DatabaseBatch copies at once.
 */
import type { DatabaseBatch } from '../env/database.js'
import type { LogIndex } from '../raft/types.js'
import { DecodeError, KEY_BYTES_MAX } from '../wire/command.js'
import type { CommandVisitor } from '../wire/read-command.js'
import { type ExpiryNote, NO_NOTES } from './expiry-note.js'
import { DataKey, MEMBERS_KEY, META_KEY, prefixed, SESSION_PREFIX } from './key-space.js'
import { encodeTtl, ttlKey } from './lease-record.js'
import type { Overlay } from './overlay.js'
import { sessionRecordBytes, writeSessionRecord } from './session-record.js'
import type { SessionTable } from './sessions.js'
import type { StateDigest } from './state-digest.js'
import { encodeStateRecord, type StateRecord } from './state-record.js'
import { makeStoredValue, VALUE_HEADER_BYTES, writeValueHeader } from './stored-value.js'

/** A batch is written when it holds so much, so that it holds up a turn of the event loop for a few ms at most. */
const BATCH_OPERATIONS = 2048
const BATCH_BYTES = 1_048_576
const FIRST_SCRATCH_BYTES = 16_384

/** Collects the effects of whole entries, and digests them; see the file's comment. */
export class ApplyBatch implements CommandVisitor {
  readonly #key = new DataKey()
  #session: Buffer = Buffer.allocUnsafe(FIRST_SCRATCH_BYTES)
  #value: Buffer = Buffer.allocUnsafe(FIRST_SCRATCH_BYTES)
  #batch: DatabaseBatch
  #digest: StateDigest
  #revision: LogIndex = 0
  #operations = 0
  #bytes = 0
  #notes: ExpiryNote[] | undefined

  constructor(batch: DatabaseBatch, digest: StateDigest) {
    this.#batch = batch
    this.#digest = digest
  }

  /** Begins again on a fresh batch. */
  restart(batch: DatabaseBatch, digest: StateDigest): void {
    this.#batch = batch
    this.#digest = digest
    this.#operations = 0
    this.#bytes = 0
  }

  /** Whether it should be written before the next entry goes in. */
  get isFull(): boolean {
    return this.#operations >= BATCH_OPERATIONS || this.#bytes >= BATCH_BYTES
  }

  /** What follows belongs to the entry at `index`. */
  beginEntry(index: LogIndex): void {
    this.#revision = index
    this.#operations++
  }

  put(key: Buffer, value: Buffer, checksum: number, ttlMs: number): void {
    if (key.length > KEY_BYTES_MAX) throw new DecodeError('key length out of bounds')
    if (ttlMs > 0) {
      this.#putExpiring(key, value, checksum, ttlMs)
      return
    }
    const bytes = VALUE_HEADER_BYTES + value.length
    if (bytes > this.#value.length) this.#value = Buffer.allocUnsafe(2 * bytes)
    const stored = this.#value
    const seal = writeValueHeader(stored, checksum, this.#revision)
    this.#digest.addPut(seal, key.length, value.length)
    stored.set(value, VALUE_HEADER_BYTES)
    this.#batch.put(this.#key.of(key), stored.subarray(0, bytes))
    this.#operations++
    this.#bytes += key.length + bytes
  }

  del(key: Buffer): void {
    if (key.length > KEY_BYTES_MAX) throw new DecodeError('key length out of bounds')
    this.#digest.addDel(key)
    this.#batch.del(this.#key.of(key))
    this.#operations++
    this.#bytes += key.length
  }

  /** What the entry said about things that go by themselves. */
  takeNotes(): readonly ExpiryNote[] {
    const notes = this.#notes ?? NO_NOTES
    this.#notes = undefined
    return notes
  }

  /** Adds what an entry did that was interpreted; it is digested already. */
  addInterpreted(overlay: Overlay): void {
    for (const [key, value] of overlay.changes()) {
      if (value === undefined) this.#batch.del(key)
      else this.#batch.put(key, value)
    }
  }

  /** Replaces the members. */
  putMembers(members: Uint8Array): void {
    this.#batch.put(MEMBERS_KEY, members)
  }

  /** Adds the sessions that changed and the new state record, then writes it all, visible together. */
  write(state: StateRecord, sessions: SessionTable): Promise<void> {
    const batch = this.#batch
    sessions.takeChanges(
      (session) => {
        const bytes = sessionRecordBytes(session)
        if (bytes > this.#session.length) this.#session = Buffer.allocUnsafe(2 * bytes)
        const length = writeSessionRecord(session, this.#session)
        batch.put(sessionKey(session.id), this.#session.subarray(0, length))
      },
      (id) => batch.del(sessionKey(id)),
    )
    batch.put(META_KEY, encodeStateRecord(state))
    return batch.write()
  }

  #putExpiring(key: Buffer, value: Buffer, checksum: number, ttlMs: number): void {
    const revision = this.#revision
    const expiry = { type: 'ttl', ttlMs } as const
    const { stored, seal } = makeStoredValue({ value, checksum, expiry }, revision)
    this.#digest.addPut(seal, key.length, value.length)
    this.#batch.put(this.#key.of(key), stored)
    this.#batch.put(ttlKey(key), encodeTtl(key, { ttlMs, revision }))
    this.#operations += 2
    this.#bytes += 2 * key.length + stored.length
    this.#notes ??= []
    this.#notes.push({ type: 'key', key, revision, ttlMs })
  }
}

function sessionKey(id: string): Buffer {
  return prefixed(SESSION_PREFIX, Buffer.from(id, 'latin1'))
}
