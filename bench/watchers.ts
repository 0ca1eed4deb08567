/** Watchers beside a load: each takes what comes and counts it. */
import type { Store, Watch } from '../src/index.js'
import { keyOf } from './workload.js'

/** What each of them watches: one key, another for each; or everything. */
export type Watched = 'a key each' | 'everything'

/** Watchers that run until they are ended. */
export class Watchers {
  readonly #watches: readonly Watch[]
  readonly #work: Promise<unknown>
  #changes = 0

  private constructor(watches: readonly Watch[]) {
    this.#watches = watches
    this.#work = Promise.all(watches.map((watch) => this.#take(watch)))
  }

  /** Begins so many, and waits until each sees what comes. */
  static async start(store: Store, count: number, watched: Watched): Promise<Watchers> {
    const watches = Array.from({ length: count }, (_, i) =>
      store.watch(watched === 'everything' ? {} : { prefix: keyOf(i) }),
    )
    const watchers = new Watchers(watches)
    await Promise.all(watches.map((watch) => watch.ready()))
    return watchers
  }

  /** Ends them; resolves with the number of changes that they were given. */
  async end(): Promise<number> {
    await Promise.all(this.#watches.map((watch) => watch.return()))
    await this.#work
    return this.#changes
  }

  async #take(watch: Watch): Promise<void> {
    for await (const event of watch) {
      if (event.type === 'changes') this.#changes += event.changes.length
    }
  }
}
