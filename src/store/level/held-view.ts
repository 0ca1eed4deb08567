/**
 * A view that was asked for and may not be there yet, and who may close it at any time.
 */
import type { LocalView, StateView } from '../../member/backend.js'

/** See the file's comment; must be closed. */
export class HeldView {
  /** The view, when it was there at once and is of this process. */
  readonly local: LocalView | undefined
  readonly #view: Promise<StateView>
  readonly #giveUp: AbortController | undefined

  private constructor(
    view: Promise<StateView>,
    local: LocalView | undefined,
    giveUp: AbortController | undefined,
  ) {
    this.local = local
    this.#view = view
    this.#giveUp = giveUp
    // Whoever reads hears of the failure; who never reads need not.
    view.catch(() => undefined)
  }

  /** Calls `open` at once: what the view shows is settled by the time of this call. */
  static opening(open: (signal: AbortSignal) => Promise<StateView>): HeldView {
    const giveUp = new AbortController()
    return new HeldView(open(giveUp.signal), undefined, giveUp)
  }

  static open(view: LocalView): HeldView {
    return new HeldView(Promise.resolve(view), view, undefined)
  }

  /** @throws {StoreError} as `Backend.openView` */
  view(): Promise<StateView> {
    return this.#view
  }

  /** Nobody waits for it any more: if it is not there yet, it fails. */
  giveUp(): void {
    this.#giveUp?.abort()
  }

  /** Gives up waiting, or lets the state go. Nobody reads from it any more. */
  async close(): Promise<void> {
    this.giveUp()
    let view: StateView
    try {
      view = await this.#view
    } catch {
      return // It was never there; its readers have heard why.
    }
    await view.close()
  }
}
