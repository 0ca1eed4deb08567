/** What is asked of the state that a read is served from. */
import type { LogIndex, Term } from '../raft/types.js'
import type {
  OnBehind,
  PendingRead,
  ReadDemand,
  ReadLevel,
  Served,
  StoredValue,
} from './backend.js'

/** A read that was made of a demand; its maker says what its ends mean. */
export abstract class DemandedRead implements PendingRead {
  readonly keys: readonly Uint8Array[]
  readonly level: ReadLevel
  readonly minIndex: LogIndex
  readonly minTerm: Term
  readonly maxStalenessMs: number
  readonly onBehind: OnBehind
  readonly deadline: number
  abstract readonly abandoned: boolean

  constructor(
    keys: readonly Uint8Array[],
    demand: Omit<ReadDemand, 'deadline'>,
    deadline: number,
    onBehind: OnBehind = demand.onBehind,
  ) {
    this.keys = keys
    this.level = demand.level
    this.minIndex = demand.minIndex
    this.minTerm = demand.minTerm
    this.maxStalenessMs = demand.maxStalenessMs
    this.onBehind = onBehind
    this.deadline = deadline
  }

  abstract complete(values: readonly (StoredValue | undefined)[], served: Served): void
  abstract fail(error: unknown): void
}

/** A state of `level` that holds `minIndex`, of any age, waited for until `deadline`. */
export function demand(level: ReadLevel, minIndex: LogIndex, deadline: number): ReadDemand {
  return {
    level,
    minIndex,
    minTerm: 0,
    maxStalenessMs: Number.POSITIVE_INFINITY,
    onBehind: 'wait',
    deadline,
  }
}
