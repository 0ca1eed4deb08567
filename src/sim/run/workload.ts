/** What clients do in a run, and how a run asks for it. The simulator's own workload is clients.ts. */
import type { HistoryEvent } from '../history.js'
import type { Action, Step } from '../schedule/schedule.js'
import type { Cluster } from './cluster.js'
import type { Seat } from './seat.js'

/** The clients of one run. */
export interface Workload<A extends Action> {
  /** Calls that are not answered yet. */
  readonly openCalls: number
  /** Called once, before any action and fault. */
  setup?(): Promise<void>
  /** Carries out one action; it may go on after this returns. */
  act(action: Step & A): void
  /** The process on `seat` has ended: what it was asked will not be answered. */
  abandon(seat: Seat): void
  /** C6: checks that no call is open long after its time. */
  checkOverdue(): void
  /** The faults are over: lets everything end that would end by itself. */
  settle?(): Promise<void>
  /** The members agree: judges what clients were told. */
  judge(): Promise<void>
  /** Everything that clients saw, as far as it was recorded. Record nothing more. */
  history(): readonly HistoryEvent[]
}

/** Makes the clients of a run. */
export type NewWorkload<A extends Action> = (cluster: Cluster) => Workload<A>
