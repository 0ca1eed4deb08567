/** The calls of a history that the checkers look at: those that were answered, by kind. */
import {
  type Call,
  type CallOutcome,
  covers,
  type Found,
  isWrite,
  type Operation,
  type Read,
  type Write,
} from '../history.js'

/** A call that was answered with `ok`. */
export type Answered<Op extends Operation> = Call & {
  readonly operation: Op
  readonly outcome: Extract<CallOutcome, { type: 'ok' }>
}

/** The reads that were answered, in the order of their invocation. */
export function answeredReads(calls: readonly Call[]): Answered<Read>[] {
  return calls.filter(
    (call): call is Answered<Read> => isAnswered(call) && !isWrite(call.operation),
  )
}

/** The writes that were acknowledged for good: one that only its leader had may still be lost. */
export function acknowledgedWrites(calls: readonly Call[]): Answered<Write>[] {
  return calls.filter(isAcknowledgedWrite)
}

/** Whether `call` is a write that was acknowledged for good. */
export function isAcknowledgedWrite(call: Call): call is Answered<Write> {
  return isAnswered(call) && isWrite(call.operation) && call.operation.ack !== 'leader'
}

/** `calls` in the order of their answers. */
export function byAnswer<Op extends Operation>(calls: readonly Answered<Op>[]): Answered<Op>[] {
  return [...calls].sort((a, b) => a.outcome.at.i - b.outcome.at.i)
}

/** The log index in a call's answer. */
export function indexOf(call: Answered<Operation>): number | undefined {
  return call.outcome.result.index
}

/** What a read says of each key that it covers: of a scan, the absent ones among `keys` are part of it. */
export function foundBy(read: Answered<Read>, keys: Iterable<string>): Map<string, Found> {
  const { operation } = read
  const { result } = read.outcome
  if (operation.f === 'get' && result.f === 'get') return new Map([[operation.key, result.value]])
  if (operation.f === 'getMany' && result.f === 'getMany') {
    return new Map(operation.keys.map((key, at) => [key, result.values[at]!]))
  }
  const found = new Map<string, Found>()
  if (operation.f !== 'scan' || result.f !== 'scan') return found
  for (const key of keys) if (covers(operation, key)) found.set(key, null)
  for (const [key, value] of result.entries) found.set(key, value)
  return found
}

function isAnswered(call: Call): call is Answered<Operation> {
  return call.outcome.type === 'ok'
}
