/**
 * Which of many ranges a key lies in: a balanced tree over their lower bounds, where each node knows how far the
 * ranges below it reach. A question costs O(log n) and what it finds; the tree is built once, O(n log n).
 */
import { compareBytes } from '../base/bytes.js'
import type { KeyRange } from '../env/database.js'

/** A range with what it stands for. */
export interface Ranged {
  readonly range: KeyRange
}

/** Where a range ends; undefined: nowhere. */
interface End {
  readonly key: Uint8Array
  /** Whether the key itself is in the range. */
  readonly isIncluded: boolean
}

/** Fixed once it is made; see the file's comment. */
export class RangeIndex<T extends Ranged> {
  /** By their lower bounds; the tree's node between `from` and `to` is the one in the middle. */
  readonly #items: readonly T[]
  /** The furthest end below each node. */
  readonly #reach: (End | undefined)[] = []

  constructor(items: Iterable<T>) {
    this.#items = [...items].sort((a, b) => compareStarts(a.range, b.range))
    if (this.#items.length > 0) this.#measure(0, this.#items.length)
  }

  /** Calls `visit` for every range that holds `key`, in no order that means anything. */
  visit(key: Uint8Array, visit: (item: T) => void): void {
    this.#visit(key, visit, 0, this.#items.length)
  }

  #visit(key: Uint8Array, visit: (item: T) => void, from: number, to: number): void {
    if (from >= to) return
    const middle = (from + to) >> 1
    if (!isBefore(key, this.#reach[middle])) return
    this.#visit(key, visit, from, middle)
    const item = this.#items[middle]!
    if (!isAfter(key, item.range)) return
    if (isBefore(key, endOf(item.range))) visit(item)
    this.#visit(key, visit, middle + 1, to)
  }

  #measure(from: number, to: number): End | undefined {
    const middle = (from + to) >> 1
    let reach = endOf(this.#items[middle]!.range)
    if (from < middle) reach = furthest(reach, this.#measure(from, middle))
    if (middle + 1 < to) reach = furthest(reach, this.#measure(middle + 1, to))
    this.#reach[middle] = reach
    return reach
  }
}

function endOf({ lt, lte }: KeyRange): End | undefined {
  if (lt !== undefined) return { key: lt, isIncluded: false }
  return lte === undefined ? undefined : { key: lte, isIncluded: true }
}

function furthest(a: End | undefined, b: End | undefined): End | undefined {
  if (a === undefined || b === undefined) return undefined
  const order = compareBytes(a.key, b.key)
  if (order === 0) return a.isIncluded ? a : b
  return order > 0 ? a : b
}

function isBefore(key: Uint8Array, end: End | undefined): boolean {
  if (end === undefined) return true
  const order = compareBytes(key, end.key)
  return order < 0 || (order === 0 && end.isIncluded)
}

function isAfter(key: Uint8Array, { gt, gte }: KeyRange): boolean {
  if (gt !== undefined) return compareBytes(key, gt) > 0
  return gte === undefined || compareBytes(key, gte) >= 0
}

function compareStarts(a: KeyRange, b: KeyRange): number {
  const [first, second] = [a.gt ?? a.gte, b.gt ?? b.gte]
  if (first === undefined || second === undefined) {
    return Number(first !== undefined) - Number(second !== undefined)
  }
  const order = compareBytes(first, second)
  return order === 0 ? Number(a.gt !== undefined) - Number(b.gt !== undefined) : order
}
