/**
 * quorate's own operations for the linearizability search: which keys an operation found how, and what it set.
 *
 * Two ways to part a history:
 *   by key    each key by itself. Fast; what goes over several keys is seen through each of them alone, so that half
 *             a batch becoming visible is not noticed.
 *   by batch  keys that a batch, a scan or a getMany touched together stay together. Sees that as well, and costs
 *             what a longer search costs.
 * Only strong reads count, and a write that only its leader had acknowledged is of unknown outcome.
 */
import { type Call, type Change, changesOf, type Found, type History, isWrite } from '../history.js'
import { answeredReads, foundBy, isAcknowledgedWrite } from './answered.js'
import type { Model, Partition, TimedOperation } from './model.js'

/** What was found or set at a key, which has a place of its own in its partition. */
export interface Cell {
  readonly place: number
  readonly key: string
  readonly value: Found
}

/** What one atomic operation found and set. */
export interface StoreOperation {
  readonly found: readonly Cell[]
  readonly set: readonly Cell[]
}

/** The keys of one partition. A state is the JSON text of their values up to the last that has one. */
export const storeModel: Model<StoreOperation, string> = {
  initial: '[]',

  step(state, { found, set }) {
    const values = JSON.parse(state) as Found[]
    for (const { place, value } of found) {
      if ((values[place] ?? null) !== value) return undefined
    }
    if (set.length === 0) return state
    for (const { place, value } of set) {
      while (values.length <= place) values.push(null)
      values[place] = value
    }
    while (values.at(-1) === null) values.pop()
    return JSON.stringify(values)
  },

  isObserver({ set }) {
    return set.length === 0
  },

  describe({ found, set }) {
    const cells = set.length === 0 ? found : set
    const words = cells.map(({ key, value }) => `${JSON.stringify(key)} = ${JSON.stringify(value)}`)
    return `${set.length === 0 ? 'read' : 'write'} ${words.join(', ')}`
  },

  describeState(state) {
    return state
  },
}

/** A call with what it found and set, by key. */
interface Touched {
  readonly call: Call
  readonly found: ReadonlyMap<string, Found>
  readonly set: ReadonlyMap<string, Found>
}

/** A partition for each key. */
export function partitionByKey(history: History): Partition<StoreOperation>[] {
  const touched = touchedBy(history)
  const groups = [...keysOf(touched)].map((key) => [key])
  return partitionsOf(groups, touched)
}

/** A partition for each set of keys that operations connect. */
export function partitionByBatch(history: History): Partition<StoreOperation>[] {
  const touched = touchedBy(history)
  return partitionsOf(connected(touched), touched)
}

function touchedBy(history: History): Touched[] {
  const keys = keysNamedIn(history)
  const reads = answeredReads(history.calls)
    .filter(({ operation }) => operation.level === 'strong')
    .map((call) => ({ call, found: foundBy(call, keys), set: new Map<string, Found>() }))
  const writes = history.calls.flatMap((call): Touched[] => {
    if (!isWrite(call.operation) || call.outcome.type === 'fail') return []
    return [{ call, found: new Map(), set: setBy(changesOf(call.operation)) }]
  })
  return [...reads, ...writes]
}

/** Every key that a call names or shows; a scan says of each of them whether it is there. */
function keysNamedIn({ calls }: History): Set<string> {
  const keys = calls.flatMap(({ operation, outcome }): readonly string[] => {
    if (isWrite(operation)) return changesOf(operation).map(({ key }) => key)
    if (operation.f === 'get') return [operation.key]
    if (operation.f === 'getMany') return operation.keys
    const isShown = outcome.type === 'ok' && outcome.result.f === 'scan'
    return isShown ? outcome.result.entries.map(([key]) => key) : []
  })
  return new Set(keys)
}

function setBy(changes: readonly Change[]): Map<string, Found> {
  return new Map(changes.map((c) => [c.key, c.type === 'put' ? c.value : null]))
}

function keysOf(touched: readonly Touched[]): Set<string> {
  return new Set(touched.flatMap(({ found, set }) => [...found.keys(), ...set.keys()]))
}

/** The keys, in groups that no operation crosses. */
function connected(touched: readonly Touched[]): string[][] {
  const groups = new Map<string, string[]>()
  for (const key of keysOf(touched)) groups.set(key, [key])
  for (const { found, set } of touched) {
    const [first, ...others] = [...found.keys(), ...set.keys()]
    for (const other of others) join(groups, groups.get(first!)!, groups.get(other)!)
  }
  return [...new Set(groups.values())]
}

function join(groups: Map<string, string[]>, a: string[], b: string[]): void {
  if (a === b) return
  const [small, large] = a.length < b.length ? [a, b] : [b, a]
  for (const key of small) {
    large.push(key)
    groups.set(key, large)
  }
}

/** A partition for each group of keys, in time linear in the keys that calls touch. */
function partitionsOf(
  groups: readonly (readonly string[])[],
  touched: readonly Touched[],
): Partition<StoreOperation>[] {
  const groupOf = new Map(groups.flatMap((keys, at) => keys.map((key) => [key, at])))
  const members: Touched[][] = groups.map(() => [])
  for (const one of touched) {
    const keys = [...one.found.keys(), ...one.set.keys()]
    for (const at of new Set(keys.map((key) => groupOf.get(key)!))) members[at]!.push(one)
  }
  return groups.map((keys, at) => partitionOf(keys, members[at]!))
}

function partitionOf(
  keys: readonly string[],
  touched: readonly Touched[],
): Partition<StoreOperation> {
  const places = new Map(keys.map((key, place) => [key, place]))
  const cells = (values: ReadonlyMap<string, Found>): Cell[] =>
    [...values].flatMap(([key, value]): Cell[] => {
      const place = places.get(key)
      return place === undefined ? [] : [{ place, key, value }]
    })
  const operations = touched.map(({ call, found, set }) => ({
    operation: { found: cells(found), set: cells(set) },
    called: call.invoked.i,
    returned: returnOf(call),
  }))
  return { key: keys.join(' '), operations: withoutTraceless(operations) }
}

/** When the call had certainly taken effect. */
function returnOf(call: Call): number | undefined {
  const { operation, outcome } = call
  if (outcome.type !== 'ok') return undefined
  return isWrite(operation) && !isAcknowledgedWrite(call) ? undefined : outcome.at.i
}

/**
 * Leaves out writes of unknown outcome whose every value nobody found: an order that has such a write is still one
 * without it. There are many of them under faults, and each would double the search.
 */
function withoutTraceless(
  operations: readonly TimedOperation<StoreOperation>[],
): TimedOperation<StoreOperation>[] {
  const nameOf = ({ place, value }: Cell) => JSON.stringify([place, value])
  const seen = new Set(operations.flatMap(({ operation }) => operation.found.map(nameOf)))
  return operations.filter(
    ({ operation, returned }) =>
      returned !== undefined || operation.set.some((cell) => seen.has(nameOf(cell))),
  )
}
