/**
 * Whether a member lives and is ready, as lines that people and probes read: `[+]leader ok`, `[-]disk failed: …`.
 *
 * Live: the process is worth keeping. Ready: it is worth sending requests to. A member that has no leader, or too few
 * others, is live: a restart mends nothing.
 */
import type { MemberStatus } from '../index.js'

/** One question and its answer. */
export interface Check {
  readonly name: string
  /** Why it failed; undefined when all is well. */
  readonly failure: string | undefined
}

/** What is asked of a member that should go on running. */
export function liveChecks(status: MemberStatus): Check[] {
  const hasStopped = status.role === 'stopped'
  return [check('member', hasStopped ? status.words[0] : undefined)]
}

/** What is asked of a member that should serve. */
export function readyChecks(status: MemberStatus): Check[] {
  const { standing, leader, snapshots, space } = status
  const isMember = standing === 'voter' || standing === 'learner'
  return [
    ...liveChecks(status),
    check('membership', isMember ? undefined : `this member is ${standing}`),
    check('leader', leader === undefined ? 'no leader is known' : undefined),
    check('quorum', quorumFailure(status)),
    check('state', snapshots.rebuilding),
    check('disk', space.refusesWrites ? 'too little space is free to take writes' : undefined),
  ]
}

/** One line for each check and one for all, which begins with `ok` or `failed`. */
export function describeChecks(checks: readonly Check[]): string {
  const lines = checks.map(({ name, failure }) =>
    failure === undefined ? `[+]${name} ok` : `[-]${name} failed: ${failure}`,
  )
  return `${[...lines, hasPassed(checks) ? 'ok' : 'failed'].join('\n')}\n`
}

/** Whether nothing failed. */
export function hasPassed(checks: readonly Check[]): boolean {
  return checks.every(({ failure }) => failure === undefined)
}

/** A follower sees the leader, not the quorum: a leader without one steps down within an election timeout. */
function quorumFailure({ role, members }: MemberStatus): string | undefined {
  const voters = members.filter(({ as }) => as === 'voter')
  const leader = members.find(({ isLeader }) => isLeader)
  if (role !== 'leader' && leader?.isUp === true) return undefined
  const up = voters.filter(({ isUp }) => isUp).length
  const wanted = Math.floor(voters.length / 2) + 1
  return up >= wanted ? undefined : `${up} of ${voters.length} voters reachable, ${wanted} needed`
}

function check(name: string, failure: string | undefined): Check {
  return { name, failure }
}
