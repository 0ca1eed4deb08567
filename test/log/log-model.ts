/** What a log should hold: the plain definition that the real one is compared with. */
import { equalBytes } from '../../src/base/bytes.js'
import type { Entry, EntryId, HardState } from '../../src/raft/types.js'

/** A log as values; never changed in place. */
export interface LogModel {
  readonly hardState: HardState
  readonly previous: EntryId
  readonly entries: readonly Entry[]
}

export const EMPTY_LOG: LogModel = {
  hardState: { term: 0, vote: 0, commit: 0 },
  previous: { term: 0, index: 0 },
  entries: [],
}

export function lastIndexOf(model: LogModel): number {
  return model.previous.index + model.entries.length
}

export function appended(
  model: LogModel,
  list: readonly Entry[],
  hardState: HardState | undefined,
): LogModel {
  const kept = list[0] === undefined ? model.entries : before(model, list[0].index)
  return { ...model, hardState: hardState ?? model.hardState, entries: [...kept, ...list] }
}

export function compacted(model: LogModel, previous: EntryId): LogModel {
  if (previous.index <= model.previous.index) return model
  const own = model.entries.find((entry) => entry.index === previous.index)
  const isOurs = own?.term === previous.term
  const entries = isOurs ? model.entries.slice(previous.index - model.previous.index) : []
  const commit = Math.max(model.hardState.commit, previous.index)
  return { hardState: { ...model.hardState, commit }, previous, entries }
}

function before(model: LogModel, index: number): readonly Entry[] {
  return model.entries.slice(0, index - model.previous.index - 1)
}

/** Whether both are the same log; the commit hint of `found` may lag. */
export function isLog(found: LogModel, expected: LogModel): boolean {
  const a = found.hardState
  const b = expected.hardState
  return (
    a.term === b.term &&
    a.vote === b.vote &&
    a.commit <= b.commit &&
    isSameId(found.previous, expected.previous) &&
    found.entries.length === expected.entries.length &&
    found.entries.every((entry, i) => isSameEntry(entry, expected.entries[i]!))
  )
}

function isSameEntry(a: Entry, b: Entry): boolean {
  return isSameId(a, b) && a.kind === b.kind && equalBytes(a.data, b.data)
}

function isSameId(a: EntryId, b: EntryId): boolean {
  return a.term === b.term && a.index === b.index
}

/** A log in one line, for failure messages: `term.vote commit | previous | index:term …`. */
export function describeLog(model: LogModel): string {
  const { term, vote, commit } = model.hardState
  const entries = model.entries.map((entry) => `${entry.index}:${entry.term}`).join(' ')
  return `${term}.${vote} ${commit} | ${model.previous.index}:${model.previous.term} | ${entries}`
}
