/**
 * Changes of the members during a round: drawn from the seed, made through a member that happens to run, under
 * load and faults. Each may fail in any way that is documented; afterwards the membership itself says what became of
 * it, and the processes follow: who is a member runs, who is none any more is ended.
 */
import { unreachable } from '../../src/base/assert.js'
import { keyedBelow } from '../../src/base/prng.js'
import type { LivingSeat, ProcessCluster, Seat } from '../../src/cli/processes/process-cluster.js'
import { pause } from '../../src/cli/processes/process-cluster.js'
import { type Membership, StoreError } from '../../src/index.js'
import type { MembersRequest, TortureOperations } from './operations.js'

type Cluster = ProcessCluster<TortureOperations>

/** What is done to the members. */
export type ChangeKind = 'add' | 'remove' | 'replace' | 'transfer' | 'demote'

const KINDS: readonly ChangeKind[] = ['add', 'remove', 'replace', 'transfer', 'demote']
const CHANGES_MAX = 2
const MEMBERS_MIN = 3
const MEMBERS_MAX = 5
const CHANGE_MS = 15_000
const SETTLE_MS = 60_000
const RETRY_AFTER_MS = 100
/** What a change may fail with while members are killed and stopped. */
const EXPECTED: ReadonlySet<string> = new Set([
  'QUORATE_CONF_CHANGED',
  'QUORATE_MEMBER_EXISTS',
  'QUORATE_NETWORK',
  'QUORATE_NO_LEADER',
  'QUORATE_NO_MEMBER',
  'QUORATE_NOT_OPEN',
  'QUORATE_NOT_READY',
  'QUORATE_REMOVED',
  'QUORATE_STOPPED',
  'QUORATE_TIMEOUT',
])

/** The changes of one round, in order. */
export function planChanges(seed: number, round: number): readonly ChangeKind[] {
  const draw = (bound: number, what: string, i: number): number =>
    keyedBelow(seed, bound, round, 'members', what, i)
  const changes = 1 + draw(CHANGES_MAX, 'changes', 0)
  return Array.from({ length: changes }, (_, i) => KINDS[draw(KINDS.length, 'kind', i)]!)
}

/** Changes the members of one cluster, round by round. */
export class MembershipChanges {
  readonly #cluster: Cluster
  readonly #seed: number
  #names = 0
  /** Changes that were carried out, and those that failed in a way that is documented. */
  readonly counts: { done: number; failed: number } = { done: 0, failed: 0 }

  constructor(cluster: Cluster, seed: number) {
    this.#cluster = cluster
    this.#seed = seed
  }

  /** Makes the changes of a round, one after the other. */
  async run(round: number): Promise<void> {
    for (const [i, kind] of planChanges(this.#seed, round).entries()) {
      await pause(keyedBelow(this.#seed, 400, round, 'members', 'wait', i))
      await this.#change(kind, (bound) => keyedBelow(this.#seed, bound, round, 'members', 'who', i))
    }
  }

  /**
   * Once all faults are over: ends the processes of those who are no members, and has every member vote.
   * @throws when the members cannot be agreed upon in time.
   */
  async settle(): Promise<void> {
    const end = performance.now() + SETTLE_MS
    for (;;) {
      const membership = await this.#ask({ type: 'list' }, end)
      const learner = membership.members.find(({ as }) => as === 'learner')
      await this.#dropOthers(membership)
      if (learner === undefined && !membership.isJoint) return
      if (learner !== undefined) await this.#attempt({ type: 'promote', id: learner.id })
      await pause(RETRY_AFTER_MS)
      if (performance.now() > end) {
        throw new Error(`the members do not settle: ${JSON.stringify(membership)}`)
      }
    }
  }

  /** One change, or another one when it would leave too few members or too many. */
  async #change(drawn: ChangeKind, draw: (bound: number) => number): Promise<void> {
    const { members } = await this.#ask({ type: 'list' }, performance.now() + SETTLE_MS)
    const some = members[draw(members.length)]!.id
    const isFewer = drawn === 'remove' || drawn === 'demote'
    if (isFewer && members.length <= MEMBERS_MIN) return this.#change('add', draw)
    const isMore = drawn === 'add' || drawn === 'replace'
    if (isMore && members.length >= MEMBERS_MAX) return this.#change('remove', draw)
    switch (drawn) {
      case 'add':
        return this.#add((id, address) => ({ type: drawn, id, address }))
      case 'replace':
        return this.#add((id, address) => ({
          type: drawn,
          replacements: [{ remove: some, add: { id, address } }],
        }))
      case 'remove':
      case 'demote':
        return this.#attempt({ type: drawn, id: some })
      case 'transfer':
        return this.#attempt({ type: drawn })
      default:
        return unreachable(drawn)
    }
  }

  /** Starts a new member and carries out the wish that it becomes one. */
  async #add(wish: (id: string, address: string) => MembersRequest): Promise<void> {
    const seat = await this.#cluster.addSeat(`m${++this.#names}`)
    const opened = this.#cluster.restart(seat).catch((error: unknown) => {
      // It was killed, or not let in: what becomes of it is for `settle` to find out.
      if (!isExpected(error)) throw error
    })
    await this.#attempt(wish(seat.id, seat.address))
    await Promise.race([opened, pause(CHANGE_MS)])
  }

  async #attempt(wish: MembersRequest): Promise<void> {
    try {
      await this.#ask(wish, performance.now() + CHANGE_MS)
      this.counts.done++
    } catch (error) {
      if (!isExpected(error)) throw error
      this.counts.failed++
    }
  }

  /** Asks members that run, again as long as it certainly had no effect and may help. */
  async #ask(wish: MembersRequest, end: number): Promise<Membership> {
    for (let attempt = 0; ; attempt++) {
      const seat = this.#someone(attempt)
      try {
        if (seat === undefined) throw new StoreError('QUORATE_STOPPED', 'nobody runs')
        const timeoutMs = Math.max(1, Math.min(CHANGE_MS, end - performance.now()))
        return await seat.child.call('members', { wish, timeoutMs })
      } catch (error) {
        const isHarmless =
          error instanceof StoreError && (error.outcome === 'none' || wish.type === 'list')
        if (!isHarmless || !isExpected(error) || performance.now() > end) throw error
        await pause(RETRY_AFTER_MS)
      }
    }
  }

  #someone(attempt: number): LivingSeat<TortureOperations> | undefined {
    const running = this.#cluster.living.filter(({ child }) => child.isRunning)
    return running[attempt % running.length]
  }

  async #dropOthers({ members }: Membership): Promise<void> {
    const isOther = ({ id }: Seat<TortureOperations>) => !members.some((member) => member.id === id)
    for (const seat of this.#cluster.seats.filter(isOther)) await this.#cluster.dropSeat(seat)
  }
}

function isExpected(error: unknown): boolean {
  return error instanceof StoreError && EXPECTED.has(error.code)
}
