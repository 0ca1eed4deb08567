/**
 * Exactly once: what was called and what was applied are the same, each once.
 *
 *   repeated-request  no (client, seq) is applied twice
 *   lost-write        every acknowledged write is applied
 *   wrong-index       at the index that its answer named
 *   repeated-write    no write is applied more often than it was called; one of unknown outcome at most once
 *   failed-write      a write that failed with certainty is not applied
 *   phantom-write     nothing is applied that nobody called
 *
 * Writes are told apart by their changes: give every put a value of its own. Equal writes (deletes, say) are
 * counted, so that a fault among them can hide only behind another of them whose outcome is unknown.
 */
import { type Call, type Change, changesOf, type History, isWrite } from '../history.js'
import { isAcknowledgedWrite } from './answered.js'
import { type CommittedLog, THE_LEADER } from './committed-log.js'
import { describeCall, describeChange, eventsOf } from './describe.js'
import type { Verdict } from './verdict.js'

/** What was looked at. */
export interface ExactlyOnceObserved {
  readonly requests: number
  readonly acknowledged: number
  readonly failed: number
  /** Writes of unknown outcome that were applied, and that were not. */
  readonly unknownApplied: number
  readonly unknownNotApplied: number
}

/** What was applied but not called, or called but not applied. */
export interface WriteFault {
  readonly rule:
    | 'repeated-request'
    | 'lost-write'
    | 'wrong-index'
    | 'repeated-write'
    | 'failed-write'
    | 'phantom-write'
  readonly counterexample: string
  readonly events: readonly number[]
}

/** Writes with the same changes. */
interface Group {
  readonly changes: readonly Change[]
  readonly acknowledged: Call[]
  readonly unknown: Call[]
  readonly failed: Call[]
  /** Where such a command was applied and no call has been found for it. */
  readonly applied: number[]
}

/** Which call stands for what was applied. */
export interface WriteMatching {
  readonly fault: WriteFault | undefined
  /** The index of every write that was applied, those of unknown outcome included. */
  readonly places: ReadonlyMap<Call, number>
  readonly observed: ExactlyOnceObserved
}

/** Whether every write was applied as often as it was called. O(writes log writes). */
export function checkExactlyOnce(
  history: History,
  log: CommittedLog,
): Verdict<ExactlyOnceObserved> {
  const { fault, observed } = matchWrites(history, log)
  return fault === undefined
    ? { verdict: 'ok', observed }
    : { verdict: 'violation', ...fault, observed }
}

/** Finds the place in the log of every write of the history. O(writes log writes). */
export function matchWrites(history: History, log: CommittedLog): WriteMatching {
  const groups = groupsOf(history, log)
  const places = new Map<Call, number>()
  let unknownApplied = 0
  let fault = repeatedRequest(log)
  for (const group of groups) {
    const misplacedWrite = claimAcknowledged(group, places)
    unknownApplied += claimUnknown(group, places)
    fault ??= misplacedWrite ?? leftOver(group)
  }
  const count = (kind: 'acknowledged' | 'unknown' | 'failed') =>
    groups.reduce((sum, group) => sum + group[kind].length, 0)
  const observed: ExactlyOnceObserved = {
    requests: log.requests.length,
    acknowledged: count('acknowledged'),
    failed: count('failed'),
    unknownApplied,
    unknownNotApplied: count('unknown') - unknownApplied,
  }
  return { fault, places, observed }
}

function repeatedRequest({ requests }: CommittedLog): WriteFault | undefined {
  const seen = new Map<string, number>()
  for (const { client, seq, index } of requests) {
    const id = JSON.stringify([client, seq])
    const earlier = seen.get(id)
    if (earlier !== undefined) {
      const counterexample = `request ${seq} of client ${client} is applied at ${earlier} and at ${index}`
      return { rule: 'repeated-request', counterexample, events: [] }
    }
    seen.set(id, index)
  }
  return undefined
}

function groupsOf(history: History, log: CommittedLog): Group[] {
  const groups = new Map<string, Group>()
  const groupOf = (changes: readonly Change[]): Group => {
    const id = JSON.stringify(changes.map((c) => (c.type === 'put' ? [c.key, c.value] : [c.key])))
    const known = groups.get(id)
    if (known !== undefined) return known
    const group: Group = { changes, acknowledged: [], unknown: [], failed: [], applied: [] }
    groups.set(id, group)
    return group
  }
  for (const call of history.calls) {
    const { operation, outcome } = call
    if (!isWrite(operation)) continue
    const changes = changesOf(operation)
    // A batch of nothing leaves no trace.
    if (changes.length === 0) continue
    const group = groupOf(changes)
    if (isAcknowledgedWrite(call)) group.acknowledged.push(call)
    else if (outcome.type === 'fail') group.failed.push(call)
    else group.unknown.push(call)
  }
  for (const { client, index, commands } of log.requests) {
    if (client === THE_LEADER) continue
    for (const changes of commands) groupOf(changes).applied.push(index)
  }
  return [...groups.values()]
}

/** Takes the acknowledged writes of `group` out of what was applied. */
function claimAcknowledged(group: Group, places: Map<Call, number>): WriteFault | undefined {
  const indexed = group.acknowledged.filter((call) => acknowledgedAt(call) !== undefined)
  for (const call of indexed) {
    const index = acknowledgedAt(call)!
    const at = group.applied.indexOf(index)
    if (at === -1) return misplaced(group, call, index)
    group.applied.splice(at, 1)
    places.set(call, index)
  }
  for (const call of group.acknowledged) {
    if (acknowledgedAt(call) !== undefined) continue
    const index = group.applied.shift()
    if (index === undefined) return { rule: 'lost-write', ...told(call, 'is not in the log') }
    places.set(call, index)
  }
  return undefined
}

function misplaced(group: Group, call: Call, index: number): WriteFault {
  const [elsewhere] = group.applied
  if (elsewhere === undefined) return { rule: 'lost-write', ...told(call, `is not in the log`) }
  return { rule: 'wrong-index', ...told(call, `is applied at ${elsewhere}, not at ${index}`) }
}

/**
 * Takes the writes of unknown outcome out of what was applied; how many took effect. Among equal ones the earliest
 * called gets the lowest index: if any way of matching them is right in time, this one is.
 */
function claimUnknown(group: Group, places: Map<Call, number>): number {
  const claimed = group.applied.splice(0, group.unknown.length)
  claimed.forEach((index, at) => {
    places.set(group.unknown[at]!, index)
  })
  return claimed.length
}

function leftOver(group: Group): WriteFault | undefined {
  const [index] = group.applied
  if (index === undefined) return undefined
  const [failed] = group.failed
  if (failed !== undefined) {
    return { rule: 'failed-write', ...told(failed, `is applied at ${index} all the same`) }
  }
  const [call] = [...group.acknowledged, ...group.unknown]
  if (call !== undefined) return { rule: 'repeated-write', ...told(call, `again at ${index}`) }
  const words = group.changes.map(describeChange).join(', ')
  const counterexample = `nobody wrote ${words}, which is applied at ${index}`
  return { rule: 'phantom-write', counterexample, events: [] }
}

function acknowledgedAt(call: Call): number | undefined {
  return call.outcome.type === 'ok' ? call.outcome.result.index : undefined
}

function told(call: Call, words: string): Omit<WriteFault, 'rule'> {
  return { counterexample: `${describeCall(call)}; ${words}`, events: eventsOf(call) }
}
