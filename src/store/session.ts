/**
 * A session: a chain of reads and writes that never goes back in time, on whatever member it continues.
 */
import { Handle } from './handle.js'
import type { Reader } from './reader.js'
import type { SessionState } from './session-state.js'
import { decodeToken, encodeToken } from './token.js'
import type { Writer } from './writer.js'

/**
 * Reads and writes with the four session guarantees: reads see the session's own writes, never go back, and
 * writes come after everything the session has read or written. Reads default to the level `session`.
 * Made by `store.session()`; holds nothing that needs closing.
 */
export class Session extends Handle {
  readonly #clusterId: Uint8Array
  readonly #state: SessionState

  /** @internal */
  constructor(reader: Reader, writer: Writer, clusterId: Uint8Array, state: SessionState) {
    super(reader, writer)
    this.#clusterId = clusterId
    this.#state = state
  }

  /** The session's position as a short printable string; pass it to `store.session` on any member. */
  get token(): string {
    return encodeToken(this.#clusterId, this.#state.position)
  }

  /**
   * Takes over what another session has seen: later reads here are at least as new.
   * @throws {StoreError} QUORATE_BAD_TOKEN malformed, or of another cluster.
   */
  observe(token: string): void {
    this.#state.raise(decodeToken(this.#clusterId, token))
  }
}
