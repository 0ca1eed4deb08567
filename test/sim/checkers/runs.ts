/**
 * Histories that are right by construction: operations are carried out one after another, each at its point, and
 * their calls and returns are then spread around it.
 */
import fc from 'fast-check'
import type { AppliedRequest, CommittedLog } from '../../../src/sim/checkers/committed-log.js'
import {
  type Change,
  changesOf,
  type Found,
  type History,
  type HistoryEvent,
  isWrite,
  type Moment,
  type Operation,
  pairCalls,
  type Read,
  type Result,
} from '../../../src/sim/history.js'

/** What is drawn for one operation. */
interface Draw {
  readonly f: Operation['f']
  readonly key: number
  readonly other: number
  /** How far the call lies before the point, and the return behind it, in points. */
  readonly before: number
  readonly after: number
  readonly outcome: 'ok' | 'applied' | 'lost'
}

/** A history, and the log that it came from. */
export interface Run {
  readonly history: History
  readonly log: CommittedLog
}

const draw: fc.Arbitrary<Draw> = fc.record({
  f: fc.constantFrom('get', 'get', 'put', 'put', 'del', 'batch', 'getMany', 'scan'),
  key: fc.nat(3),
  other: fc.nat(3),
  before: fc.nat(6),
  after: fc.nat(6),
  outcome: fc.constantFrom('ok', 'ok', 'ok', 'ok', 'ok', 'applied', 'lost'),
})

/** A run of up to `length` operations on four keys, some of unknown outcome; every operation is strong. */
export function runs(length: number): fc.Arbitrary<Run> {
  return fc.array(draw, { minLength: 1, maxLength: length, size: 'max' }).map(carryOut)
}

/** An event and where it belongs; calls come before the point of their number, returns after it. */
interface Placed {
  readonly at: number
  readonly event: (moment: Moment) => HistoryEvent
}

function carryOut(draws: readonly Draw[]): Run {
  const state = new Map<string, Found>()
  const requests: AppliedRequest[] = []
  const placed: Placed[] = []
  draws.forEach((one, process) => {
    const operation = operationOf(one, process)
    const isApplied = one.outcome !== 'lost'
    if (isWrite(operation) && isApplied) {
      for (const c of changesOf(operation)) state.set(c.key, c.type === 'put' ? c.value : null)
      const index = requests.length + 1
      requests.push({ index, client: 'c', seq: index, commands: [changesOf(operation)] })
    }
    placed.push({
      at: process - one.before,
      event: (moment) => ({ ...moment, type: 'invoke', process, ...operation }),
    })
    if (one.outcome !== 'ok') return
    const result = { ...resultOf(operation, state), index: requests.length }
    placed.push({
      at: process + one.after + 0.5,
      event: (moment) => ({ ...moment, type: 'ok', process, ...result }),
    })
  })
  placed.sort((a, b) => a.at - b.at)
  const events = placed.map(({ event }, i) => event({ i, t: i }))
  return { history: pairCalls(events), log: { requests, lastIndex: requests.length } }
}

function operationOf({ f, key, other }: Draw, n: number): Operation {
  const keys = [`k${key}`, `k${other}`] as const
  const change = (at: 0 | 1): Change => ({ type: 'put', key: keys[at], value: `v${n}` })
  const terms = { level: 'strong', ack: 'quorum' } as const
  switch (f) {
    case 'get':
      return { f, key: keys[0], ...terms }
    case 'getMany':
      return { f, keys, ...terms }
    case 'scan':
      return { f, gte: keys[0], lt: keys[1], ...terms }
    case 'put':
      return { f, key: keys[0], value: `v${n}`, ...terms }
    case 'del':
      return { f, key: keys[0], ...terms }
    case 'batch':
      return { f, changes: [change(0), change(1)], ...terms }
  }
}

function resultOf(operation: Operation, state: ReadonlyMap<string, Found>): Result {
  if (isWrite(operation)) return { f: operation.f }
  return readResult(operation, state)
}

function readResult(read: Read, state: ReadonlyMap<string, Found>): Result {
  switch (read.f) {
    case 'get':
      return { f: read.f, value: state.get(read.key) ?? null }
    case 'getMany':
      return { f: read.f, values: read.keys.map((key) => state.get(key) ?? null) }
    case 'scan': {
      const entries = [...state].flatMap(([key, value]) =>
        value === null || key < read.gte! || key >= read.lt! ? [] : [[key, value] as const],
      )
      return { f: read.f, entries }
    }
  }
}
