/**
 * Serves reads from this member's applied state, at the moment at which Reads says that they may be.
 */
import type { MachineView } from '../machine/machine-view.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { LogIndex } from '../raft/types.js'
import type { PendingRead, ReadPosition, ScanCursor, ScanRequest, StoredValue } from './backend.js'

/** Up to so many keys are read on this turn of the event loop; more are read off it, from a snapshot. */
const KEYS_READ_AT_ONCE = 16

/** Reads one state machine. */
export class LocalReader {
  readonly #machine: StateMachine
  readonly #own: (work: Promise<void>) => void
  /** Serves all reads while one batch is being written. */
  #batchView: MachineView | undefined
  /** The end of that batch. */
  #batchEnd: LogIndex = 0

  /** `own` takes charge of reads that go on after this turn; they never reject. */
  constructor(machine: StateMachine, own: (work: Promise<void>) => void) {
    this.#machine = machine
    this.#own = own
  }

  /** Completes `read` from the present state. */
  serve(read: PendingRead): void {
    const machine = this.#machine
    if (read.keys.length > KEYS_READ_AT_ONCE) {
      this.#own(this.#serveMany(read))
    } else if (machine.visible.index === machine.appliedIndex) {
      serveFrom(machine, { index: machine.appliedIndex, term: machine.appliedTerm }, read)
    } else {
      // A batch is being written: whether the database shows it already, only a snapshot can tell.
      const view = this.#viewBesideBatch()
      serveFrom(view, positionOf(view), read)
    }
  }

  /** No batch is being written any more: the snapshot that stood in for the database can go. */
  onApplied(): void {
    if (this.#batchView === undefined) return
    this.#own(this.#batchView.close())
    this.#batchView = undefined
  }

  #viewBesideBatch(): MachineView {
    const { index } = this.#machine.visible
    if (this.#batchView === undefined || this.#batchEnd !== index) {
      this.onApplied()
      this.#batchView = this.#machine.view()
      this.#batchEnd = index
    }
    return this.#batchView
  }

  /** A cursor over the present state. */
  scan(request: ScanRequest): ScanCursor {
    const view = this.#machine.view()
    const cursor = view.scan(request.range, request.reverse)
    return {
      position: positionOf(view),
      next: (maxEntries, maxBytes) => cursor.next(maxEntries, maxBytes),
      close: async () => {
        await cursor.close()
        await view.close()
      },
    }
  }

  async #serveMany(read: PendingRead): Promise<void> {
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
    read.complete(values, positionOf(view))
  }
}

/** Reads on this turn of the event loop from a state that is exactly the one at `position`. */
function serveFrom(
  state: { get(key: Uint8Array): StoredValue | undefined },
  position: ReadPosition,
  read: PendingRead,
): void {
  const values: (StoredValue | undefined)[] = []
  try {
    for (const key of read.keys) values.push(state.get(key))
  } catch (error) {
    read.fail(error)
    return
  }
  read.complete(values, position)
}

function positionOf({ appliedIndex, appliedTerm }: MachineView): ReadPosition {
  return { index: appliedIndex, term: appliedTerm }
}
