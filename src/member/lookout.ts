/**
 * Looks at the member about once a second for what nobody calls out: slow writes of the log, and connections that are
 * refused. A line of the log for each change, and none while nothing changes.
 */
import type { LogFacts, LogLevel } from '../base/logger.js'

const EVERY_MS = 1000
/** A write of the log that took so long is worth a line: every write behind it waited as well. */
const SLOW_WRITE_MS = 500
/** So long it is worth a sentence of the status. */
const REMEMBER_MS = 60_000
/** Who is refused dials again and again: a line for each reason so often. */
const REJECTED_EVERY_MS = 60_000

/** What there is to be seen. */
export interface LookoutPorts {
  write(level: LogLevel, facts: LogFacts, message: string): void
  /** The slowest write of the log since the last look, in milliseconds. */
  slowestWrite(): number
  /** Connections to others that one side refuses, as `id: why`. */
  refusals(): readonly string[]
  /** Connections refused or closed for a fault, by reason. */
  rejected(): Readonly<Record<string, number>>
}

/** See the file's comment. */
export class Lookout {
  readonly #ports: LookoutPorts
  #nextAt = 0
  #refusals: ReadonlySet<string> = new Set()
  /** By reason: how many had been rejected at the last line, and when that was. */
  readonly #rejected = new Map<string, { readonly count: number; readonly at: number }>()
  #slowWrite: { readonly ms: number; readonly at: number } | undefined

  constructor(ports: LookoutPorts) {
    this.#ports = ports
  }

  /** The slowest of the slow writes of the log within the last minute; undefined when there was none. */
  get slowWriteMs(): number | undefined {
    return this.#slowWrite?.ms
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (now < this.#nextAt) return
    this.#nextAt = now + EVERY_MS
    this.#lookAtLog(now)
    this.#lookAtRefusals()
    this.#lookAtRejected(now)
  }

  #lookAtLog(now: number): void {
    if (this.#slowWrite !== undefined && now - this.#slowWrite.at >= REMEMBER_MS) {
      this.#slowWrite = undefined
    }
    const ms = this.#ports.slowestWrite()
    if (ms < SLOW_WRITE_MS) return
    if (ms >= (this.#slowWrite?.ms ?? 0)) this.#slowWrite = { ms, at: now }
    const message = `a write of the log took ${Math.round(ms)} ms: the disk is slow`
    this.#ports.write('warn', { event: 'slowWrite', ms }, message)
  }

  #lookAtRefusals(): void {
    const refusals = new Set(this.#ports.refusals())
    for (const refusal of refusals) {
      if (this.#refusals.has(refusal)) continue
      this.#note('warn', 'peerRefused', { refusal }, `no connection to ${refusal}`)
    }
    this.#refusals = refusals
  }

  #lookAtRejected(now: number): void {
    for (const [reason, count] of Object.entries(this.#ports.rejected())) {
      const known = this.#rejected.get(reason)
      const more = count - (known?.count ?? 0)
      if (more === 0 || now - (known?.at ?? Number.NEGATIVE_INFINITY) < REJECTED_EVERY_MS) continue
      this.#rejected.set(reason, { count, at: now })
      const message = `refused connections to this member: ${more} (${reason})`
      this.#note('warn', 'rejected', { reason, count: more }, message)
    }
  }

  #note(level: LogLevel, event: string, facts: object, message: string): void {
    this.#ports.write(level, { event, ...facts }, message)
  }
}
