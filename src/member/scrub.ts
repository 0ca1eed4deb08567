/**
 * Reads what is stored of the state over and over, slowly, so that bytes that rot are found before they are needed:
 * LevelDB may miss keys in a damaged block, or end the process when it compacts one.
 */
import { StoreError } from '../base/errors.js'
import type { Databases } from '../env/database.js'
import type { Time } from '../env/time.js'

/** After the start, and between two runs over everything. */
const FIRST_MS = 5_000
const EVERY_MS = 3_600_000
/** Waits shorter than this are made together, longer ones in parts: the end of the member does not wait for them. */
const WAIT_MS_MIN = 20
const WAIT_MS_MAX = 200

/** What a scrub works with. */
export interface ScrubPorts {
  /** The folder of the state that is in use; undefined while none is. */
  stateDir(): string | undefined
  /** Takes charge of work that goes on after this turn and never rejects. */
  own(work: Promise<void>): void
  /** The state that is in use is damaged. */
  onDamaged(error: StoreError): void
  fail(error: unknown): void
}

/** Scrubs the state of one member. */
export class Scrub {
  readonly #time: Time
  readonly #databases: Databases
  readonly #bytesPerSecond: number
  readonly #ports: ScrubPorts
  #nextAt: number
  #isRunning = false
  #isEnded = false
  /** The time by which what was read is paid for. */
  #paidAt = 0

  constructor(time: Time, databases: Databases, bytesPerSecond: number, ports: ScrubPorts) {
    this.#time = time
    this.#databases = databases
    this.#bytesPerSecond = bytesPerSecond
    this.#ports = ports
    this.#nextAt = time.now() + FIRST_MS
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (this.#isRunning || this.#isEnded || now < this.#nextAt) return
    const dir = this.#ports.stateDir()
    if (dir === undefined) return
    this.#isRunning = true
    this.#ports.own(this.#run(dir))
  }

  end(): void {
    this.#isEnded = true
  }

  async #run(dir: string): Promise<void> {
    try {
      const damage = await this.#databases.verify(dir, (bytes) => this.#pace(dir, bytes))
      // Of a state that was replaced meanwhile nothing counts any more.
      if (damage !== undefined && this.#ports.stateDir() === dir && !this.#isEnded) {
        this.#ports.onDamaged(new StoreError('QUORATE_CORRUPTION', damage))
      }
    } catch (error) {
      this.#ports.fail(error)
    }
    this.#nextAt = this.#time.now() + EVERY_MS
    this.#isRunning = false
  }

  async #pace(dir: string, bytes: number): Promise<'goOn' | 'stop'> {
    this.#paidAt = Math.max(this.#paidAt, this.#time.now())
    this.#paidAt += (1000 * bytes) / this.#bytesPerSecond
    for (;;) {
      if (this.#isEnded || this.#ports.stateDir() !== dir) return 'stop'
      const waitMs = this.#paidAt - this.#time.now()
      if (waitMs < WAIT_MS_MIN) return 'goOn'
      await new Promise<void>((resolve) => {
        this.#time.after(Math.min(waitMs, WAIT_MS_MAX), resolve)
      })
    }
  }
}
