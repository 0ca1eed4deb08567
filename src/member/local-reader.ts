/**
 * Serves reads from this member's applied state, at the moment at which Reads says that they may be. What is damaged
 * there goes to ReadRepair.
 */
import type { KeyRange } from '../env/database.js'
import type { MachineView } from '../machine/machine-view.js'
import type { StateMachine } from '../machine/state-machine.js'
import { readStoredValue } from '../machine/stored-value.js'
import type { LogIndex, Role, Term } from '../raft/types.js'
import type {
  LocalView,
  PendingRead,
  ReadPosition,
  ScanCursor,
  Served,
  StoredValue,
} from './backend.js'
import { isCorruption, type ReadRepair } from './read-repair.js'

/** Up to so many keys are read on this turn of the event loop; more are read off it, from a snapshot. */
const KEYS_READ_AT_ONCE = 16

type ScanBlock = Awaited<ReturnType<ScanCursor['next']>>

/** Who serves reads here, as it is at the moment. */
export interface Circumstances {
  readonly servedBy: string
  readonly role: Role
  /** Of the state that ends at `index`. */
  ageMs(index: LogIndex): number | undefined
}

/** A state that is read on this turn of the event loop. */
interface OneState {
  get(key: Uint8Array): StoredValue | undefined
}

/** What a reader asks of its member. */
export interface ReaderPorts {
  repair(): ReadRepair
  /** Takes charge of reads that go on after this turn; they never reject. */
  own(work: Promise<void>): void
  /** The same object always, whose properties change. */
  readonly circumstances: Circumstances
}

/** One per read, so it holds no more than where it was served; the rest is looked up by who wants it. */
class ServedHere implements Served {
  readonly index: LogIndex
  readonly term: Term
  readonly #circumstances: Circumstances

  constructor({ index, term }: ReadPosition, circumstances: Circumstances) {
    this.index = index
    this.term = term
    this.#circumstances = circumstances
  }

  get servedBy(): string {
    return this.#circumstances.servedBy
  }

  get role(): Role {
    return this.#circumstances.role
  }

  get stalenessMs(): number | undefined {
    return this.#circumstances.ageMs(this.index)
  }
}

/** Reads one state machine. */
export class LocalReader {
  readonly #machine: StateMachine
  readonly #ports: ReaderPorts
  /** Serves all reads while one batch is being written. */
  #batchView: MachineView | undefined
  /** The end of that batch. */
  #batchEnd: LogIndex = 0

  constructor(machine: StateMachine, ports: ReaderPorts) {
    this.#machine = machine
    this.#ports = ports
  }

  /** Completes `read` from the present state. */
  serve(read: PendingRead): void {
    try {
      if (read.keys.length > KEYS_READ_AT_ONCE)
        this.#ports.own(this.#serveMany(this.#machine.view(), read))
      else this.#serveNow(read)
    } catch (error) {
      this.#refuse(read, error)
    }
  }

  /** No batch is being written any more: the snapshot that stood in for the database can go. */
  onApplied(): void {
    if (this.#batchView === undefined) return
    this.#ports.own(this.#batchView.close())
    this.#batchView = undefined
  }

  /** The present state, for who closes it. @throws {StoreError} QUORATE_NOT_READY */
  present(): MachineView {
    return this.#machine.view()
  }

  /**
   * From the present state, on this turn of the event loop: there is no time to have from other members what is
   * damaged here, so that is only set going.
   * @throws {StoreError} QUORATE_NOT_READY, QUORATE_CORRUPTION
   */
  get(key: Uint8Array): StoredValue | undefined {
    const machine = this.#machine
    const isWhole = machine.visible.index === machine.appliedIndex
    return this.#get(isWhole ? machine : this.#viewBesideBatch(), key)
  }

  /** What a caller gets of `view`, which it closes by `close`. What its circumstances were is fixed now. */
  viewOf(view: MachineView, close: () => Promise<void>): LocalView {
    const { index, term, servedBy, role, stalenessMs } = this.served(positionOf(view))
    return {
      served: { index, term, servedBy, role, stalenessMs },
      get: (key) => this.#get(view, key),
      getMany: (keys) => this.#getMany(view, keys),
      cursor: (range, reverse) => this.#cursor(view, range, reverse),
      close,
    }
  }

  /** The circumstances of a read that is served from the state at `position`; to be looked at on this turn. */
  served(position: ReadPosition): Served {
    return new ServedHere(position, this.#ports.circumstances)
  }

  #cursor(view: MachineView, range: KeyRange, reverse: boolean): ScanCursor {
    const cursor = view.scan(range, reverse)
    return {
      next: async (maxEntries, maxBytes) => {
        const entries = await this.#fetched(cursor.nextStored(maxEntries, maxBytes))
        return this.#decoded(view, entries)
      },
      close: () => cursor.close(),
    }
  }

  #get(state: OneState, key: Uint8Array): StoredValue | undefined {
    try {
      return state.get(key)
    } catch (error) {
      if (isCorruption(error)) this.#ports.repair().noteUnreadable(error)
      throw error
    }
  }

  /** What is damaged is had from other members, key by key. */
  async #getMany(
    view: MachineView,
    keys: readonly Uint8Array[],
  ): Promise<readonly (StoredValue | undefined)[]> {
    try {
      return await view.getMany(keys)
    } catch (error) {
      if (!isCorruption(error)) throw error
    }
    const values: (StoredValue | undefined)[] = []
    for (const key of keys) values.push(await this.#ports.repair().valueIn(view, key))
    return values
  }

  #serveNow(read: PendingRead): void {
    const machine = this.#machine
    if (machine.visible.index === machine.appliedIndex) {
      const position = { index: machine.appliedIndex, term: machine.appliedTerm }
      serveFrom(machine, this.served(position), read)
    } else {
      // A batch is being written: whether the database shows it already, only a snapshot can tell.
      const view = this.#viewBesideBatch()
      serveFrom(view, this.served(positionOf(view)), read)
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
      if (isCorruption(error)) this.#ports.repair().noteUnreadable(error)
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
        block.push([key, await this.#ports.repair().scanned(view, key, bytes)])
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
    read.complete(values, this.served(positionOf(view)))
  }

  #refuse(read: PendingRead, error: unknown): void {
    if (isCorruption(error)) this.#ports.repair().serve(read, error)
    else read.fail(error)
  }
}

/** Reads on this turn of the event loop from a state that is exactly the one at `position`. */
function serveFrom(state: OneState, served: Served, read: PendingRead): void {
  const values = read.keys.map((key) => state.get(key))
  read.complete(values, served)
}

function positionOf({ appliedIndex, appliedTerm }: MachineView): ReadPosition {
  return { index: appliedIndex, term: appliedTerm }
}
