/**
 * Where a member says what an operator may want to read later: a logger of the application's own, in pino's order.
 *
 * Silent without one. A logger is not to be trusted with the member: what it throws is counted and goes no further.
 */

/** How much a line matters. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A logger as pino has it: the facts first, then the sentence. pino, and console, are such loggers. */
export interface Logger {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
  /** One that adds `bindings` to all its lines; used when it is there. */
  child?(bindings: object): Logger
}

/** The facts of one line; `event` names what happened and stays the same from version to version. */
export interface LogFacts {
  readonly event: string
  readonly [fact: string]: unknown
}

/** A logger that cannot hurt, or nobody. */
export class Log {
  readonly #logger: Logger | undefined
  #failures = 0

  /** `bindings` stand in every line, where the logger can do that. */
  constructor(logger: Logger | undefined, bindings: object) {
    this.#logger = logger && this.#childOf(logger, bindings)
  }

  /** Lines that the logger did not take, but threw or rejected. */
  get failures(): number {
    return this.#failures
  }

  write(level: LogLevel, facts: LogFacts, message: string): void {
    try {
      const done: unknown = this.#logger?.[level](facts, message)
      if (done instanceof Promise) done.catch(() => this.#failures++)
    } catch {
      this.#failures++
    }
  }

  #childOf(logger: Logger, bindings: object): Logger {
    try {
      return logger.child?.(bindings) ?? logger
    } catch {
      this.#failures++
      return logger
    }
  }
}
