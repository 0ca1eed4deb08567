/** What a store of shards was asked to do, and what must and may be found of it after a crash. */
import assert from 'node:assert/strict'
import type { ShardStore } from '../../src/blob/shard-store.js'
import type { Shard } from '../../src/wire/shard.js'
import { nameOf, shard } from './shard-fixture.js'

/** What is known at one moment. */
export interface Expectation {
  /** Acknowledged and not forgotten. */
  readonly must: ReadonlySet<string>
  /** Begun at any time: digests by name. */
  readonly may: ReadonlyMap<string, string>
}

export type Call =
  /** Shards `first` to `first + sizes.length - 1`, each of its size. */
  | { readonly kind: 'append'; readonly first: number; readonly sizes: readonly number[] }
  /** The acknowledged ones whose numbers leave `rest` when divided by `every`. */
  | { readonly kind: 'forget'; readonly every: number; readonly rest: number }
  | { readonly kind: 'quarantine'; readonly pick: number }
  | { readonly kind: 'reclaim'; readonly bytes: number }

/** Drives one store and keeps count. */
export class Workload {
  readonly #store: ShardStore
  readonly #must: Map<string, Shard>
  readonly #may: Map<string, string>
  /** Whether a call may fail because the disk did. */
  readonly #mayFail: boolean
  /** How often something was forgotten or quarantined. */
  #drops = 0

  constructor(store: ShardStore, before: Workload | undefined, mayFail: boolean) {
    this.#store = store
    this.#must = new Map(before === undefined ? [] : before.#must)
    this.#may = new Map(before === undefined ? [] : before.#may)
    this.#mayFail = mayFail
  }

  get expectation(): Expectation {
    return { must: new Set(this.#must.keys()), may: this.#may }
  }

  /** After a start: what was found must stay. */
  found(contents: ReadonlyMap<string, string>): void {
    const { must, may } = this.expectation
    assertExpected(contents, { must, may })
    for (const name of contents.keys()) this.#must.set(name, KNOWN.get(name)!)
  }

  async start(call: Call): Promise<void> {
    switch (call.kind) {
      case 'append':
        await Promise.all(
          call.sizes.map((bytes, i) => {
            const seq = call.first + i
            // The size belongs to the name: one name, one shard.
            return this.#append(shard(seq, bytes + (seq % 7), seq % 3))
          }),
        )
        break
      case 'forget':
        for (const [name, { head }] of this.#must) {
          if (head.id.seq % call.every !== call.rest % call.every) continue
          this.#drop(name)
          this.#store.forget(head)
        }
        break
      case 'quarantine': {
        const chosen = [...this.#must.values()][call.pick % Math.max(1, this.#must.size)]
        const stored = chosen && this.#store.find(chosen.head)
        if (stored === undefined) break
        this.#drop(nameOf(stored))
        this.#store.quarantine(stored)
        break
      }
      case 'reclaim':
        await this.#store.reclaim(call.bytes).catch((error) => this.#tolerate(error))
        break
    }
  }

  #drop(name: string): void {
    this.#must.delete(name)
    this.#drops++
  }

  async #append(drawn: Shard): Promise<void> {
    const name = nameOf(drawn.head)
    const known = KNOWN.get(name) ?? drawn
    KNOWN.set(name, known)
    this.#may.set(name, known.digest.toString('hex'))
    const drops = this.#drops
    try {
      await this.#store.append(known)
    } catch (error) {
      this.#tolerate(error)
      return
    }
    // It may have been there, and have been forgotten in this very turn.
    if (this.#drops === drops || this.#store.find(known.head)) this.#must.set(name, known)
  }

  #tolerate(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'QUORATE_OVERLOADED') return
    if (this.#mayFail && (code === 'EIO' || code === 'ENOSPC')) return
    throw error
  }
}

/** One name, one shard: also from one life and one run to the next. */
const KNOWN = new Map<string, Shard>()

/** Everything acknowledged is there, and everything there is what was appended under its name. */
export function assertExpected(
  contents: ReadonlyMap<string, string>,
  { must, may }: Expectation,
): void {
  for (const name of must) assert.ok(contents.has(name), `${name} was acknowledged and is missing`)
  for (const [name, digest] of contents) {
    assert.equal(digest, may.get(name), `${name} is not what was appended`)
  }
}
