/** What a workload is. */
import { StoreError } from '../../src/base/errors.js'
import type { Known, Ledger } from './ledger.js'
import type { Machines } from './machines.js'

/** Where a workload runs. */
export interface Stage {
  readonly seed: number
  readonly machines: Machines
  readonly ledger: Ledger
}

/** See the file's comment. Its machines `a` and `b` (if there is a `b`) are members at every moment. */
export interface Workload {
  readonly name: string
  readonly summary: string
  run(stage: Stage): Promise<void>
  /** What else must be true, or come true, after a power cut; called when the members run again. */
  readonly after?: (machines: Machines, known: Known) => Promise<void>
}

/** What a machine may say that has lost its power before it was a member, or is none any more. */
export function isOutside(error: unknown): boolean {
  const codes = ['QUORATE_TIMEOUT', 'QUORATE_REMOVED', 'QUORATE_NO_LEADER']
  return error instanceof StoreError && codes.includes(error.code)
}
