/**
 * What a linearizability check is given: a sequential model, and operations with their times.
 *
 * A model says what one operation does to one state, as if nothing else ran. States are primitives, so that equal
 * states are `===`: the search remembers where it has been by them.
 */

/** A state of a model; several values are joined into one string. */
export type ModelState = string | number | boolean | null

/** A sequential specification of one partition. Its functions are pure. */
export interface Model<Operation, State extends ModelState> {
  readonly initial: State
  /** The state after `operation`; `undefined` when it cannot have had its result in `state`. */
  step(state: State, operation: Operation): State | undefined
  /** Whether `operation` leaves every state as it is. The search places such operations without branching. */
  isObserver(operation: Operation): boolean
  /** The operation and its result in words; equal operations have equal words, different ones different words. */
  describe(operation: Operation): string
  /** A state in words. */
  describeState(state: State): string
}

/**
 * One operation and the closed interval in which it took effect: at equal times calls come before returns.
 * Without `returned` its outcome is unknown: it may have taken effect at any time after `called`, or never, and
 * its operation should carry no result.
 */
export interface TimedOperation<Operation> {
  readonly operation: Operation
  readonly called: number
  readonly returned: number | undefined
}

/** Operations that are linearizable exactly when they are so apart from those of all other partitions. */
export interface Partition<Operation> {
  readonly key: string
  readonly operations: readonly TimedOperation<Operation>[]
}
