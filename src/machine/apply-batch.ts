/**
 * Turns committed entries into batches of the database: the hot path of every write.
 *
 * One ApplyBatch serves a state machine for life. Nothing is allocated per operation: keys get their prefix and
 * values their header in scratch memory, which a DatabaseBatch copies at once.
 */
import type { DatabaseBatch } from '../env/database.js'
import type { LogIndex } from '../raft/types.js'
import { type CommandVisitor, DecodeError, KEY_BYTES_MAX } from '../wire/command.js'
import { DataKey, MEMBERS_KEY, META_KEY, prefixed, SESSION_PREFIX } from './key-space.js'
import { SESSION_RECORD_BYTES_MAX, writeSessionRecord } from './session-record.js'
import type { SessionTable } from './sessions.js'
import type { StateDigest } from './state-digest.js'
import { encodeStateRecord, type StateRecord } from './state-record.js'
import { VALUE_HEADER_BYTES, writeValueHeader } from './stored-value.js'

/** A batch is written when it holds so much, so that it holds up a turn of the event loop for a few ms at most. */
const BATCH_OPERATIONS = 2048
const BATCH_BYTES = 1_048_576
const FIRST_SCRATCH_BYTES = 16_384

/** Collects the effects of whole entries, and digests them; see the file's comment. */
export class ApplyBatch implements CommandVisitor {
  readonly #key = new DataKey()
  readonly #session: Buffer = Buffer.allocUnsafe(SESSION_RECORD_BYTES_MAX)
  #value: Buffer = Buffer.allocUnsafe(FIRST_SCRATCH_BYTES)
  #batch: DatabaseBatch
  #digest: StateDigest
  #revision: LogIndex = 0
  #operations = 0
  #bytes = 0

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

  put(key: Buffer, value: Buffer, checksum: number): void {
    if (key.length > KEY_BYTES_MAX) throw new DecodeError('key length out of bounds')
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

  /** Replaces the members. */
  putMembers(members: Uint8Array): void {
    this.#batch.put(MEMBERS_KEY, members)
  }

  /** Adds the sessions that changed and the new state record, then writes it all, visible together. */
  write(state: StateRecord, sessions: SessionTable): Promise<void> {
    const batch = this.#batch
    sessions.takeChanges(
      (session) => {
        const length = writeSessionRecord(session, this.#session)
        batch.put(sessionKey(session.id), this.#session.subarray(0, length))
      },
      (id) => batch.del(sessionKey(id)),
    )
    batch.put(META_KEY, encodeStateRecord(state))
    return batch.write()
  }
}

function sessionKey(id: string): Buffer {
  return prefixed(SESSION_PREFIX, Buffer.from(id, 'latin1'))
}
