/**
 * Safety under anything that network, disks and processes may do, and liveness once they stop: what the oracle
 * checks (R1-R9, R12) holds in every random schedule, and the cluster converges after healing.
 */
import { test } from 'node:test'
import fc from 'fast-check'
import type { CoreOptions } from '../../src/raft/types.js'
import { converge, play, scheduledCluster, schedules } from './schedule.js'

/** Raised by hand to search for longer. */
const RUNS = Number(process.env.RAFT_RUNS ?? 60)

const settings: Readonly<Record<string, Partial<CoreOptions>>> = {
  'plain elections': {},
  'pre-vote and check-quorum': { preVote: true, checkQuorum: true },
  'pre-vote, check-quorum and leases': { preVote: true, checkQuorum: true, reads: 'lease' },
}

for (const [name, options] of Object.entries(settings)) {
  test(`R1-R9 and R12 hold under loss, reordering, crashes and changes, and it converges (${name})`, () => {
    let commits = 0
    fc.assert(
      fc.property(schedules(400), fc.nat(), (actions, seed) => {
        const t = scheduledCluster({ ...options, seed }, {})
        play(t, actions, options.reads === 'lease' ? 'together' : 'apart')
        converge(t)
        commits += t.oracle.commits
      }),
      { numRuns: RUNS },
    )
    if (commits < RUNS * 6) throw new Error(`the schedules are vacuous: only ${commits} commits`)
  })
}
