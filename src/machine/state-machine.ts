/**
 * The replicated state on a database: applies committed entries in order, serves reads, takes checkpoints.
 *
 * Invariants:
 *   1. entries are applied contiguously: the next one is always `appliedIndex + 1`
 *   2. effects, sessions, configuration and applied index change in one batch (trap T-37), whose end is the end of
 *      an entry; so the database always holds exactly the replay of the entries 1..applied
 *   3. `checkpointIndex <= appliedIndex`: what a power cut leaves is a state between the two
 *   4. outcomes and state depend on the entries alone, not on how they are cut into batches
 *
 * After `open` the state is that of the last flush; its owner applies the entries after `appliedIndex` again.
 * A failed apply ends the state machine: what is in memory may be ahead of the database.
 */
import { assert } from '../base/assert.js'
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Database, Databases } from '../env/database.js'
import type { ConfState, Entry, EntryId, LogIndex, Term } from '../raft/types.js'
import { DecodeError, type RequestHeader, visitCommands, visitRequests } from '../wire/command.js'
import { ApplyBatch } from './apply-batch.js'
import {
  DATA_PREFIX,
  DataKey,
  MEMBERS_KEY,
  META_KEY,
  prefixed,
  prefixRange,
  SESSION_PREFIX,
} from './key-space.js'
import { MachineView } from './machine-view.js'
import { decodeSessionRecord } from './session-record.js'
import { type RequestOutcome, type Session, SessionTable } from './sessions.js'
import { decodeStateRecord, type StateRecord } from './state-record.js'
import { readStoredValue, type StoredValue } from './stored-value.js'

/** A configuration and the members that belong to it. */
export interface Configuration {
  readonly conf: ConfState
  /** The members by name and address; opaque here, see wire/directory.ts. */
  readonly members: Uint8Array
}

/** How a state machine behaves. */
export interface MachineOptions {
  /** The largest number of clients remembered; the same on all members, because it decides who is evicted. */
  readonly maxSessions: number
  /** In force before any entry; used when the database is new. */
  readonly initial: Configuration
  /**
   * What a configuration entry makes of `before`; stored in the same batch as its index. Depends on nothing but
   * its arguments, and returns `before` itself when the entry changes nothing.
   */
  readonly confChange: (before: Configuration, entry: Entry) => Configuration
}

/** An applied entry with the outcomes of its requests, in order. */
export interface AppliedEntry {
  readonly index: LogIndex
  readonly term: Term
  readonly outcomes: readonly RequestOutcome[]
  /** What it put into force; undefined when it changed no configuration. */
  readonly configuration: Configuration | undefined
}

/** The state machine as plain data. */
export interface MachineStatus {
  readonly appliedIndex: LogIndex
  readonly checkpointIndex: LogIndex
  readonly sessions: number
}

const LOAD_ENTRIES = 1000
const LOAD_BYTES = 1_048_576

/** The state machine; see the file's comment. */
export class StateMachine {
  readonly #database: Database
  readonly #confChange: MachineOptions['confChange']
  readonly #sessions: SessionTable
  readonly #batch: ApplyBatch
  readonly #key = new DataKey()
  /** What the last written batch left. */
  #applied: EntryId
  #configuration: Configuration
  /** The members as the database has them; undefined in a new one. */
  #storedMembers: Uint8Array | undefined
  /** The end of the batch being filled or written; equal to `#applied` when there is none. */
  #reached: EntryId
  #reachedConfiguration: Configuration
  #checkpointIndex: LogIndex
  #isApplying = false
  #failure: unknown
  /** The data of the entry being applied and its outcomes so far, for `#visitRequest`. */
  #data: Buffer = Buffer.alloc(0)
  #outcomes: RequestOutcome[] = []

  /**
   * Opens the state of the last flush in `dir`, or a new and empty one.
   * @throws {StoreError} QUORATE_CORRUPTION when what is there is damaged; QUORATE_FORMAT when it is of a newer
   *   version; what `databases.open` throws.
   */
  static async open(
    databases: Databases,
    dir: string,
    options: MachineOptions,
  ): Promise<StateMachine> {
    const database = await databases.open(dir)
    try {
      const state = await loadState(database, options.initial.conf)
      const sessions = await loadSessions(database, state)
      return new StateMachine(database, state, loadMembers(database, state), sessions, options)
    } catch (error) {
      await database.close()
      throw error
    }
  }

  private constructor(
    database: Database,
    state: StateRecord,
    members: Uint8Array | undefined,
    sessions: readonly Session[],
    options: MachineOptions,
  ) {
    this.#database = database
    this.#confChange = options.confChange
    this.#batch = new ApplyBatch(database.batch())
    this.#applied = { index: state.appliedIndex, term: state.appliedTerm }
    this.#configuration = { conf: state.conf, members: members ?? options.initial.members }
    this.#storedMembers = members
    this.#reached = this.#applied
    this.#reachedConfiguration = this.#configuration
    this.#checkpointIndex = state.appliedIndex
    this.#sessions = new SessionTable(
      options.maxSessions,
      state.evictedThrough,
      state.touches,
      sessions,
    )
  }

  /** Every read sees at least the entries up to here. */
  get appliedIndex(): LogIndex {
    return this.#applied.index
  }

  get appliedTerm(): Term {
    return this.#applied.term
  }

  /**
   * The newest entry that a `get` or `getMany` made now may see: ahead of `appliedIndex` while a batch is being
   * written. What is to promise "never older than what was read" must name this one.
   */
  get visible(): EntryId {
    return this.#reached
  }

  /** The state up to here is durable in the database. */
  get checkpointIndex(): LogIndex {
    return this.#checkpointIndex
  }

  /** The configuration at `appliedIndex`. */
  get conf(): ConfState {
    return this.#configuration.conf
  }

  /** The members at `appliedIndex`; must not be changed. */
  get members(): Uint8Array {
    return this.#configuration.members
  }

  /**
   * Applies entries that are committed and durable in the local log, and returns what became of their requests.
   * One call at a time. Gives the event loop a turn after every 2,048 operations or 1 MiB; an entry is never cut.
   * @throws {StoreError} QUORATE_FORMAT when an entry cannot be decoded; else what the database throws. Both are
   *   final: only `close` may follow.
   */
  async apply(entries: readonly Entry[]): Promise<AppliedEntry[]> {
    assert(!this.#isApplying, 'entries are applied one call at a time')
    this.#refuseAfterFailure()
    this.#isApplying = true
    try {
      const applied: AppliedEntry[] = []
      while (applied.length < entries.length) {
        this.#fill(entries, applied)
        await this.#write()
      }
      return applied
    } catch (error) {
      this.#failure = error
      throw error
    } finally {
      this.#isApplying = false
    }
  }

  /** Reads on this turn of the event loop. @throws {StoreError} QUORATE_CORRUPTION */
  get(key: Uint8Array): StoredValue | undefined {
    const bytes = this.#database.get(this.#key.of(key))
    return bytes === undefined ? undefined : readStoredValue(key, asBuffer(bytes))
  }

  /** Reads off the event loop, all at one moment. @throws {StoreError} QUORATE_CORRUPTION */
  async getMany(keys: readonly Uint8Array[]): Promise<(StoredValue | undefined)[]> {
    const found = await this.#database.getMany(keys.map((key) => prefixed(DATA_PREFIX, key)))
    return found.map((bytes, i) =>
      bytes === undefined ? undefined : readStoredValue(keys[i]!, asBuffer(bytes)),
    )
  }

  /** The state as it is now, kept until closed. */
  view(): MachineView {
    return new MachineView(this.#database.snapshot(), this.#key)
  }

  /**
   * Makes the applied state durable and returns its index; `undefined` when the flush failed quietly, which a full
   * disk does (design D2). May run beside `apply`.
   */
  async checkpoint(): Promise<LogIndex | undefined> {
    const { index } = this.#applied
    if (index > this.#checkpointIndex) {
      if (!(await this.#database.flush())) return undefined
      this.#checkpointIndex = Math.max(this.#checkpointIndex, index)
    }
    return this.#checkpointIndex
  }

  status(): MachineStatus {
    return {
      appliedIndex: this.#applied.index,
      checkpointIndex: this.#checkpointIndex,
      sessions: this.#sessions.size,
    }
  }

  /** Takes a checkpoint, which may fail quietly as the log has everything, and closes the database. */
  async close(): Promise<void> {
    assert(!this.#isApplying, 'the state machine is closed after its last apply has ended')
    try {
      if (this.#failure === undefined) await this.checkpoint()
    } finally {
      await this.#database.close()
    }
  }

  #refuseAfterFailure(): void {
    if (this.#failure === undefined) return
    throw new StoreError('QUORATE_STOPPED', 'the state machine stopped at an earlier failure', {
      cause: this.#failure,
    })
  }

  /** Puts entries into the batch until it is full or they end. */
  #fill(entries: readonly Entry[], applied: AppliedEntry[]): void {
    while (applied.length < entries.length && !this.#batch.isFull) {
      const entry = entries[applied.length]!
      assert(entry.index === this.#reached.index + 1, 'entries are applied without a gap', {
        index: entry.index,
        reached: this.#reached.index,
      })
      this.#outcomes = []
      this.#reached = entry
      this.#batch.beginEntry(entry.index)
      const configuration = entry.kind === 'normal' ? undefined : this.#reconfigure(entry)
      if (entry.kind === 'normal') this.#applyRequests(entry)
      const { index, term } = entry
      applied.push({ index, term, outcomes: this.#outcomes, configuration })
    }
    this.#reached = { index: this.#reached.index, term: this.#reached.term }
  }

  #reconfigure(entry: Entry): Configuration | undefined {
    const before = this.#reachedConfiguration
    this.#reachedConfiguration = this.#confChange(before, entry)
    return this.#reachedConfiguration === before ? undefined : this.#reachedConfiguration
  }

  #applyRequests(entry: Entry): void {
    this.#data = asBuffer(entry.data)
    try {
      visitRequests(this.#data, this.#visitRequest)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      throw new StoreError('QUORATE_FORMAT', `entry ${entry.index}: ${error.message}`, {
        cause: error,
      })
    }
  }

  readonly #visitRequest = (request: RequestHeader & { end: number }, offset: number): void => {
    const { index, term } = this.#reached
    const outcome = this.#sessions.admit(request, index, term)
    this.#outcomes.push(outcome)
    if (outcome.status === 'applied') visitCommands(this.#data, offset, request, this.#batch)
  }

  async #write(): Promise<void> {
    const reached = this.#reached
    const configuration = this.#reachedConfiguration
    const { conf, members } = configuration
    const state: StateRecord = {
      appliedIndex: reached.index,
      appliedTerm: reached.term,
      conf,
      evictedThrough: this.#sessions.evictedThrough,
      touches: this.#sessions.touches,
      sessions: this.#sessions.size,
    }
    if (members !== this.#storedMembers) this.#batch.putMembers(members)
    await this.#batch.write(state, this.#sessions)
    this.#applied = reached
    this.#configuration = configuration
    this.#storedMembers = members
    this.#batch.restart(this.#database.batch())
  }
}

/** The state record, or that of an empty database; a database that holds anything else without it is damaged. */
async function loadState(database: Database, initialConf: ConfState): Promise<StateRecord> {
  const record = database.get(META_KEY)
  if (record !== undefined) return decodeStateRecord(asBuffer(record))
  const [stray] = await readSome(database, DATA_PREFIX, 1)
  const [straySession] = await readSome(database, SESSION_PREFIX, 1)
  const strayMembers = database.get(MEMBERS_KEY)
  if (stray !== undefined || straySession !== undefined || strayMembers !== undefined) {
    throw new StoreError('QUORATE_CORRUPTION', 'the database has data but no state record')
  }
  return {
    appliedIndex: 0,
    appliedTerm: 0,
    conf: initialConf,
    evictedThrough: 0,
    touches: 0,
    sessions: 0,
  }
}

/** The members, which are written with the first state record; undefined in a new database. */
function loadMembers(database: Database, state: StateRecord): Uint8Array | undefined {
  const members = database.get(MEMBERS_KEY)
  if (members === undefined && state.appliedIndex > 0) {
    throw new StoreError('QUORATE_CORRUPTION', 'the database has a state record but no members')
  }
  return members
}

/** The sessions in the order of their touches: as many as the state record says, none newer than it. */
async function loadSessions(database: Database, state: StateRecord): Promise<Session[]> {
  const records = await readSome(database, SESSION_PREFIX, Number.POSITIVE_INFINITY)
  const sessions = records.map(([key, bytes]) =>
    decodeSessionRecord(asBuffer(key).toString('latin1', 1), asBuffer(bytes)),
  )
  const isAhead = ({ touch, lastActive }: Session) =>
    touch > state.touches || lastActive > state.appliedIndex
  if (sessions.length !== state.sessions || sessions.some(isAhead)) {
    throw new StoreError('QUORATE_CORRUPTION', 'the session records do not fit the state record')
  }
  return sessions.sort((a, b) => a.touch - b.touch)
}

async function readSome(
  database: Database,
  prefix: number,
  maxEntries: number,
): Promise<(readonly [Uint8Array, Uint8Array])[]> {
  const snapshot = database.snapshot()
  const cursor = snapshot.cursor({ range: prefixRange(prefix), reverse: false })
  try {
    const found: (readonly [Uint8Array, Uint8Array])[] = []
    while (found.length < maxEntries) {
      const some = await cursor.next(Math.min(LOAD_ENTRIES, maxEntries - found.length), LOAD_BYTES)
      if (some.length === 0) break
      found.push(...some)
    }
    return found
  } finally {
    await cursor.close()
    await snapshot.close()
  }
}
