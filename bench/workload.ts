/**
 * What a load does to a Store: which operations in which shares, on which keys, with which values, at which level.
 *
 * Plain data, so that every process makes the same operations of it. Draws follow from the seed alone.
 */
import { unreachable } from '../src/base/assert.js'
import type { Ack, Handle, ReadLevel, Store, WriteOptions } from '../src/index.js'
import { Zipfian } from './zipfian.js'

/** The kinds of operations; `change` reads a value and writes it, one after the other, as YCSB's F does. */
export type Kind = 'get' | 'put' | 'insert' | 'scan' | 'change'

/** Which existing key an operation takes: any, few often (YCSB's zipfian), or mostly one of the last inserted. */
export type Choice = 'uniform' | 'zipfian' | 'latest'

/** A load on a Store. */
export interface Workload {
  /** The share of each kind; together 1. */
  readonly mix: Readonly<Partial<Record<Kind, number>>>
  /** Keys that are there from the beginning (`fill`). */
  readonly keyCount: number
  readonly choice: Choice
  readonly valueBytes: number
  readonly level: ReadLevel
  /** Undefined: without a bound. */
  readonly maxStalenessMs?: number
  readonly ack: Ack
  /** Puts of one call: 1 is `put`, more is `batch`. */
  readonly batch: number
  readonly seed: number
}

/** What a load can be put on: handles of a store, and what is measured beside them. */
export interface Subject {
  get(key: string): Promise<unknown>
  put(key: string, value: Buffer, options?: WriteOptions): Promise<unknown>
  batch(puts: readonly Put[], options?: WriteOptions): Promise<unknown>
  scan(range: { readonly gte: string; readonly limit: number }): AsyncIterable<unknown>
}

/** One of a batch. */
export interface Put {
  readonly type: 'put'
  readonly key: string
  readonly value: Buffer
}

/** Operations one after the other: which is next, and carrying it out. */
export interface Operations {
  next(): Kind
  run(kind: Kind): Promise<unknown>
}

const SCAN_KEYS_MAX = 100
const FILL_BATCH_BYTES = 256 * 1024
const FILL_BATCH_KEYS = 500
const FILL_IN_FLIGHT = 4

/** The key of this number: all are 16 bytes, and in order. */
export function keyOf(number: number): string {
  return `key:${String(number).padStart(12, '0')}`
}

/** A value of so many bytes that does not compress to nothing: text of its own for each `salt`. */
export function makeValue(bytes: number, salt: number): Buffer {
  const value = Buffer.alloc(bytes)
  let draw = (salt * 2_654_435_761 + 1) >>> 0
  for (let at = 0; at < bytes; at++) {
    draw = (Math.imul(draw, 1_664_525) + 1_013_904_223) >>> 0
    value[at] = 32 + (draw >>> 26)
  }
  return value
}

/** Puts the keys that are there from the beginning. */
export async function fill(subject: Subject, keyCount: number, valueBytes: number): Promise<void> {
  const value = makeValue(valueBytes, 0)
  const perBatch = Math.max(1, Math.min(FILL_BATCH_KEYS, Math.floor(FILL_BATCH_BYTES / valueBytes)))
  let next = 0
  const work = async (): Promise<void> => {
    while (next < keyCount) {
      const from = next
      next = Math.min(keyCount, from + perBatch)
      const puts = Array.from({ length: next - from }, (_, i) => ({
        type: 'put' as const,
        key: keyOf(from + i),
        value,
      }))
      await subject.batch(puts)
    }
  }
  await Promise.all(Array.from({ length: FILL_IN_FLIGHT }, work))
}

/** The operations of `workload` on a store. */
export function operationsOf(store: Store, workload: Workload): Operations {
  const { level, ack } = workload
  // A session has no default for its writes, and nothing has one that is for single calls only.
  const isOwn = ack === 'leader' || (level === 'session' && ack !== 'quorum')
  return new WorkloadOperations(handleOf(store, workload), workload, isOwn ? { ack } : undefined)
}

/** The operations of `workload`, but for its level and acknowledgement, on what knows neither. */
export function operationsOn(subject: Subject, workload: Workload): Operations {
  return new WorkloadOperations(subject, workload, undefined)
}

class WorkloadOperations implements Operations {
  readonly #subject: Subject
  readonly #workload: Workload
  /** Only where the subject's default is another. */
  readonly #writeOptions: WriteOptions | undefined
  readonly #kinds: readonly (readonly [Kind, number])[]
  readonly #zipfian: Zipfian | undefined
  readonly #values: readonly Buffer[]
  #keyCount: number
  #state: number

  constructor(subject: Subject, workload: Workload, writeOptions: WriteOptions | undefined) {
    this.#subject = subject
    this.#workload = workload
    this.#writeOptions = writeOptions
    let sum = 0
    this.#kinds = (Object.entries(workload.mix) as [Kind, number][]).map(([kind, share]) => {
      sum += share
      return [kind, sum]
    })
    this.#zipfian = workload.choice === 'uniform' ? undefined : new Zipfian(workload.keyCount)
    this.#values = Array.from({ length: 8 }, (_, salt) => makeValue(workload.valueBytes, salt))
    this.#keyCount = workload.keyCount
    this.#state = (workload.seed * 2_654_435_761 + 1) >>> 0
  }

  next(): Kind {
    const draw = this.#uniform()
    for (const [kind, upTo] of this.#kinds) if (draw < upTo) return kind
    return this.#kinds.at(-1)![0]
  }

  run(kind: Kind): Promise<unknown> {
    switch (kind) {
      case 'get':
        return this.#subject.get(this.#key())
      case 'put':
        return this.#workload.batch === 1
          ? this.#subject.put(this.#key(), this.#value(), this.#writeOptions)
          : this.#subject.batch(this.#puts(), this.#writeOptions)
      case 'insert':
        return this.#subject.put(keyOf(this.#keyCount++), this.#value(), this.#writeOptions)
      case 'scan':
        return this.#scan()
      case 'change':
        return this.#change(this.#key())
      default:
        return unreachable(kind)
    }
  }

  #puts(): Put[] {
    return Array.from({ length: this.#workload.batch }, () => ({
      type: 'put',
      key: this.#key(),
      value: this.#value(),
    }))
  }

  async #scan(): Promise<void> {
    const limit = 1 + Math.floor(this.#uniform() * SCAN_KEYS_MAX)
    let left = limit
    for await (const _ of this.#subject.scan({ gte: this.#key(), limit })) left--
    if (left === limit) throw new Error('a scan that begins at a key found none')
  }

  async #change(key: string): Promise<void> {
    await this.#subject.get(key)
    await this.#subject.put(key, this.#value(), this.#writeOptions)
  }

  #key(): string {
    const draw = this.#uniform()
    switch (this.#workload.choice) {
      case 'uniform':
        return keyOf(Math.floor(draw * this.#keyCount))
      case 'zipfian':
        return keyOf(this.#zipfian!.scattered(draw))
      case 'latest':
        return keyOf(this.#keyCount - 1 - this.#zipfian!.rank(draw))
      default:
        return unreachable(this.#workload.choice)
    }
  }

  #value(): Buffer {
    return this.#values[this.#state & 7]!
  }

  /** Cheap, because it is part of what is measured: the high bits of a linear congruence. */
  #uniform(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return this.#state / 0x1_0000_0000
  }
}

/** A session remembers what it has seen, a view has nothing to remember: both fix the level for all calls. */
function handleOf(store: Store, { level, maxStalenessMs, ack }: Workload): Handle {
  if (level === 'session') return store.session()
  return store.view({
    consistency: level,
    ...(ack !== 'leader' && { ack }),
    ...(maxStalenessMs !== undefined && { maxStalenessMs }),
  })
}
