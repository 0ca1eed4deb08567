/**
 * Decoded parts of large values in memory, the least recently used ones let go of beyond `maxBytes`. Parts never
 * change, so nothing here is ever out of date.
 */

/** A part takes at most this share of the cache. */
const SHARE = 4

/** See the file's comment. */
export class PartCache {
  readonly #maxBytes: number
  /** The least recently used first. */
  readonly #parts = new Map<string, Buffer>()
  #bytes = 0
  hits = 0
  misses = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The data of the part of this name, which must not be changed. */
  get(name: string): Buffer | undefined {
    const data = this.#parts.get(name)
    if (data === undefined) {
      this.misses++
      return undefined
    }
    this.hits++
    this.#parts.delete(name)
    this.#parts.set(name, data)
    return data
  }

  /** Keeps `data`, which must not change any more. */
  put(name: string, data: Buffer): void {
    if (data.length * SHARE > this.#maxBytes || this.#parts.has(name)) return
    this.#parts.set(name, data)
    this.#bytes += data.length
    for (const [oldest, { length }] of this.#parts) {
      if (this.#bytes <= this.#maxBytes) return
      this.#parts.delete(oldest)
      this.#bytes -= length
    }
  }
}
