/** Explicit snapshots: one state that reads of a database can be given. */
import { AbstractSnapshot } from 'abstract-level'
import type { LocalView, StateView } from '../../member/backend.js'
import type { HeldView } from './held-view.js'

/** What the package's types leave out: the options of its constructor, which say who owns a snapshot. */
const OwnedSnapshot: new (options: object) => AbstractSnapshot = AbstractSnapshot as never

/** Made by `db.snapshot()`; keeps the state until it is closed. */
export class LevelSnapshot extends OwnedSnapshot {
  readonly #held: HeldView

  /** @internal */
  constructor(options: object, held: HeldView) {
    super(options)
    this.#held = held
  }

  /** The state, once it is there. @internal */
  view(): Promise<StateView> {
    return this.#held.view()
  }

  /** The state, when it can be read on this turn of the event loop. @internal */
  get local(): LocalView | undefined {
    return this.#held.local
  }

  /** @internal */
  async _close(): Promise<void> {
    await this.#held.close()
  }
}
