/** What every checker answers. */

/** The rule held wherever it could be looked at. */
export interface Ok<Observed> {
  readonly verdict: 'ok'
  readonly observed: Observed
}

/** The rule was broken; the first case is told. */
export interface Violation<Observed> {
  readonly verdict: 'violation'
  /** Which rule, as a stable word. */
  readonly rule: string
  /** What happened, in words. */
  readonly counterexample: string
  /** The numbers `i` of the history's events that show it. */
  readonly events: readonly number[]
  readonly observed: Observed
}

/** Could not be decided, which never counts as passing. */
export interface Unknown<Observed> {
  readonly verdict: 'unknown'
  readonly reason: string
  readonly observed: Observed
}

/** A checker's answer; `observed` says what was looked at, so that an `ok` about nothing can be told. */
export type Verdict<Observed> = Ok<Observed> | Violation<Observed> | Unknown<Observed>
