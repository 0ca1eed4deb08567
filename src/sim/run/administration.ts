/**
 * Changes of the members and of leadership in a run, asked for as any user does: through a member, which may be cut
 * off, and without a promise that they happen.
 */
import { unreachable } from '../../base/assert.js'
import { StoreError } from '../../base/errors.js'
import type { FaultEvent, Step } from '../schedule/schedule.js'
import type { Findings } from '../watch/findings.js'
import type { Seat } from './seat.js'
import type { Tally } from './tally.js'
import type { Trace } from './trace.js'

/** An event that is carried out here. */
export type AdministrationEvent = Step & FaultEvent & { readonly type: 'transfer' | 'membership' }

/** What it works on. */
export interface AdministrationParts {
  readonly seats: readonly Seat[]
  readonly tally: Tally
  readonly trace: Trace
  readonly findings: Findings
  /** The names of the members. */
  members(): ReadonlySet<string>
  addressOf(name: string): string
}

/** Of so many events, one asks somebody, or about somebody, who may be no member any more. */
const STRANGE_EVERY = 8
/** How long a change may take; the faults of a run are over not long after. */
const CHANGE_MS = 8000

/** See the file's comment. */
export class Administration {
  readonly #parts: AdministrationParts
  readonly #spares: readonly Seat[]
  readonly #open = new Map<Promise<unknown>, Seat>()
  #hasBegun = false

  constructor(parts: AdministrationParts) {
    this.#parts = parts
    this.#spares = parts.seats.filter(({ state }) => state === 'spare')
  }

  /** Whether the members may be others than those of the beginning. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** Changes that are not answered yet. */
  get openCalls(): number {
    return this.#open.size
  }

  /** The process on `seat` has ended: what it was asked will not be answered. */
  abandon(seat: Seat): void {
    for (const [call, at] of this.#open) if (at === seat) this.#open.delete(call)
  }

  /**
   * Asks for a change through `seat`; false when there is nobody to ask. A cluster that has lost a member for good
   * may be changed into one that cannot go on: then the members stay as they are.
   */
  begin(event: AdministrationEvent, asked: Seat): boolean {
    const candidates = this.#candidates(event)
    const seat = candidates.includes(asked) ? asked : candidates[event.member % candidates.length]!
    if (seat.store === undefined) return false
    if (
      event.type === 'membership' &&
      this.#parts.seats.some((each) => each.isRotten || each.isStateLost || each.isShardLost)
    )
      return false
    const call = this.#call(event, seat)
    if (call === undefined) return false
    this.#open.set(call, seat)
    if (event.type === 'membership') this.#hasBegun = true
    call.then(
      () => this.#end(call, event, undefined),
      (error: unknown) => this.#end(call, event, error),
    )
    return true
  }

  #call(event: AdministrationEvent, { store }: Seat): Promise<unknown> | undefined {
    const seats = this.#candidates(event)
    const { members } = store!
    const options = { timeoutMs: CHANGE_MS }
    if (event.type === 'transfer') {
      const { name } = seats[event.to % seats.length]!
      return members.transferLeadership(name, options)
    }
    const { name } = seats[event.who % seats.length]!
    switch (event.change) {
      case 'add':
      case 'addLearner': {
        const as = event.change === 'add' ? ('voter' as const) : ('learner' as const)
        const newcomer = this.#newcomer(event.who)
        return newcomer && members.add(newcomer.id, newcomer.address, { ...options, as })
      }
      case 'replace': {
        const newcomer = this.#newcomer(event.who)
        if (newcomer === undefined || newcomer.id === name) return undefined
        return members.replace([{ remove: name, add: newcomer }], options)
      }
      case 'promote':
        return members.promote(name, options)
      case 'demote':
        return members.demote(name, options)
      case 'remove':
        return members.remove(name, options)
      default:
        return unreachable(event.change)
    }
  }

  /** Those who can be asked, or asked about: mostly members. */
  #candidates({ id }: AdministrationEvent): readonly Seat[] {
    const { seats, members } = this.#parts
    return id % STRANGE_EVERY === 0 ? seats : seats.filter(({ name }) => members().has(name))
  }

  /** A machine that is started to become a member. */
  #newcomer(who: number): { id: string; address: string } | undefined {
    const fresh = this.#spares.filter(({ state }) => state === 'spare')
    // Now and then one is asked for that is there already, or was.
    const choice = fresh.length > 0 && who > 0 ? fresh : this.#spares
    const seat = choice[who % choice.length]
    if (seat === undefined || seat.state === 'lost') return undefined
    seat.enlist()
    return { id: seat.name, address: this.#parts.addressOf(seat.name) }
  }

  #end(call: Promise<unknown>, event: AdministrationEvent, error: unknown): void {
    if (!this.#open.delete(call)) return
    const { tally, trace, findings } = this.#parts
    const words = event.type === 'transfer' ? 'transfer' : `${event.change}`
    if (error === undefined) {
      tally[event.type === 'transfer' ? 'transfers' : 'memberChanges']++
      trace.note('', `${words} done`, undefined)
    } else if (error instanceof StoreError) {
      trace.note('', `${words}: ${error.code} ${error.message}`, undefined)
    } else {
      const found = error instanceof Error ? (error.stack ?? error.message) : String(error)
      findings.report('A1 no assertion fails', `${words} failed with ${found}`)
    }
  }
}
