/**
 * Views: states that somebody keeps while writes go on.
 *
 * A view that is cut at an index is registered with the state machine before `open` returns, so that no batch runs
 * past that index: what the caller writes afterwards is never in it, however long the index takes to come. All views
 * of an index share one snapshot. Bounded: views open at once, those that are waited for included.
 */
import { StoreError } from '../base/errors.js'
import type { MachineView } from '../machine/machine-view.js'
import type { PendingCut } from '../machine/pins.js'
import type { LogIndex } from '../raft/types.js'
import type { LocalView, ReadDemand, StateView, ViewRequest } from './backend.js'
import { overloaded } from './read-refusals.js'

/** What `retryAfterMs` says: nobody knows when a view will be closed. */
const RETRY_AFTER_MS = 100

/** Where views come from. */
export interface ViewPorts {
  readonly appliedIndex: LogIndex
  /** Resolves on the turn on which the state is as new as `demand` asks. */
  reach(demand: ReadDemand, signal: AbortSignal | undefined): Promise<void>
  present(): MachineView
  /** As StateMachine.viewAt. */
  viewAt(index: LogIndex): PendingCut<MachineView>
  viewOf(view: MachineView, close: () => Promise<void>): LocalView
  /** Takes charge of work that never rejects. */
  own(work: Promise<void>): void
  overloaded(retryAfterMs: number): void
}

/** One snapshot, for all views of its index. */
interface Cut extends PendingCut<MachineView> {
  users: number
}

/** All views of one member. */
export class Views {
  readonly #ports: ViewPorts
  readonly #max: number
  readonly #cuts = new Map<LogIndex, Cut>()
  #open = 0

  constructor(ports: ViewPorts, max: number) {
    this.#ports = ports
    this.#max = max
  }

  /** Views that are open or waited for. */
  get open(): number {
    return this.#open
  }

  /** The present state. @throws {StoreError} QUORATE_OVERLOADED, QUORATE_NOT_READY */
  openNow(): LocalView {
    this.#admit()
    try {
      return this.#handPresent()
    } catch (error) {
      this.#open--
      throw error
    }
  }

  /** @throws {StoreError} QUORATE_OVERLOADED, and what reads fail with */
  async openView(request: ViewRequest): Promise<StateView> {
    this.#admit()
    try {
      const isToCome = request.cut === 'exact' && request.minIndex > this.#ports.appliedIndex
      return await (isToCome ? this.#cutAt(request) : this.#newest(request))
    } catch (error) {
      this.#open--
      throw error
    }
  }

  #admit(): void {
    if (this.#open >= this.#max) {
      this.#ports.overloaded(RETRY_AFTER_MS)
      throw overloaded(`${this.#max} views are open already`, RETRY_AFTER_MS)
    }
    this.#open++
  }

  async #newest(request: ViewRequest): Promise<StateView> {
    await this.#ports.reach(request, request.signal)
    return this.#handPresent()
  }

  #handPresent(): LocalView {
    const view = this.#ports.present()
    return this.#hand(view, () => view.close())
  }

  async #cutAt(request: ViewRequest): Promise<StateView> {
    const { minIndex } = request
    const cut = this.#join(minIndex)
    try {
      const { signal } = request
      const reaching = this.#ports.reach(request, signal)
      // A strong read asks for no index; the cut does, and is waited for no longer than the read.
      const arriving =
        request.level === 'strong' && this.#ports.reach({ ...request, level: 'eventual' }, signal)
      const [, , view] = await Promise.all([reaching, arriving, cut.coming])
      if (view === undefined) throw passedBy(minIndex)
      return this.#hand(view, () => this.#leave(minIndex, cut))
    } catch (error) {
      this.#ports.own(this.#leave(minIndex, cut))
      throw error
    }
  }

  #join(index: LogIndex): Cut {
    let cut = this.#cuts.get(index)
    if (cut === undefined) {
      cut = { ...this.#ports.viewAt(index), users: 0 }
      this.#cuts.set(index, cut)
    }
    cut.users++
    return cut
  }

  async #leave(index: LogIndex, cut: Cut): Promise<void> {
    cut.users--
    if (cut.users > 0) return
    if (this.#cuts.get(index) === cut) this.#cuts.delete(index)
    cut.drop()
    // Whoever waited for it has heard why it did not come.
    const view = await cut.coming.catch(() => undefined)
    await view?.close()
  }

  #hand(view: MachineView, release: () => Promise<void>): LocalView {
    let closing: Promise<void> | undefined
    return this.#ports.viewOf(view, () => {
      if (closing === undefined) {
        this.#open--
        closing = release()
      }
      return closing
    })
  }
}

/** The state went from before the index to after it in one step: that of a snapshot, or one that was repaired. */
function passedBy(index: LogIndex): StoreError {
  const message = `the state never stood at index ${index} here: another one took its place`
  return new StoreError('QUORATE_NOT_READY', message, { retryable: true })
}
