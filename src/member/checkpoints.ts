/**
 * When the state machine is made durable, and which part of the log may go afterwards.
 *
 * The log is shortened only up to an index that (1) a checkpoint which has returned made durable here (design D2),
 * (2) neither a snapshot under way (trap T-61) nor the archive needs, and (3) every member has in its log, or that
 * leaves `keepLogBytes` of log: a member that lacks more is sent a snapshot. One checkpoint runs at a time; a trigger
 * that comes meanwhile is looked at again when it ends (trap T-59).
 */
import { StoreError } from '../base/errors.js'
import type { RaftLog } from '../log/raft-log.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { LogIndex } from '../raft/types.js'
import type { CheckpointPolicy } from './checkpoint-policy.js'
import type { StorageOptions } from './options.js'

/** What checkpoints ask of their member. */
export interface CheckpointPorts {
  /** Snapshots under way need what comes after this index. */
  floor(): LogIndex
  /** Copies the entries up to `index` into the archive; returns up to where it does not need the log any more. */
  archived(index: LogIndex): Promise<LogIndex>
  /** Whether the disk is so full that nothing is kept for members that lack it: they are sent a snapshot. */
  isShort(): boolean
  /** Whether there is no other member, so that the log is of use only to this one. */
  isAlone(): boolean
  /** Whether the state is out of use: nothing may be concluded from it. */
  isBarred(): boolean
  /** The log begins after `index`. */
  compacted(index: LogIndex): void
  /** Everything up to here is applied, as the core knows it. */
  applied(): LogIndex
}

/** Checkpoints since the start. */
export interface CheckpointCounts {
  readonly done: number
  /** They did not reach the disk. */
  readonly failed: number
}

/** Takes checkpoints of one member. */
export class Checkpoints {
  readonly #log: RaftLog
  readonly #machine: StateMachine
  readonly #options: StorageOptions
  readonly #policy: CheckpointPolicy
  readonly #ports: CheckpointPorts
  #retained: LogIndex = 0
  #compacted: LogIndex
  #running: Promise<LogIndex> | undefined
  #done = 0
  #failed = 0

  constructor(
    log: RaftLog,
    machine: StateMachine,
    options: StorageOptions,
    policy: CheckpointPolicy,
    ports: CheckpointPorts,
  ) {
    this.#log = log
    this.#machine = machine
    this.#options = options
    this.#policy = policy
    this.#ports = ports
    this.#compacted = log.recovered.previous.index
  }

  get counts(): CheckpointCounts {
    return { done: this.#done, failed: this.#failed }
  }

  /** Every member has the log up to here; less than before when a new one has come. */
  onRetained(index: LogIndex): void {
    this.#retained = index
  }

  /** The state was replaced by that after `index`, where the log begins now. */
  onInstalled(index: LogIndex): void {
    this.#compacted = Math.max(this.#compacted, index)
  }

  /** Whether the next checkpoint is due. */
  isDue(appendedBytes: number): boolean {
    if (this.#running !== undefined) return false
    return this.#policy.isDue({ bytes: appendedBytes, index: this.#machine.appliedIndex })
  }

  /**
   * Makes the applied state durable, then shortens the log as far as it may; shares a run under way.
   * @throws {StoreError} QUORATE_NO_SPACE when the flush failed, which LevelDB does on a full disk.
   */
  run(appendedBytes: number): Promise<LogIndex> {
    if (this.#running === undefined) {
      this.#running = this.#checkpoint(appendedBytes).finally(() => {
        this.#running = undefined
      })
    }
    return this.#running
  }

  /** As `run`, of a state that holds everything that is applied now: one under way may have begun before. */
  async runAnew(appendedBytes: number): Promise<LogIndex> {
    const { appliedIndex } = this.#machine
    const index = await this.run(appendedBytes)
    return index < appliedIndex ? this.run(appendedBytes) : index
  }

  async #checkpoint(bytes: number): Promise<LogIndex> {
    if (this.#ports.isBarred()) return this.#machine.checkpointIndex
    const index = await this.#machine.checkpoint()
    if (index === undefined) {
      this.#policy.onFailed()
      this.#failed++
      throw new StoreError(
        'QUORATE_NO_SPACE',
        'the checkpoint did not reach the disk; the log is kept in full',
        { retryable: true },
      )
    }
    this.#policy.onDone({ bytes, index })
    this.#done++
    const archived = await this.#ports.archived(index)
    const spared = this.#log.indexBefore(this.#ports.isShort() ? 0 : this.#keptBytes())
    const wanted = Math.max(this.#retained, spared)
    // The state may be a batch ahead of what the core has heard is applied, which its log must hold until it has.
    const applied = this.#ports.applied()
    await this.#compact(Math.min(index, archived, this.#ports.floor(), wanted, applied))
    return index
  }

  /**
   * A lone member could have a lost state again from a log that goes back to the first entry, and from no other; what
   * it would keep for nothing would only be read at every start.
   */
  #keptBytes(): number {
    const { keepLogBytes } = this.#options
    if (!this.#ports.isAlone()) return keepLogBytes
    const isWhole = this.#compacted === 0 && this.#log.indexBefore(keepLogBytes) === 0
    return isWhole ? keepLogBytes : 0
  }

  async #compact(index: LogIndex): Promise<void> {
    if (index <= this.#compacted) return
    const [entry] = await this.#log.read(index, index, 1)
    if (entry === undefined) return
    await this.#log.compactTo(index, entry.term)
    this.#compacted = index
    this.#ports.compacted(index)
  }
}
