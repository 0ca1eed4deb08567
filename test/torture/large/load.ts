/** Writers of large values through every member, for one round; what they are told goes into the ledger. */
import { keyedBelow } from '../../../src/base/prng.js'
import { pause } from '../../../src/cli/processes/process-cluster.js'
import { StoreError } from '../../../src/index.js'
import type { SpawnedCluster } from '../../../src/testing.js'
import type { Ledger } from '../ledger.js'
import type { LargePut, LargeTortureOperations } from './operations.js'

/** A cluster whose members serve LargeTortureOperations. */
export type LargeTortureCluster = SpawnedCluster<LargeTortureOperations>

/** Two of them make keys meet: every second one is written through two members. */
const WRITERS = ['x', 'y'] as const
/** Per writer and member: what a round writes has to be read back from everybody. */
const KEYS_PER_PLACE = 5
const PUT_TIMEOUT_MS = 6_000
const RETRY_AFTER_MS = 50
const SHAPES: readonly LargePut['as'][] = ['bytes', 'bytes', 'stream', 'batch']

/** See the file's comment; made anew for each round. */
export class LargeLoad {
  readonly #cluster: LargeTortureCluster
  readonly #ledger: Ledger
  readonly #seed: number
  readonly #round: number
  #isOver = false

  constructor(cluster: LargeTortureCluster, ledger: Ledger, seed: number, round: number) {
    this.#cluster = cluster
    this.#ledger = ledger
    this.#seed = seed
    this.#round = round
  }

  /** Writes until every key has its value of this round, or `stop`. */
  async run(): Promise<void> {
    const places = WRITERS.flatMap((writer) =>
      this.#cluster.members.map((member, at) => this.#write(member, `${writer}${at}`)),
    )
    await Promise.all(places)
  }

  stop(): void {
    this.#isOver = true
  }

  async #write(member: string, place: string): Promise<void> {
    for (let i = 0; i < KEYS_PER_PLACE && !this.#isOver; i++) {
      const key = `${place}.${i}`
      while (!(await this.#put(member, key)) && !this.#isOver) await pause(RETRY_AFTER_MS)
    }
  }

  /** One attempt; true once acknowledged. */
  async #put(home: string, key: string): Promise<boolean> {
    const running = this.#cluster.members.filter((member) => this.#cluster.isRunning(member))
    const member = running.includes(home) ? home : running[0]
    if (member === undefined) return false
    const [seed, round, timeoutMs] = [this.#seed, this.#round, PUT_TIMEOUT_MS]
    const as = SHAPES[keyedBelow(seed, SHAPES.length, key, round)]!
    try {
      await this.#cluster.call(member, 'putLarge', { seed, key, round, as, timeoutMs })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      if (error.outcome !== 'none') this.#ledger.noteUncertain(key, round)
      return false
    }
    this.#ledger.noteAcknowledged(key, round)
    return true
  }
}
