/**
 * What some entries have changed so far, laid over the database that does not have it yet: so commands see what those
 * before them did, and all of it is written together.
 *
 * Reads are answered on this turn of the event loop, as strong reads are, but every so many goes off it, and ranges
 * come in slices: an entry that looks at much does not hold everybody up. In memory is what was changed.
 */
import { asBuffer } from '../base/bytes.js'
import type { DatabaseSnapshot, KeyRange } from '../env/database.js'
import type { SharedDatabase } from './shared-database.js'

/** It is to be written when it holds so much, and one entry more. */
const OVERLAY_CHANGES = 2048
const OVERLAY_BYTES = 1_048_576
/** So many reads in a row are answered on one turn. */
const READS_PER_TURN = 64
const SLICE_ENTRIES = 1000
const SLICE_BYTES = 65_536

interface Former {
  readonly name: string
  readonly wasChanged: boolean
  readonly value: Buffer | undefined
}

/** See the file's comment. Keys are those of the database, prefix included. Must be closed. */
export class Overlay {
  readonly #database: SharedDatabase
  /** By the key's bytes as latin1, whose order is that of the bytes; undefined: removed. */
  readonly #changed = new Map<string, Buffer | undefined>()
  /** The names in `#changed` in order, but for `#fresh`; undefined when not known. */
  #order: string[] | undefined = []
  #fresh: string[] = []
  /** What was there before each change since the last `keep`. */
  #former: Former[] = []
  #snapshot: DatabaseSnapshot | undefined
  #reads = 0
  /** Of all keys and values that were set. */
  #bytes = 0

  constructor(database: SharedDatabase) {
    this.#database = database
  }

  /** Whether it should be written before the next entry. */
  get isFull(): boolean {
    return this.#changed.size >= OVERLAY_CHANGES || this.#bytes >= OVERLAY_BYTES
  }

  /** What is stored under `key` now; must not be changed. @throws what the database throws */
  async get(key: Buffer): Promise<Buffer | undefined> {
    const name = key.toString('latin1')
    const changed = this.#changed.get(name)
    if (changed !== undefined || this.#changed.has(name)) return changed
    const isOffTurn = ++this.#reads % READS_PER_TURN === 0
    const bytes = isOffTurn ? (await this.#database.getMany([key]))[0] : this.#database.get(key)
    return bytes === undefined ? undefined : asBuffer(bytes)
  }

  /** Stores `value`, which must not change any more, or removes the key. */
  set(key: Buffer, value: Buffer | undefined): void {
    const name = key.toString('latin1')
    const former = this.#changed.get(name)
    const wasChanged = former !== undefined || this.#changed.has(name)
    this.#former.push({ name, wasChanged, value: former })
    this.#changed.set(name, value)
    this.#bytes += key.length + (value?.length ?? 0)
    if (!wasChanged) this.#fresh.push(name)
  }

  /** What was set stays. */
  keep(): void {
    this.#former = []
  }

  /** What was set since the last `keep` was not. */
  undo(): void {
    for (const { name, wasChanged, value } of this.#former.reverse()) {
      if (wasChanged) this.#changed.set(name, value)
      else this.#changed.delete(name)
    }
    this.#former = []
    this.#order = undefined
  }

  /** The records of `range` in order, or against it; those that were set after the call began may be missing. */
  async *range(
    range: KeyRange,
    reverse: boolean,
  ): AsyncGenerator<readonly [key: Buffer, value: Buffer], void, undefined> {
    const own = this.#namesIn(range)
    if (reverse) own.reverse()
    let at = 0
    this.#snapshot ??= this.#database.snapshot()
    const cursor = this.#snapshot.cursor({ range, reverse })
    try {
      for (;;) {
        const slice = await cursor.next(SLICE_ENTRIES, SLICE_BYTES)
        if (slice.length === 0) break
        for (const [key, value] of slice) {
          const name = asBuffer(key).toString('latin1')
          for (; at < own.length && isBefore(own[at]!, name, reverse); at++)
            yield* this.#own(own[at]!)
          if (own[at] === name) yield* this.#own(own[at++]!)
          else yield [asBuffer(key), asBuffer(value)]
        }
      }
      for (; at < own.length; at++) yield* this.#own(own[at]!)
    } finally {
      await cursor.close()
    }
  }

  /** Everything that was changed, each key once. */
  *changes(): Generator<readonly [key: Buffer, value: Buffer | undefined], void, undefined> {
    for (const [name, value] of this.#changed) yield [Buffer.from(name, 'latin1'), value]
  }

  async close(): Promise<void> {
    await this.#snapshot?.close()
  }

  *#own(name: string): Generator<readonly [Buffer, Buffer], void, undefined> {
    const value = this.#changed.get(name)
    if (value !== undefined) yield [Buffer.from(name, 'latin1'), value]
  }

  #namesIn({ gt, gte, lt, lte }: KeyRange): string[] {
    const order = this.#ordered()
    const lower = asBuffer(gt ?? gte!).toString('latin1')
    const upper = asBuffer(lte ?? lt!).toString('latin1')
    const start = countWhile(order, (name) => (gt === undefined ? name < lower : name <= lower))
    const end = countWhile(order, (name) => (lte === undefined ? name < upper : name <= upper))
    return order.slice(start, Math.max(start, end))
  }

  #ordered(): readonly string[] {
    if (this.#order === undefined) this.#order = [...this.#changed.keys()].sort()
    else if (this.#fresh.length > 0) this.#order = [...this.#order, ...this.#fresh].sort()
    this.#fresh = []
    return this.#order
  }
}

function isBefore(a: string, b: string, reverse: boolean): boolean {
  return reverse ? a > b : a < b
}

/** How many of the first names `holds` for; it holds for none after one for which it does not. */
function countWhile(names: readonly string[], holds: (name: string) => boolean): number {
  let [low, high] = [0, names.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (holds(names[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}
