/**
 * Everything about who the members are, on one member: the roster in force, questions from here and from elsewhere,
 * and what a leader does about its members.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { AppliedEntry, Configuration } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import { type Dropped, NONE, type NodeId, type Proposed } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import type { MemberRecord } from '../wire/directory.js'
import { type CallResult, callErrorOf } from '../wire/envelope.js'
import {
  asMembershipRequest,
  type MembershipAnswer,
  type MembershipRequest,
} from '../wire/membership.js'
import type { Checkpoints } from './checkpoints.js'
import { Conditions } from './conditions.js'
import { incarnationsIn } from './directory.js'
import type { Driver } from './driver.js'
import { admit } from './join.js'
import { MembershipDesk } from './membership-desk.js'
import { newsOf } from './news.js'
import type { MemberOptions } from './options.js'
import type { Peers } from './peers.js'
import { Questions } from './questions.js'
import { Roster } from './roster.js'
import type { Storage } from './storage.js'
import { Succession } from './succession.js'
import { Upkeep } from './upkeep.js'

/** What administration works on. */
export interface AdministrationParts {
  readonly time: Time
  readonly options: MemberOptions
  readonly storage: Storage
  readonly core: RaftCore
  readonly driver: Driver
  readonly checkpoints: Checkpoints
  /** Drawn anew at each start. */
  readonly firstQuestion: number
}

/** What it asks of its member. */
export interface AdministrationPorts {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  /** Whether a leader is known and can be reached. */
  isReady(): boolean
  /** Resolves when this member was confirmed as leader and has applied everything committed until then. */
  confirm(deadline: number): Promise<void>
  /** Whether the disk of `node` has no room for new writes. */
  isLow(node: NodeId): boolean
  /** Why `voters` would not hold what they must of the large values; undefined when they do. */
  shortfall(voters: readonly NodeId[]): string | undefined
}

/** See the file's comment. */
export class Administration {
  readonly roster: Roster
  readonly #parts: AdministrationParts
  readonly #ports: AdministrationPorts
  readonly #conditions: Conditions
  readonly #succession: Succession
  readonly #desk: MembershipDesk
  readonly #questions: Questions
  readonly #upkeep: Upkeep

  /** @throws {StoreError} QUORATE_CORRUPTION when the stored members are not those of the configuration. */
  constructor(parts: AdministrationParts, ports: AdministrationPorts) {
    const { time, storage, core, driver, checkpoints } = parts
    this.#parts = parts
    this.#ports = ports
    const { identity, log, machine } = storage
    this.roster = new Roster(identity.nodeId, machine, incarnationsIn(log.recovered.tail))
    this.#conditions = new Conditions(time)
    this.#succession = this.#newSuccession()
    this.#desk = this.#newDesk()
    this.#questions = this.#newQuestions()
    this.#upkeep = new Upkeep({
      core,
      driver,
      roster: this.roster,
      checkpoints,
      desk: this.#desk,
      succession: this.#succession,
      news: () => this.#news(),
    })
  }

  /** Asks the leader, wherever that is. */
  ask(request: MembershipRequest, signal: AbortSignal | undefined): Promise<MembershipAnswer> {
    return this.#questions.ask(request, signal)
  }

  /** A client's question. */
  onCall(params: unknown, reply: (result: CallResult) => void): void {
    this.#answer(this.#askFor(params), reply)
  }

  /** Somebody asks to be let in. */
  onJoin(params: unknown, reply: (result: CallResult) => void): void {
    const { clusterId, firstMembers } = this.#parts.storage.identity
    reply(admit(this.roster, clusterId, firstMembers, params))
  }

  /** Another member's question to this one as the leader. */
  onQuestion(from: NodeId, id: number, request: MembershipRequest): void {
    this.#answer(this.#answerHere(request) ?? notLeading(), (result) =>
      this.#ports.peers()?.sendReply(from, id, result),
    )
  }

  onReply(from: NodeId, id: number, result: CallResult): void {
    this.#questions.onReply(from, id, result)
  }

  onProposed(proposed: Proposed): void {
    this.#desk.onProposed(proposed)
  }

  onDropped(dropped: Dropped): void {
    this.#desk.onDropped(dropped)
  }

  /** Entries were applied: the members may be others now. */
  onApplied(applied: readonly AppliedEntry[]): void {
    let configuration: AppliedEntry['configuration']
    for (const entry of applied) configuration = entry.configuration ?? configuration
    if (configuration !== undefined) this.#setMembers(configuration)
    this.#desk.onApplied(applied)
  }

  /** The members are those of a snapshot. */
  onInstalled(configuration: Configuration): void {
    this.#setMembers(configuration)
    this.#conditions.look()
  }

  #setMembers(configuration: Configuration): void {
    this.roster.set(configuration)
    this.#ports.peers()?.setMembers(this.roster)
  }

  /** Another role, leader or term. */
  onSoft(): void {
    this.#succession.onSoft()
    this.#conditions.look()
  }

  /** The way to the leader is new. */
  onNewWay(): void {
    this.#questions.reset()
  }

  tick(now: number, peers: Peers): void {
    this.#succession.tick(now)
    this.#conditions.look()
    this.#questions.tick(now)
    this.#upkeep.tick(now, peers)
    // Who was cut off while it was removed hears of it from those who do not deal with it any more.
    const isTold = () => peers.refusals().some(({ code }) => code === 'QUORATE_REMOVED')
    if (this.#parts.core.leader === NONE && isTold()) this.roster.noteRemoved()
  }

  /** A leader that goes makes another one lead first, if one can; it takes an election timeout at most. */
  async handOver(): Promise<void> {
    const { core, time, options } = this.#parts
    const successor = this.#succession.best(() => true)
    if (core.role !== 'leader' || successor === undefined) return
    const deadline = time.now() + options.timing.electionMs
    await this.#succession.handOverTo(successor)
    await this.#conditions.until(deadline, () => core.leader !== NONE)
  }

  /** Begins to hand over to the best of those for whom `isWanted`; nothing happens when there is none. */
  yieldTo(isWanted: (node: NodeId) => boolean): void {
    const to = this.#succession.best(isWanted)
    if (to !== undefined) this.#parts.driver.step({ type: 'transferLeader', to })
  }

  /** Takes a checkpoint now, unless one is running. */
  checkpoint(): void {
    this.#upkeep.checkpoint()
  }

  /** Questions from here are not answered any more. */
  endQuestions(error: unknown): void {
    this.#questions.end(error)
  }

  /** Nothing is answered, waited for or changed any more. */
  end(error: unknown): void {
    this.#questions.end(error)
    this.#conditions.end(error)
  }

  async #askFor(params: unknown): Promise<MembershipAnswer> {
    return this.ask(asMembershipRequest(params), undefined)
  }

  #answerHere(request: MembershipRequest): Promise<MembershipAnswer> | undefined {
    return this.#parts.core.role === 'leader' ? this.#desk.answer(request) : undefined
  }

  /** Sends what comes of `work` to whoever asked. */
  #answer(work: Promise<unknown>, reply: (result: CallResult) => void): void {
    const { driver } = this.#parts
    driver.own(
      work.then(
        (ok) => reply({ ok }),
        (error: unknown) => {
          if (error instanceof StoreError) reply({ error: callErrorOf(error) })
          else if (error instanceof DecodeError) {
            reply({ error: { code: 'QUORATE_FORMAT', message: error.message, outcome: 'none' } })
          } else driver.fail(error)
        },
      ),
    )
  }

  #newSuccession(): Succession {
    const { time, core, driver, options } = this.#parts
    const ports = this.#ports
    const { roster } = this
    return new Succession(time, core, driver, roster, this.#conditions, {
      electionMs: options.timing.electionMs,
      isHeard: (node) => ports.peers()?.isHeard(node) === true,
      priorityOf: (node) =>
        node === roster.self ? options.priority : (ports.peers()?.facts(node)?.priority ?? 0),
      isLow: (node) => ports.isLow(node),
    })
  }

  #newDesk(): MembershipDesk {
    const { time, core, driver, options, storage } = this.#parts
    const ports = this.#ports
    const succession = this.#succession
    return new MembershipDesk(time, core, driver, this.roster, this.#conditions, succession, {
      electionMs: options.timing.electionMs,
      get appliedTerm() {
        return storage.machine.appliedTerm
      },
      isHeard: (node) => ports.peers()?.isHeard(node) === true,
      news: () => this.#news(),
      shortfall: (voters) => ports.shortfall(voters),
      confirm: (deadline) => ports.confirm(deadline),
    })
  }

  #newQuestions(): Questions {
    const { time, core, firstQuestion } = this.#parts
    const ports = this.#ports
    return new Questions(
      time,
      {
        get isReady() {
          return ports.isReady()
        },
        answerHere: (request) => this.#answerHere(request),
        send: (id, request) => {
          const { leader } = core
          return ports.peers()?.sendQuestion(leader, id, request) === true ? leader : undefined
        },
      },
      firstQuestion,
    )
  }

  #news(): MemberRecord[] {
    const { storage, options } = this.#parts
    const peers = this.#ports.peers()
    return peers === undefined ? [] : newsOf(storage.identity, options, this.roster, peers)
  }
}

function notLeading(): Promise<never> {
  return Promise.reject(
    new StoreError('QUORATE_NO_LEADER', 'the member asked does not lead', { retryable: true }),
  )
}
