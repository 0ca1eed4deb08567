/** Tells of bounds that calls run into, at most once a second for each: refusals come by the thousand. */
import type { Time } from '../env/time.js'
import type { Overload } from './backend.js'

const QUIET_MS = 1000

/** See the file's comment. */
export class Overloads {
  readonly #time: Time
  readonly #tell: (overload: Overload) => void
  readonly #quietUntil = new Map<Overload['what'], number>()

  constructor(time: Time, tell: (overload: Overload) => void) {
    this.#time = time
    this.#tell = tell
  }

  /** A call was refused. */
  note(overload: Overload): void {
    const now = this.#time.now()
    if (now < (this.#quietUntil.get(overload.what) ?? 0)) return
    this.#quietUntil.set(overload.what, now + QUIET_MS)
    this.#tell(overload)
  }
}
