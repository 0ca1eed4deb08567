/**
 * Reads Jepsen's logs of one etcd register, by the rules under which their verdicts were published (porcupine's).
 *
 * A line is `INFO  jepsen.util - PROCESS :TYPE :F VALUE`, tab-separated. A refused compare-and-set is an observation
 * (the register held something else); a read that timed out has no result; whatever else is never answered stays
 * open to the end, where it may or may not have taken effect.
 */
import type { TimedOperation } from '../../../src/sim/checkers/model.js'
import type { RegisterOperation, RegisterValue } from '../../../src/sim/checkers/register-model.js'

const LINE =
  /^INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.+?)\s*$/

/** The operations of `text`; times are line numbers. */
export function readEtcdLog(text: string): TimedOperation<RegisterOperation>[] {
  const operations: TimedOperation<RegisterOperation>[] = []
  const open = new Map<string, { readonly called: number; readonly operation: RegisterOperation }>()
  text.split('\n').forEach((line, at) => {
    const [, process, type, f, value] = LINE.exec(line) ?? []
    if (process === undefined) return
    const call = open.get(process)
    if (type === 'invoke') {
      if (call !== undefined) operations.push({ ...call, returned: undefined })
      open.set(process, { called: at, operation: invocation(f!, value!) })
      return
    }
    if (call === undefined) throw new SyntaxError(`line ${at + 1}: ${process} called nothing`)
    const operation = answered(call.operation, type!, value!)
    if (operation === undefined) return
    open.delete(process)
    operations.push({ operation, called: call.called, returned: at })
  })
  for (const call of open.values()) operations.push({ ...call, returned: undefined })
  return operations
}

function invocation(f: string, value: string): RegisterOperation {
  if (f === 'read') return { f, value: undefined }
  if (f === 'write') return { f, value: registerValue(value) }
  const [, from, to] = /^\[(\S+) (\S+)\]$/.exec(value) ?? []
  if (from === undefined) throw new SyntaxError(`not a compare-and-set: ${value}`)
  return { f: 'cas', from: registerValue(from), to: registerValue(to!), swapped: undefined }
}

/** The operation with its result; `undefined` when it stays open. */
function answered(
  operation: RegisterOperation,
  type: string,
  value: string,
): RegisterOperation | undefined {
  switch (operation.f) {
    case 'read':
      if (type === 'ok') return { f: 'read', value: registerValue(value) }
      return type === 'fail' ? operation : undefined
    case 'write':
      return type === 'ok' ? operation : undefined
    case 'cas':
      if (type === 'info' || value === ':timed-out') return undefined
      return { ...operation, swapped: type === 'ok' }
  }
}

function registerValue(text: string): RegisterValue {
  if (text === 'nil') return null
  const number = Number(text)
  if (!Number.isInteger(number)) throw new SyntaxError(`not a register's value: ${text}`)
  return number
}
