/**
 * Committed entries on their way through the state machine, one task at a time.
 *
 * A state that turned out damaged is put out of use by `voidState`: entries count as applied then without being
 * applied, so that the core and its peers go on, until `replaceState` brings a sound state and what was passed over is
 * applied to it from the log. Nothing must be read, checkpointed or handed out meanwhile.
 */
import { assert } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { RaftLog } from '../log/raft-log.js'
import { NO_CODED } from '../machine/coded-keys.js'
import { NO_NOTES } from '../machine/expiry-note.js'
import type { AppliedEntry, Configuration, StateMachine } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import type { ApplyTask, Entry, Input, LogIndex } from '../raft/types.js'
import { changeConfiguration, changeOf } from './directory.js'

/** Entries read from the log at a time to be applied once more. */
const REPLAY_BYTES = 1_048_576

/** What an applier asks of the driver. */
export interface ApplierPorts {
  step(input: Input): void
  /** Resolves when there may be room to apply so much; undefined when there is. */
  roomToApply(bytes: number): Promise<void> | undefined
  onApplied(applied: readonly AppliedEntry[]): void
  /** Entries counted as applied while the state is out of use: only what they configure is known of them. */
  onPassedOver(entries: readonly AppliedEntry[]): void
  /** An entry cannot be applied to the state, which is damaged: it has to be put out of use or replaced. */
  onDamaged(error: StoreError): void
  fail(error: unknown): void
}

/** See the file's comment. */
export class Applier {
  readonly #core: RaftCore
  readonly #log: RaftLog
  readonly #machine: StateMachine
  readonly #ports: ApplierPorts
  /** The configuration in force while the state is out of use; undefined when it is in use. */
  #passing: Configuration | undefined
  /** Settled, and never rejected, when the machine is not applying. */
  #machineWork: Promise<unknown> = Promise.resolve()
  /** A replacement under way, or one that is waited for: entries wait for its end. */
  #gate: Promise<void> | undefined
  #openGate: (() => void) | undefined
  #task: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(core: RaftCore, log: RaftLog, machine: StateMachine, ports: ApplierPorts) {
    this.#core = core
    this.#log = log
    this.#machine = machine
    this.#ports = ports
  }

  /** Whether the state is out of use. */
  get isVoid(): boolean {
    return this.#passing !== undefined
  }

  /** Resolves when the task under way has ended. */
  get idle(): Promise<void> {
    return this.#task
  }

  /** Applies the entries of a task, beginning at `start`, and tells the core; never rejects. */
  apply(task: ApplyTask, start: Promise<void> | undefined): Promise<void> {
    this.#task = this.#apply(task.entries, start).catch((error) => this.#ports.fail(error))
    return this.#task
  }

  /** Puts the state out of use. */
  voidState(): void {
    const { conf, members } = this.#machine
    this.#passing ??= { conf, members }
    this.#open()
  }

  /** A state that is up to date with the core has come in the place of the one out of use. */
  restored(): void {
    this.#passing = undefined
    this.#open()
  }

  /**
   * Lets `swap` put another state in the place of the present one, whose index is at most what the core takes for
   * applied, and applies to it what it lacks from the log. Returns its configuration.
   */
  async replaceState(swap: () => Promise<void>): Promise<Configuration> {
    this.#close()
    await this.#machineWork
    await swap()
    const end = this.#core.status().appliedIndex
    await this.#replay(end)
    this.#passing = undefined
    // Only now: after a failure nothing may be applied to a state that is not whole, until `stop` ends what waits.
    this.#open()
    return { conf: this.#machine.conf, members: this.#machine.members }
  }

  /** Nothing is applied any more; what waits ends. */
  stop(): void {
    this.#isStopped = true
    this.#open()
  }

  async #apply(entries: readonly Entry[], start: Promise<void> | undefined): Promise<void> {
    await start
    await this.#awaitRoom(entries)
    while (!this.#isStopped) {
      if (this.#gate !== undefined) await this.#gate
      else if (this.#passing !== undefined) return this.#passOver(entries)
      else if (await this.#tryApply(entries)) return
    }
  }

  async #awaitRoom(entries: readonly Entry[]): Promise<void> {
    let bytes = 0
    for (const { data } of entries) bytes += data.length
    let room = this.#ports.roomToApply(bytes)
    while (room !== undefined && !this.#isStopped) {
      await room
      room = this.#ports.roomToApply(bytes)
    }
  }

  /** False when the state is damaged: the entries are to be applied to another one. */
  async #tryApply(entries: readonly Entry[]): Promise<boolean> {
    const work = this.#machine.apply(entries)
    this.#machineWork = work.then(
      () => undefined,
      () => undefined,
    )
    let applied: readonly AppliedEntry[]
    try {
      applied = await work
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'QUORATE_CORRUPTION') throw error
      this.#close()
      this.#ports.onDamaged(error)
      return false
    }
    if (this.#isStopped) return true
    this.#reconfigure(entries, applied)
    this.#ports.onApplied(applied)
    this.#ports.step({ type: 'applyDone', index: entries[entries.length - 1]!.index })
    return true
  }

  #passOver(entries: readonly Entry[]): void {
    const passed = entries.map((entry): AppliedEntry => {
      const { index, term } = entry
      const before = this.#passing!
      const after = entry.kind === 'normal' ? before : changeConfiguration(before, entry)
      this.#passing = after
      const configuration = after === before ? undefined : after
      return { index, term, outcomes: [], configuration, expiry: NO_NOTES, coded: NO_CODED }
    })
    this.#reconfigure(entries, passed)
    this.#ports.onPassedOver(passed)
    this.#ports.step({ type: 'applyDone', index: entries[entries.length - 1]!.index })
  }

  /** The core follows the machine, which has decided whether a change counts. */
  #reconfigure(entries: readonly Entry[], applied: readonly AppliedEntry[]): void {
    for (const [i, { configuration, index }] of applied.entries()) {
      if (configuration === undefined) continue
      this.#ports.step({ type: 'applyConfChange', change: changeOf(entries[i]!) })
      requireSame(this.#core, configuration, index)
    }
  }

  /** Applies once more what the core takes for applied. */
  async #replay(end: LogIndex): Promise<void> {
    while (this.#machine.appliedIndex < end && !this.#isStopped) {
      const entries = await this.#log.read(this.#machine.appliedIndex + 1, end, REPLAY_BYTES)
      assert(entries.length > 0, 'the log lacks what the state does', { end })
      this.#machineWork = this.#machine.apply(entries)
      await this.#machineWork
    }
  }

  #close(): void {
    this.#gate ??= new Promise((resolve) => {
      this.#openGate = resolve
    })
  }

  #open(): void {
    this.#openGate?.()
    this.#gate = undefined
    this.#openGate = undefined
  }
}

/** The core and the state machine follow the same changes, each by its own rules. */
export function requireSame(core: RaftCore, configuration: Configuration, index: LogIndex): void {
  const { conf } = core.status()
  const isSame = JSON.stringify(conf) === JSON.stringify(configuration.conf)
  assert(isSame, 'core and state machine disagree about the configuration', { index, conf })
}
