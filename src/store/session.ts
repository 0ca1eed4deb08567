/**
 * A session: a chain of reads and writes that never goes back in time, on whatever member it continues.
 */
import { Handle } from './handle.js'
import type { Reader } from './reader.js'
import type { SessionState } from './session-state.js'
import type { Tokens } from './token.js'
import type { Writer } from './writer.js'

/**
 * Reads and writes with the four session guarantees: reads see the session's own writes, never go back, and
 * writes come after everything the session has read or written. Reads default to the level `session`.
 * Made by `store.session()`; holds nothing that needs closing.
 */
export class Session extends Handle {
  readonly #tokens: Tokens
  readonly #state: SessionState

  /** @internal */
  constructor(reader: Reader, writer: Writer, tokens: Tokens, state: SessionState) {
    super(reader, writer)
    this.#tokens = tokens
    this.#state = state
  }

  /** The session's position as a short printable string; pass it to `store.session` on any member. */
  get token(): string {
    return this.#tokens.encode(this.#state.position)
  }

  /**
   * Takes over what another session has seen: later reads here are at least as new.
   * @throws {StoreError} QUORATE_BAD_TOKEN malformed, or of another cluster.
   */
  observe(token: string): void {
    this.#state.raise(this.#tokens.decode(token))
  }
}
