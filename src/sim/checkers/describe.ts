/** Calls in words, for counterexamples. */
import { type Call, type Change, isWrite, type Operation, type Result } from '../history.js'

/** One call on one line: what was asked, what came back and from where, and its events in the history. */
export function describeCall(call: Call): string {
  const { operation, outcome, invoked } = call
  const who = call.session === undefined ? `process ${call.process}` : `session ${call.session}`
  const begun = `${who}: ${describeOperation(operation)}`
  switch (outcome.type) {
    case 'ok':
      return `${begun}${describeResult(outcome.result)} (events ${invoked.i} to ${outcome.at.i})`
    case 'fail':
      return `${begun} failed, "${outcome.error}" (events ${invoked.i} to ${outcome.at.i})`
    case 'unknown':
      return `${begun} was never answered (event ${invoked.i})`
  }
}

/** The numbers of a call's events. */
export function eventsOf(call: Call): number[] {
  const { invoked, outcome } = call
  return outcome.type === 'unknown' ? [invoked.i] : [invoked.i, outcome.at.i]
}

function describeOperation(operation: Operation): string {
  if (isWrite(operation)) {
    if (operation.f === 'batch')
      return `batch of ${operation.changes.map(describeChange).join(', ')}`
    return operation.f === 'put'
      ? `put ${quoted(operation.key)} = ${quoted(operation.value)}`
      : `del ${quoted(operation.key)}`
  }
  switch (operation.f) {
    case 'get':
      return `${operation.level} get ${quoted(operation.key)}`
    case 'getMany':
      return `${operation.level} getMany ${operation.keys.map(quoted).join(', ')}`
    case 'scan': {
      const { gte, lt } = operation
      return `${operation.level} scan from ${quoted(gte ?? '')} to ${lt === undefined ? 'the end' : quoted(lt)}`
    }
  }
}

/** One change in words. */
export function describeChange(change: Change): string {
  return change.type === 'put'
    ? `${quoted(change.key)} = ${quoted(change.value)}`
    : `no ${quoted(change.key)}`
}

function describeResult(result: Result): string {
  const { index, node } = result
  const from = node === undefined ? '' : ` from ${node}`
  const at = index === undefined ? from : `${from} at index ${index}`
  switch (result.f) {
    case 'get':
      return ` gave ${quoted(result.value)}${at}`
    case 'getMany':
      return ` gave ${result.values.map(quoted).join(', ')}${at}`
    case 'scan':
      return ` gave ${result.entries.map(([key, value]) => `${key}=${quoted(value)}`).join(', ')}${at}`
    case 'put':
    case 'del':
    case 'batch':
      return ` was acknowledged${at}`
  }
}

function quoted(value: unknown): string {
  return JSON.stringify(value)
}
