/**
 * Clients of a simulated cluster whose values go by themselves: with a time to live, or with a lease that is kept alive
 * for a while. That nothing goes before its time is checked where it goes (watch/cluster-watch.ts, S10); here, that it
 * goes at all (L6), and that no lease goes while its holder counts on it.
 */
import { unreachable } from '../../base/assert.js'
import type { Lease } from '../../store/lease.js'
import type { ClientEvent, Knobs, Step } from '../schedule/schedule.js'
import type { Calls, Process } from './calls.js'
import type { Cluster } from './cluster.js'
import type { Seat } from './seat.js'
import { storedText } from './values.js'

type Expiring = Step & ClientEvent & { readonly type: 'expiring' }

const KEYS = 4
const PREFIX = 'e'
/** Of calls that name none: the Store's. */
const TIMEOUT_MS = 5000
/** What is due is proposed a little later, and again when that was lost. */
const PATIENCE_MS = 15_000
/** Clocks that run faster and slower than the world make one of the other: of a lease's time so much may be missing. */
const DRIFT_SHARE = 0.02

interface Held {
  readonly at: Process
  readonly lease: Lease
}

/** All of a run. */
export class Lessees {
  readonly #at: Cluster
  readonly #calls: Calls
  readonly #held = new Map<string, Held>()
  #isOver = false

  constructor(at: Cluster, calls: Calls) {
    this.#at = at
    this.#calls = calls
    at.watch.onLeaseEnd((id) => this.#leaseEnds(id))
  }

  begin(event: Expiring, seat: Seat): void {
    const { store } = seat
    if (store === undefined) return
    const at = { seat, store }
    const what = event.with === 'ttl' ? this.#putExpiring(event, at) : this.#hold(event, at)
    what.catch((error) => this.#calls.ended(error))
  }

  /** The process on `seat` has ended: nobody keeps its leases alive. */
  abandon(seat: Seat): void {
    for (const [id, held] of this.#held) if (held.at.seat === seat) this.#held.delete(id)
  }

  /** L6: lets everything go that goes by itself, once somebody leads. */
  async settle(): Promise<void> {
    this.#isOver = true
    const { findings, world, watch } = this.#at
    if (!(await this.#at.until(() => this.#at.leader !== undefined))) return
    for (const [id, { at, lease }] of this.#held) {
      const revoked = this.#calls.make(at, 'revoke', TIMEOUT_MS, () => lease.revoke())
      this.#held.delete(id)
      revoked.catch((error) => this.#calls.ended(error))
    }
    const isGone = () => watch.model.expiring === 0
    if (isGone()) return
    const isDone = await world.runUntil(
      () => isGone() || findings.violation !== undefined,
      PATIENCE_MS,
    )
    findings.expect(
      isDone,
      'L6 what has expired goes',
      () => `${watch.model.expiring} keys and leases are left`,
    )
  }

  async #putExpiring(event: Expiring, at: Process): Promise<void> {
    const { ttlMs, timeoutMs } = event
    const { key, value } = keyAndValue(event, this.#at.knobs)
    await this.#calls.make(at, `put ${key} for ${ttlMs} ms`, timeoutMs, () =>
      at.store.put(key, value, { ttlMs, timeoutMs }),
    )
    this.#at.tally.expiring++
  }

  /** A lease with a key; what becomes of it is the event's matter. */
  async #hold(event: Expiring, at: Process): Promise<void> {
    const { ttlMs, timeoutMs } = event
    const { key, value } = keyAndValue(event, this.#at.knobs)
    const keepAlive = event.with === 'keptLease' ? 'auto' : 'manual'
    const lease = await this.#calls.make(at, `lease for ${ttlMs} ms`, TIMEOUT_MS, () =>
      at.store.lease(ttlMs, { keepAlive }),
    )
    // Nobody ends what is granted after the end.
    if (this.#isOver && keepAlive === 'auto') {
      await this.#calls.make(at, 'revoke', TIMEOUT_MS, () => lease.revoke())
      return
    }
    this.#held.set(lease.id, { at, lease })
    this.#at.tally.leases++
    await this.#calls.make(at, `put ${key} with a lease`, timeoutMs, () =>
      at.store.put(key, value, { lease: lease.id, timeoutMs }),
    )
    await this.#live(event, at, lease)
  }

  async #live(event: Expiring, at: Process, lease: Lease): Promise<void> {
    await this.#pass(event.ttlMs / 2)
    if (!this.#held.has(lease.id)) return
    switch (event.with) {
      case 'lease':
        await this.#calls.make(at, 'keep alive', TIMEOUT_MS, () => lease.keepAlive())
        return
      case 'revokedLease':
        this.#held.delete(lease.id)
        await this.#calls.make(at, 'revoke', TIMEOUT_MS, () => lease.revoke())
        return
      case 'keptLease':
      case 'ttl':
        return
      default:
        unreachable(event.with)
    }
  }

  /** S10, from the side of who holds it. */
  #leaseEnds(id: string): void {
    const held = this.#held.get(id)
    if (held === undefined) return
    const { remainingMs, ttlMs } = held.lease
    this.#at.findings.expect(
      remainingMs <= ttlMs * DRIFT_SHARE,
      'S10 nothing expires early',
      () => `the lease ${id} ends, its holder counts on it for another ${remainingMs} ms`,
    )
    this.#held.delete(id)
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#at.world.schedule(ms, resolve)
    })
  }
}

function keyAndValue({ id, key }: Expiring, knobs: Knobs): { key: string; value: string } {
  return { key: `${PREFIX}${key % KEYS}`, value: storedText(id.toString(36), knobs) }
}
