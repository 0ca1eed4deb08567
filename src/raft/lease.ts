/**
 * The opt-in lease of a leader (thesis §6.4.1): for a while after a majority answered a heartbeat no other
 * leader can have been elected, because voters are loyal to a leader they heard from (checkQuorum).
 *
 * Voters keep that loyalty through a restart (`loyalTicks`), give it up neither for a broken connection nor on
 * request, and all nodes must have this setting for it to hold.
 *
 * It is counted in ticks from the moment the heartbeat was *sent*, and is shorter than the voters' loyalty by
 * two ticks of phase (one on either side) and a tenth for drift. It is void after a stall of the event loop,
 * and for the rest of the term once a transfer was started: votes of a transfer ignore loyalty, and the
 * message that starts one may arrive at any time (traps T-46, T-63).
 */

/** Heartbeats that may wait for answers and still extend the lease. */
const SENT_MAX = 64

/** When a lease was last extended, in ticks of its leader. */
export class Lease {
  readonly #lengthTicks: number
  #now = 0
  #sent: { readonly context: number; readonly tick: number }[] = []
  #extendedAt: number | undefined = undefined
  #isForbidden = false
  #isTrusted = true

  constructor(electionTicks: number) {
    this.#lengthTicks = electionTicks - 2 - Math.ceil(electionTicks / 10)
  }

  get isValid(): boolean {
    if (this.#isForbidden || !this.#isTrusted || this.#extendedAt === undefined) return false
    return this.#now - this.#extendedAt < this.#lengthTicks
  }

  tick(): void {
    this.#now++
  }

  /** A heartbeat with `context` leaves now. */
  sent(context: number): void {
    if (this.#sent.length === SENT_MAX) this.#sent.shift()
    this.#sent.push({ context, tick: this.#now })
  }

  /** A majority has answered `context` or a later one. */
  confirmedBy(context: number): void {
    while (this.#sent.length > 0 && this.#sent[0]!.context <= context) {
      this.#extendedAt = this.#sent.shift()!.tick
    }
  }

  /** Time passed that was not counted: nothing sent before proves anything. */
  void(): void {
    this.#sent = []
    this.#extendedAt = undefined
  }

  /** Whether all voters keep their loyalty from now on; what was sent before counts in neither case. */
  trust(standing: 'trusted' | 'untrusted'): void {
    this.#isTrusted = standing === 'trusted'
    this.void()
  }

  /** Void until the next term. */
  forbid(): void {
    this.#isForbidden = true
  }

  /** A new term begins. */
  reset(): void {
    this.void()
    this.#isForbidden = false
  }
}
