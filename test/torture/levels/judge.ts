/** Judges what the clients of the level torture were told, with every checker of the testing kit. */
import { createHash } from 'node:crypto'
import { count, milliseconds } from '../../../src/cli/terminal.js'
import { checkApplied, type Death } from '../../../src/sim/checkers/applied.js'
import { type CommittedLog, Replay } from '../../../src/sim/checkers/committed-log.js'
import { checkConvergence, type MemberState } from '../../../src/sim/checkers/convergence.js'
import { checkExactlyOnce } from '../../../src/sim/checkers/exactly-once.js'
import {
  checkLinearizability,
  DEFAULT_SEARCH_BUDGET,
} from '../../../src/sim/checkers/linearizability.js'
import { checkPrefix } from '../../../src/sim/checkers/prefix.js'
import { checkSessions } from '../../../src/sim/checkers/sessions.js'
import {
  checkStaleness,
  type LevelStaleness,
  quantile,
} from '../../../src/sim/checkers/staleness.js'
import { partitionByBatch, storeModel } from '../../../src/sim/checkers/store-model.js'
import type { Verdict } from '../../../src/sim/checkers/verdict.js'
import { checkWhiteBox } from '../../../src/sim/checkers/white-box.js'
import { compareKeys, type History, isWrite } from '../../../src/sim/history.js'
import type { Dump } from './operations.js'

/** What the checkers said of one history. */
export interface Judgement {
  /** Rules that were broken or could not be decided, in words; empty is well. */
  readonly violations: readonly string[]
  /** What was looked at, a line each. */
  readonly observed: readonly string[]
  /** Reads below strong that missed an acknowledged write. */
  readonly staleReads: number
}

/** Everything that is known of one cluster's life. */
export interface Evidence {
  readonly history: History
  readonly log: CommittedLog
  /** When processes were killed. */
  readonly deaths: readonly Death[]
  /** What each member had at the end, by its name. */
  readonly dumps: ReadonlyMap<string, Dump>
}

/** Runs all checkers. Some seconds for some 100,000 calls. */
export function judge({ history, log, deaths, dumps }: Evidence): Judgement {
  const violations: string[] = []
  const observed: string[] = []
  const take = (rule: string, verdict: Verdict<unknown>, words: string): void => {
    observed.push(`${rule}: ${verdict.verdict}, ${words}`)
    if (verdict.verdict === 'violation') {
      violations.push(`${rule}, ${verdict.rule}: ${verdict.counterexample}`)
    } else if (verdict.verdict === 'unknown') violations.push(`${rule}: ${verdict.reason}`)
  }
  const once = checkExactlyOnce(history, log)
  const { acknowledged, unknownApplied, unknownNotApplied } = once.observed
  take(
    'exactly once',
    once,
    `${count(acknowledged)} writes acknowledged; of those of unknown outcome ` +
      `${count(unknownApplied)} happened and ${count(unknownNotApplied)} did not`,
  )
  const inside = checkWhiteBox(withPlaces(history), log)
  take('linearizable by log position', inside, `${count(inside.observed.strongReads)} strong reads`)
  const search = checkLinearizability(storeModel, partitionByBatch(history), DEFAULT_SEARCH_BUDGET)
  const { operations, partitions, steps } = search.observed
  take(
    'linearizable from the outside',
    search.verdict === 'violation' ? { ...search, events: [] } : search,
    `${count(operations)} calls on ${count(partitions)} groups of keys in ${count(steps)} steps`,
  )
  const sessions = checkSessions(history)
  take(
    'session guarantees',
    sessions,
    `${count(sessions.observed.sessions)} stays, ${count(sessions.observed.tokens)} tokens carried, ` +
      `${count(sessions.observed.reads)} reads and ${count(sessions.observed.writes)} writes`,
  )
  const prefix = checkPrefix(history, log)
  const { reads } = prefix.observed
  take('consistent prefix', prefix, `${count(reads.strong + reads.session + reads.eventual)} reads`)
  const staleness = checkStaleness(history)
  take('bounded staleness', staleness, `${count(staleness.observed.bounded)} reads with a bound`)
  const applied = checkApplied(history, { members: dumps.size, deaths })
  take(
    'applied stays applied',
    applied,
    `${count(applied.observed.reads)} reads, ${count(applied.observed.acks)} writes acknowledged as applied`,
  )
  const { session, eventual } = staleness.observed.levels
  const members = [...dumps].map(([node, dump]) => stateOf(node, dump))
  const expected = digestOf(
    [...new Replay(log).finalState()].map(([key, value]) => [key, `${value}`]),
  )
  const end = checkConvergence(history, members, expected)
  take('convergence', end, `${end.observed.members} members at index ${end.observed.appliedIndex}`)
  observed.push(describeStaleness('session', session), describeStaleness('eventual', eventual))
  return { violations, observed, staleReads: session.stale + eventual.stale }
}

function describeStaleness(level: string, { reads, stale, stalenessMs }: LevelStaleness): string {
  const missed = stalenessMs.filter((ms) => ms > 0)
  const ages = [0.5, 0.99, 1].map((q) => milliseconds(quantile(missed, q))).join(', ')
  return (
    `stale at ${level}: ${count(stale)} of ${count(reads)} gets missed an acknowledged write, ` +
    `by ${ages} (median, p99, longest)`
  )
}

/** Without reads that do not say at which index they were served: getMany and scan. */
function withPlaces(history: History): History {
  const calls = history.calls.filter(
    ({ operation, outcome }) =>
      isWrite(operation) || outcome.type !== 'ok' || outcome.result.index !== undefined,
  )
  return { ...history, calls }
}

function stateOf(node: string, { appliedIndex, entries }: Dump): MemberState {
  return { node, appliedIndex, digest: digestOf(entries) }
}

function digestOf(entries: readonly (readonly [key: string, value: string])[]): string {
  const sorted = [...entries].sort(([a], [b]) => compareKeys(a, b))
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 16)
}
