/**
 * What commands should do, written down a second time and as plainly as possible: a map of keys, in which everything is
 * copied before a command and put back when it is refused. Shares no code with the state machine.
 */
import type { Command, Compare, Operation } from '../../src/wire/command.js'

interface Value {
  readonly value: string
  readonly revision: number
  /** `ttl` or the lease's name; undefined: it stays. */
  readonly goesWith: string | undefined
}

interface Lease {
  readonly generation: number
}

/** A change as the history tells it. */
export type ModelChange = `${string}=${string}` | `-${string}`

const NO_LEASE = Symbol('a lease is missing')

/** The state, and how commands change it. Bounds of clears are not modelled: tests stay below them. */
export class CommandModel {
  #values = new Map<string, Value>()
  #leases = new Map<string, Lease>()

  /** Keys, values and revisions, as `a=1@7`. */
  get contents(): string[] {
    const lines = [...this.#values].map(
      ([key, { value, revision }]) => `${key}=${value}@${revision}`,
    )
    return lines.sort()
  }

  /** Names and generations. */
  get leases(): string[] {
    return [...this.#leases].map(([name, { generation }]) => `${name}@${generation}`).sort()
  }

  /** Keys that go by themselves after a time, with the revision that says so. */
  get mortal(): string[] {
    return [...this.#values].flatMap(([key, { goesWith, revision }]) =>
      goesWith === 'ttl' ? [`${key}@${revision}`] : [],
    )
  }

  /** Carries out `command` in the entry at `index`: its result byte if it has one, and what it changed. */
  run(command: Command, index: number): { result: number | undefined; changes: ModelChange[] } {
    const before = { values: new Map(this.#values), leases: new Map(this.#leases) }
    const changes: ModelChange[] = []
    try {
      return { result: this.#run(command, index, changes), changes }
    } catch (reason) {
      if (reason !== NO_LEASE) throw reason
      this.#values = before.values
      this.#leases = before.leases
      return { result: command.type === 'txn' ? 2 : 0, changes: [] }
    }
  }

  #run(command: Command, index: number, changes: ModelChange[]): number | undefined {
    switch (command.type) {
      case 'write':
        return this.#write(command.operations, index, changes)
      case 'txn': {
        const holds = command.compares.every((compare) => this.#holds(compare))
        this.#write(holds ? command.then : command.else, index, changes)
        return holds ? 1 : 0
      }
      case 'grant':
      case 'keepAlive': {
        const name = text(command.lease)
        if (this.#leases.has(name) === (command.type === 'grant')) return 0
        this.#leases.set(name, { generation: index })
        return 1
      }
      case 'revoke':
        return this.#end(text(command.lease), changes) ? 1 : 0
      case 'expire':
        for (const { key, revision } of command.keys) {
          const value = this.#values.get(text(key))
          const isDue = value?.goesWith === 'ttl' && value.revision === revision
          if (isDue) this.#del(text(key), changes)
        }
        for (const { lease, generation } of command.leases) {
          const isDue = this.#leases.get(text(lease))?.generation === generation
          if (isDue) this.#end(text(lease), changes)
        }
        return undefined
      case 'respread':
      case 'forget':
      case 'retain':
      case 'retained':
        return undefined
    }
  }

  #write(
    operations: readonly Operation[],
    index: number,
    changes: ModelChange[],
  ): number | undefined {
    let result: number | undefined
    for (const operation of operations) {
      if (operation.type === 'del') {
        this.#del(text(operation.key), changes)
      } else if (operation.type === 'clear') {
        const all = this.#keysIn(operation.range)
        if (operation.reverse) all.reverse()
        const gone = all.slice(0, operation.limit)
        for (const key of gone) this.#del(key, changes)
        result = operations.length === 1 && gone.length === operation.limit ? 2 : 1
      } else {
        const { key, value, expiry } = operation
        const isLeased = expiry?.type === 'lease'
        if (isLeased && !this.#leases.has(text(expiry.lease))) throw NO_LEASE
        if (isLeased) result = 1
        const goesWith = expiry && (expiry.type === 'ttl' ? 'ttl' : `lease ${text(expiry.lease)}`)
        this.#values.set(text(key), { value: text(value), revision: index, goesWith })
        changes.push(`${text(key)}=${text(value)}`)
      }
    }
    return result
  }

  #end(name: string, changes: ModelChange[]): boolean {
    if (!this.#leases.delete(name)) return false
    const attached = [...this.#values].filter(([, { goesWith }]) => goesWith === `lease ${name}`)
    for (const key of attached.map(([each]) => each).sort()) this.#del(key, changes)
    return true
  }

  #del(key: string, changes: ModelChange[]): void {
    this.#values.delete(key)
    changes.push(`-${key}`)
  }

  #holds(compare: Compare): boolean {
    if (compare.type === 'empty') return this.#keysIn(compare.range).length === 0
    const value = this.#values.get(text(compare.key))
    switch (compare.type) {
      case 'revision':
        return (value?.revision ?? 0) === compare.revision
      case 'exists':
        return value !== undefined
      case 'absent':
        return value === undefined
      case 'value':
        return value?.value === text(compare.value)
    }
  }

  #keysIn(range: {
    readonly gt?: Uint8Array
    readonly gte?: Uint8Array
    readonly lt?: Uint8Array
    readonly lte?: Uint8Array
  }): string[] {
    const { gt, gte, lt, lte } = range
    return [...this.#values.keys()].sort().filter((key) => {
      if (gt !== undefined && key <= text(gt)) return false
      if (gte !== undefined && key < text(gte)) return false
      if (lt !== undefined && key >= text(lt)) return false
      return lte === undefined || key <= text(lte)
    })
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
