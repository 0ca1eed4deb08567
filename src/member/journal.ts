/**
 * What happens to a member, told three times: to its owner as an event, to the operator as a line of the logger, and
 * as a count for the metrics. Whoever notices something calls here, once.
 */
import { unreachable } from '../base/assert.js'
import { Log, type LogFacts, type Logger, type LogLevel } from '../base/logger.js'
import type { LogIndex, Term } from '../raft/types.js'
import type { BackendEvents, MembershipChange, Overload } from './backend.js'
import type { SpaceStatus } from './free-space.js'
import type { Rebuilt } from './open-state.js'
import type { TransferStep } from './snapshot-sender.js'

/** How often something happened since the start. */
export interface EventCounts {
  /** Terms that began: each is an election that somebody called. */
  elections: number
  leaderChanges: number
  membershipChanges: number
  peersUp: number
  peersDown: number
  divergences: number
  repairedValues: number
  rebuilds: number
  overloads: number
}

/** See the file's comment. */
export class Journal implements BackendEvents {
  readonly counts: EventCounts = {
    elections: 0,
    leaderChanges: 0,
    membershipChanges: 0,
    peersUp: 0,
    peersDown: 0,
    divergences: 0,
    repairedValues: 0,
    rebuilds: 0,
    overloads: 0,
  }
  readonly #owner: BackendEvents
  readonly #log: Log
  #term: Term

  /** `bindings` stand in every line of the log. */
  constructor(owner: BackendEvents, logger: Logger | undefined, bindings: object, term: Term) {
    this.#owner = owner
    this.#log = new Log(logger, bindings)
    this.#term = term
  }

  /** Lines that the logger did not take. */
  get logFailures(): number {
    return this.#log.failures
  }

  /** A line that is no event. */
  write(level: LogLevel, facts: LogFacts, message: string): void {
    this.#log.write(level, facts, message)
  }

  /** The term may be a later one than before. */
  noteTerm(term: Term): void {
    if (term === this.#term) return
    this.#term = term
    this.counts.elections++
  }

  leader(leader: string | undefined, term: Term): void {
    this.counts.leaderChanges++
    const facts = { event: 'leader', leader, term }
    if (leader === undefined) this.write('warn', facts, `no leader is known in term ${term}`)
    else this.write('info', facts, `${leader} leads in term ${term}`)
    this.#owner.leader(leader, term)
  }

  membership(change: MembershipChange): void {
    this.counts.membershipChanges++
    const names = change.members.map(({ id, as }) => (as === 'voter' ? id : `${id} (${as})`))
    this.write('info', { event: 'membership', ...change }, `the members are ${names.join(', ')}`)
    this.#owner.membership(change)
  }

  removed(): void {
    this.write('warn', { event: 'removed' }, 'this member was removed from the cluster')
    this.#owner.removed()
  }

  diverged(after: LogIndex, at: LogIndex): void {
    this.counts.divergences++
    const message = `the state here is not that of the majority: apart after ${after}, by ${at}`
    this.write('error', { event: 'diverged', after, at }, message)
    this.#owner.diverged(after, at)
  }

  repaired(key: Uint8Array, from: string | undefined): void {
    this.counts.repairedValues++
    const facts = { event: 'repaired', key: Buffer.from(key).toString('base64'), from }
    this.write('warn', facts, `a damaged value was put back from ${from ?? 'another member'}`)
    this.#owner.repaired(key, from)
  }

  rebuilt(rebuilt: Rebuilt): void {
    this.counts.rebuilds++
    const message = `the state was had again from ${rebuilt.from}: ${rebuilt.why}`
    this.write('warn', { event: 'rebuilt', ...rebuilt }, message)
    this.#owner.rebuilt(rebuilt)
  }

  overloaded(overload: Overload): void {
    this.counts.overloads++
    this.write(
      'warn',
      { event: 'overloaded', ...overload },
      `refuses ${overload.what}: a bound is reached`,
    )
    this.#owner.overloaded(overload)
  }

  space(status: SpaceStatus): void {
    const facts = { event: 'space', ...status }
    if (status.isLow) this.write('warn', facts, 'the disk is nearly full')
    else this.write('info', facts, 'the disk has room again')
    this.#owner.space(status)
  }

  fatal(error: Error): void {
    this.write('error', { event: 'fatal', err: error }, `the member has stopped: ${error.message}`)
    this.#owner.fatal(error)
  }

  /** Another member is connected. */
  peerUp(id: string): void {
    this.counts.peersUp++
    this.write('info', { event: 'peerUp', id }, `connected to ${id}`)
  }

  /** The connection to another member broke. */
  peerDown(id: string): void {
    this.counts.peersDown++
    this.write('warn', { event: 'peerDown', id }, `lost the connection to ${id}`)
  }

  /** A state on its way to another member has come so far. */
  transfer(to: string, step: TransferStep, index: LogIndex): void {
    switch (step) {
      case 'offered':
        this.write('info', { event: 'snapshot', to, index }, `${to} is sent the state at ${index}`)
        return
      case 'installed':
        this.write('info', { event: 'snapshotSent', to, index }, `${to} has the state at ${index}`)
        return
      case 'failed':
        this.write('warn', { event: 'snapshotFailed', to, index }, `no state got to ${to}`)
        return
      default:
        unreachable(step)
    }
  }

  /** The state of another member was put into force here. */
  installed(index: LogIndex): void {
    const message = `the state at index ${index} came from another member and is in force`
    this.write('info', { event: 'installed', index }, message)
  }
}
