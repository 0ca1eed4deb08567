/**
 * Everything about damage to the state of one member: whether it is that of the others (divergence.ts), values that
 * cannot be read here (read-repair.ts), and what rots unseen (scrub.ts).
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import { type LogIndex, NONE, type NodeId } from '../raft/types.js'
import { FRAME_NEED, FRAME_STORED } from '../wire/integrity.js'
import type { BackendEvents } from './backend.js'
import { demand } from './demand.js'
import { type DivergedRange, Divergence } from './divergence.js'
import type { Driver } from './driver.js'
import type { Generations } from './generations.js'
import type { Peers } from './peers.js'
import { ReadRepair } from './read-repair.js'
import type { Roster } from './roster.js'
import { Scrub } from './scrub.js'
import type { Service } from './service.js'

/** What integrity works with. */
export interface IntegrityParts {
  readonly env: Env
  readonly machine: StateMachine
  readonly core: RaftCore
  readonly driver: Driver
  readonly events: BackendEvents
  readonly generations: Generations
  readonly compareMs: number
  readonly scrubBytesPerSecond: number
}

/** What it asks of its member. */
export interface IntegrityPorts {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  roster(): Roster
  service(): Service
  /** Whether the state is in use: not after `rebuild`, until it was had again. */
  isSound(): boolean
  /** The state is not to be served any more, and has to be had again. */
  rebuild(why: StoreError): void
}

/** See the file's comment. */
export class Integrity {
  readonly repair: ReadRepair
  readonly #parts: IntegrityParts
  readonly #ports: IntegrityPorts
  readonly #divergence: Divergence
  readonly #scrub: Scrub
  #rotten: string | undefined

  constructor(parts: IntegrityParts, ports: IntegrityPorts) {
    this.#parts = parts
    this.#ports = ports
    this.#divergence = this.#newDivergence()
    this.repair = this.#newRepair()
    this.#scrub = this.#newScrub()
  }

  /** Where members were found to differ and nobody can say who is right. */
  get disputed(): DivergedRange | undefined {
    return this.#divergence.disputed
  }

  /** What of the state is damaged on disk; undefined when nothing is known to be. */
  get rotten(): string | undefined {
    return this.#rotten
  }

  /** A frame of wire/integrity.ts. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    if (kind === FRAME_NEED || kind === FRAME_STORED) this.repair.onFrame(from, kind, body)
    else this.#divergence.onFrame(from, kind, body)
  }

  /** Entries were applied. */
  onApplied(): void {
    this.#divergence.onApplied()
  }

  /** The state was replaced by one that came from elsewhere. */
  onReplaced(): void {
    this.#divergence.reset()
    this.#rotten = undefined
  }

  /** What this member made of its state at `index` is not what enough others made of theirs. */
  onRetainedDiffers(index: LogIndex): void {
    this.#onDiverged({ after: 0, at: index })
  }

  tick(now: number): void {
    this.#divergence.tick(now)
    this.repair.tick(now)
    this.#scrub.tick(now)
  }

  /** Nobody is asked any more, and a database that cannot be written stays so. */
  end(): void {
    this.repair.end()
    this.#scrub.end()
    this.#parts.machine.giveUp()
  }

  #newDivergence(): Divergence {
    const { core, machine, compareMs } = this.#parts
    const ports = this.#ports
    return new Divergence(
      {
        get self() {
          return ports.roster().self
        },
        get appliedIndex() {
          return machine.appliedIndex
        },
        get conf() {
          return machine.conf
        },
        get leader() {
          return core.leader
        },
        get others() {
          return ports.roster().others.map(({ nodeId }) => nodeId)
        },
        digestAt: (index) => (ports.isSound() ? machine.digestAt(index) : undefined),
        send: (to, kind, body) => {
          ports.peers()?.sendFrame(to, kind, [body])
        },
        onDiverged: (range) => this.#onDiverged(range),
      },
      compareMs,
    )
  }

  #newRepair(): ReadRepair {
    const { env, machine, driver, events } = this.#parts
    const ports = this.#ports
    return new ReadRepair(
      {
        time: env.time,
        view: () => machine.view(),
        isSound: () => ports.isSound(),
        heal: (key, damaged, stored) => machine.heal(key, damaged, stored),
        sources: () => this.#sources(),
        send: (to, kind, parts) => ports.peers()?.sendFrame(to, kind, parts) === true,
        reach: (minIndex, deadline) =>
          ports.service().reach(demand('eventual', minIndex, deadline), undefined),
        served: (position) => ports.service().served(position),
        own: (work) => driver.own(work),
        onRepaired: ({ key, from }) => {
          events.repaired(key, ports.roster().nameOf(from))
        },
        onUnreadable: (error) => ports.rebuild(error),
        fail: (error) => driver.fail(error),
      },
      env.random.u32('need'),
    )
  }

  #newScrub(): Scrub {
    const { env, machine, driver, generations, scrubBytesPerSecond } = this.#parts
    const ports = this.#ports
    return new Scrub(env.time, env.databases, scrubBytesPerSecond, {
      stateDir: () => (ports.isSound() && machine.isOpen ? generations.stateDir : undefined),
      own: (work) => driver.own(work),
      onDamaged: (error) => {
        this.#rotten = error.message
        ports.rebuild(error)
      },
      fail: (error) => driver.fail(error),
    })
  }

  /** The leader is least likely to be behind. */
  #sources(): NodeId[] {
    const { core } = this.#parts
    const others = this.#ports.roster().others.map(({ nodeId }) => nodeId)
    const leads = (node: NodeId) => (core.leader !== NONE && node === core.leader ? 1 : 0)
    return others.sort((a, b) => leads(b) - leads(a))
  }

  #onDiverged({ after, at }: DivergedRange): void {
    this.#parts.events.diverged(after, at)
    const since = after === 0 ? `at or before index ${at}` : `after index ${after}, by ${at}`
    this.#ports.rebuild(
      new StoreError(
        'QUORATE_CORRUPTION',
        `the state of this member is not that of the majority: they went apart ${since}`,
      ),
    )
  }
}
