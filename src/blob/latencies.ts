/** How long the last answers took, to tell when one is late. */

const SAMPLES_MAX = 64
const SAMPLES_MIN = 8
const LATE_MS_MIN = 20
const LATE_MS_MAX = 1_000
/** Before there are samples. */
const LATE_MS = 250

/** See the file's comment. */
export class Latencies {
  readonly #samples: number[] = []
  #next = 0

  /** Takes in an answer's time, in milliseconds. */
  record(ms: number): void {
    this.#samples[this.#next] = ms
    this.#next = (this.#next + 1) % SAMPLES_MAX
  }

  /** After so long an answer is later than 19 of 20, so that another one is asked. */
  get lateMs(): number {
    if (this.#samples.length < SAMPLES_MIN) return LATE_MS
    const sorted = this.#samples.toSorted((a, b) => a - b)
    const late = sorted[Math.floor(sorted.length * 0.95)]!
    return Math.min(LATE_MS_MAX, Math.max(LATE_MS_MIN, late))
  }
}
