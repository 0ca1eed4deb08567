/**
 * The replicated state on a database: applies committed entries in order, serves reads, takes checkpoints.
 *
 * Invariants:
 *   1. entries are applied contiguously: the next one is always `appliedIndex + 1`
 *   2. effects, sessions, configuration and applied index change in one batch (trap T-37), whose end is the end of
 *      an entry; so the database always holds exactly the replay of the entries 1..applied
 *   3. `checkpointIndex <= appliedIndex`: what a power cut leaves is a state between the two
 *   4. outcomes, state and digest depend on the entries alone, not on how they are cut into batches
 *
 * After `open` the state is that of the last flush; its owner applies the entries after `appliedIndex` again.
 * After a failed apply what is in memory may be ahead of the database. A database that refuses a batch, as LevelDB does
 * for good once a flush has failed, is opened again (`recoverWith`): its state is that of the last flush, and what came
 * after it is applied again before anything is read, so that nobody sees it go back. Any other failure ends the state
 * machine, until `replace` puts another database in the place of this one.
 */
import { assert, InvariantError } from '../base/assert.js'
import { asBuffer } from '../base/bytes.js'
import { StoreError, type StoreErrorCode } from '../base/errors.js'
import type { Database, DatabaseSnapshot, Databases } from '../env/database.js'
import type { ConfState, Entry, EntryId, LogIndex, Term } from '../raft/types.js'
import type { RetainedRecord } from '../wire/retained.js'
import { type Change, ChangeHistory } from './change-history.js'
import type { CodedNote, CodedSlice } from './coded-keys.js'
import { EntryBatch } from './entry-batch.js'
import type { ExpiryNote } from './expiry-note.js'
import { healValue } from './heal-value.js'
import { DATA_PREFIX, DataKey, prefixed, RETAINED_KEY } from './key-space.js'
import { type LoadedState, loadState } from './load-state.js'
import { appliedOf, MachineView } from './machine-view.js'
import { type PendingCut, Pins } from './pins.js'
import { readRetained } from './retained-record.js'
import type { RequestOutcome } from './sessions.js'
import { SharedDatabase } from './shared-database.js'
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
  /** What the last entries changed is remembered up to so many bytes; 0: nothing. */
  readonly historyBytes: number
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
  /** What it says about things that go by themselves. */
  readonly expiry: readonly ExpiryNote[]
  /** The large values that it put into force, or spread anew. */
  readonly coded: readonly CodedNote[]
}

/** The state machine as plain data. */
export interface MachineStatus {
  readonly appliedIndex: LogIndex
  readonly checkpointIndex: LogIndex
  readonly sessions: number
}

/** How a database that refuses to be written is had again. */
export interface MachineRecovery {
  /** Opens the database again, at its last flush. */
  open(): Promise<Database>
  /** Some of the entries `from..to` that were applied, in order, at least the first. */
  entries(from: LogIndex, to: LogIndex): Promise<readonly Entry[]>
  /** Resolves when another attempt is worth it. */
  pause(): Promise<void>
}

/** What `replace` leaves behind. */
export interface Replaced {
  /** Settles once the last view of the former database is closed, and the database with it. */
  readonly closed: Promise<void>
}

const FINAL_CODES: readonly StoreErrorCode[] = ['QUORATE_CORRUPTION', 'QUORATE_FORMAT']

/** The state machine; see the file's comment. */
export class StateMachine {
  /** What the entries did that were applied since it was opened, or since another state took its place. */
  readonly history: ChangeHistory
  readonly #options: MachineOptions
  #database: SharedDatabase
  /** Former databases that are not closed. */
  readonly #retired = new Set<SharedDatabase>()
  readonly #batch: EntryBatch
  readonly #pins = new Pins()
  readonly #key = new DataKey()
  /** What the last written batch left, or what it was before the database was opened again. */
  #applied: EntryId
  #configuration: Configuration
  #checkpointIndex: LogIndex
  #recovery: MachineRecovery | undefined
  #onRetained: ((state: DatabaseSnapshot) => void) | undefined
  /** Whether the database can be read: not while it is being opened again. */
  #isOpen = true
  #isGivenUp = false
  /** Settles, and never rejects, when the apply under way ends. */
  #applying: Promise<void> | undefined
  /** The same for the last heal; writes of both kinds never overlap. */
  #healing: Promise<void> | undefined
  #failure: unknown

  /**
   * Opens the state of the last flush in `dir`, or a new and empty one.
   * @throws {StoreError} QUORATE_CORRUPTION when what is there is damaged; QUORATE_FORMAT when it is of a newer
   *   version; what `databases.open` throws.
   */
  static async open(
    databases: Pick<Databases, 'open'>,
    dir: string,
    options: MachineOptions,
  ): Promise<StateMachine> {
    const database = await databases.open(dir)
    try {
      return await StateMachine.over(database, options)
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /**
   * A state machine on an open database, which it closes in the end; one that throws has closed nothing.
   * @throws {StoreError} QUORATE_CORRUPTION, QUORATE_FORMAT, as `open`
   */
  static async over(database: Database, options: MachineOptions): Promise<StateMachine> {
    return new StateMachine(database, await loadState(database, options.initial.conf), options)
  }

  private constructor(database: Database, loaded: LoadedState, options: MachineOptions) {
    this.#options = options
    this.#database = new SharedDatabase(database)
    this.#batch = new EntryBatch(this.#database, loaded, options, this.#pins)
    this.#applied = this.#batch.reached
    this.#configuration = this.#batch.configuration
    this.#checkpointIndex = this.#applied.index
    this.history = new ChangeHistory(options.historyBytes, this.#applied)
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
    return this.#batch.reached
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
   * The digest of what the entries up to `index` did, 16 hex digits, equal on all members; undefined when `index` is
   * not applied, or too long ago: the last DIGESTS_KEPT since the state was loaded are known.
   */
  digestAt(index: LogIndex): string | undefined {
    return index > this.#applied.index ? undefined : this.#batch.digestAt(index)
  }

  /** Whether reads and views can be had now; false while the database is being opened again. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** From now on a database that refuses to be written is opened again. */
  recoverWith(recovery: MachineRecovery): void {
    this.#recovery = recovery
  }

  /**
   * From now on `take` is given the state right after each entry that changes what is retained, before any entry after
   * it is applied; it closes the snapshot. After a database was opened again it may be given the same state twice.
   */
  onRetained(take: (state: DatabaseSnapshot) => void): void {
    this.#onRetained = take
  }

  /** What is retained. @throws {StoreError} QUORATE_NOT_READY unless `isOpen`; QUORATE_CORRUPTION */
  get retained(): RetainedRecord {
    this.#refuseWhileClosed()
    return readRetained(this.#database.get(RETAINED_KEY))
  }

  /** Ends the attempts to open the database again: the apply that waits for it fails. */
  giveUp(): void {
    this.#isGivenUp = true
  }

  /**
   * Applies entries that are committed and durable in the local log, and returns what became of their requests.
   * One call at a time. Gives the event loop a turn after every 2,048 operations or 1 MiB; an entry is never cut.
   * @throws {StoreError} QUORATE_FORMAT when an entry cannot be decoded; else what the database throws. Both are
   *   final: only `close` may follow.
   */
  async apply(entries: readonly Entry[]): Promise<AppliedEntry[]> {
    assert(this.#applying === undefined, 'entries are applied one call at a time')
    this.#refuseAfterFailure()
    const work = this.#applyAll(entries)
    this.#applying = work.then(
      () => undefined,
      (error: unknown) => {
        this.#failure = error
        this.#pins.end()
      },
    )
    try {
      return await work
    } finally {
      await this.#applying
      this.#applying = undefined
    }
  }

  /** Reads on this turn of the loop. @throws {StoreError} QUORATE_CORRUPTION; QUORATE_NOT_READY unless `isOpen` */
  get(key: Uint8Array): StoredValue | undefined {
    this.#refuseWhileClosed()
    const bytes = this.#database.get(this.#key.of(key))
    return bytes === undefined ? undefined : readStoredValue(key, asBuffer(bytes))
  }

  /** Reads off the event loop, all at one moment. @throws {StoreError} as `get` */
  async getMany(keys: readonly Uint8Array[]): Promise<(StoredValue | undefined)[]> {
    this.#refuseWhileClosed()
    const found = await this.#database.getMany(keys.map((key) => prefixed(DATA_PREFIX, key)))
    return found.map((bytes, i) =>
      bytes === undefined ? undefined : readStoredValue(keys[i]!, asBuffer(bytes)),
    )
  }

  /**
   * The database exactly as the entry at `index` leaves it, while writes go on; its owner closes it. At once when
   * that is the present state, else when it is reached: the batch ends there. Undefined when the state never stands
   * there any more: it is past it, was replaced, has failed, or more than PINS_MAX newer ones were asked for.
   */
  pin(index: LogIndex): Promise<DatabaseSnapshot | undefined> {
    if (this.#failure !== undefined) return Promise.resolve(undefined)
    if (!this.#isOpen && index <= this.#applied.index) return Promise.resolve(undefined)
    if (index > this.#applied.index && index >= this.#batch.reached.index)
      return this.#pins.add(index)
    if (index !== this.#applied.index) return Promise.resolve(undefined)
    const snapshot = this.#database.snapshot()
    if (appliedOf(snapshot).index === index) return Promise.resolve(snapshot)
    // The batch that is being written shows already.
    return snapshot.close().then(() => undefined)
  }

  /**
   * Goes on from another database, whose state takes the place of the present one between two applies: entries, and
   * reads and views made from then on, meet the new one. Views of the former one stay valid and keep it open. The
   * index may go back; that nobody sees it is the caller's to ensure.
   *
   * @param database its state is durable; this machine closes it, unless this throws
   * @throws {StoreError} QUORATE_CORRUPTION, QUORATE_FORMAT: nothing has changed then
   */
  async replace(database: Database): Promise<Replaced> {
    const loaded = await loadState(database, this.#options.initial.conf)
    while (this.#applying !== undefined || this.#healing !== undefined) {
      await (this.#applying ?? this.#healing)
    }
    const former = this.#database
    this.#retired.add(former)
    this.#goOnFrom(new SharedDatabase(database), loaded)
    return { closed: former.retire().finally(() => this.#retired.delete(former)) }
  }

  /**
   * Puts `stored`, the bytes that another member has, in the place of damaged ones: between two applies, and only if
   * what is there is `damaged` still, or as unreadable as it was when that is undefined; so a newer value is never
   * overwritten. Changes neither index nor digest. Says whether it did it.
   * @throws what the database throws when it refuses to be written; the next apply deals with that
   */
  async heal(
    key: Uint8Array,
    damaged: Uint8Array | undefined,
    stored: Uint8Array,
  ): Promise<boolean> {
    while (this.#applying !== undefined || this.#healing !== undefined) {
      await (this.#applying ?? this.#healing)
    }
    this.#refuseAfterFailure()
    const work = healValue(this.#database, prefixed(DATA_PREFIX, key), damaged, stored)
    this.#healing = work.then(
      () => undefined,
      // Nothing in memory has changed: whoever asked for it hears of it, and the next apply meets the same.
      () => undefined,
    )
    try {
      return await work
    } finally {
      await this.#healing
      this.#healing = undefined
    }
  }

  /** The state as it is now, kept until closed. @throws {StoreError} QUORATE_NOT_READY unless `isOpen` */
  view(): MachineView {
    this.#refuseWhileClosed()
    return new MachineView(this.#database.snapshot(), this.#key)
  }

  /**
   * The state as the entry at `index`, which is not applied yet, leaves it; when a batch with entries after it is being
   * written already, as that batch leaves it. Registered before this returns. Undefined when the state never stands
   * there: another one took its place, or it has failed. As many may wait as callers want: each costs the batch that
   * ends at its index; who does not want it any more drops it.
   */
  viewAt(index: LogIndex): PendingCut<MachineView> {
    if (this.#failure !== undefined) return { coming: Promise.resolve(undefined), drop: () => {} }
    assert(index > this.#applied.index, 'a state that is to come is not the present one', { index })
    const { coming, drop } = this.#pins.addCut(Math.max(index, this.#batch.nextEnd))
    const view = coming.then((snapshot) => snapshot && new MachineView(snapshot, this.#key))
    return { coming: view, drop }
  }

  /**
   * Some of the large values of the present state; see coded-keys.ts. Costs `limit` reads at most.
   * @throws {StoreError} QUORATE_NOT_READY unless `isOpen`; QUORATE_CORRUPTION
   */
  async codedKeys(after: Uint8Array | undefined, limit: number): Promise<CodedSlice> {
    const view = this.view()
    try {
      return await view.codedKeys(after, limit)
    } finally {
      await view.close()
    }
  }

  /**
   * Makes the applied state durable and returns its index; `undefined` when the flush failed quietly, which a full
   * disk does (design D2). May run beside `apply`.
   */
  async checkpoint(): Promise<LogIndex | undefined> {
    const { index } = this.#applied
    const database = this.#database
    if (index > this.#checkpointIndex) {
      const isFlushed = this.#isOpen && (await database.flush())
      // Of a database that was replaced meanwhile nothing counts any more.
      if (database !== this.#database) return this.#checkpointIndex
      if (!isFlushed) return undefined
      this.#checkpointIndex = Math.max(this.#checkpointIndex, index)
    }
    return this.#checkpointIndex
  }

  status(): MachineStatus {
    return {
      appliedIndex: this.#applied.index,
      checkpointIndex: this.#checkpointIndex,
      sessions: this.#batch.sessionCount,
    }
  }

  /** Takes a checkpoint, which may fail quietly as the log has everything, and closes the database. */
  async close(): Promise<void> {
    assert(this.#applying === undefined, 'the state machine is closed after its last apply')
    this.#pins.end()
    try {
      if (this.#failure === undefined) await this.checkpoint()
    } finally {
      for (const database of this.#retired) await database.close()
      await this.#database.close()
    }
  }

  #goOnFrom(database: SharedDatabase, loaded: LoadedState): void {
    this.#database = database
    this.#standAt(database, loaded)
    this.#applied = this.#batch.reached
    this.#configuration = this.#batch.configuration
    this.#isOpen = true
    this.#failure = undefined
    this.history.restart(this.#applied)
    this.#pins.settle(this.#applied.index, () => database.snapshot())
  }

  /** The next entry is the one after the loaded state; what is visible outside stays. */
  #standAt(database: SharedDatabase, loaded: LoadedState): void {
    this.#batch.restart(database, loaded)
    this.#checkpointIndex = loaded.state.appliedIndex
  }

  async #applyAll(entries: readonly Entry[]): Promise<AppliedEntry[]> {
    while (this.#healing !== undefined) await this.#healing
    const applied: AppliedEntry[] = []
    while (applied.length < entries.length) {
      const before = applied.length
      await this.#batch.fill(entries, applied)
      try {
        await this.#write()
      } catch (error) {
        await this.#recover(error)
        applied.length = before
      }
      for (let i = before; i < applied.length; i++) {
        this.#remember(entries[i]!, applied[i]!, this.#batch.changesOf(i - before))
      }
    }
    return applied
  }

  #remember(
    entry: Entry,
    { outcomes }: AppliedEntry,
    changes: readonly Change[] | undefined,
  ): void {
    if (changes === undefined) this.history.addPlain(entry, outcomes)
    else this.history.addInterpreted(entry, changes)
  }

  /** Opens the database again after it refused a batch, and brings it to where it was. */
  async #recover(cause: unknown): Promise<void> {
    const recovery = this.#recovery
    const isDamaged = cause instanceof StoreError && cause.code === 'QUORATE_CORRUPTION'
    if (recovery === undefined || isDamaged || this.#isGivenUp) throw cause
    this.#isOpen = false
    const { index } = this.#applied
    const digest = this.#batch.digestAt(index)
    for (;;) {
      await this.#database.close()
      if (await this.#reopen(recovery)) break
      if (!this.#isGivenUp) await recovery.pause()
      if (this.#isGivenUp) throw cause
    }
    if (this.#batch.digestAt(index) !== digest) {
      const message = `the state at index ${index} is another one after it was opened again`
      throw new StoreError('QUORATE_CORRUPTION', message)
    }
    this.#isOpen = true
  }

  /** Whether it worked. @throws {StoreError} QUORATE_CORRUPTION, QUORATE_FORMAT: it never will */
  async #reopen(recovery: MachineRecovery): Promise<boolean> {
    const { index } = this.#applied
    try {
      const database = await recovery.open()
      this.#database = new SharedDatabase(database)
      const loaded = await loadState(database, this.#options.initial.conf)
      assert(loaded.state.appliedIndex <= index, 'a database is not ahead of what was applied')
      this.#standAt(this.#database, loaded)
      for (let at = loaded.state.appliedIndex; at < index; at = this.#batch.reached.index) {
        const entries = await recovery.entries(at + 1, index)
        for (const again: AppliedEntry[] = []; again.length < entries.length; ) {
          await this.#batch.fill(entries, again)
          await this.#write()
        }
      }
    } catch (error) {
      if (isFinal(error)) throw error
      return false
    }
    return true
  }

  #refuseWhileClosed(): void {
    if (this.#isOpen) return
    const message = 'the state is being opened again, because its database could not be written'
    throw new StoreError('QUORATE_NOT_READY', message, { retryable: true })
  }

  #refuseAfterFailure(): void {
    if (this.#failure === undefined) return
    throw new StoreError('QUORATE_STOPPED', 'the state machine stopped at an earlier failure', {
      cause: this.#failure,
    })
  }

  async #write(): Promise<void> {
    const { reached, configuration } = this.#batch
    await this.#batch.write()
    if (reached.index > this.#applied.index) {
      this.#applied = reached
      this.#configuration = configuration
    }
    this.#pins.settle(reached.index, () => this.#database.snapshot())
    if (this.#batch.hasRetained) this.#onRetained?.(this.#database.snapshot())
  }
}

/** Whether opening the database again would not help. */
function isFinal(error: unknown): boolean {
  if (error instanceof InvariantError) return true
  return error instanceof StoreError && FINAL_CODES.includes(error.code)
}
