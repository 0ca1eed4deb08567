/**
 * An iterator over what comes in blocks, entry by entry: a caller's step costs one promise while a block lasts, where
 * an async generator that yields each entry takes three turns of the microtask queue.
 *
 * Invariant: calls are answered in their order, as those of a generator are, and blocks are asked for one at a time.
 */

/** See the file's comment. `decode` is called when an entry is taken, and what it throws ends the iteration. */
export class EntryIterator<E, R> implements AsyncIterableIterator<R, undefined, undefined> {
  readonly #blocks: AsyncGenerator<readonly E[], undefined>
  readonly #decode: (entry: E) => R
  #block: readonly E[] = []
  #at = 0
  /** The last call that is not answered yet. */
  #last: Promise<unknown> | undefined

  constructor(blocks: AsyncGenerator<readonly E[], undefined>, decode: (entry: E) => R) {
    this.#blocks = blocks
    this.#decode = decode
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<R, undefined>> {
    const isHere = this.#last === undefined && this.#at < this.#block.length
    if (!isHere) return this.#inTurn(() => this.#fetched())
    try {
      return Promise.resolve(this.#take())
    } catch (error) {
      return this.throw(error)
    }
  }

  return(): Promise<IteratorResult<R, undefined>> {
    return this.#inTurn(() => this.#end())
  }

  throw(error: unknown): Promise<IteratorResult<R, undefined>> {
    return this.#inTurn(async () => {
      await this.#end()
      throw error
    })
  }

  async #fetched(): Promise<IteratorResult<R, undefined>> {
    while (this.#at === this.#block.length) {
      const { done, value } = await this.#blocks.next()
      if (done) return { done, value: undefined }
      this.#block = value
      this.#at = 0
    }
    try {
      return this.#take()
    } catch (error) {
      await this.#end()
      throw error
    }
  }

  #take(): IteratorResult<R, undefined> {
    return { done: false, value: this.#decode(this.#block[this.#at++]!) }
  }

  async #end(): Promise<IteratorResult<R, undefined>> {
    this.#block = []
    this.#at = 0
    await this.#blocks.return(undefined)
    return { done: true, value: undefined }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last === undefined ? work() : this.#last.then(work, work)
    this.#last = turn
    const answered = (): void => {
      if (this.#last === turn) this.#last = undefined
    }
    turn.then(answered, answered)
    return turn
  }
}
