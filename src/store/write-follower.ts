/**
 * Learns where the first of the writes stands that are called from some moment on. A watch that begins at that moment
 * has to give it, although the state by which it begins may hold it already.
 */

/** Made by a WritePipeline; must be ended. */
export class WriteFollower {
  /** Writes that had been called before, counted. */
  readonly mark: number
  readonly #isPending: () => boolean
  readonly #onEnd: (follower: WriteFollower) => void
  #index: number | undefined
  #isEnded = false
  #resolve: ((index: number | undefined) => void) | undefined

  /** @param isPending whether a write that was called after `mark` is under way */
  constructor(
    mark: number,
    isPending: (mark: number) => boolean,
    onEnd: (follower: WriteFollower) => void,
  ) {
    this.mark = mark
    this.#isPending = () => isPending(mark)
    this.#onEnd = onEnd
  }

  /**
   * The index of the first one, once it is known; undefined when none has been called, or what became of those that
   * were will not be known.
   */
  first(): Promise<number | undefined> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      this.look()
    })
  }

  /** One that was called after `mark` happened at `index`; they happen in their order. */
  happened(index: number): void {
    this.#index ??= index
    this.look()
  }

  /** Something may have changed. */
  look(): void {
    if (this.#index === undefined && !this.#isEnded && this.#isPending()) return
    this.#resolve?.(this.#index)
  }

  end(): void {
    this.#isEnded = true
    this.#onEnd(this)
    this.look()
  }
}
