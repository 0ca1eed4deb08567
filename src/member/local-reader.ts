/**
 * Serves reads from this member's applied state, at the moment at which Reads says that they may be. What is damaged
 * there goes to ReadRepair.
 */
import type { MachineView } from '../machine/machine-view.js'
import type { StateMachine } from '../machine/state-machine.js'
import { readStoredValue } from '../machine/stored-value.js'
import type { LogIndex } from '../raft/types.js'
import type { PendingRead, ReadPosition, ScanCursor, ScanRequest, StoredValue } from './backend.js'
import { isCorruption, type ReadRepair } from './read-repair.js'

/** Up to so many keys are read on this turn of the event loop; more are read off it, from a snapshot. */
const KEYS_READ_AT_ONCE = 16

type ScanBlock = Awaited<ReturnType<ScanCursor['next']>>

/** Reads one state machine. */
export class LocalReader {
  readonly #machine: StateMachine
  readonly #repair: ReadRepair
  readonly #own: (work: Promise<void>) => void
  /** Serves all reads while one batch is being written. */
  #batchView: MachineView | undefined
  /** The end of that batch. */
  #batchEnd: LogIndex = 0

  /** `own` takes charge of reads that go on after this turn; they never reject. */
  constructor(machine: StateMachine, repair: ReadRepair, own: (work: Promise<void>) => void) {
    this.#machine = machine
    this.#repair = repair
    this.#own = own
  }

  /** Completes `read` from the present state. */
  serve(read: PendingRead): void {
    try {
      if (read.keys.length > KEYS_READ_AT_ONCE)
        this.#own(this.#serveMany(this.#machine.view(), read))
      else this.#serveNow(read)
    } catch (error) {
      this.#refuse(read, error)
    }
  }

  /** No batch is being written any more: the snapshot that stood in for the database can go. */
  onApplied(): void {
    if (this.#batchView === undefined) return
    this.#own(this.#batchView.close())
    this.#batchView = undefined
  }

  /** A cursor over the present state. */
  scan(request: ScanRequest): ScanCursor {
    const view = this.#machine.view()
    const cursor = view.scan(request.range, request.reverse)
    return {
      position: positionOf(view),
      next: async (maxEntries, maxBytes) => {
        const entries = await this.#fetched(cursor.nextStored(maxEntries, maxBytes))
        return this.#decoded(view, entries)
      },
      close: async () => {
        await cursor.close()
        await view.close()
      },
    }
  }

  #serveNow(read: PendingRead): void {
    const machine = this.#machine
    if (machine.visible.index === machine.appliedIndex) {
      serveFrom(machine, { index: machine.appliedIndex, term: machine.appliedTerm }, read)
    } else {
      // A batch is being written: whether the database shows it already, only a snapshot can tell.
      const view = this.#viewBesideBatch()
      serveFrom(view, positionOf(view), read)
    }
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

  async #fetched<T>(entries: Promise<T>): Promise<T> {
    try {
      return await entries
    } catch (error) {
      if (isCorruption(error)) this.#repair.noteUnreadable(error)
      throw error
    }
  }

  async #decoded(
    view: MachineView,
    entries: readonly (readonly [Buffer, Buffer])[],
  ): Promise<ScanBlock> {
    const block: (readonly [Buffer, StoredValue])[] = []
    for (const [key, bytes] of entries) {
      try {
        block.push([key, readStoredValue(key, bytes)])
      } catch (error) {
        if (!isCorruption(error)) throw error
        block.push([key, await this.#repair.scanned(view, key, bytes)])
      }
    }
    return block
  }

  async #serveMany(view: MachineView, read: PendingRead): Promise<void> {
    let values: readonly (StoredValue | undefined)[]
    try {
      values = await view.getMany(read.keys)
    } catch (error) {
      this.#refuse(read, error)
      return
    } finally {
      await view.close()
    }
    read.complete(values, positionOf(view))
  }

  #refuse(read: PendingRead, error: unknown): void {
    if (isCorruption(error)) this.#repair.serve(read, error)
    else read.fail(error)
  }
}

/** Reads on this turn of the event loop from a state that is exactly the one at `position`. */
function serveFrom(
  state: { get(key: Uint8Array): StoredValue | undefined },
  position: ReadPosition,
  read: PendingRead,
): void {
  const values = read.keys.map((key) => state.get(key))
  read.complete(values, position)
}

function positionOf({ appliedIndex, appliedTerm }: MachineView): ReadPosition {
  return { index: appliedIndex, term: appliedTerm }
}
