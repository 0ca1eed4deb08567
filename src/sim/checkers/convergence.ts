/**
 * Convergence: once faults are over and no writes come any more, all members are in the same state, and that state
 * has every acknowledged write.
 *
 *   applied-index  all members have applied the same index
 *   lost-writes    which is not before any acknowledged write
 *   digest         equal states have equal digests, and the model's digest when that is given
 */
import type { History } from '../history.js'
import { acknowledgedWrites, indexOf } from './answered.js'
import type { Verdict } from './verdict.js'

/** One member at rest. */
export interface MemberState {
  readonly node: string
  readonly appliedIndex: number
  /** Of the whole state: equal states have equal digests, others have not. */
  readonly digest: string
}

/** What was looked at. */
export interface ConvergenceObserved {
  readonly members: number
  readonly appliedIndex: number
  /** The highest index of an acknowledged write. */
  readonly acknowledgedIndex: number
}

/**
 * Whether `members` agree. @param expectedDigest of the replay of the whole log, when it is known
 */
export function checkConvergence(
  history: History,
  members: readonly MemberState[],
  expectedDigest: string | undefined,
): Verdict<ConvergenceObserved> {
  const acknowledgedIndex = acknowledgedWrites(history.calls).reduce(
    (highest, write) => Math.max(highest, indexOf(write) ?? 0),
    0,
  )
  const [first] = members
  const appliedIndex = first?.appliedIndex ?? 0
  const observed = { members: members.length, appliedIndex, acknowledgedIndex }
  if (first === undefined) return { verdict: 'unknown', reason: 'no member was asked', observed }
  const fault = disagreement(members, first) ?? shortfall(first, acknowledgedIndex, expectedDigest)
  if (fault === undefined) return { verdict: 'ok', observed }
  return { verdict: 'violation', ...fault, events: [], observed }
}

interface ConvergenceFault {
  readonly rule: 'applied-index' | 'lost-writes' | 'digest'
  readonly counterexample: string
}

function disagreement(
  members: readonly MemberState[],
  first: MemberState,
): ConvergenceFault | undefined {
  const behind = members.find(({ appliedIndex }) => appliedIndex !== first.appliedIndex)
  if (behind !== undefined) {
    const counterexample =
      `${first.node} has applied index ${first.appliedIndex}, ` +
      `${behind.node} has applied index ${behind.appliedIndex}`
    return { rule: 'applied-index', counterexample }
  }
  const other = members.find(({ digest }) => digest !== first.digest)
  if (other === undefined) return undefined
  const counterexample =
    `at index ${first.appliedIndex} the state of ${first.node} is ${first.digest}, ` +
    `that of ${other.node} is ${other.digest}`
  return { rule: 'digest', counterexample }
}

function shortfall(
  { node, appliedIndex, digest }: MemberState,
  acknowledgedIndex: number,
  expectedDigest: string | undefined,
): ConvergenceFault | undefined {
  if (appliedIndex < acknowledgedIndex) {
    const counterexample = `a write was acknowledged at ${acknowledgedIndex}, ${node} ends at ${appliedIndex}`
    return { rule: 'lost-writes', counterexample }
  }
  if (expectedDigest === undefined || digest === expectedDigest) return undefined
  const counterexample = `the log replays to ${expectedDigest}, the state of ${node} is ${digest}`
  return { rule: 'digest', counterexample }
}
