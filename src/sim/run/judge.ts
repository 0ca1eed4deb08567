/** Judges a finished run by its history and the committed log: the checkers of sim/checkers, each with its rule. */

import { checkApplied, type Death } from '../checkers/applied.js'
import type { CommittedLog } from '../checkers/committed-log.js'
import { checkExactlyOnce } from '../checkers/exactly-once.js'
import { checkLinearizability, type SearchBudget } from '../checkers/linearizability.js'
import { checkPrefix } from '../checkers/prefix.js'
import { checkSessions } from '../checkers/sessions.js'
import { checkStaleness } from '../checkers/staleness.js'
import { partitionByBatch, partitionByKey, storeModel } from '../checkers/store-model.js'
import type { Verdict } from '../checkers/verdict.js'
import { checkWhiteBox } from '../checkers/white-box.js'
import { type History, type HistoryEvent, isWrite, pairCalls } from '../history.js'
import type { Findings, Rule } from '../watch/findings.js'
import type { Tally } from './tally.js'

/** A run has many keys and little time: what is harder than this is left to the check from the inside. */
const BUDGET: SearchBudget = { stepsMax: 100_000, memoryBytesMax: 64 * 1_048_576 }

/**
 * Checks everything that clients saw.
 * @param members how many there were all the time; undefined when they changed
 */
export function judge(
  events: readonly HistoryEvent[],
  log: CommittedLog,
  members: number | undefined,
  findings: Findings,
  tally: Tally,
): void {
  const history = pairCalls(events)
  const placed = withPlaces(history)
  const take = <T>(rule: Rule, verdict: Verdict<T>): void => {
    findings.count(history.calls.length)
    if (verdict.verdict === 'violation') {
      findings.report(rule, `${verdict.rule}: ${verdict.counterexample}`)
    } else if (verdict.verdict === 'unknown') {
      findings.report(rule, `not decided: ${verdict.reason}`)
    }
  }
  take('C5 exactly once', checkExactlyOnce(history, log))
  take('C1 linearizability', checkWhiteBox(placed, log))
  take('C3 consistent prefix', checkPrefix(history, log))
  const sessions = checkSessions(history)
  take('C2 session guarantees', sessions)
  if (members !== undefined) {
    take('C9 acknowledged is applied', checkApplied(history, { members, deaths: deathsIn(events) }))
  }
  const staleness = checkStaleness(history)
  take('C4 bounded staleness', staleness)
  tally.staleReads += staleness.observed.levels.session.stale
  tally.staleReads += staleness.observed.levels.eventual.stale
  // What holds for keys that belong together holds for each of them: alone they are looked at only when that is hard.
  for (const part of [partitionByBatch, partitionByKey]) {
    const verdict = checkLinearizability(storeModel, part(history), BUDGET)
    if (verdict.verdict !== 'unknown') {
      take('C1 linearizability', verdict as Verdict<unknown>)
      return
    }
    tally.undecided++
  }
}

/** Where processes ended; see Clients.abandon. */
function deathsIn(events: readonly HistoryEvent[]): Death[] {
  return events.flatMap((event) =>
    event.type === 'info' && event.process === 'nemesis' && event.f === 'ends'
      ? [{ node: String(event.value), i: event.i }]
      : [],
  )
}

/** The history without reads that do not say at which index they were served: getMany and scan. */
function withPlaces(history: History): History {
  const calls = history.calls.filter(
    ({ operation, outcome }) =>
      isWrite(operation) || outcome.type !== 'ok' || outcome.result.index !== undefined,
  )
  return { ...history, calls }
}
