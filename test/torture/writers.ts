/**
 * The load of a round: writers that put fresh keys through every member, and the times of what was
 * acknowledged.
 *
 * A writer has some places in flight at each member. A place whose member is stopped waits with it; the
 * places at the other members go on, so the longest time without any acknowledgement is the cluster's.
 */

import type { ProcessCluster, Seat } from '../../src/cli/processes/process-cluster.js'
import { pause } from '../../src/cli/processes/process-cluster.js'
import { StoreError } from '../../src/index.js'
import { type Ledger, valueFor } from './ledger.js'
import type { TortureOperations } from './operations.js'

/** The two writers. */
const WRITERS = ['x', 'y']
const PLACES_PER_MEMBER = 6
const PUT_TIMEOUT_MS = 4_000
const RETRY_AFTER_MS = 10

/** Writes for one round; made anew for each. */
export class Writers {
  readonly #cluster: ProcessCluster<TortureOperations>
  readonly #ledger: Ledger
  readonly #seed: number
  readonly #round: number
  #isOver = false
  #lastAt = performance.now()
  #longestGapMs = 0

  constructor(
    cluster: ProcessCluster<TortureOperations>,
    ledger: Ledger,
    seed: number,
    round: number,
  ) {
    this.#cluster = cluster
    this.#ledger = ledger
    this.#seed = seed
    this.#round = round
  }

  /** The longest time between two acknowledgements of any writer. */
  get stallMs(): number {
    return this.#longestGapMs
  }

  /** Writes until `stop`, and then until every write begun has been acknowledged or given up. */
  async run(): Promise<void> {
    const places = WRITERS.flatMap((writer) => {
      let written = 0
      const nextKey = (): string => `${writer}${String(written++).padStart(6, '0')}`
      return this.#cluster.seats.flatMap((seat) =>
        Array.from({ length: PLACES_PER_MEMBER }, () => this.#write(seat, nextKey)),
      )
    })
    await Promise.all(places)
  }

  stop(): void {
    this.#isOver = true
  }

  async #write(home: Seat<TortureOperations>, nextKey: () => string): Promise<void> {
    while (!this.#isOver) {
      const key = nextKey()
      const value = valueFor(this.#seed, key, this.#round)
      while (!(await this.#put(home, key, value)) && !this.#isOver) await pause(RETRY_AFTER_MS)
    }
  }

  /** One attempt; true once acknowledged. */
  async #put(home: Seat<TortureOperations>, key: string, value: Buffer): Promise<boolean> {
    const { living } = this.#cluster
    const seat = living.find(({ id }) => id === home.id) ?? living[0]
    if (seat === undefined) return false
    try {
      await seat.child.call('put', { key, value, timeoutMs: PUT_TIMEOUT_MS })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      if (error.outcome !== 'none') this.#ledger.noteUncertain(key, this.#round)
      return false
    }
    this.#ledger.noteAcknowledged(key, this.#round)
    this.#noteProgress()
    return true
  }

  #noteProgress(): void {
    const now = performance.now()
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAt)
    this.#lastAt = now
  }
}
