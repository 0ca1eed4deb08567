/**
 * The reads of a database of the Level kind: each is tied to a state at the moment of its call.
 *
 * `session`: the state that the handle has seen, which a member that is behind cuts exactly there. `strong`: the state
 * of a ReadIndex that is still to come. `eventual`: the member's present state. Where the state is not settled by the
 * time a call returns, which is so for most strong reads and for every read of another process, the handle's writes
 * wait until it is (fence.ts).
 */
import type {
  Backend,
  LocalView,
  PendingRead,
  ReadDemand,
  ReadLevel,
  Served,
  StateView,
  StoredValue,
} from '../../member/backend.js'
import { DemandedRead } from '../../member/demand.js'
import type { SessionState } from '../session-state.js'
import { LevelError } from './errors.js'
import type { Fence } from './fence.js'
import { HeldView } from './held-view.js'

/** How the reads of one database are done. */
export interface LevelReadSpec {
  readonly level: ReadLevel
  readonly timeoutMs: number
}

/** See the file's comment. */
export class LevelReads {
  readonly #backend: Backend
  readonly #session: SessionState
  readonly #fence: Fence
  readonly #spec: LevelReadSpec

  constructor(backend: Backend, session: SessionState, fence: Fence, spec: LevelReadSpec) {
    this.#backend = backend
    this.#session = session
    this.#fence = fence
    this.#spec = spec
  }

  /** What is stored under `keys`, in their order, as of now. */
  async getMany(keys: readonly Uint8Array[]): Promise<readonly (StoredValue | undefined)[]> {
    if (this.#isBehind()) return this.#getManyLater(keys)
    return new Promise((resolve, reject) => {
      const read = new LevelReading(
        keys,
        this.#demand(),
        (values, served) => {
          this.#session.raise(served)
          resolve(values)
        },
        reject,
      )
      this.#backend.read(read)
      read.waitIn(this.#fence)
    })
  }

  /** The state as of now. */
  hold(): HeldView {
    const view = this.#presentView()
    if (view === undefined) return HeldView.opening((signal) => this.#openView(signal))
    this.#session.raise(view.served)
    return HeldView.open(view)
  }

  /**
   * What is stored under `key`, on this turn of the event loop.
   * @throws {LevelError} LEVEL_NOT_SUPPORTED unless this is `eventual` and the backend in this process
   * @throws {StoreError} QUORATE_NOT_READY, QUORATE_CORRUPTION
   */
  get(key: Uint8Array): StoredValue | undefined {
    const { local } = this.#backend
    if (local === undefined || this.#spec.level !== 'eventual') {
      const message = 'getSync is for the level eventual, in a process that is a member'
      throw new LevelError('LEVEL_NOT_SUPPORTED', message)
    }
    return local.get(key)
  }

  /**
   * Whether a plain read would wait for the session's position. It is served when the applied index has passed that,
   * maybe from a state further on, with what the handle writes after this read in it.
   */
  #isBehind(): boolean {
    const isBound = this.#spec.level === 'session'
    return isBound && this.#backend.appliedIndex < this.#session.position.index
  }

  /** Undefined when it is not new enough, or not to be had at once. */
  #presentView(): LocalView | undefined {
    const { local } = this.#backend
    if (local === undefined || this.#spec.level === 'strong' || this.#isBehind()) return undefined
    try {
      return local.view()
    } catch {
      return undefined // Asked for in the other way it comes, or says why it does not, when it is read.
    }
  }

  async #getManyLater(keys: readonly Uint8Array[]): Promise<readonly (StoredValue | undefined)[]> {
    const view = await this.#openView(undefined)
    try {
      return await view.getMany(keys)
    } finally {
      await view.close()
    }
  }

  async #openView(signal: AbortSignal | undefined): Promise<StateView> {
    // A cut is registered with the member before `openView` returns: no later write gets before it.
    const isSettled = this.#backend.local !== undefined && this.#isBehind()
    const ticket = isSettled ? undefined : this.#fence.enter()
    try {
      const view = await this.#backend.openView({ ...this.#demand(), cut: 'exact', signal })
      this.#session.raise(view.served)
      return view
    } finally {
      if (ticket !== undefined) this.#fence.settled(ticket)
    }
  }

  #demand(): ReadDemand {
    const { level, timeoutMs } = this.#spec
    const { index, term } = this.#session.position
    return {
      level,
      minIndex: level === 'session' ? index : 0,
      minTerm: level === 'session' ? term : 0,
      maxStalenessMs: Number.POSITIVE_INFINITY,
      onBehind: 'wait',
      deadline: this.#backend.now() + timeoutMs,
    }
  }
}

/** A read on its way, behind which writes may have to wait. */
class LevelReading extends DemandedRead {
  readonly abandoned = false
  readonly #onComplete: PendingRead['complete']
  readonly #onFail: (error: unknown) => void
  #isDone = false
  #leave: (() => void) | undefined

  constructor(
    keys: readonly Uint8Array[],
    demand: ReadDemand,
    onComplete: PendingRead['complete'],
    onFail: (error: unknown) => void,
  ) {
    super(keys, demand, demand.deadline)
    this.#onComplete = onComplete
    this.#onFail = onFail
  }

  /** Closes `fence` until the read is done, unless it was served at once. */
  waitIn(fence: Fence): void {
    if (this.#isDone) return
    const ticket = fence.enter()
    this.#leave = () => fence.settled(ticket)
  }

  complete(values: readonly (StoredValue | undefined)[], served: Served): void {
    this.#done()
    this.#onComplete(values, served)
  }

  fail(error: unknown): void {
    this.#done()
    this.#onFail(error)
  }

  #done(): void {
    this.#isDone = true
    this.#leave?.()
  }
}
