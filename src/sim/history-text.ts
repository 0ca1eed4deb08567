/**
 * Histories as text: JSON Lines, a header and one event a line (docs/history-format.md).
 *
 * Reading validates every field of every line; unknown fields are passed over, so that later versions of the same
 * format and other tools may add some.
 */
import {
  type Caller,
  type Change,
  type FailureEvent,
  type Found,
  HISTORY_VERSION,
  HistoryError,
  type HistoryEvent,
  type Moment,
  type NemesisEvent,
  type Operation,
  type Place,
  type Read,
  type ReadLevel,
  type Result,
  type Value,
  type WriteAck,
} from './history.js'

const READ_LEVELS: readonly ReadLevel[] = ['strong', 'session', 'eventual']
const WRITE_ACKS = ['leader', 'quorum', 'applied', 'all'] as const
const OPERATIONS: readonly Operation['f'][] = ['get', 'getMany', 'scan', 'put', 'del', 'batch']

/** Writes `events` as text, a line break after each line. */
export function formatHistory(events: readonly HistoryEvent[]): string {
  const header = JSON.stringify({ type: 'history', version: HISTORY_VERSION })
  return [header, ...events.map((event) => JSON.stringify(event)), ''].join('\n')
}

/**
 * Reads the events of a history; `pairCalls` checks how they go together.
 *
 * @throws {HistoryError} naming the line: another version, not JSON, a field that is missing or of a wrong type.
 */
export function parseHistory(text: string): HistoryEvent[] {
  const lines = text.split('\n')
  const events: HistoryEvent[] = []
  lines.forEach((line, at) => {
    if (line.trim() === '') return
    try {
      const fields = fieldsOf(JSON.parse(line) as unknown)
      if (at === 0) checkHeader(fields)
      else events.push(eventOf(fields))
    } catch (cause) {
      if (!(cause instanceof SyntaxError || cause instanceof HistoryError)) throw cause
      throw new HistoryError(`line ${at + 1}: ${cause.message}`, { cause })
    }
  })
  if (lines[0]!.trim() === '') throw new HistoryError('line 1: the header is missing')
  return events
}

/** A JSON object whose fields have not been looked at. */
type Fields = Readonly<Record<string, unknown>>

function checkHeader({ type, version }: Fields): void {
  if (type !== 'history') throw new HistoryError('this is not the header of a history')
  if (version !== HISTORY_VERSION) throw new HistoryError(`unknown version ${version}`)
}

function eventOf(fields: Fields): HistoryEvent {
  const moment: Moment = { i: numberOf(fields, 'i'), t: numberOf(fields, 't') }
  const type = textOf(fields, 'type')
  if (type === 'export' || type === 'import') {
    return { ...moment, type, session: textOf(fields, 'session'), token: textOf(fields, 'token') }
  }
  if (type === 'info' && fields.process === 'nemesis') return nemesisOf(moment, fields)
  const process = numberOf(fields, 'process')
  switch (type) {
    case 'invoke':
      return { ...moment, type, process, ...callerOf(fields), ...operationOf(fields) }
    case 'ok':
      return { ...moment, type, process, ...placeOf(fields), ...resultOf(fields) }
    case 'fail':
    case 'info':
      return { ...moment, type, process, ...failureOf(fields) }
    default:
      throw new HistoryError(`unknown type ${type}`)
  }
}

function nemesisOf(moment: Moment, fields: Fields): NemesisEvent {
  const f = textOf(fields, 'f')
  const value = fields.value
  const event = { ...moment, type: 'info', process: 'nemesis', f } as const
  return value === undefined ? event : { ...event, value }
}

function callerOf(fields: Fields): Caller {
  return { ...optional(fields, 'session', textOf), ...optional(fields, 'node', textOf) }
}

function operationOf(fields: Fields): Operation {
  const f = oneOf(fields, 'f', OPERATIONS)
  switch (f) {
    case 'get':
      return { f, key: textOf(fields, 'key'), ...readTermsOf(fields) }
    case 'getMany':
      return { f, keys: listOf(fields, 'keys').map(asText), ...readTermsOf(fields) }
    case 'scan':
      return {
        f,
        ...optional(fields, 'gte', textOf),
        ...optional(fields, 'lt', textOf),
        ...readTermsOf(fields),
      }
    case 'put':
      return { f, key: textOf(fields, 'key'), value: asValue(fields.value), ack: ackOf(fields) }
    case 'del':
      return { f, key: textOf(fields, 'key'), ack: ackOf(fields) }
    case 'batch':
      return { f, changes: listOf(fields, 'changes').map(asChange), ack: ackOf(fields) }
  }
}

function readTermsOf(fields: Fields): Pick<Read, 'level' | 'maxStalenessMs'> {
  const level = oneOf(fields, 'level', READ_LEVELS)
  return { level, ...optional(fields, 'maxStalenessMs', numberOf) }
}

function ackOf(fields: Fields): WriteAck {
  const { ack } = fields
  if (typeof ack === 'object' && ack !== null)
    return { members: numberOf(fieldsOf(ack), 'members') }
  return oneOf(fields, 'ack', WRITE_ACKS)
}

function placeOf(fields: Fields): Place {
  return {
    ...optional(fields, 'index', numberOf),
    ...optional(fields, 'term', numberOf),
    ...optional(fields, 'node', textOf),
  }
}

function resultOf(fields: Fields): Result {
  const f = oneOf(fields, 'f', OPERATIONS)
  switch (f) {
    case 'get':
      return { f, value: asFound(fields.value), ...optional(fields, 'revision', numberOf) }
    case 'getMany':
      return { f, values: listOf(fields, 'values').map(asFound) }
    case 'scan':
      return { f, entries: listOf(fields, 'entries').map(asEntry) }
    case 'put':
    case 'del':
    case 'batch':
      return { f }
  }
}

function failureOf(fields: Fields): Pick<FailureEvent, 'f' | 'error'> {
  return { f: oneOf(fields, 'f', OPERATIONS), error: textOf(fields, 'error') }
}

function fieldsOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HistoryError('not an object')
  }
  return value as Fields
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new HistoryError(`not a string: ${JSON.stringify(value)}`)
  return value
}

function asValue(value: unknown): Value {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return value
  }
  throw new HistoryError(`not a value: ${JSON.stringify(value)}`)
}

function asFound(value: unknown): Found {
  return value === null ? null : asValue(value)
}

function asEntry(value: unknown): readonly [key: string, value: Value] {
  if (!Array.isArray(value)) throw new HistoryError(`not an entry: ${JSON.stringify(value)}`)
  return [asText(value[0]), asValue(value[1])]
}

function asChange(value: unknown): Change {
  const fields = fieldsOf(value)
  const type = oneOf(fields, 'type', ['put', 'del'] as const)
  const key = textOf(fields, 'key')
  return type === 'put' ? { type, key, value: asValue(fields.value) } : { type, key }
}

function textOf(fields: Fields, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new HistoryError(`${name} is no string`)
  return value
}

function numberOf(fields: Fields, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number') throw new HistoryError(`${name} is no number`)
  return value
}

function listOf(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name]
  if (!Array.isArray(value)) throw new HistoryError(`${name} is no list`)
  return value
}

function oneOf<Word extends string>(fields: Fields, name: string, words: readonly Word[]): Word {
  const word = words.find((one) => one === fields[name])
  if (word === undefined) throw new HistoryError(`${name} is none of ${words.join(', ')}`)
  return word
}

/** The field `name` if there is one, read by `read`, as an object to spread. */
function optional<Name extends string, T>(
  fields: Fields,
  name: Name,
  read: (fields: Fields, name: string) => T,
): { readonly [K in Name]?: T } {
  if (fields[name] === undefined) return {}
  return { [name]: read(fields, name) } as { readonly [K in Name]?: T }
}
