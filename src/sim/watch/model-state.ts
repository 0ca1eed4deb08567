/**
 * What commands should do to the state, written down a second time and as plainly as possible: a map of keys and a map
 * of leases. It shares the byte format of commands with the state machine and nothing else. The bounds on what one
 * entry may clear are not modelled: no simulation comes near them.
 */
import { xxh32 } from '@node-rs/xxhash'
import { keyedU32 } from '../../base/prng.js'
import type { KeyRange } from '../../env/database.js'
import type { LogIndex } from '../../raft/types.js'
import type { Clear, Compare, Expire, Operation } from '../../wire/command.js'
import type { ReadCommand } from '../../wire/read-command.js'

interface Stored {
  readonly value: Buffer
  readonly revision: LogIndex
  readonly hash: number
  /** `ttl`, or a lease's name; undefined: it stays. */
  readonly goesWith: string | undefined
  /** 0 unless it goes with `ttl`. */
  readonly ttlMs: number
}

interface HeldLease {
  /** The entry that granted it or kept it alive last. */
  readonly since: LogIndex
  readonly ttlMs: number
}

/** Something that went because its time was over. */
export interface Expired {
  /** The entry from which its time counts. */
  readonly since: LogIndex
  readonly ttlMs: number
  /** The id of a lease; undefined: it was a key. */
  readonly lease: string | undefined
}

/** A put, or a delete when there is no value. */
export interface RawChange {
  readonly key: Buffer
  readonly value: Buffer | undefined
}

/** What a command did. */
export interface Outcome {
  /** Its result byte if it has one. */
  readonly result: number | undefined
  readonly changes: readonly RawChange[]
  readonly expired: readonly Expired[]
}

/**
 * The digest of a state is the sum of this over its keys, so that it can follow changes. Not a CRC: those are blind to
 * bytes that carry their own.
 */
export function digestOf(key: Uint8Array, value: Uint8Array, revision: LogIndex): number {
  return keyedU32(xxh32(value, xxh32(key)), key.length, revision)
}

/** See the file's comment. Names of keys and leases are their bytes as latin1. */
export class ModelState {
  readonly #values = new Map<string, Stored>()
  readonly #leases = new Map<string, HeldLease>()
  #digest = 0
  #changes: RawChange[] = []
  #expired: Expired[] = []

  /** Of all keys and values. */
  get digest(): number {
    return this.#digest
  }

  /** Keys and values, bytes as latin1. */
  entries(): Map<string, string> {
    return new Map([...this.#values].map(([key, { value }]) => [key, value.toString('latin1')]))
  }

  /** Keys with a time to live, and leases. */
  get expiring(): number {
    const keys = [...this.#values.values()].filter(({ ttlMs }) => ttlMs > 0)
    return keys.length + this.#leases.size
  }

  /** Carries out `command` in the entry at `index`. */
  run(command: ReadCommand, index: LogIndex): Outcome {
    this.#changes = []
    this.#expired = []
    const result = this.#run(command, index)
    return { result, changes: this.#changes, expired: this.#expired }
  }

  #run(command: ReadCommand, index: LogIndex): number | undefined {
    switch (command.type) {
      case 'write':
        return this.#write(command.operations, index)
      case 'txn': {
        const holds = command.compares.every((compare) => this.#holds(compare))
        const branch = holds ? command.then : command.else
        if (!this.#hasLeases(branch)) return 2
        this.#write(branch, index)
        return holds ? 1 : 0
      }
      case 'grant':
        if (this.#leases.has(nameOf(command.lease))) return 0
        this.#leases.set(nameOf(command.lease), { since: index, ttlMs: command.ttlMs })
        return 1
      case 'keepAlive': {
        const held = this.#leases.get(nameOf(command.lease))
        if (held === undefined) return 0
        this.#leases.set(nameOf(command.lease), { ...held, since: index })
        return 1
      }
      case 'revoke':
        return this.#end(nameOf(command.lease)) ? 1 : 0
      case 'expire':
        this.#expire(command)
        return undefined
    }
  }

  #write(operations: readonly Operation[], index: LogIndex): number | undefined {
    if (!this.#hasLeases(operations)) return 0
    let result: number | undefined
    for (const operation of operations) {
      switch (operation.type) {
        case 'put': {
          const { key, value, expiry } = operation
          const isLeased = expiry?.type === 'lease'
          if (isLeased) result = 1
          const goesWith = isLeased ? nameOf(expiry.lease) : expiry?.type
          const ttlMs = expiry?.type === 'ttl' ? expiry.ttlMs : 0
          this.#put(Buffer.from(key), Buffer.from(value), index, { goesWith, ttlMs })
          break
        }
        case 'del':
          this.#del(nameOf(operation.key))
          break
        case 'clear':
          result = this.#clear(operation) && operations.length === 1 ? 2 : 1
      }
    }
    return result
  }

  #hasLeases(operations: readonly Operation[]): boolean {
    return operations.every((operation) => {
      if (operation.type !== 'put' || operation.expiry?.type !== 'lease') return true
      return this.#leases.has(nameOf(operation.expiry.lease))
    })
  }

  /** Whether the limit was reached. */
  #clear({ range, reverse, limit }: Clear): boolean {
    const names = this.#namesIn(range)
    if (reverse) names.reverse()
    const gone = names.slice(0, limit)
    for (const name of gone) this.#del(name)
    return gone.length === limit
  }

  #end(lease: string): boolean {
    if (!this.#leases.delete(lease)) return false
    const attached = [...this.#values].filter(([, { goesWith }]) => goesWith === lease)
    for (const name of attached.map(([each]) => each).sort()) this.#del(name)
    return true
  }

  #expire({ keys, leases }: Expire): void {
    for (const { key, revision } of keys) {
      const stored = this.#values.get(nameOf(key))
      if (stored?.goesWith !== 'ttl' || stored.revision !== revision) continue
      this.#del(nameOf(key))
      this.#expired.push({ since: revision, ttlMs: stored.ttlMs, lease: undefined })
    }
    for (const { lease, generation } of leases) {
      const held = this.#leases.get(nameOf(lease))
      if (held?.since !== generation) continue
      this.#end(nameOf(lease))
      this.#expired.push({ ...held, lease: Buffer.from(lease).toString('hex') })
    }
  }

  #holds(compare: Compare): boolean {
    if (compare.type === 'empty') return this.#namesIn(compare.range).length === 0
    const stored = this.#values.get(nameOf(compare.key))
    switch (compare.type) {
      case 'revision':
        return (stored?.revision ?? 0) === compare.revision
      case 'exists':
        return stored !== undefined
      case 'absent':
        return stored === undefined
      case 'value':
        return stored?.value.equals(compare.value) === true
    }
  }

  #put(
    key: Buffer,
    value: Buffer,
    revision: LogIndex,
    goes: Pick<Stored, 'goesWith' | 'ttlMs'>,
  ): void {
    const name = nameOf(key)
    const hash = digestOf(key, value, revision)
    this.#digest = (this.#digest - (this.#values.get(name)?.hash ?? 0) + hash) >>> 0
    this.#values.set(name, { value, revision, hash, ...goes })
    this.#changes.push({ key, value })
  }

  #del(name: string): void {
    this.#digest = (this.#digest - (this.#values.get(name)?.hash ?? 0)) >>> 0
    this.#values.delete(name)
    this.#changes.push({ key: Buffer.from(name, 'latin1'), value: undefined })
  }

  #namesIn({ gt, gte, lt, lte }: KeyRange): string[] {
    const isIn = (name: string): boolean => {
      if (gt !== undefined && name <= nameOf(gt)) return false
      if (gte !== undefined && name < nameOf(gte)) return false
      if (lt !== undefined && name >= nameOf(lt)) return false
      return lte === undefined || name <= nameOf(lte)
    }
    return [...this.#values.keys()].filter(isIn).sort()
  }
}

function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
