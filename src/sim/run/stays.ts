/**
 * The sessions of simulated clients. A client has one, at the member where it was used last. Used at another one, it
 * travels as a token, and so it does when one client hands over to another; in the history each stay is a session of
 * its own.
 */
import type { Session } from '../../store/session.js'
import type { Store } from '../../store/store.js'
import { positionInToken } from '../checkers/token-position.js'
import type { Cluster } from './cluster.js'
import type { Seat } from './seat.js'

/** A session in use. */
export interface Stay {
  readonly name: string
  readonly seat: Seat
  readonly store: Store
  readonly session: Session
}

/** All of a run. */
export class Stays {
  readonly #at: Cluster
  readonly #stays = new Map<number, Stay>()
  #count = 0

  constructor(at: Cluster) {
    this.#at = at
  }

  /** The client's session at `seat`, which begins, goes on, or comes from elsewhere. */
  of(client: number, seat: Seat, store: Store): Stay {
    const stay = this.#stays.get(client)
    if (stay?.store === store) return stay
    return this.#enter(client, seat, store, stay === undefined ? [] : [stay])
  }

  /** A client goes on from where another one is, too. */
  handOver(from: number, to: number): void {
    const stay = this.#stays.get(from)
    if (stay === undefined || from === to) return
    const target = this.#stays.get(to)
    const seat = target?.seat ?? stay.seat
    const { store } = seat
    if (store === undefined) return
    this.#enter(to, seat, store, [stay, ...(target === undefined ? [] : [target])])
  }

  /** The faults are over: what the sessions name has to be there. */
  judge(): void {
    for (const { session } of this.#stays.values()) this.#requireCommitted(session.token)
  }

  /** Begins a stay at `seat` that has seen what `earlier` ones had seen. */
  #enter(client: number, seat: Seat, store: Store, earlier: readonly Stay[]): Stay {
    const { recorder, tally } = this.#at
    const name = `c${client}.${this.#count++}`
    const session = store.session()
    for (const from of earlier) {
      const { token } = from.session
      this.#requireCommitted(token)
      recorder.token('export', from.name, token)
      session.observe(token)
      recorder.token('import', name, token)
      tally.tokens++
    }
    const stay: Stay = { name, seat, store, session }
    this.#stays.set(client, stay)
    return stay
  }

  /** A token that names what may yet be lost would be refused elsewhere, or wait for ever. */
  #requireCommitted(token: string): void {
    const { index, term } = positionInToken(token)
    const { watch, findings } = this.#at
    const committed = watch.committedAt(index)
    findings.expect(
      committed?.term === term,
      'C2 session guarantees',
      () => `a token names index ${index} of term ${term}, committed is ${committed?.term} there`,
    )
  }
}
