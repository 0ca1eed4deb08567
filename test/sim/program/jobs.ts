/** What the simulation program asks of its worker processes, and what they answer. */
import type { Tally } from '../../../src/sim/run/tally.js'
import type { Violation } from '../../../src/sim/watch/findings.js'

/** A task for a worker. */
export type Job =
  /** Run the schedule of a seed. */
  | { readonly type: 'run'; readonly seed: number }
  /** Run it on simulated and on real files. */
  | { readonly type: 'realDisk'; readonly seed: number; readonly dir: string }
  /** Shrink the schedule of a seed that fails, and write it down. */
  | {
      readonly type: 'shrink'
      readonly seed: number
      readonly timeMs: number
      readonly dir: string
      readonly versions: Readonly<Record<string, string>>
    }

/** What became of a run. */
export interface RunResult {
  readonly violation: Violation | undefined
  readonly tally: Tally | undefined
  readonly traceHash: string
  readonly historyHash: string
}

/** What became of a job. */
export type Answer =
  | { readonly type: 'run'; readonly result: RunResult }
  | { readonly type: 'realDisk'; readonly simulated: RunResult; readonly real: RunResult }
  | { readonly type: 'shrink'; readonly path: string | undefined; readonly summary: string }
