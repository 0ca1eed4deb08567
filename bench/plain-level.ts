/** classic-level alone, under the same load as a store: what an application has that does without replication. */
import { ClassicLevel } from 'classic-level'
import { fill, type Put, type Subject } from './workload.js'

/** A database of its own; every write is synced before it resolves. */
export class PlainLevel implements Subject {
  readonly #level: ClassicLevel<string, Buffer>

  private constructor(level: ClassicLevel<string, Buffer>) {
    this.#level = level
  }

  /** Opens the database in `dir` with `keyCount` keys in it. */
  static async open(dir: string, keyCount: number, valueBytes: number): Promise<PlainLevel> {
    const level = new ClassicLevel<string, Buffer>(dir, { valueEncoding: 'buffer' })
    await level.open()
    const plain = new PlainLevel(level)
    await fill(plain, keyCount, valueBytes)
    return plain
  }

  get(key: string): Promise<unknown> {
    return this.#level.get(key)
  }

  put(key: string, value: Buffer): Promise<unknown> {
    return this.#level.put(key, value, { sync: true })
  }

  batch(puts: readonly Put[]): Promise<unknown> {
    return this.#level.batch([...puts], { sync: true })
  }

  scan(range: { readonly gte: string; readonly limit: number }): AsyncIterable<unknown> {
    return this.#level.iterator(range)
  }

  close(): Promise<void> {
    return this.#level.close()
  }
}
