/**
 * The window of appends on their way to one peer: bounded by number of messages and by bytes.
 *
 * Invariants: `count <= sizeMax`; the last indexes of the messages are ascending; `bytes` is their sum.
 */
import { assert } from '../base/assert.js'
import type { LogIndex } from './types.js'

const FIRST_CAPACITY = 16

/** A ring buffer that grows on demand, so that a peer with nothing in flight costs nothing. */
export class Inflights {
  readonly #sizeMax: number
  readonly #bytesMax: number
  #indexes: LogIndex[] = []
  #sizes: number[] = []
  #start = 0
  #count = 0
  #bytes = 0

  constructor(sizeMax: number, bytesMax: number) {
    this.#sizeMax = sizeMax
    this.#bytesMax = bytesMax
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The byte bound is passed by at most one message: the one that reaches it. */
  get isFull(): boolean {
    return this.#count >= this.#sizeMax || this.#bytes >= this.#bytesMax
  }

  /** Notes a message that ends at `lastIndex`. */
  add(lastIndex: LogIndex, bytes: number): void {
    assert(!this.isFull, 'an append was sent into a full window', { count: this.#count })
    if (this.#count === this.#indexes.length) this.#grow()
    const at = this.#slot(this.#count)
    this.#indexes[at] = lastIndex
    this.#sizes[at] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** Frees the messages that end at or before `index`. */
  freeTo(index: LogIndex): void {
    while (this.#count > 0 && this.#indexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!
      this.#start = this.#slot(1)
      this.#count--
    }
  }

  reset(): void {
    this.#start = 0
    this.#count = 0
    this.#bytes = 0
  }

  #slot(offset: number): number {
    const at = this.#start + offset
    return at < this.#indexes.length ? at : at - this.#indexes.length
  }

  #grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, Math.min(this.#sizeMax, this.#count * 2))
    const indexes: LogIndex[] = new Array(capacity).fill(0)
    const sizes: number[] = new Array(capacity).fill(0)
    for (let i = 0; i < this.#count; i++) {
      indexes[i] = this.#indexes[this.#slot(i)]!
      sizes[i] = this.#sizes[this.#slot(i)]!
    }
    this.#indexes = indexes
    this.#sizes = sizes
    this.#start = 0
  }
}
