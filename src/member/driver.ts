/**
 * The loop between the consensus core and the world: feeds inputs, takes effects, carries them out in order.
 *
 * All state of the core changes inside its synchronous `step`; nothing here awaits between taking an effect
 * and starting it (trap T-7). The order that safety rests on:
 *   1. append tasks are handed to the log in order, and the log settles them in order;
 *   2. the answers of an append task (votes, acknowledgements) leave only when it is durable (T-5, T-36);
 *   3. apply tasks run one after the other, and only with entries that are durable here (design D2);
 *   4. the core hears of an applied configuration change before it hears that its entry is applied;
 *   5. while a snapshot is put into force nothing is applied, and what is to be written waits until it is (T-19).
 * The first failure of the log, the state machine or an invariant halts the core and ends the member.
 */
import { assert } from '../base/assert.js'
import { Durations } from '../base/durations.js'
import type { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { RaftLog } from '../log/raft-log.js'
import type { AppliedEntry, Configuration, StateMachine } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import type {
  AppendTask,
  Dropped,
  FetchTask,
  Input,
  Message,
  NodeId,
  Proposed,
  ReadState,
  Ready,
  Role,
  SnapshotMessage,
  SnapshotMeta,
  SnapshotWanted,
  Term,
} from '../raft/types.js'
import { Applier, requireSame } from './applier.js'

/** What the owner of the loop does with the effects that are not storage. */
export interface DriverHooks {
  /** Called in every turn before effects are taken: hand in what was collected. */
  collect(): void
  /** Sends `message` to another member, or drops it. */
  send(message: Message): void
  onReadIndex(read: ReadState): void
  onProposed(proposed: Proposed): void
  onDropped(dropped: Dropped): void
  /** Undefined when the disk has room to apply entries of `bytes`; else resolves when it is worth asking again. */
  roomToApply(bytes: number): Promise<void> | undefined
  onApplied(applied: readonly AppliedEntry[]): void
  onSoft(role: Role, leader: NodeId, term: Term): void
  /** A peer needs entries that the log does not hold any more. */
  onSnapshotWanted(wanted: SnapshotWanted): void
  /** The state is another one: that of a snapshot, with this configuration. */
  onInstalled(configuration: Configuration): void
  /** Entries count as applied that were not, because the state is out of use. */
  onPassedOver(entries: readonly AppliedEntry[]): void
  /** The state is damaged: nothing is applied until it is put out of use or replaced. */
  onDamaged(error: StoreError): void
  /** Called once: the core is halted and nothing more will be acknowledged. */
  onFatal(error: unknown): void
}

/** Puts the state of a snapshot into force, durably, with the log beginning after it; returns its configuration. */
export type Installation = (snapshot: SnapshotMeta) => Promise<Configuration>

/** A snapshot that the core has taken and that its next append task brings. */
interface Taken {
  readonly carryOut: Installation
  resolve(isBegun: boolean): void
}

/** Drives one core over one log and one state machine. */
export class Driver {
  /** How long apply tasks took, one after the other. */
  readonly applyDurations: Durations = new Durations()
  readonly #core: RaftCore
  readonly #log: RaftLog
  readonly #time: Time
  readonly #hooks: DriverHooks
  #isScheduled = false
  #isStopped = false
  #appendedBytes = 0
  #appliedEntries = 0
  #appliedRequests = 0
  /** When the apply task under way began. */
  #applyingSince = 0
  #taken: Taken | undefined
  /** What the core wants written after a snapshot that is being put into force; undefined when none is. */
  #held: AppendTask[] | undefined
  readonly #applier: Applier
  /** Apply and fetch work in progress, awaited by `stop`; each handles its own failure. */
  readonly #working = new Set<Promise<void>>()

  constructor(core: RaftCore, log: RaftLog, machine: StateMachine, time: Time, hooks: DriverHooks) {
    this.#core = core
    this.#log = log
    this.#time = time
    this.#hooks = hooks
    this.#applier = new Applier(core, log, machine, {
      step: (input) => this.step(input),
      roomToApply: (bytes) => hooks.roomToApply(bytes),
      onApplied: (applied) => this.#onApplied(applied),
      onPassedOver: (entries) => hooks.onPassedOver(entries),
      onDamaged: (error) => hooks.onDamaged(error),
      fail: (error) => this.fail(error),
    })
  }

  /** Bytes of entries handed to the log since the start. */
  get appendedBytes(): number {
    return this.#appendedBytes
  }

  /** Entries applied since the start. */
  get appliedEntries(): number {
    return this.#appliedEntries
  }

  /** Requests in them. */
  get appliedRequests(): number {
    return this.#appliedRequests
  }

  /** Feeds one input; its effects are carried out at the end of this turn. */
  step(input: Input): void {
    if (this.#isStopped) return
    try {
      this.#core.step(input)
    } catch (error) {
      this.fail(error)
      return
    }
    this.wake()
  }

  /** Runs the loop at the end of this turn. */
  wake(): void {
    if (this.#isScheduled || this.#isStopped) return
    this.#isScheduled = true
    this.#time.soon(() => {
      this.#run()
      this.#isScheduled = false
    })
  }

  /**
   * Gives a snapshot whose state is ready to the core. Resolves to whether the core took it and `carryOut` was begun;
   * when that fails, the member ends. When it is false nothing has happened.
   */
  install(message: SnapshotMessage, carryOut: Installation): Promise<boolean> {
    if (this.#isStopped) return Promise.resolve(false)
    const { index } = message.snapshot
    const committed = this.#core.commitIndex
    this.step({ type: 'receive', message })
    // A log that holds the entry, or more than the snapshot, goes on as it is (T-17).
    const isTaken = committed < index && this.#core.status().firstIndex === index + 1
    if (!isTaken || this.#isStopped) return Promise.resolve(false)
    return new Promise((resolve) => {
      this.#taken = { carryOut, resolve }
    })
  }

  /** Whether the state is out of use (Applier). */
  get isStateVoid(): boolean {
    return this.#applier.isVoid
  }

  /** Puts the state out of use: the core and its peers go on without it. */
  voidState(): void {
    this.#applier.voidState()
  }

  /**
   * Puts another state in the place of the present one, by `swap`. Its index must be applied as far as the core
   * knows, and the log must hold what comes after it. When it fails the member ends.
   */
  async replaceState(swap: () => Promise<void>): Promise<void> {
    try {
      const configuration = await this.#applier.replaceState(swap)
      if (this.#isStopped) return
      requireSame(this.#core, configuration, this.#core.status().appliedIndex)
      this.#hooks.onInstalled(configuration)
    } catch (error) {
      this.fail(error)
    }
  }

  /** Ends the member because of `error`: nothing more is stepped, sent or acknowledged. */
  fail(error: unknown): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#end()
    this.#hooks.onFatal(error)
  }

  /** Ends the loop and waits for the work in progress. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#log.stopWaiting()
    this.#end()
    await Promise.all(this.#working)
  }

  #run(): void {
    if (this.#isStopped) return
    try {
      for (;;) {
        this.#hooks.collect()
        if (this.#isStopped || !this.#core.hasReady()) return
        this.#carryOut(this.#core.ready())
      }
    } catch (error) {
      this.fail(error)
    }
  }

  #carryOut(ready: Ready): void {
    const hooks = this.#hooks
    if (ready.soft !== undefined) {
      hooks.onSoft(ready.soft.role, ready.soft.leader, ready.soft.term)
    }
    for (const message of ready.messages) hooks.send(message)
    if (ready.append !== undefined) this.#append(ready.append)
    if (ready.apply !== undefined) {
      this.#applyingSince = this.#time.now()
      // Others wait for the write: it is on its way before applying takes its part of a turn.
      const isWriting = ready.append !== undefined && ready.append.entries.length > 0
      this.own(this.#applier.apply(ready.apply, isWriting ? this.#nextTurn() : undefined))
    }
    for (const proposed of ready.proposed) hooks.onProposed(proposed)
    for (const dropped of ready.dropped) hooks.onDropped(dropped)
    for (const read of ready.reads) hooks.onReadIndex(read)
    for (const fetch of ready.fetches) this.own(this.#fetch(fetch))
    for (const wanted of ready.snapshotsWanted) hooks.onSnapshotWanted(wanted)
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#time.soon(resolve))
  }

  #onApplied(applied: readonly AppliedEntry[]): void {
    this.#appliedEntries += applied.length
    for (const { outcomes } of applied) this.#appliedRequests += outcomes.length
    this.applyDurations.record(this.#time.now() - this.#applyingSince)
    this.#hooks.onApplied(applied)
  }

  #append(task: AppendTask): void {
    if (this.#held !== undefined) {
      this.#held.push(task)
    } else if (task.snapshot !== undefined) {
      this.#held = []
      this.own(this.#install(task, task.snapshot))
    } else {
      this.#write(task)
    }
  }

  /** Writes what stands before it first, as the log does all in order. */
  async #install(task: AppendTask, snapshot: SnapshotMeta): Promise<void> {
    const taken = this.#taken
    this.#taken = undefined
    try {
      assert(taken !== undefined, 'the core took a snapshot that nobody gave it', { ...snapshot })
      taken.resolve(true)
      await this.#applier.idle
      await this.#writeVote(task)
      const configuration = await taken.carryOut(snapshot)
      if (this.#isStopped) return
      requireSame(this.#core, configuration, snapshot.index)
      this.#applier.restored()
      this.#hooks.onInstalled(configuration)
      this.#write(task)
      const held = this.#held ?? []
      this.#held = undefined
      for (const next of held) this.#append(next)
    } catch (error) {
      this.fail(error)
    }
  }

  /** Term and vote of a task, before its snapshot: no log may end in a later term than the one that is remembered. */
  async #writeVote({ hardState }: AppendTask): Promise<void> {
    const commit = Math.min(hardState?.commit ?? 0, this.#log.status().lastIndex)
    await this.#log.append({
      entries: [],
      hardState: hardState && { ...hardState, commit },
      mustSync: true,
    })
  }

  #write(task: AppendTask): void {
    for (const entry of task.entries) this.#appendedBytes += entry.data.length
    const write = this.#log.append({
      entries: task.entries,
      hardState: task.hardState,
      mustSync: task.mustSync,
    })
    this.own(
      write.then(
        () => this.#onDurable(task),
        (error: unknown) => this.fail(error),
      ),
    )
  }

  #onDurable(task: AppendTask): void {
    if (this.#isStopped) return
    for (const response of task.responses) {
      if (response.to !== response.from) this.#hooks.send(response)
    }
    this.step({ type: 'appendDone', id: task.id })
  }

  /** What waits for something that will not happen any more ends. */
  #end(): void {
    this.#applier.stop()
    this.#taken?.resolve(false)
    this.#taken = undefined
  }

  async #fetch(task: FetchTask): Promise<void> {
    try {
      const entries = await this.#log.read(task.from, task.to, task.maxBytes)
      if (entries.length === 0) {
        this.step({ type: 'entriesUnavailable', id: task.id, why: 'compacted' })
      } else {
        this.step({ type: 'entriesFetched', id: task.id, entries })
      }
    } catch (error) {
      this.fail(error)
    }
  }

  /** Takes charge of work in progress, which must not reject: `stop` waits for it. */
  own(work: Promise<void>): void {
    this.#working.add(work)
    void work.finally(() => this.#working.delete(work))
  }
}
