/**
 * Reads the stored shards over and over, slowly, and verifies them, so that what rots is found while there are enough
 * others to rebuild it from. A damaged shard is quarantined before anybody is told.
 */
import type { Time } from '../env/time.js'
import type { StoredShard } from './shard-index.js'
import type { ShardStore } from './shard-store.js'

/** After the start, and between two runs over everything. */
const FIRST_MS = 5_000
const EVERY_MS = 3_600_000
/** Waits shorter than this are made together, longer ones in parts: the end of the member does not wait for them. */
const WAIT_MS_MIN = 20
const WAIT_MS_MAX = 200

/** What a scrub works with. */
export interface ShardScrubPorts {
  /** Takes charge of work that goes on after this turn and never rejects. */
  own(work: Promise<void>): void
  /** This shard failed its checks, and is not stored any more. */
  onBad(shard: StoredShard): void
  fail(error: unknown): void
}

/** How far a scrub is. */
export interface ShardScrubStatus {
  /** Complete runs over all shards since the start. */
  readonly runs: number
  /** Read in the present run; of everything that there is, when none is under way. */
  readonly runBytes: number
  /** Damaged shards found since the start. */
  readonly bad: number
}

/** Scrubs the shards of one member. */
export class ShardScrub {
  readonly #time: Time
  readonly #store: ShardStore
  readonly #bytesPerSecond: number
  readonly #ports: ShardScrubPorts
  #nextAt: number
  #isRunning = false
  #isEnded = false
  /** The time by which what was read is paid for. */
  #paidAt = 0
  #runs = 0
  #runBytes = 0
  #bad = 0

  constructor(time: Time, store: ShardStore, bytesPerSecond: number, ports: ShardScrubPorts) {
    this.#time = time
    this.#store = store
    this.#bytesPerSecond = bytesPerSecond
    this.#ports = ports
    this.#nextAt = time.now() + FIRST_MS
  }

  get status(): ShardScrubStatus {
    return { runs: this.#runs, runBytes: this.#runBytes, bad: this.#bad }
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (this.#isRunning || this.#isEnded || now < this.#nextAt) return
    this.#isRunning = true
    this.#ports.own(this.#run())
  }

  end(): void {
    this.#isEnded = true
  }

  async #run(): Promise<void> {
    try {
      this.#runBytes = 0
      for (const shard of this.#store.shards()) {
        if ((await this.#pace(shard.bytes)) === 'stop') return
        await this.#verify(shard)
      }
      this.#runs++
    } catch (error) {
      if (!this.#isEnded) this.#ports.fail(error)
    } finally {
      this.#nextAt = this.#time.now() + EVERY_MS
      this.#isRunning = false
    }
  }

  async #verify(shard: StoredShard): Promise<void> {
    if (!shard.isStored) return
    this.#runBytes += shard.bytes
    const found = await this.#store.readSound(shard)
    if (found !== 'damaged' || !shard.isStored) return
    this.#store.quarantine(shard)
    this.#bad++
    this.#ports.onBad(shard)
  }

  async #pace(bytes: number): Promise<'goOn' | 'stop'> {
    this.#paidAt = Math.max(this.#paidAt, this.#time.now())
    this.#paidAt += (1000 * bytes) / this.#bytesPerSecond
    for (;;) {
      if (this.#isEnded) return 'stop'
      const waitMs = this.#paidAt - this.#time.now()
      if (waitMs < WAIT_MS_MIN) return 'goOn'
      await new Promise<void>((resolve) => {
        this.#time.after(Math.min(waitMs, WAIT_MS_MAX), resolve)
      })
    }
  }
}
