/** The log of `quorate serve` on standard error: a line for people, or a JSON object for machines. */
import type { Logger } from '../index.js'
import { complain, paint, type Style } from './terminal.js'

/** From what a line tells on; `none`: nothing. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'none'] as const

/** See LOG_LEVELS. */
export type LogThreshold = (typeof LOG_LEVELS)[number]

type Level = Exclude<LogThreshold, 'none'>

/** How a line is written. */
export type LogForm = 'text' | 'json'

const STYLES: Readonly<Record<Level, Style>> = {
  debug: 'dim',
  info: 'cyan',
  warn: 'yellow',
  error: 'red',
}

/** Writes what is at least `threshold`, in `form`, by `write`. */
export function lineLogger(
  threshold: LogThreshold,
  form: LogForm,
  write: (line: string) => void = complain,
): Logger {
  const least = LOG_LEVELS.indexOf(threshold)
  const describe = form === 'json' ? jsonLine : textLine
  const at = (level: Level) => (facts: object, message: string) => {
    if (LOG_LEVELS.indexOf(level) >= least) write(describe(level, facts, message))
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function textLine(level: Level, _facts: object, message: string): string {
  const time = new Date().toISOString().slice(0, 23)
  return `${paint('dim', time)} ${paint(STYLES[level], level.padEnd(5))} ${message}`
}

function jsonLine(level: Level, facts: object, message: string): string {
  return JSON.stringify({ time: new Date().toISOString(), level, ...facts, msg: message }, plain)
}

/** An error has nothing that JSON would show. */
function plain(_name: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const { name, message, stack } = value
  return { ...value, name, message, stack }
}
