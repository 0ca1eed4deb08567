/** What a session has seen: a position in the log that only ever rises. */
import type { Position } from './token.js'

/** See the file's comment. */
export class SessionState {
  #position: Position

  constructor(position: Position) {
    this.#position = position
  }

  get position(): Position {
    return this.#position
  }

  /** The session has seen the state at `seen`. */
  raise(seen: Position): void {
    if (seen.index <= this.#position.index) return
    this.#position = { index: seen.index, term: seen.term }
  }
}
