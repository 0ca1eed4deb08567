/**
 * The leader's desk for its members: answers what is asked about them, and changes them one change at a time.
 *
 * Rules, beside those of the core (thesis §4; design D1):
 *   1. no change before an entry of this term is applied (trap T-49), nor while a joint configuration is in force
 *   2. a member is promoted only when it is caught up (pace.ts; trap T-56)
 *   3. the voters that a change leads to are a majority that is up, or the cluster would stand still
 *   4. a leader that is to go hands over first when somebody can take over (trap T-52)
 *   5. the voters that a change leads to hold as many shards of every large value as they are to (M1 of
 *      docs/large-values.md), unless it is forced (M2)
 * A change is answered when it is in force here; a joint configuration has been left by then.
 */
import { unreachable } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { AppliedEntry } from '../machine/state-machine.js'
import { encodeConfChange } from '../raft/conf-change.js'
import type { RaftCore } from '../raft/core.js'
import { isJoint } from '../raft/membership.js'
import {
  type ConfChangeV2,
  type Dropped,
  type LogIndex,
  NONE,
  type NodeId,
  type Proposed,
  type Term,
} from '../raft/types.js'
import { encodeRecords, type MemberRecord } from '../wire/directory.js'
import type {
  ListedMember,
  MemberChange,
  Membership,
  MembershipAnswer,
  MembershipRequest,
} from '../wire/membership.js'
import { type ChangePlan, planChange } from './change-plan.js'
import type { Conditions } from './conditions.js'
import type { Driver } from './driver.js'
import type { Roster } from './roster.js'
import type { Succession } from './succession.js'

/** What the desk needs of its member. */
export interface DeskPorts {
  readonly electionMs: number
  /** The term of the last applied entry. */
  readonly appliedTerm: Term
  isHeard(node: NodeId): boolean
  /** What the directory does not say yet (news.ts). */
  news(): readonly MemberRecord[]
  /** Why `voters` would not hold what they must of the large values; undefined when they do. */
  shortfall(voters: readonly NodeId[]): string | undefined
  /** Resolves when this member was confirmed as leader and has applied everything committed until then. */
  confirm(deadline: number): Promise<void>
}

/** A change that was proposed: where it stands once it does, and what came of it. */
interface Proposal {
  readonly token: number
  position: { readonly index: LogIndex; readonly term: Term } | undefined
  end: 'applied' | 'void' | 'lost' | 'dropped' | { readonly refused: string } | undefined
}

/** Of a call's time, what large values may take to be where they must be: then there is some left for the rest. */
const COVERED_SHARE = 0.8

/** See the file's comment. */
export class MembershipDesk {
  readonly #time: Time
  readonly #core: RaftCore
  readonly #driver: Driver
  readonly #roster: Roster
  readonly #ports: DeskPorts
  readonly #conditions: Conditions
  readonly #succession: Succession
  #proposal: Proposal | undefined
  /** Negative: tokens of reads are odd, those of requests even, both positive. */
  #nextToken = -1
  #isChanging = false

  constructor(
    time: Time,
    core: RaftCore,
    driver: Driver,
    roster: Roster,
    conditions: Conditions,
    succession: Succession,
    ports: DeskPorts,
  ) {
    this.#time = time
    this.#core = core
    this.#driver = driver
    this.#roster = roster
    this.#conditions = conditions
    this.#succession = succession
    this.#ports = ports
  }

  /** Answers a question, if this member leads; see the codes of store/members.ts. */
  answer(request: MembershipRequest): Promise<MembershipAnswer> {
    const deadline = this.#time.now() + request.timeoutMs
    switch (request.type) {
      case 'list':
        return this.#list(deadline)
      case 'change':
        return this.#change(request, deadline)
      case 'transfer':
        return this.#transfer(request.to, deadline)
      default:
        return unreachable(request)
    }
  }

  /**
   * Puts on record what members have proven about themselves. It is tried once: what does not succeed now is tried
   * again by the owner.
   */
  async record(records: readonly MemberRecord[]): Promise<void> {
    if (this.#isChanging || !this.#isSettled()) return
    const steps = [{ kind: 'update' as const, node: this.#roster.self }]
    const change = { transition: 'auto' as const, steps, context: encodeRecords(records) }
    await this.#alone(this.#time.now() + this.#ports.electionMs, (deadline) =>
      this.#propose(change, deadline),
    )
  }

  onProposed(proposed: Proposed): void {
    const proposal = this.#proposal
    if (proposal?.token !== proposed.token) return
    const { index, term, refused } = proposed
    if (refused === undefined) proposal.position = { index, term }
    else proposal.end = { refused }
    this.#conditions.look()
  }

  onDropped(dropped: Dropped): void {
    if (this.#proposal?.token === dropped.token) this.#proposal.end = 'dropped'
    this.#conditions.look()
  }

  onApplied(applied: readonly AppliedEntry[]): void {
    const proposal = this.#proposal
    const position = proposal?.position
    if (proposal !== undefined && position !== undefined) {
      const entry = applied.find(({ index }) => index === position.index)
      if (entry !== undefined) {
        if (entry.term !== position.term) proposal.end = 'lost'
        else proposal.end = entry.configuration === undefined ? 'void' : 'applied'
      }
    }
    this.#conditions.look()
  }

  get #isLeading(): boolean {
    return this.#core.role === 'leader'
  }

  async #list(deadline: number): Promise<Membership> {
    await this.#ports.confirm(deadline)
    this.#requireLeading()
    const { lastIndex } = this.#core
    const { self, conf, directory } = this.#roster
    const members = directory.members.map(({ nodeId, id, address }): ListedMember => {
      const isSelf = nodeId === self
      const matchIndex = isSelf ? lastIndex : this.#succession.matchOf(nodeId)
      return {
        id,
        address,
        as: this.#roster.partOf(nodeId),
        isLeader: isSelf,
        isUp: isSelf || this.#ports.isHeard(nodeId),
        matchIndex,
        lag: lastIndex - matchIndex,
      }
    })
    const leader = this.#roster.nameOf(self)!
    return { confIndex: directory.confIndex, leader, isJoint: isJoint(conf), members }
  }

  async #change(
    request: MembershipRequest & { type: 'change' },
    deadline: number,
  ): Promise<MembershipAnswer> {
    const { changes, expectConfIndex, catchUpMs, isForced, timeoutMs } = request
    await this.#awaitSettled(deadline)
    const { voters } = this.#plan(changes, expectConfIndex)
    const begunAt = this.#time.now()
    const caughtUpBy = Math.min(deadline, begunAt + catchUpMs)
    await this.#awaitCaughtUp(changes, caughtUpBy)
    if (!isForced) await this.#awaitCovered(voters, begunAt + COVERED_SHARE * timeoutMs)
    return this.#alone(deadline, async () => {
      await this.#awaitSettled(deadline)
      // Waiting for its turn it may have fallen behind: in a short log one entry is more than a tenth.
      await this.#awaitCaughtUp(changes, caughtUpBy)
      const plan = this.#plan(changes, expectConfIndex)
      if (!isForced) this.#requireCovered(plan.voters)
      this.#requireQuorum(plan)
      await this.#handOverBefore(plan)
      await this.#propose(plan.change, deadline)
      await this.#awaitLeft(deadline)
      return { confIndex: this.#roster.directory.confIndex }
    })
  }

  async #transfer(to: string | undefined, deadline: number): Promise<MembershipAnswer> {
    await this.#awaitSettled(deadline)
    const { self } = this.#roster
    const target = to === undefined ? this.#successor() : this.#requireSuccessor(to)
    if (target !== self) await this.#succession.handOverTo(target)
    await this.#conditions.until(deadline, () => this.#core.leader !== NONE)
    const { leader } = this.#core
    const name = this.#roster.nameOf(leader)
    const isDone = to === undefined ? leader !== self : leader === target
    if (isDone && name !== undefined) return { leader: name }
    const wanted = this.#roster.nameOf(target)
    throw notReady(`${wanted} did not take over in time; ${name ?? 'nobody'} leads`)
  }

  /** Runs `work` when no other change is under way. */
  async #alone<T>(deadline: number, work: (deadline: number) => Promise<T>): Promise<T> {
    const isFree = await this.#conditions.until(deadline, () => !this.#isChanging)
    if (!isFree || this.#isChanging) throw notReady('another change of the members is under way')
    this.#isChanging = true
    try {
      return await work(deadline)
    } finally {
      this.#isChanging = false
      this.#conditions.look()
    }
  }

  /** Whether a change may be begun: this member leads, has committed in its term, and nothing is joint. */
  #isSettled(): boolean {
    const isCommitted = this.#ports.appliedTerm === this.#core.term
    return this.#isLeading && isCommitted && !isJoint(this.#roster.conf)
  }

  async #awaitSettled(deadline: number): Promise<void> {
    this.#requireLeading()
    await this.#conditions.until(deadline, () => !this.#isLeading || this.#isSettled())
    this.#requireLeading()
    if (!this.#isSettled()) throw notReady('an earlier change of the members is not complete')
  }

  #plan(changes: readonly MemberChange[], expectConfIndex: LogIndex): ChangePlan {
    const { directory, conf } = this.#roster
    if (directory.confIndex !== expectConfIndex) {
      throw new StoreError(
        'QUORATE_CONF_CHANGED',
        `the members were changed at index ${directory.confIndex}, after ${expectConfIndex}`,
      )
    }
    return planChange(directory, conf, changes, this.#ports.news())
  }

  async #awaitCaughtUp(changes: readonly MemberChange[], deadline: number): Promise<void> {
    await this.#conditions.until(
      deadline,
      () =>
        !this.#isLeading || this.#promoted(changes).every((node) => this.#succession.isAble(node)),
    )
    this.#requireLeading()
    this.#requireCaughtUp(changes)
  }

  #requireCaughtUp(changes: readonly MemberChange[]): void {
    for (const node of this.#promoted(changes)) {
      if (this.#succession.isAble(node)) continue
      const name = this.#roster.nameOf(node)
      if (!this.#ports.isHeard(node)) throw notReady(`${name} is not connected`)
      const [match, last] = [this.#succession.matchOf(node), this.#core.lastIndex]
      throw notReady(`${name} is not caught up: it has ${match} of ${last} entries`)
    }
  }

  async #awaitCovered(voters: readonly NodeId[], deadline: number): Promise<void> {
    await this.#conditions.until(deadline, () => {
      return !this.#isLeading || this.#shortfall(voters) === undefined
    })
    this.#requireLeading()
    this.#requireCovered(voters)
  }

  #requireCovered(voters: readonly NodeId[]): void {
    const shortfall = this.#shortfall(voters)
    if (shortfall !== undefined) throw notReady(shortfall)
  }

  /** A change that leaves the voters as they are takes nothing from anybody. */
  #shortfall(voters: readonly NodeId[]): string | undefined {
    const before = this.#roster.conf.voters
    const isSame = voters.length === before.length && voters.every((node) => before.includes(node))
    return isSame ? undefined : this.#ports.shortfall(voters)
  }

  /** The voters that the change adds. */
  #promoted(changes: readonly MemberChange[]): NodeId[] {
    return changes.flatMap(({ kind, id }) => {
      const node = kind === 'promote' ? this.#roster.find(id)?.nodeId : undefined
      return node === undefined || this.#roster.isVoter(node) ? [] : [node]
    })
  }

  #requireQuorum({ voters }: ChangePlan): void {
    const isUp = (node: NodeId) => node === this.#roster.self || this.#ports.isHeard(node)
    const up = voters.filter(isUp).length
    if (up > voters.length / 2) return
    const names = voters.map((node) => this.#roster.nameOf(node) ?? 'the new one').join(', ')
    throw notReady(`of the voters that would be left (${names}) only ${up} can be reached`)
  }

  /** Lets somebody else carry out a change that ends this leadership, if there is somebody. */
  async #handOverBefore({ voters }: ChangePlan): Promise<void> {
    if (voters.includes(this.#roster.self)) return
    const successor = this.#succession.best((node) => voters.includes(node))
    if (successor === undefined) return
    await this.#succession.handOverTo(successor)
    this.#requireLeading()
  }

  #successor(): NodeId {
    const best = this.#succession.best(() => true)
    if (best !== undefined) return best
    throw notReady('no other voter is connected and caught up')
  }

  #requireSuccessor(id: string): NodeId {
    const record = this.#roster.find(id)
    if (record === undefined) throw new StoreError('QUORATE_NO_MEMBER', `there is no member ${id}`)
    const { nodeId } = record
    if (nodeId === this.#roster.self) return nodeId
    if (!this.#roster.isVoter(nodeId)) throw notReady(`${id} does not vote`)
    if (!this.#succession.isAble(nodeId)) throw notReady(`${id} is not connected, or not caught up`)
    return nodeId
  }

  async #propose(change: ConfChangeV2, deadline: number): Promise<void> {
    const proposal: Proposal = { token: this.#nextToken--, position: undefined, end: undefined }
    this.#proposal = proposal
    const entries = [{ kind: 'confChangeV2' as const, data: encodeConfChange(change) }]
    this.#driver.step({ type: 'propose', token: proposal.token, entries })
    await this.#conditions.until(deadline, () => proposal.end !== undefined || !this.#isLeading)
    this.#proposal = undefined
    if (proposal.end !== 'applied') throw failureOf(proposal, this.#isLeading)
  }

  /** A joint configuration is left by an entry of its own, which the leader proposes by itself. */
  async #awaitLeft(deadline: number): Promise<void> {
    const isLeft = () => !isJoint(this.#roster.conf)
    await this.#conditions.until(deadline, () => isLeft() || !this.#isLeading)
    if (!isLeft()) throw lost('the change is in force, and not complete')
  }

  #requireLeading(): void {
    if (this.#isLeading) return
    throw new StoreError('QUORATE_NO_LEADER', 'this member does not lead', { retryable: true })
  }
}

function failureOf({ end, position }: Proposal, isLeading: boolean): StoreError {
  if (end === 'void') return notReady('the change did not fit the members any more')
  if (end === 'dropped') {
    return isLeading
      ? notReady('leadership is being handed over, or too much is uncommitted')
      : new StoreError('QUORATE_NO_LEADER', 'leadership was lost', { retryable: true })
  }
  if (typeof end === 'object') return notReady(`not now: ${end.refused}`)
  if (position === undefined && !isLeading) return lost('leadership was lost')
  return isLeading
    ? new StoreError('QUORATE_TIMEOUT', 'no majority took the change in time', {
        outcome: 'unknown',
      })
    : lost('leadership was lost while the change was under way')
}

function notReady(message: string): StoreError {
  return new StoreError('QUORATE_NOT_READY', message, { retryable: true })
}

function lost(message: string): StoreError {
  return new StoreError('QUORATE_NO_LEADER', message, { outcome: 'unknown', retryable: true })
}
