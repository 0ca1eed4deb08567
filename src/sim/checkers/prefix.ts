/**
 * Consistent prefix: every read, at whatever level, shows the state after some index of the committed log.
 *
 *   index        a read that names its index shows exactly the replay up to there
 *   no index     there is one index whose replay it shows, all of its keys together
 *   uncommitted  it names no index that the log does not have
 *   future       it shows no write that was called only after the read had returned
 */
import type { Call, Found, History, Read, ReadLevel } from '../history.js'
import { type Answered, answeredReads, byAnswer, foundBy, indexOf } from './answered.js'
import { type CommittedLog, Replay } from './committed-log.js'
import { describeCall, eventsOf } from './describe.js'
import { matchWrites } from './exactly-once.js'
import type { Verdict } from './verdict.js'

/** What was looked at. */
export interface PrefixObserved {
  readonly reads: Readonly<Record<ReadLevel, number>>
  /** Reads that did not name their index. */
  readonly withoutIndex: number
}

/** A read that shows no state it could have been served from. */
export interface ReadFault {
  readonly rule: 'consistent-prefix' | 'uncommitted' | 'future'
  readonly counterexample: string
  readonly events: readonly number[]
}

/** Whether all reads show prefixes of the log. O((reads + writes) log n), a scan counting as its keys. */
export function checkPrefix(history: History, log: CommittedLog): Verdict<PrefixObserved> {
  const reads = answeredReads(history.calls)
  const observed: PrefixObserved = {
    reads: {
      strong: countAt(reads, 'strong'),
      session: countAt(reads, 'session'),
      eventual: countAt(reads, 'eventual'),
    },
    withoutIndex: reads.filter((read) => indexOf(read) === undefined).length,
  }
  const { places } = matchWrites(history, log)
  const fault = firstReadFault(new Replay(log), reads) ?? firstFutureRead(reads, places)
  return fault === undefined
    ? { verdict: 'ok', observed }
    : { verdict: 'violation', ...fault, observed }
}

/** The first of `reads` that does not show the state of its index, or of any index when it names none. */
export function firstReadFault(
  replay: Replay,
  reads: readonly Answered<Read>[],
): ReadFault | undefined {
  for (const read of reads) {
    const fault = readFault(replay, read)
    if (fault !== undefined) return fault
  }
  return undefined
}

function readFault(replay: Replay, read: Answered<Read>): ReadFault | undefined {
  const index = indexOf(read)
  const found = foundBy(read, replay.keys())
  if (index === undefined) return hasState(replay, found) ? undefined : noState(read)
  if (index > replay.lastIndex) {
    const words = `the committed log ends at ${replay.lastIndex}`
    return { rule: 'uncommitted', ...told(read, words) }
  }
  for (const [key, value] of found) {
    const version = replay.versionAt(key, index)
    if (version.value === value) continue
    const words = `after index ${index}, ${quoted(key)} holds ${quoted(version.value)}`
    return { rule: 'consistent-prefix', ...told(read, words) }
  }
  return revisionFault(replay, read, index)
}

function revisionFault(replay: Replay, read: Answered<Read>, index: number): ReadFault | undefined {
  const { operation } = read
  const { result } = read.outcome
  if (operation.f !== 'get' || result.f !== 'get' || result.revision === undefined) return undefined
  const version = replay.versionAt(operation.key, index)
  const revision = version.value === null ? 0 : version.index
  if (revision === result.revision) return undefined
  const words = `it named revision ${result.revision}, the last change was at ${revision}`
  return { rule: 'consistent-prefix', ...told(read, words) }
}

/** Whether some index has all of `found` at once. */
function hasState(replay: Replay, found: ReadonlyMap<string, Found>): boolean {
  let common: [number, number][] = [[0, Number.POSITIVE_INFINITY]]
  for (const [key, value] of found) common = intersection(common, replay.rangesOf(key, value))
  return common.length > 0
}

/** Both lists are of disjoint half-open ranges, rising. */
function intersection(
  left: readonly [number, number][],
  right: readonly [number, number][],
): [number, number][] {
  const common: [number, number][] = []
  for (let l = 0, r = 0; l < left.length && r < right.length; ) {
    const [leftFrom, leftTo] = left[l]!
    const [rightFrom, rightTo] = right[r]!
    const from = Math.max(leftFrom, rightFrom)
    const to = Math.min(leftTo, rightTo)
    if (from < to) common.push([from, to])
    if (leftTo < rightTo) l++
    else r++
  }
  return common
}

function noState(read: Answered<Read>): ReadFault {
  return { rule: 'consistent-prefix', ...told(read, 'no index of the log has this state') }
}

/** A read at an index that covers a write which was called only later. */
function firstFutureRead(
  reads: readonly Answered<Read>[],
  places: ReadonlyMap<Call, number>,
): ReadFault | undefined {
  const writes = [...places].sort(([a], [b]) => a.invoked.i - b.invoked.i)
  let lowest: [write: Call, index: number] | undefined
  for (const read of byAnswer(reads).reverse()) {
    while (writes.length > 0 && writes.at(-1)![0].invoked.i > read.outcome.at.i) {
      const write = writes.pop()!
      if (lowest === undefined || write[1] < lowest[1]) lowest = write
    }
    if (lowest === undefined || (indexOf(read) ?? 0) < lowest[1]) continue
    const [write, index] = lowest
    const fault = told(read, `it covers the later ${describeCall(write)}, applied at ${index}`)
    return { rule: 'future', ...fault, events: [...fault.events, ...eventsOf(write)] }
  }
  return undefined
}

function told(read: Answered<Read>, words: string): Omit<ReadFault, 'rule'> {
  return { counterexample: `${describeCall(read)}; ${words}`, events: eventsOf(read) }
}

function countAt(reads: readonly Answered<Read>[], level: ReadLevel): number {
  return reads.filter(({ operation }) => operation.level === level).length
}

function quoted(value: Found): string {
  return JSON.stringify(value)
}
