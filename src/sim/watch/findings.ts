/** What a run's checks found: how many were made, and the first one that failed. */

/** The rules, by the names under which docs/testing.md explains them. */
export type Rule =
  | 'R1 election safety'
  | 'R2 leader append-only'
  | 'R3 log matching'
  | 'R4 leader completeness'
  | 'R5 state machine safety'
  | 'R6 commit is durable on a quorum'
  | 'R7 committed never changes'
  | 'R8 order of positions'
  | 'R9 nothing goes back'
  | 'R10 promises are durable'
  | 'R11 one change at a time'
  | 'R12 reads are confirmed'
  | 'S1 equal index, equal state'
  | 'S2 state and index move together'
  | 'S3 a snapshot is a state of the log'
  | 'S4 one session table'
  | 'S5 acknowledged is readable'
  | 'S7 recovery is exact'
  | 'S8 damage is never data'
  | 'S9 no garbage'
  | 'S10 nothing expires early'
  | 'E1 what counts is durable'
  | 'E2 enough of every value is left'
  | 'E3 one name, one codeword'
  | 'E4 nothing in use is deleted'
  | 'E5 orphans go'
  | 'E6 everybody has their shards again'
  | 'C1 linearizability'
  | 'C2 session guarantees'
  | 'C3 consistent prefix'
  | 'C4 bounded staleness'
  | 'C5 exactly once'
  | 'C6 every call settles'
  | 'C7 watch guarantees'
  | 'C8 decisions are right'
  | 'C9 acknowledged is applied'
  | 'L1 a leader emerges'
  | 'L2 members converge'
  | 'L3 fresh calls succeed'
  | 'L4 everything is still there'
  | 'L5 an idle cluster is quiet'
  | 'L6 what has expired goes'
  | 'A1 no assertion fails'
  | 'A2 no member stops without a cause'
  | 'D1 nothing leaks in'
  | 'U1 invariant of the workload'

/** A rule that was broken. */
export interface Violation {
  readonly rule: Rule
  readonly message: string
  /** Virtual milliseconds. */
  readonly atMs: number
}

/** Collects the findings of one run. */
export class Findings {
  readonly #now: () => number
  #checks = 0
  #violation: Violation | undefined

  constructor(now: () => number) {
    this.#now = now
  }

  /** Virtual milliseconds. */
  get now(): number {
    return this.#now()
  }

  /** How often a rule was checked. */
  get checks(): number {
    return this.#checks
  }

  /** The first violation: what comes after it may be its consequence. */
  get violation(): Violation | undefined {
    return this.#violation
  }

  /** Checks a rule once; `words` says what is wrong. */
  expect(holds: boolean, rule: Rule, words: () => string): void {
    this.#checks++
    if (!holds) this.report(rule, words())
  }

  /** A rule was broken. */
  report(rule: Rule, message: string): void {
    this.#violation ??= { rule, message, atMs: this.#now() }
  }

  /** Counts `count` checks that were made elsewhere and held. */
  count(count: number): void {
    this.#checks += count
  }
}
