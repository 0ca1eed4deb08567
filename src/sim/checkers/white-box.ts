/**
 * Linearizability from the inside: with the log position of every operation there is nothing to search for.
 *
 *   exactly once  what is acknowledged is in the log, once, and nothing else is (exactly-once.ts)
 *   replay        a strong read shows the state after its index (prefix.ts)
 *   real-time     an operation that is called after another returned has a later place: a write a higher index
 *                 than anything that was seen before it was called, a read no lower one
 *
 * Together these are linearizability of all writes and strong reads, in O(n log n): the only check that every
 * simulated run can afford, and the only one for a million operations. linearizability.ts is the witness that
 * knows nothing of indexes.
 */
import { type Call, type History, isWrite, type Operation } from '../history.js'
import { type Answered, acknowledgedWrites, answeredReads, byAnswer, indexOf } from './answered.js'
import { type CommittedLog, Replay } from './committed-log.js'
import { describeCall, eventsOf } from './describe.js'
import { type ExactlyOnceObserved, matchWrites } from './exactly-once.js'
import { firstReadFault } from './prefix.js'
import type { Verdict } from './verdict.js'

/** What was looked at. */
export interface WhiteBoxObserved extends ExactlyOnceObserved {
  readonly strongReads: number
  /** Answers without an index, whose place in time cannot be told: any makes the verdict `unknown`. */
  readonly withoutIndex: number
}

/** Whether writes and strong reads are linearizable, given the committed log. O(n log n). */
export function checkWhiteBox(history: History, log: CommittedLog): Verdict<WhiteBoxObserved> {
  const strongReads = answeredReads(history.calls).filter((r) => r.operation.level === 'strong')
  const answered: Answered<Operation>[] = [...acknowledgedWrites(history.calls), ...strongReads]
  const withoutIndex = answered.filter((call) => indexOf(call) === undefined).length
  const matching = matchWrites(history, log)
  const observed = { ...matching.observed, strongReads: strongReads.length, withoutIndex }
  const fault =
    matching.fault ??
    firstReadFault(new Replay(log), strongReads) ??
    firstOutOfTime(placesOf(matching.places, strongReads), answered)
  if (fault !== undefined) return { verdict: 'violation', ...fault, observed }
  if (withoutIndex > 0) {
    return { verdict: 'unknown', reason: `${withoutIndex} answers name no index`, observed }
  }
  return { verdict: 'ok', observed }
}

interface Placed {
  readonly call: Call
  readonly index: number
}

interface TimeFault {
  readonly rule: 'real-time'
  readonly counterexample: string
  readonly events: readonly number[]
}

/** Every applied write, whether it was answered or not, and every read, in the order of the calls. */
function placesOf(
  writes: ReadonlyMap<Call, number>,
  reads: readonly Answered<Operation>[],
): Placed[] {
  const placed = [...writes].map(([call, index]): Placed => ({ call, index }))
  for (const call of reads) {
    const index = indexOf(call)
    if (index !== undefined) placed.push({ call, index })
  }
  return placed.sort((a, b) => a.call.invoked.i - b.call.invoked.i)
}

/** The first call that is placed before something that had been answered when it was called. */
function firstOutOfTime(
  placed: readonly Placed[],
  answered: readonly Answered<Operation>[],
): TimeFault | undefined {
  const answers = byAnswer(answered).filter((call) => indexOf(call) !== undefined)
  let next = 0
  let highest: Placed | undefined
  for (const one of placed) {
    for (; next < answers.length && answers[next]!.outcome.at.i < one.call.invoked.i; next++) {
      const call = answers[next]!
      const index = indexOf(call)!
      if (highest === undefined || index > highest.index) highest = { call, index }
    }
    if (highest !== undefined && !mayFollow(one, highest)) return outOfTime(one, highest)
  }
  return undefined
}

function mayFollow({ call, index }: Placed, earlier: Placed): boolean {
  // What was seen at an index includes all of it: a write that is called afterwards cannot be there.
  return isWrite(call.operation) ? index > earlier.index : index >= earlier.index
}

function outOfTime({ call, index }: Placed, earlier: Placed): TimeFault {
  return {
    rule: 'real-time',
    counterexample:
      `${describeCall(call)}, placed at ${index}; ` +
      `but before it was called, ${describeCall(earlier.call)}`,
    events: [...eventsOf(earlier.call), ...eventsOf(call)],
  }
}
