/**
 * Serves reads from this member's applied state, at the moment at which Reads says that they may be.
 */
import type { StateMachine } from '../machine/state-machine.js'
import type { PendingRead, ReadPosition, ScanCursor, ScanRequest, StoredValue } from './backend.js'

/** Up to so many keys are read on this turn of the event loop; more are read off it, from a snapshot. */
const KEYS_READ_AT_ONCE = 16

/** Reads one state machine. */
export class LocalReader {
  readonly #machine: StateMachine
  readonly #own: (work: Promise<void>) => void

  /** `own` takes charge of reads that go on after this turn; they never reject. */
  constructor(machine: StateMachine, own: (work: Promise<void>) => void) {
    this.#machine = machine
    this.#own = own
  }

  /** The newest state that a read made now may have seen: what a session must not go back behind. */
  get position(): ReadPosition {
    return this.#machine.visible
  }

  /** Completes `read` from the present state. */
  serve(read: PendingRead): void {
    if (read.keys.length > KEYS_READ_AT_ONCE) {
      this.#own(this.#serveMany(read))
      return
    }
    const values: (StoredValue | undefined)[] = []
    try {
      for (const key of read.keys) values.push(this.#machine.get(key))
    } catch (error) {
      read.fail(error)
      return
    }
    read.complete(values, this.position)
  }

  /** A cursor over the present state. */
  scan(request: ScanRequest): ScanCursor {
    const { position } = this
    const view = this.#machine.view()
    const cursor = view.scan(request.range, request.reverse)
    return {
      position,
      next: (maxEntries, maxBytes) => cursor.next(maxEntries, maxBytes),
      close: async () => {
        await cursor.close()
        await view.close()
      },
    }
  }

  async #serveMany(read: PendingRead): Promise<void> {
    const { position } = this
    const view = this.#machine.view()
    let values: readonly (StoredValue | undefined)[]
    try {
      values = await view.getMany(read.keys)
    } catch (error) {
      read.fail(error)
      return
    } finally {
      await view.close()
    }
    read.complete(values, position)
  }
}
