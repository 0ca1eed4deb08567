/** What the clients of the level torture did, counted by level or acknowledgement, and by the role of who served. */
import { count, table } from '../../../src/cli/terminal.js'
import type { Operation } from '../../../src/sim/history.js'
import type { ServingRole } from './operations.js'

interface Row {
  leader: number
  follower: number
  any: number
  failed: number
}

/** The counts of a run. */
export class Tally {
  readonly #rows = new Map<string, Row>()
  readonly #codes = new Map<string, number>()
  readonly #faults = new Map<string, number>()
  #total = 0

  /** Calls that have ended. */
  get total(): number {
    return this.#total
  }

  answered(operation: Operation, role: ServingRole): void {
    this.#row(operation)[role]++
  }

  failed(operation: Operation, code: string): void {
    this.#row(operation).failed++
    add(this.#codes, code)
  }

  /** Something was done to the cluster. */
  struck(fault: string): void {
    add(this.#faults, fault)
  }

  /** What was called and never answered well in one of the roles: it was not tested there. */
  get missing(): readonly string[] {
    return [...this.#rows].flatMap(([name, row]) => [
      ...(row.leader === 0 ? [`${name} at a leader`] : []),
      ...(row.follower === 0 ? [`${name} at a follower`] : []),
      ...(row.any === 0 ? [`${name} through connect`] : []),
    ])
  }

  /** The counts for people. */
  describe(): string {
    const rows = [...this.#rows]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { leader, follower, any, failed }]) => [
        name,
        ...[leader, follower, any, failed].map(count),
      ])
    return [
      table(
        ['operation', 'at a leader', 'at a follower', 'through connect', 'failed or unknown'],
        rows,
      ),
      `failures: ${words(this.#codes)}`,
      `faults: ${words(this.#faults)}`,
    ].join('\n')
  }

  #row(operation: Operation): Row {
    const name = nameOf(operation)
    this.#total++
    let row = this.#rows.get(name)
    if (row === undefined) {
      row = { leader: 0, follower: 0, any: 0, failed: 0 }
      this.#rows.set(name, row)
    }
    return row
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function words(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return 'none'
  return [...counts]
    .map(([name, times]) => `${name} ${count(times)}`)
    .sort()
    .join(', ')
}

function nameOf(operation: Operation): string {
  if (!('level' in operation)) {
    const { ack } = operation
    return `write, ack ${typeof ack === 'object' ? `${ack.members} members` : ack}`
  }
  const { level, maxStalenessMs } = operation
  return maxStalenessMs === undefined
    ? `read, ${level}`
    : `read, ${level} within ${maxStalenessMs} ms`
}
