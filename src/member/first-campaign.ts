/**
 * The first election of a cluster that starts: it has no leader to be loyal to, so nobody needs to wait for an
 * election timeout. As soon as a member sees a majority it offers itself, one after the other by their numbers.
 */
import type { Random } from '../env/random.js'
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import type { Driver } from './driver.js'
import type { Roster } from './roster.js'

/** A member that starts without a leader waits up to so long before it offers itself. */
const SPREAD_MS = 50
/** And by so much longer for each member before it, so that two do not take the lead from each other. */
const STAGGER_MS = 150

/** See the file's comment. */
export class FirstCampaign {
  readonly #time: Time
  readonly #random: Random
  readonly #driver: Driver
  readonly #roster: Roster
  #isOver = false

  constructor(time: Time, random: Random, driver: Driver, roster: Roster) {
    this.#time = time
    this.#random = random
    this.#driver = driver
    this.#roster = roster
  }

  /** A leader was seen: from now on election timeouts decide. */
  end(): void {
    this.#isOver = true
  }

  /** Another member is connected; `isUp` says who is. */
  onPeerUp(isUp: (node: NodeId) => boolean): void {
    const { self, others } = this.#roster
    if (this.#isOver || !this.#roster.isQuorum((node) => node === self || isUp(node))) return
    const before = others.filter(({ nodeId }) => nodeId < self).length
    const spread = (this.#random.u32('first campaign') / 2 ** 32) * SPREAD_MS
    this.#time.after(spread + before * STAGGER_MS, () => {
      if (!this.#isOver) this.#driver.step({ type: 'campaign' })
    })
  }
}
