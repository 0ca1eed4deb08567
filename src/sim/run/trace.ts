/**
 * What happened in a run, line by line, and a hash over all of it: two runs of one schedule have the same hash, or
 * something besides the schedule has decided.
 */
import { crc32 } from 'node:zlib'

/** A member in short, for the trace. */
export interface Standing {
  readonly role: string
  readonly term: number
  readonly lastIndex: number
  readonly commitIndex: number
}

/** One line of a trace. */
export interface TraceLine {
  readonly atMs: number
  /** The member it concerns; empty for the cluster. */
  readonly who: string
  /** How it stood then, in words. */
  readonly standing: string
  readonly what: string
}

/** The lines of one run. */
export class Trace {
  readonly #now: () => number
  readonly #keep: number
  readonly #lines: TraceLine[] = []
  #count = 0
  #hash = 0

  /** @param keep how many lines are kept; of earlier ones only the hash is left */
  constructor(now: () => number, keep: number) {
    this.#now = now
    this.#keep = keep
  }

  get count(): number {
    return this.#count
  }

  /** Of everything noted so far. */
  get hash(): number {
    return this.#hash
  }

  /** The lines that were kept, in order. */
  get lines(): readonly TraceLine[] {
    return this.#lines.slice(-this.#keep)
  }

  note(who: string, what: string, standing: Standing | undefined): void {
    const line = { atMs: this.#now(), who, standing: describeStanding(standing), what }
    this.#count++
    this.#hash = crc32(`${line.atMs} ${who} ${line.standing} ${what}`, this.#hash)
    this.#lines.push(line)
    if (this.#lines.length > 2 * this.#keep) this.#lines.splice(0, this.#keep)
  }
}

/** The lines as a table: time in ms, member, role, term, last/committed index, what happened. */
export function formatTrace(lines: readonly TraceLine[]): string {
  const rows = lines.map(({ atMs, who, standing, what }) => [
    atMs.toFixed(3).padStart(10),
    who.padEnd(2),
    standing.padEnd(26),
    what,
  ])
  return rows.map((row) => row.join('  ')).join('\n')
}

function describeStanding(standing: Standing | undefined): string {
  if (standing === undefined) return ''
  const { role, term, lastIndex, commitIndex } = standing
  return `${role.padEnd(12)} ${String(term).padStart(3)} ${`${lastIndex}/${commitIndex}`.padStart(9)}`
}
