/**
 * Reads histories in EDN: one map an operation, `{:process 0, :type :invoke, :f :append, :key "0", :value "x"}`, one
 * a line or all in one vector. With keys they are porcupine's key-value histories; without, Knossos's registers.
 *
 * `:fail` means that it did not happen, `:info` that nobody knows; an invocation without an answer is the same.
 */
import type { AppendOperation } from '../../../src/sim/checkers/append-model.js'
import type { Partition, TimedOperation } from '../../../src/sim/checkers/model.js'
import type { RegisterOperation, RegisterValue } from '../../../src/sim/checkers/register-model.js'
import { type Edn, type EdnMap, Keyword, readEdn } from './edn.js'

interface EdnCall {
  readonly key: string | undefined
  readonly f: string
  /** What the invocation gave; of an answer that is known, what the answer gave. */
  readonly value: Edn
  readonly answer: 'ok' | 'unknown'
  readonly called: number
  readonly returned: number | undefined
}

/** The history's operations by key, or those of its one register. */
export type EdnHistory =
  | { readonly model: 'append'; readonly partitions: readonly Partition<AppendOperation>[] }
  | { readonly model: 'register'; readonly partitions: readonly Partition<RegisterOperation>[] }

/** Reads `text`. @throws {SyntaxError} when it is no such history. */
export function readEdnHistory(text: string): EdnHistory {
  const calls = callsOf(eventsOf(readEdn(text)))
  if (calls.every(({ key }) => key === undefined)) {
    const operations = calls.map((call) => timed(call, registerOperation(call)))
    return { model: 'register', partitions: [{ key: '', operations }] }
  }
  const keys = new Set(calls.map(({ key }) => key ?? ''))
  const partitions = [...keys].map((key) => ({
    key,
    operations: calls
      .filter((call) => (call.key ?? '') === key)
      .map((call) => timed(call, appendOperation(call))),
  }))
  return { model: 'append', partitions }
}

function timed<Operation>(call: EdnCall, operation: Operation): TimedOperation<Operation> {
  return { operation, called: call.called, returned: call.returned }
}

function eventsOf(values: readonly Edn[]): EdnMap[] {
  return values.flatMap((value): EdnMap[] => {
    if (value instanceof Map) return [value]
    if (Array.isArray(value)) return eventsOf(value)
    throw new SyntaxError(`not an event: ${value}`)
  })
}

function callsOf(events: readonly EdnMap[]): EdnCall[] {
  const calls: EdnCall[] = []
  const open = new Map<Edn, EdnCall>()
  events.forEach((event, at) => {
    const process = event.get('process')
    if (typeof process !== 'number') return
    const type = wordOf(event, 'type')
    const call = open.get(process)
    if (type === 'invoke') {
      if (call !== undefined) calls.push(call)
      open.set(process, invocation(event, at))
      return
    }
    if (call === undefined) throw new SyntaxError(`event ${at}: ${process} called nothing`)
    open.delete(process)
    if (type === 'info') calls.push(call)
    if (type === 'ok') {
      calls.push({ ...call, value: event.get('value') ?? null, answer: 'ok', returned: at })
    }
  })
  return [...calls, ...open.values()]
}

function invocation(event: EdnMap, at: number): EdnCall {
  const key = event.get('key')
  return {
    key: key === undefined ? undefined : String(key),
    f: wordOf(event, 'f'),
    value: event.get('value') ?? null,
    answer: 'unknown',
    called: at,
    returned: undefined,
  }
}

function wordOf(event: EdnMap, name: string): string {
  const word = event.get(name)
  if (!(word instanceof Keyword)) throw new SyntaxError(`:${name} is no keyword`)
  return word.name
}

function appendOperation({ f, value, answer }: EdnCall): AppendOperation {
  if (f === 'get') return { f, value: answer === 'ok' ? textOf(value) : undefined }
  if (f === 'put' || f === 'append') return { f, value: textOf(value) }
  throw new SyntaxError(`unknown operation ${f}`)
}

function textOf(value: Edn): string {
  if (typeof value !== 'string') throw new SyntaxError(`not a string: ${value}`)
  return value
}

function registerOperation({ f, value, answer }: EdnCall): RegisterOperation {
  if (f === 'read') return { f, value: answer === 'ok' ? registerValue(value) : undefined }
  if (f === 'write') return { f, value: registerValue(value) }
  if (f === 'cas' && Array.isArray(value) && value.length === 2) {
    const swapped = answer === 'ok' ? true : undefined
    return { f, from: registerValue(value[0]!), to: registerValue(value[1]!), swapped }
  }
  throw new SyntaxError(`unknown operation ${f}`)
}

function registerValue(value: Edn): RegisterValue {
  if (value === null || typeof value === 'number' || typeof value === 'string') return value
  throw new SyntaxError(`not a register's value: ${value}`)
}
