/**
 * The members of a cluster, seen and changed from any of them: `store.members`, and the same for whoever is connected
 * as a client.
 *
 * A change is carried out by the leader, step by step, each of them safe to be asked for again: every one is bound to
 * the membership that was seen (`expectConfIndex`), and when an answer is lost the membership itself tells whether
 * it happened.
 */
import { StoreError } from '../base/errors.js'
import { parseAddress } from '../env/address.js'
import { MEMBER_ID_PATTERN } from '../member/change-plan.js'
import type { LogIndex } from '../raft/types.js'
import {
  asMembershipAnswer,
  type MemberChange,
  type MemberPart,
  type Membership,
  type MembershipAnswer,
  type MembershipRequest,
} from '../wire/membership.js'
import { refuseUnknown, requireOneOf, requireTimeout } from './open-options.js'

/** What asks the leader: a member in this process, or one behind a socket. */
export interface MembershipBackend {
  /** Monotonic milliseconds. */
  now(): number
  askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer>
}

/** Options of every call about members. */
export interface MembersOptions {
  /** Default 10,000; 60,000 where a member has to catch up. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Options of calls that change the members. */
export interface ChangeOptions extends MembersOptions {
  /** Refuse with QUORATE_CONF_CHANGED when the members have changed since this `confIndex`. */
  readonly expectConfIndex?: LogIndex
  /**
   * `force`: change the voters although large values would be left with fewer shards than they are promised, which
   * `quorate blobs` shows until they are repaired. Default `wait`: until they have them, within the call's time.
   */
  readonly coverage?: 'wait' | 'force'
}

/** Options of `add`. */
export interface AddOptions extends ChangeOptions {
  /** `voter` (the default): a learner first, and a voter when it has caught up. */
  readonly as?: MemberPart
}

/** One member for another. */
export interface Replacement {
  readonly remove: string
  readonly add: { readonly id: string; readonly address: string }
}

/** What a change resolves to. */
export interface ChangeResult {
  /** The log index of the change. */
  readonly confIndex: LogIndex
}

const TIMEOUT_MS = 10_000
const CATCH_UP_MS = 60_000
/** Of a call's time, what a member may take to catch up: then there is some left to say that it did not. */
const CATCH_UP_SHARE = 0.9
const PARTS: readonly MemberPart[] = ['voter', 'learner']
const OPTION_NAMES = ['timeoutMs', 'signal']
const COVERAGE: readonly NonNullable<ChangeOptions['coverage']>[] = ['wait', 'force']
const CHANGE_OPTION_NAMES = [...OPTION_NAMES, 'expectConfIndex', 'coverage']

/** One call: what bounds it. */
interface Call {
  readonly deadline: number
  readonly signal: AbortSignal | undefined
  readonly expectConfIndex: LogIndex | undefined
  readonly isForced: boolean
}

/**
 * The members of the cluster; `store.members`.
 *
 * All calls may be made on any member. Errors of all of them: QUORATE_NO_LEADER; QUORATE_TIMEOUT; QUORATE_ABORTED;
 * QUORATE_OVERLOADED; QUORATE_NOT_OPEN; QUORATE_STOPPED; QUORATE_REMOVED. Of changes also: QUORATE_CONF_CHANGED;
 * QUORATE_NO_MEMBER; QUORATE_NOT_READY, when a member is not caught up, the voters that would be left are not a
 * majority that can be reached, or large values would not be covered by them. As with writes, `outcome` says what may
 * have happened.
 */
export class Members {
  readonly #backend: MembershipBackend

  constructor(backend: MembershipBackend) {
    this.#backend = backend
  }

  /** Who the members are, as the leader knows them now. Costs one round of heartbeats to a majority. */
  async list(options: MembersOptions = {}): Promise<Membership> {
    refuseUnknown('list', options, OPTION_NAMES)
    return this.#list(this.#begin(options, TIMEOUT_MS))
  }

  /**
   * Adds a member that is to be opened with `join`, before or after. It begins as a learner, which receives the log
   * and does not vote, and becomes a voter when it has 90 % of the leader's log and is less than a second behind.
   *
   * @param id a name that no member of this cluster ever had.
   * @param address where the others will reach it.
   * @throws {StoreError} QUORATE_MEMBER_EXISTS; with outcome `committed` it is a learner, and did not catch up in
   *   time: `promote` it later, or `remove` it.
   */
  async add(id: string, address: string, options: AddOptions = {}): Promise<ChangeResult> {
    refuseUnknown('add', options, [...CHANGE_OPTION_NAMES, 'as'])
    requireMember(id, address)
    const as = requireOneOf('as', options.as ?? 'voter', PARTS)
    const call = this.#begin(options, as === 'voter' ? CATCH_UP_MS : TIMEOUT_MS)
    const added = await this.#change(call, [{ kind: 'add', id, address }], 'is refused')
    if (as === 'learner') return added
    return this.#afterwards(call, [{ kind: 'promote', id }], `${id} is a learner`)
  }

  /** Makes a learner a voter; refused with QUORATE_NOT_READY as long as it is not caught up. */
  async promote(id: string, options: ChangeOptions = {}): Promise<ChangeResult> {
    return this.#changeOne('promote', id, options)
  }

  /** Makes a voter a learner: it goes on receiving the log, and does not vote. */
  async demote(id: string, options: ChangeOptions = {}): Promise<ChangeResult> {
    return this.#changeOne('demote', id, options)
  }

  /**
   * Removes a member for good: neither its name nor its data can come back. The leader hands over first if somebody
   * can take over. Of two members one can be removed only while both are up.
   */
  async remove(id: string, options: ChangeOptions = {}): Promise<ChangeResult> {
    return this.#changeOne('remove', id, options)
  }

  /** Says where a member listens from now on. Not needed when it can be found: then the leader learns it itself. */
  async move(id: string, address: string, options: ChangeOptions = {}): Promise<ChangeResult> {
    refuseUnknown('move', options, CHANGE_OPTION_NAMES)
    requireMember(id, address)
    const call = this.#begin(options, TIMEOUT_MS)
    return this.#change(call, [{ kind: 'move', id, address }], 'is refused')
  }

  /**
   * Puts new members in the place of others, all at once: the new ones catch up as learners, then one joint change
   * promotes them and removes the others, so that there is never a vote more or less than before.
   * @throws {StoreError} with outcome `committed` the new ones are learners, and nobody was removed.
   */
  async replace(
    replacements: readonly Replacement[],
    options: ChangeOptions = {},
  ): Promise<ChangeResult> {
    refuseUnknown('replace', options, CHANGE_OPTION_NAMES)
    requireReplacements(replacements)
    const call = this.#begin(options, CATCH_UP_MS)
    const newIds = replacements.map(({ add }) => add.id)
    await this.#change(
      call,
      replacements.map(({ add }) => ({ kind: 'add', id: add.id, address: add.address })),
      'is refused',
    )
    const changes = replacements.flatMap(({ remove, add }): MemberChange[] => [
      { kind: 'promote', id: add.id },
      { kind: 'remove', id: remove },
    ])
    return this.#afterwards(call, changes, `${newIds.join(' and ')} joined as learners`)
  }

  /**
   * Makes `to` lead, or the best of the others; resolves with the new leader. Writes wait meanwhile, for about two
   * round trips; should the target fail, the old leader goes on after one election timeout.
   * @throws {StoreError} QUORATE_NO_MEMBER; QUORATE_NOT_READY it does not vote, is not connected, not caught up, or
   *   did not take over.
   */
  async transferLeadership(to?: string, options: MembersOptions = {}): Promise<string> {
    refuseUnknown('transferLeadership', options, OPTION_NAMES)
    if (to !== undefined) requireName(to)
    const call = this.#begin(options, TIMEOUT_MS)
    const { leader: before } = await this.#list(call)
    try {
      const answer = await this.#ask({ type: 'transfer', to, ...this.#left(call) }, call)
      return asMembershipAnswer('transfer', answer).leader
    } catch (error) {
      if (!isAnswerLost(error)) throw error
      const { leader } = await this.#list(call)
      if (to === undefined ? leader !== before : leader === to) return leader
      throw error
    }
  }

  async #changeOne(
    kind: 'promote' | 'demote' | 'remove',
    id: string,
    options: ChangeOptions,
  ): Promise<ChangeResult> {
    refuseUnknown(kind, options, CHANGE_OPTION_NAMES)
    requireName(id)
    return this.#change(this.#begin(options, TIMEOUT_MS), [{ kind, id }], 'is refused')
  }

  /** The second step of a call whose first one has been done. */
  async #afterwards(
    call: Call,
    changes: readonly MemberChange[],
    done: string,
  ): Promise<ChangeResult> {
    try {
      const unbound = { ...call, expectConfIndex: undefined }
      return await this.#change(unbound, changes, 'waits')
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      throw new StoreError(error.code, `${done}, but not more: ${error.message}`, {
        outcome: 'committed',
        cause: error,
      })
    }
  }

  /**
   * Asks until it is answered; asks again only when the membership tells that nothing happened. `behind` says what
   * becomes of it when somebody who is to be promoted is not caught up.
   */
  async #change(
    call: Call,
    changes: readonly MemberChange[],
    behind: 'waits' | 'is refused',
  ): Promise<ChangeResult> {
    let isDoubtful = false
    for (;;) {
      const membership = await this.#list(call)
      if (isDoubtful && changes.every((change) => isDone(membership, change))) {
        return { confIndex: membership.confIndex }
      }
      const expectConfIndex = call.expectConfIndex ?? membership.confIndex
      const { timeoutMs } = this.#left(call)
      const catchUpMs = behind === 'waits' ? CATCH_UP_SHARE * timeoutMs : 0
      const { isForced } = call
      const bounds = { expectConfIndex, catchUpMs, isForced, timeoutMs }
      const request = { type: 'change' as const, changes, ...bounds }
      try {
        return asMembershipAnswer('change', await this.#ask(request, call))
      } catch (error) {
        const isOutdated =
          error instanceof StoreError &&
          error.code === 'QUORATE_CONF_CHANGED' &&
          call.expectConfIndex === undefined
        if (!isOutdated && !isAnswerLost(error)) throw error
        isDoubtful ||= !isOutdated
      }
    }
  }

  async #list(call: Call): Promise<Membership> {
    return asMembershipAnswer('list', await this.#ask({ type: 'list', ...this.#left(call) }, call))
  }

  async #ask(request: MembershipRequest, { signal }: Call): Promise<MembershipAnswer> {
    if (signal?.aborted) {
      throw new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
        cause: signal.reason,
      })
    }
    return this.#backend.askMembership(request, signal)
  }

  #begin(options: ChangeOptions, timeoutMs: number): Call {
    const { signal, expectConfIndex, coverage = 'wait' } = options
    if (expectConfIndex !== undefined && !Number.isSafeInteger(expectConfIndex)) {
      throw new TypeError('expectConfIndex is a log index')
    }
    const isForced = requireOneOf('coverage', coverage, COVERAGE) === 'force'
    const deadline = this.#backend.now() + requireTimeout(options.timeoutMs ?? timeoutMs)
    return { deadline, signal, expectConfIndex, isForced }
  }

  /** What is left of the call's time. */
  #left({ deadline }: Call): { timeoutMs: number } {
    const timeoutMs = deadline - this.#backend.now()
    if (timeoutMs > 0) return { timeoutMs }
    throw new StoreError('QUORATE_TIMEOUT', 'the members were not changed in time', {
      outcome: 'unknown',
    })
  }
}

/** Whether it cannot be told from the error if something happened. */
function isAnswerLost(error: unknown): boolean {
  if (!(error instanceof StoreError) || error.outcome !== 'unknown') return false
  return error.code === 'QUORATE_NO_LEADER' || error.code === 'QUORATE_NETWORK'
}

function isDone({ members, isJoint }: Membership, change: MemberChange): boolean {
  const found = members.find(({ id }) => id === change.id)
  if (isJoint) return false
  switch (change.kind) {
    case 'add':
    case 'move':
      return found?.address === change.address
    case 'promote':
      return found?.as === 'voter'
    case 'demote':
      return found?.as === 'learner'
    case 'remove':
      return found === undefined
  }
}

function requireReplacements(replacements: readonly Replacement[]): void {
  if (!Array.isArray(replacements) || replacements.length === 0) {
    throw new TypeError('replace takes a list of { remove, add: { id, address } }')
  }
  for (const { remove, add } of replacements) {
    requireName(remove)
    requireMember(add?.id, add?.address)
  }
  // Here, and not after the newcomers have been let in as learners.
  const named = replacements.flatMap(({ remove, add }) => [remove, add.id])
  const twice = named.find((id, at) => named.indexOf(id) !== at)
  if (twice !== undefined) throw new RangeError(`${twice} is named twice`)
}

function requireMember(id: unknown, address: unknown): void {
  requireName(id)
  if (typeof address !== 'string') throw new TypeError('an address is a string')
  parseAddress(address)
}

function requireName(id: unknown): void {
  if (typeof id !== 'string') throw new TypeError('a member id is a string')
  if (!MEMBER_ID_PATTERN.test(id)) throw new RangeError(`${JSON.stringify(id)} is no member id`)
}
