/**
 * How a new member finds its cluster: it asks the members it was told of until one of them lists it.
 *
 * Who may become a member is decided by `members.add` alone; joining is only being told the number, the cluster and
 * the configuration that the log begins with. Everything else comes with the log.
 */
import { StoreError, type StoreErrorCode } from '../base/errors.js'
import type { Env } from '../env/env.js'
import { ClientConnection } from '../transport/client.js'
import { listen } from '../transport/listen.js'
import type { CallResult } from '../wire/envelope.js'
import { type Admission, areFirstMembers, type FirstMember } from './identity.js'
import type { JoinOptions, MemberOptions } from './options.js'
import type { Roster } from './roster.js'

const RETRY_MS = 250
const ASK_MS = 2_000

/** What will not be otherwise when it is asked again. */
const FINAL: ReadonlySet<StoreErrorCode> = new Set([
  'QUORATE_REMOVED',
  'QUORATE_WRONG_MEMBER',
  'QUORATE_UNAUTHORIZED',
  'QUORATE_INSECURE',
  'QUORATE_FORMAT',
])

/**
 * Asks to be let in, again and again until the cluster has added this member. It takes its port for that time: so it
 * is known that it can, before anybody counts on it, and an open port is what keeps a process alive.
 * @throws {StoreError} QUORATE_TIMEOUT it was not added in time; QUORATE_REMOVED or QUORATE_WRONG_MEMBER its name
 *   was used before; QUORATE_UNAUTHORIZED, QUORATE_INSECURE, QUORATE_FORMAT, QUORATE_NETWORK.
 */
export async function joinCluster(
  env: Env,
  options: MemberOptions,
  join: JoinOptions,
  incarnation: string,
): Promise<Admission> {
  const port = await listen(env.network, join.listen, options, (early) => early.destroy())
  try {
    return await askUntilAdded(env, options, join, incarnation)
  } finally {
    await port.close()
  }
}

async function askUntilAdded(
  env: Env,
  options: MemberOptions,
  join: JoinOptions,
  incarnation: string,
): Promise<Admission> {
  const end = env.time.now() + join.timeoutMs
  let last: StoreError | undefined
  for (;;) {
    for (const address of join.addresses) {
      try {
        return await ask(env, options, address, incarnation)
      } catch (error) {
        if (!(error instanceof StoreError) || FINAL.has(error.code)) throw error
        last = error
      }
    }
    if (env.time.now() >= end) break
    await new Promise<void>((resolve) => {
      env.time.after(RETRY_MS, resolve)
    })
  }
  throw new StoreError(
    'QUORATE_TIMEOUT',
    `${options.id} was not let in within ${join.timeoutMs} ms: ${last?.message}`,
    { cause: last, retryable: true },
  )
}

/** The answer to a call that asks to be let in. */
export function admit(
  roster: Roster,
  clusterId: string,
  firstMembers: readonly FirstMember[],
  params: unknown,
): CallResult {
  const { id, incarnation } = Object(params) as { id?: unknown; incarnation?: unknown }
  if (typeof id !== 'string' || typeof incarnation !== 'string') {
    return refusal('QUORATE_FORMAT', 'join takes id and incarnation')
  }
  const { members, removed } = roster.directory
  const member = members.find((known) => known.id === id)
  if (member === undefined) {
    return removed.some((known) => known.id === id)
      ? refusal('QUORATE_REMOVED', `${id} was removed; names are not used again`)
      : refusal('QUORATE_NO_MEMBER', `nobody has added ${id} to the cluster`)
  }
  if ((member.incarnation ?? incarnation) !== incarnation) {
    return refusal('QUORATE_WRONG_MEMBER', `${id} has joined from another folder`)
  }
  return { ok: { clusterId, nodeId: member.nodeId, firstMembers } }
}

async function ask(
  env: Env,
  options: MemberOptions,
  address: string,
  incarnation: string,
): Promise<Admission> {
  const { tls, secret, id } = options
  const connection = await ClientConnection.connect(env.network, env.time, env.random, address, {
    tls,
    secret,
    timeoutMs: ASK_MS,
  })
  try {
    const answer = await connection.call('join', { id, incarnation }, ASK_MS)
    if (isAdmission(answer)) return answer
    throw new StoreError('QUORATE_FORMAT', `${address} answers in a form not known here`)
  } finally {
    connection.close()
  }
}

function isAdmission(answer: unknown): answer is Admission {
  const { clusterId, nodeId, firstMembers } = Object(answer) as Partial<Record<string, unknown>>
  return (
    typeof clusterId === 'string' &&
    /^[0-9a-f]{16}$/.test(clusterId) &&
    Number.isSafeInteger(nodeId) &&
    areFirstMembers(firstMembers)
  )
}

function refusal(code: StoreErrorCode, message: string): CallResult {
  return { error: { code, message, outcome: 'none', retryable: code === 'QUORATE_NO_MEMBER' } }
}
