/**
 * A member's place in a simulated cluster: its machine, the process that runs on it or does not, and what is excused.
 *
 * States: down -> opening -> up -> closing -> down, and down again from anywhere by a kill or a power cut. `spare` is
 * a machine that nobody has asked to become a member yet. `lost` is final: its disk was damaged beyond what this
 * version repairs, or it may not join any more.
 */
import { InvariantError } from '../../base/assert.js'
import { StoreError } from '../../base/errors.js'
import type { Env } from '../../env/env.js'
import type { MemberParts } from '../../member/member.js'
import type { OpenOptions } from '../../store/open-options.js'
import { openStore, type Store } from '../../store/store.js'
import type { PowerCutMode } from '../sim-disk.js'
import type { SimHost } from '../sim-host.js'
import type { Findings } from '../watch/findings.js'
import type { SimWorld } from '../world.js'

/** Where a member stands. */
export type SeatState = 'spare' | 'down' | 'opening' | 'up' | 'closing' | 'lost'

/** How a member's process and machine are made. */
export interface SeatSetup {
  readonly host: SimHost
  readonly options: OpenOptions
  /** Not a member of the beginning. */
  readonly isSpare: boolean
  /** Whether it is a member by now. */
  readonly isAdded: () => boolean
  /** The environment of a new process. */
  boot(): Env
  readonly watch: (parts: MemberParts) => void
  /** The process ended: nothing that it was asked is answered any more. */
  readonly onEnd: () => void
  /** It has had its state again from elsewhere. */
  readonly onRebuilt: () => void
  readonly onNote: (what: string) => void
}

/** A member that has stopped by itself is started again after so long. */
const RESTART_MS = 700
/** Of who joins: it was removed meanwhile, or had forgotten that it had been let in. */
const NOT_LET_IN: ReadonlySet<string | undefined> = new Set([
  'QUORATE_REMOVED',
  'QUORATE_WRONG_MEMBER',
])

/** One member; see the file's comment. */
export class Seat {
  readonly name: string
  readonly host: SimHost
  readonly #world: SimWorld
  readonly #findings: Findings
  readonly #setup: SeatSetup
  #state: SeatState
  #store: Store | undefined
  /** Counts processes, so that what an earlier one still says is not heard. */
  #life = 0
  /** What was done to its disk may stop it. */
  isExcused = false
  /** Bytes at rest were damaged: it may refuse to open for good. */
  isRotten = false
  /** Its database was damaged: it has its state again from elsewhere. */
  isStateLost = false
  /** Shards of it were lost or damaged: it makes them anew from those of others. */
  isShardLost = false
  /** Counts what was done to its disk from outside. */
  #damages = 0
  #pausedUntil = 0

  constructor(world: SimWorld, findings: Findings, setup: SeatSetup) {
    this.name = setup.host.name
    this.host = setup.host
    this.#world = world
    this.#findings = findings
    this.#setup = setup
    this.#state = setup.isSpare ? 'spare' : 'down'
  }

  get state(): SeatState {
    return this.#state
  }

  /** The store that takes calls; undefined when the member is not up. */
  get store(): Store | undefined {
    return this.#state === 'up' ? this.#store : undefined
  }

  /** Until when its process stood still, or stands still. */
  get pausedUntil(): number {
    return this.#pausedUntil
  }

  /** Goes up whenever its disk may be another one than before: what was read from it outside does not count then. */
  get generation(): number {
    return this.#life + this.#damages
  }

  /** Something was done to the bytes on its disk. */
  damaged(): void {
    this.#damages++
  }

  /** Whether it has a process, perhaps one that is opening or closing. */
  get isRunning(): boolean {
    return this.#state === 'opening' || this.#state === 'up' || this.#state === 'closing'
  }

  /** Starts a spare machine: it waits to be let in. */
  enlist(): void {
    if (this.#state !== 'spare') return
    this.#state = 'down'
    this.start()
  }

  /** Starts a process on a machine without one. */
  start(): void {
    if (this.#state !== 'down') return
    const life = ++this.#life
    this.#setState('opening')
    const whenCurrent = (then: () => void) => {
      if (life === this.#life) then()
    }
    openStore(this.#setup.boot(), this.#setup.options, this.#setup.watch).then(
      (store) => whenCurrent(() => this.#opened(store, life)),
      (error: unknown) => whenCurrent(() => this.#notOpened(error)),
    )
  }

  /** Ends the process, as kill -9 does. */
  kill(): void {
    if (this.#end('killed')) this.host.kill()
  }

  /** Ends the process and the power of its machine. */
  powerCut(mode: PowerCutMode): void {
    if (this.#end(`power cut, ${mode}`)) this.host.powerCut(mode)
  }

  /** Closes the store in good order and starts it again `downMs` later. */
  close(downMs: number): void {
    const store = this.store
    if (store === undefined) return
    const life = this.#life
    this.#setState('closing')
    store.close().then(
      () => {
        if (life !== this.#life) return
        this.#end('closed')
        this.startIn(downMs)
      },
      (error: unknown) => {
        if (life === this.#life) this.#stopped(error)
      },
    )
  }

  /** Starts again `ms` from now, unless somebody did before. */
  startIn(ms: number): void {
    const life = this.#life
    this.#world.schedule(ms, () => {
      if (life === this.#life) this.start()
    })
  }

  /** The process stands still for `ms`. */
  pause(ms: number): void {
    if (!this.isRunning) return
    const life = this.#life
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#world.now + ms)
    this.host.pause()
    this.#world.schedule(ms, () => {
      if (life === this.#life && this.#world.now >= this.#pausedUntil) this.host.resume()
    })
  }

  /** Ends a pause before its time. */
  resume(): void {
    this.#pausedUntil = Math.min(this.#pausedUntil, this.#world.now)
    this.host.resume()
  }

  #opened(store: Store, life: number): void {
    this.#store = store
    this.#setState('up')
    store.on('fatal', (error) => {
      if (life === this.#life) this.#stopped(error)
    })
    store.on('rebuilt', () => this.#setup.onRebuilt())
    store.on('removed', () => {
      // It goes on running, as long as the others may need its word that they can do without it.
      if (life === this.#life) this.#setup.onNote('removed from the cluster')
    })
  }

  #notOpened(error: unknown): void {
    const code = error instanceof StoreError ? error.code : undefined
    if (code === 'QUORATE_CORRUPTION' && this.isRotten) this.#leave('lost: its disk is damaged')
    else if (this.#setup.isSpare && code === 'QUORATE_TIMEOUT') this.#wait()
    else if (this.#setup.isSpare && NOT_LET_IN.has(code)) this.#leave('not let in')
    else this.#stopped(error)
  }

  /** Nobody has let it in yet. */
  #wait(): void {
    this.#end('was not let in yet')
    this.host.kill()
    this.#state = 'spare'
    if (this.#setup.isAdded()) this.#world.schedule(RESTART_MS, () => this.enlist())
  }

  /** It does not come back. */
  #leave(how: string): void {
    this.#end(how)
    this.host.kill()
    this.#state = 'lost'
  }

  /** The member ended by itself: excused or not, somebody starts it again. */
  #stopped(error: unknown): void {
    const words = `${this.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
    const cause = error instanceof StoreError ? error.cause : error
    this.#findings.expect(!(cause instanceof InvariantError), 'A1 no assertion fails', () => words)
    this.#findings.expect(this.isExcused, 'A2 no member stops without a cause', () => words)
    this.#end(`stopped: ${error instanceof Error ? error.message : String(error)}`)
    this.host.kill()
    this.startIn(RESTART_MS)
  }

  #end(how: string): boolean {
    if (!this.isRunning) return false
    this.#life++
    this.#store = undefined
    this.#pausedUntil = Math.min(this.#pausedUntil, this.#world.now)
    this.#setup.onNote(how)
    this.#setState('down')
    this.#setup.onEnd()
    return true
  }

  #setState(state: SeatState): void {
    this.#state = state
    if (state !== 'down') this.#setup.onNote(state)
  }
}
