/**
 * What a member does about once a second beside serving: says that it is alive and which part of the log everybody
 * has, takes checkpoints, and as the leader puts on record what the others have proven about themselves and lets one
 * of higher priority lead.
 */
import { StoreError } from '../base/errors.js'
import type { RaftCore } from '../raft/core.js'
import type { LogIndex } from '../raft/types.js'
import type { MemberRecord } from '../wire/directory.js'
import type { Checkpoints } from './checkpoints.js'
import type { Driver } from './driver.js'
import type { MembershipDesk } from './membership-desk.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'
import type { Succession } from './succession.js'

const EVERY_MS = 1000

/** What upkeep works on. */
export interface UpkeepParts {
  readonly core: RaftCore
  readonly driver: Driver
  readonly roster: Roster
  readonly checkpoints: Checkpoints
  readonly desk: MembershipDesk
  readonly succession: Succession
  /** What the directory does not say yet (news.ts). */
  readonly news: () => readonly MemberRecord[]
}

/** See the file's comment. */
export class Upkeep {
  readonly #parts: UpkeepParts
  #nextAt = 0

  constructor(parts: UpkeepParts) {
    this.#parts = parts
  }

  /** Called with every tick. */
  tick(now: number, peers: Peers): void {
    const { checkpoints, driver, succession, core } = this.#parts
    if (checkpoints.isDue(driver.appendedBytes)) this.checkpoint()
    if (now < this.#nextAt) return
    this.#nextAt = now + EVERY_MS
    this.#shareRetained(peers)
    succession.yieldToPriority()
    if (core.role === 'leader') this.#recordNews()
  }

  #shareRetained(peers: Peers): void {
    const { core, roster, checkpoints } = this.#parts
    let retained: LogIndex = 0
    if (core.role === 'leader') {
      const { ownMatchIndex, peers: followers } = core.status()
      // Of its own log, too, only what is durable: the rest may be gone after a crash, and needed from the others.
      retained = ownMatchIndex
      for (const follower of followers) retained = Math.min(retained, follower.matchIndex)
      // Nobody lacks anything, but nobody else could give the state again either.
      if (followers.length === 0) retained = 0
      checkpoints.onRetained(retained)
    }
    for (const { nodeId } of roster.others) peers.sendRetained(nodeId, retained)
  }

  /** Takes a checkpoint, or shares the one that is running. */
  checkpoint(): void {
    const { checkpoints, driver } = this.#parts
    driver.own(
      checkpoints.run(driver.appendedBytes).then(
        () => undefined,
        (error: unknown) => {
          // A flush that failed costs nothing yet: the log is kept, and it is tried again.
          if (!(error instanceof StoreError && error.code === 'QUORATE_NO_SPACE')) {
            driver.fail(error)
          }
        },
      ),
    )
  }

  #recordNews(): void {
    const { news, desk, driver } = this.#parts
    const records = news()
    if (records.length === 0) return
    driver.own(
      desk.record(records).catch((error: unknown) => {
        // What did not get into the log this time is still true the next time.
        if (!(error instanceof StoreError)) driver.fail(error)
      }),
    )
  }
}
