/**
 * A state that turns out damaged while the member runs is put out of use and had again: by replaying the log where
 * that holds everything, else from another member, like a snapshot.
 *
 * The core goes on meanwhile: the member votes and keeps the log. It serves no reads, and does not lead: what it has
 * applied cannot be known. Where there is nobody else, damage stays what it is: reads of it fail.
 */
import type { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { RaftLog } from '../log/raft-log.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import type { Driver } from './driver.js'
import type { Generations } from './generations.js'
import type { Rebuilt } from './open-state.js'

/** So often a member is asked for its state, and so long before another one is asked, too. */
const ASK_MS = 1_000
const NEXT_MS = 10_000
/** Before leadership is offered to others once more. */
const HAND_OVER_MS = 1_000

/** What a rebuild works with. */
export interface StateRebuildParts {
  readonly time: Time
  readonly core: RaftCore
  readonly driver: Driver
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly generations: Generations
  /** Members that can be asked, the best first. */
  sources(): readonly NodeId[]
  hasOthers(): boolean
  /** Makes another member lead, if one can. */
  handOver(): Promise<void>
  sendWanted(to: NodeId, atLeast: LogIndex): void
  /** Whether a state is being taken in. */
  isTakingIn(): boolean
  /** Runs `work` while no state is being taken in. */
  alone(work: () => Promise<void>): void
  nameOf(node: NodeId): string
  /** Nothing is to be read here from now on. */
  begun(why: StoreError): void
  rebuilt(rebuilt: Rebuilt): void
}

/** See the file's comment. */
export class StateRebuild {
  readonly #parts: StateRebuildParts
  #why: StoreError | undefined
  #askAt = 0
  #nextAt = 0
  #turn = -1
  #isEnded = false

  constructor(parts: StateRebuildParts) {
    this.#parts = parts
  }

  /** Why the state is out of use; undefined when it is in use. */
  get why(): StoreError | undefined {
    return this.#why
  }

  /**
   * The state is damaged.
   * @param where `apply`: nothing more can be applied to it
   */
  begin(why: StoreError, where: 'apply' | 'read'): void {
    const { driver, hasOthers, log } = this.#parts
    if (this.#why !== undefined || this.#isEnded) return
    const isInLog = log.status().firstIndex === 1
    if (!isInLog && !hasOthers()) {
      if (where === 'apply') driver.fail(why)
      return
    }
    this.#why = why
    this.#parts.begun(why)
    if (isInLog) this.#parts.alone(() => this.#replay())
    else driver.own(this.#stepBack())
  }

  /** The state is one of others now; `setAside` says where the former one will be. */
  end(from: NodeId, setAside: string | undefined): void {
    this.#finish(this.#parts.nameOf(from), setAside)
  }

  /** Called with every tick. */
  tick(now: number): void {
    const { driver, isTakingIn, sources, log, sendWanted } = this.#parts
    if (this.#why === undefined || !driver.isStateVoid || isTakingIn()) return
    const nodes = sources()
    if (nodes.length > 0 && now >= this.#nextAt) {
      this.#turn++
      this.#nextAt = now + NEXT_MS
      this.#askAt = now
    }
    const node = nodes[this.#turn % nodes.length]
    if (node === undefined || now < this.#askAt) return
    this.#askAt = now + ASK_MS
    sendWanted(node, log.status().firstIndex - 1)
  }

  /** The member closes. */
  stop(): void {
    this.#isEnded = true
  }

  /** Lets others lead, and then goes on without a state. */
  async #stepBack(): Promise<void> {
    const { core, driver, handOver, time } = this.#parts
    try {
      while (core.role === 'leader' && !this.#isEnded) {
        await handOver()
        if (core.role !== 'leader') break
        await new Promise<void>((resolve) => {
          time.after(HAND_OVER_MS, resolve)
        })
      }
      if (!this.#isEnded) driver.voidState()
    } catch (error) {
      driver.fail(error)
    }
  }

  /** Applies the whole log once more to an empty state. */
  async #replay(): Promise<void> {
    const { driver, generations, machine } = this.#parts
    const former = generations.stateDir
    const setAside = await generations.nameAside()
    let closed: Promise<void> = Promise.resolve()
    await driver.replaceState(async () => {
      const database = await generations.openNext()
      await generations.begin({ index: 0, term: 0 })
      await generations.commit()
      closed = (await machine.replace(database)).closed
    })
    void this.#setAside(former, setAside, closed)
    this.#finish('log', setAside)
  }

  /** The former state is kept for whoever wants to know what happened. */
  async #setAside(former: string, aside: string, closed: Promise<void>): Promise<void> {
    try {
      await closed
      if (!this.#isEnded) await this.#parts.generations.setAside(former, aside)
    } catch (error) {
      this.#parts.driver.fail(error)
    }
  }

  #finish(from: string, setAside: string | undefined): void {
    const why = this.#why
    if (why === undefined || this.#isEnded) return
    this.#why = undefined
    this.#parts.rebuilt({ why: why.message, from, setAside })
  }
}
