/** `quorate status`: asks one running member how it stands. */
import { type MemberStatus, type RetainedStatus, StoreError } from '../index.js'
import type { Protection } from '../transport/protection.js'
import { ask } from './asking.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readProtection } from './protection.js'
import { bytes, count, paint, print, table } from './terminal.js'

const DEFAULT_TIMEOUT_MS = 3_000

/** What `quorate status --help` prints. */
export const STATUS_HELP: string = `quorate status ADDRESS [flags]

Asks the member that listens on ADDRESS (host:port or unix:/path) for its role, term, leader, commit
and applied index, what the others lack, and in words what may fail next.

  --json               print the member's answer as JSON
  --timeout-ms N       how long to wait (${DEFAULT_TIMEOUT_MS})
${PROTECTION_HELP}`

/** Runs the command; resolves with its exit code. */
export async function status(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    json: { type: 'boolean', default: false },
    'timeout-ms': { type: 'string', default: String(DEFAULT_TIMEOUT_MS) },
    ...PROTECTION_FLAGS,
  })
  const [address, ...others] = positionals
  if (address === undefined || others.length > 0) throw new UsageError('status takes one ADDRESS')
  const timeoutMs = wholeNumber('timeout-ms', flags['timeout-ms'], 1)
  const answer = await askStatus(address, timeoutMs, await readProtection(flags))
  if (flags.json) print(JSON.stringify(answer, undefined, 2))
  else describe(answer)
  return 0
}

/** The word of the member at `address`. @throws {StoreError} */
export async function askStatus(
  address: string,
  timeoutMs: number,
  protection: Protection,
): Promise<MemberStatus> {
  return ask(address, protection, timeoutMs, async (connection) => {
    const answer = await connection.call('status', undefined, timeoutMs)
    if (isStatus(answer)) return answer
    throw new StoreError(
      'QUORATE_FORMAT',
      `${address} answers in a form this version does not know`,
    )
  })
}

/** The member speaks this version's protocol, or the handshake would have refused it: its parts are not looked at. */
function isStatus(answer: unknown): answer is MemberStatus {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    'members' in answer &&
    Array.isArray(answer.members) &&
    'words' in answer &&
    Array.isArray(answer.words)
  )
}

function describeSpace({ space }: MemberStatus): string {
  const free = space.freeBytes === undefined ? 'not known' : `${bytes(space.freeBytes)} free`
  return space.isLow ? `${free}: too little` : free
}

function describeRetained(retained: RetainedStatus): string {
  const { index, heldBy, here, making, failure } = retained
  const words: string[] = []
  if (index !== undefined)
    words.push(`the state at index ${count(index)}, held by ${heldBy.join(', ')}`)
  if (making !== undefined) words.push(`that at index ${count(making)} is being made`)
  words.push(`here ${here}, ${bytes(retained.bytes)}`)
  return [...words, ...(failure === undefined ? [] : [failure])].join('; ')
}

function describe(status: MemberStatus): void {
  const { log, blobs } = status
  const { retained } = status
  const facts: (readonly [string, string])[] = [
    ['member', status.id],
    ['cluster', status.clusterId],
    ['role', status.role],
    ['standing', status.standing],
    ['term', count(status.term)],
    ['leader', status.leader ?? 'none known'],
    ['committed', count(status.commitIndex)],
    ['applied', count(status.appliedIndex)],
    ['checkpoint', count(status.checkpointIndex)],
    ['disk', describeSpace(status)],
    ['log', `${count(status.firstIndex)} to ${count(status.lastIndex)}, ${bytes(log.bytes)}`],
    ['shards', `${count(blobs.shards)} of large values, ${bytes(blobs.bytes)}`],
    ...(retained ? [['retained', describeRetained(retained)] as const] : []),
  ]
  for (const [name, fact] of facts) print(`${paint('dim', name.padEnd(11))} ${fact}`)
  const rows = status.members.map((member) => [
    member.id,
    member.address ?? '—',
    member.isSelf ? 'this one' : member.isUp ? 'up' : 'down',
    member.isLeader ? 'leader' : member.as,
    member.matchIndex === undefined ? '—' : count(member.matchIndex),
    member.lag === undefined ? '—' : count(member.lag),
  ])
  print(`\n${table(['member', 'address', 'from here', 'role', 'has entries to', 'lacks'], rows)}\n`)
  for (const words of status.words) print(words)
}
