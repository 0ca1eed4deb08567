/**
 * When the next checkpoint is due: after so much log, so many entries, or so long, whichever comes first.
 *
 * Each bound is drawn anew for every checkpoint, up to a fifth below or above what is set: members apply the same log,
 * and would flush all at the same moment otherwise. What is due stays due until a checkpoint succeeds (trap T-59);
 * after one that failed the next attempt waits, longer each time, because a full disk does not change at once.
 */
import type { Random } from '../env/random.js'
import type { Time } from '../env/time.js'
import type { LogIndex } from '../raft/types.js'
import type { StorageOptions } from './options.js'

const SPREAD = 0.2
const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 30_000

/** How far a member is. */
export interface CheckpointProgress {
  /** Appended to the log since the start. */
  readonly bytes: number
  /** Applied. */
  readonly index: LogIndex
}

/** See the file's comment. */
export class CheckpointPolicy {
  readonly #time: Time
  readonly #random: Random
  readonly #options: StorageOptions
  #last: CheckpointProgress
  #lastAt: number
  #factor: number
  #failures = 0
  #notBefore = 0

  /** @param index what is durable already */
  constructor(time: Time, random: Random, options: StorageOptions, index: LogIndex) {
    this.#time = time
    this.#random = random
    this.#options = options
    this.#last = { bytes: 0, index }
    this.#lastAt = time.now()
    this.#factor = this.#draw()
  }

  isDue({ bytes, index }: CheckpointProgress): boolean {
    const now = this.#time.now()
    if (now < this.#notBefore || index <= this.#last.index) return false
    const { checkpointBytes, checkpointEntries, checkpointMs } = this.#options
    return (
      bytes - this.#last.bytes >= checkpointBytes * this.#factor ||
      index - this.#last.index >= checkpointEntries * this.#factor ||
      now - this.#lastAt >= checkpointMs * this.#factor
    )
  }

  /** A checkpoint that began at `progress` has returned. */
  onDone(progress: CheckpointProgress): void {
    this.#last = progress
    this.#lastAt = this.#time.now()
    this.#factor = this.#draw()
    this.#failures = 0
    this.#notBefore = 0
  }

  onFailed(): void {
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.#failures)
    this.#failures++
    this.#notBefore = this.#time.now() + waitMs * this.#draw()
  }

  #draw(): number {
    return 1 - SPREAD + (2 * SPREAD * this.#random.u32('checkpoint')) / 0x1_0000_0000
  }
}
