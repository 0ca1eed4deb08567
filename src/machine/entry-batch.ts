/**
 * The batch that the next entries go into, and the state as they leave it: ahead of the database until it is written.
 *
 * Invariants:
 *   1. it ends at the end of an entry, and carries everything that its entries changed
 *   2. entries with commands that depend on the state are never in one batch with others: what they read is in the
 *      database or in their overlay
 *   3. it ends where a pin wants it to, and where what is retained changes: that is the state to be retained
 */
import { assert } from '../base/assert.js'
import { asBuffer } from '../base/bytes.js'
import type { Entry, EntryId, LogIndex } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import {
  entryReadsState,
  type RequestHeader,
  visitCommands,
  visitRequests,
} from '../wire/request.js'
import { ApplyBatch } from './apply-batch.js'
import type { Change } from './change-history.js'
import { NO_CODED } from './coded-keys.js'
import { type ShardMembers, shardMembersOf } from './coverage.js'
import { interpretEntry, undecodable } from './interpret-entry.js'
import type { LoadedState } from './load-state.js'
import { Overlay } from './overlay.js'
import type { Pins } from './pins.js'
import { type RequestOutcome, SessionTable } from './sessions.js'
import type { SharedDatabase } from './shared-database.js'
import { StateDigest } from './state-digest.js'
import type { AppliedEntry, Configuration, MachineOptions } from './state-machine.js'
import type { StateRecord } from './state-record.js'

/** See the file's comment. */
export class EntryBatch {
  readonly #options: MachineOptions
  readonly #pins: Pins
  #database: SharedDatabase
  #sessions: SessionTable
  #digest: StateDigest
  readonly #batch: ApplyBatch
  /** The members as the database has them; undefined in a new one. */
  #storedMembers: Uint8Array | undefined
  #reached: EntryId
  #configuration: Configuration
  /** Of `#configuration`, once they were asked for. */
  #shardMembers: ShardMembers | undefined
  /** Whether its last entry changed what is retained. */
  #hasRetained = false
  /** The entry that is being interpreted, which belongs to the batch; 0 when none is. */
  #interpreting: LogIndex = 0
  /** What each entry of the batch did, if they were interpreted. */
  #interpreted: (readonly Change[])[] = []
  /** The data of the entry being applied and its outcomes so far, for `#visitRequest`. */
  #data: Buffer = Buffer.alloc(0)
  #outcomes: RequestOutcome[] = []

  /** Begins after the state that was loaded from `database`. */
  constructor(database: SharedDatabase, loaded: LoadedState, options: MachineOptions, pins: Pins) {
    const { state, members } = loaded
    this.#options = options
    this.#pins = pins
    this.#database = database
    this.#digest = new StateDigest(state.appliedIndex, state.digest)
    this.#batch = new ApplyBatch(database.batch(), this.#digest)
    this.#sessions = sessionsOf(loaded, options)
    this.#storedMembers = members
    this.#reached = { index: state.appliedIndex, term: state.appliedTerm }
    this.#configuration = configurationOf(loaded, options)
  }

  /** Begins anew after another state. */
  restart(database: SharedDatabase, loaded: LoadedState): void {
    const { state, members } = loaded
    this.#database = database
    this.#sessions = sessionsOf(loaded, this.#options)
    this.#digest = new StateDigest(state.appliedIndex, state.digest)
    this.#storedMembers = members
    this.#reached = { index: state.appliedIndex, term: state.appliedTerm }
    this.#configuration = configurationOf(loaded, this.#options)
    this.#shardMembers = undefined
    this.#batch.restart(database.batch(), this.#digest)
  }

  /** The end of the batch that is being written; else of what was written last. */
  get reached(): EntryId {
    return this.#reached
  }

  /** The earliest entry at which the batch can still be made to end. */
  get nextEnd(): LogIndex {
    return Math.max(this.#reached.index, this.#interpreting)
  }

  /** Whether it ends with an entry that changed what is retained. */
  get hasRetained(): boolean {
    return this.#hasRetained
  }

  /** The configuration at `reached`. */
  get configuration(): Configuration {
    return this.#configuration
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /** The digest after the entry at `index`; see StateDigest. */
  digestAt(index: LogIndex): string | undefined {
    return this.#digest.at(index)
  }

  /** What the entry at this position of the batch did; undefined when that is to be read out of its bytes. */
  changesOf(position: number): readonly Change[] | undefined {
    return this.#interpreted[position]
  }

  /** Fills the batch, which is empty, with what comes after `applied`: entries that depend on the state, or others. */
  async fill(entries: readonly Entry[], applied: AppliedEntry[]): Promise<void> {
    const next = entries[applied.length]!
    this.#interpreted = []
    this.#hasRetained = false
    this.#fillPlain(entries, applied)
    if (this.#reached.index === next.index - 1) await this.#interpret(entries, applied)
  }

  /** Writes what `fill` put in; the database shows it all or nothing. @throws what the database throws */
  async write(): Promise<void> {
    const { index, term } = this.#reached
    const { conf, members } = this.#configuration
    const state: StateRecord = {
      appliedIndex: index,
      appliedTerm: term,
      conf,
      evictedThrough: this.#sessions.evictedThrough,
      touches: this.#sessions.touches,
      sessions: this.#sessions.size,
      digest: this.#digest.at(index)!,
    }
    if (members !== this.#storedMembers) this.#batch.putMembers(members)
    await this.#batch.write(state, this.#sessions)
    this.#storedMembers = members
    this.#batch.restart(this.#database.batch(), this.#digest)
  }

  /** The same as `#fillPlain` for entries that depend on the state, at least one. */
  async #interpret(entries: readonly Entry[], applied: AppliedEntry[]): Promise<void> {
    const overlay = new Overlay(this.#database)
    const shardMembers = (): ShardMembers => this.#ownShardMembers()
    const target = { overlay, sessions: this.#sessions, digest: this.#digest, shardMembers }
    let reached = this.#reached
    try {
      while (applied.length < entries.length && !overlay.isFull) {
        const entry = entries[applied.length]!
        if (!readsState(entry)) break
        requireNext(entry, reached)
        const { index, term } = entry
        this.#interpreting = index
        const interpreted = await interpretEntry(entry, target)
        const { outcomes, changes, expiry, coded } = interpreted
        reached = { index, term }
        this.#interpreted.push(changes)
        this.#digest.endEntry(index, term, this.#sessions)
        applied.push({ index, term, outcomes, configuration: undefined, expiry, coded })
        this.#hasRetained = interpreted.hasRetained
        if (this.#hasRetained || this.#pins.has(index)) break
      }
      // Not before: until its end is known nobody may count on where the batch ends.
      this.#reached = reached
      this.#batch.addInterpreted(overlay)
    } finally {
      this.#interpreting = 0
      await overlay.close()
    }
  }

  /** Puts entries into the batch until it is full, reaches a pin, they end, or one depends on the state. */
  #fillPlain(entries: readonly Entry[], applied: AppliedEntry[]): void {
    while (applied.length < entries.length && !this.#batch.isFull) {
      const entry = entries[applied.length]!
      requireNext(entry, this.#reached)
      if (readsState(entry)) break
      this.#outcomes = []
      this.#reached = entry
      this.#batch.beginEntry(entry.index)
      const configuration = entry.kind === 'normal' ? undefined : this.#reconfigure(entry)
      if (entry.kind === 'normal') this.#applyRequests(entry)
      const { index, term } = entry
      this.#digest.endEntry(index, term, this.#sessions)
      const expiry = this.#batch.takeNotes()
      const outcomes = this.#outcomes
      applied.push({ index, term, outcomes, configuration, expiry, coded: NO_CODED })
      if (this.#pins.has(index)) break
    }
    this.#reached = { index: this.#reached.index, term: this.#reached.term }
  }

  #ownShardMembers(): ShardMembers {
    this.#shardMembers ??= shardMembersOf(this.#configuration)
    return this.#shardMembers
  }

  #reconfigure(entry: Entry): Configuration | undefined {
    const before = this.#configuration
    const after = this.#options.confChange(before, entry)
    if (after === before) return undefined
    this.#configuration = after
    this.#shardMembers = undefined
    this.#digest.addConfiguration(after.conf, after.members)
    return after
  }

  #applyRequests(entry: Entry): void {
    this.#data = asBuffer(entry.data)
    try {
      visitRequests(this.#data, this.#visitRequest)
    } catch (error) {
      throw error instanceof DecodeError ? undecodable(entry, error) : error
    }
  }

  readonly #visitRequest = (request: RequestHeader, offset: number): void => {
    const { index, term } = this.#reached
    const outcome = this.#sessions.admit(request, index, term)
    this.#outcomes.push(outcome)
    this.#digest.addOutcome(request, outcome)
    if (outcome.status === 'applied') visitCommands(this.#data, offset, request, this.#batch)
  }
}

function requireNext({ index }: Entry, { index: reached }: EntryId): void {
  assert(index === reached + 1, 'entries are applied without a gap', { index, reached })
}

/** Whether what `entry` does depends on the state. */
function readsState({ kind, data }: Entry): boolean {
  return kind === 'normal' && entryReadsState(data)
}

function configurationOf({ state, members }: LoadedState, options: MachineOptions): Configuration {
  return { conf: state.conf, members: members ?? options.initial.members }
}

function sessionsOf({ state, sessions }: LoadedState, options: MachineOptions): SessionTable {
  const { evictedThrough, touches } = state
  return new SessionTable(options.maxSessions, evictedThrough, touches, sessions)
}
