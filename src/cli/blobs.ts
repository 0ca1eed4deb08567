/** `quorate blobs`: asks one running member where the shards of large values are, and what is missing. */
import type { BlobStatus } from '../index.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readProtection } from './protection.js'
import { askStatus } from './status.js'
import { bytes, count, paint, print, table } from './terminal.js'

const DEFAULT_TIMEOUT_MS = 3_000

/** What `quorate blobs --help` prints. */
export const BLOBS_HELP: string = `quorate blobs ADDRESS [flags]

Asks the member that listens on ADDRESS (host:port or unix:/path) about the large values, which are stored as
shards: how many there are, what each member has of them and lacks, what was repaired, and how far the check of
what is stored has come. Ask the leader for values that are to be stored anew for the members of today.

  --json               print the answer as JSON
  --timeout-ms N       how long to wait (${DEFAULT_TIMEOUT_MS})
${PROTECTION_HELP}

Exit code 1 when shards are missing or damaged, or a value is to be stored anew.`

/** Runs the command; resolves with its exit code. */
export async function blobs(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    json: { type: 'boolean', default: false },
    'timeout-ms': { type: 'string', default: String(DEFAULT_TIMEOUT_MS) },
    ...PROTECTION_FLAGS,
  })
  const [address, ...others] = positionals
  if (address === undefined || others.length > 0) throw new UsageError('blobs takes one ADDRESS')
  const timeoutMs = wholeNumber('timeout-ms', flags['timeout-ms'], 1)
  const { id, blobs: status } = await askStatus(address, timeoutMs, await readProtection(flags))
  if (flags.json) print(JSON.stringify({ member: id, ...status }, undefined, 2))
  else describe(id, status)
  return concerns(status).length > 0 ? 1 : 0
}

/** What is not as it should be, in words; nothing when all is well. */
export function concerns({ members, undercovered }: BlobStatus): string[] {
  const words: string[] = []
  for (const { id, missing, quarantined } of members) {
    if (missing > 0) words.push(`${id} lacks ${count(missing)} shards and makes them anew.`)
    if (quarantined > 0) words.push(`${id} has ${count(quarantined)} damaged shards.`)
  }
  if (undercovered > 0) {
    words.push(`${count(undercovered)} values are to be stored anew for the members of today.`)
  }
  return words
}

function describe(id: string, status: BlobStatus): void {
  const words = concerns(status)
  const { scrub, cache, codec } = status
  const found = scrub.bad === 0 ? 'nothing damaged' : `${count(scrub.bad)} damaged shards found`
  const dead = status.deadBytes > 0 ? `, ${bytes(status.deadBytes)} of them not needed` : ''
  const facts: (readonly [string, string])[] = [
    ['member', id],
    ['values', `${count(status.values)}${status.isCounted ? '' : ', still counting'}`],
    [
      'here',
      `${count(status.shards)} shards, ${bytes(status.bytes)} in ${count(status.segments)} files${dead}`,
    ],
    [
      'repaired',
      `${count(status.repaired)} shards, ${count(status.repairFailures)} attempts failed`,
    ],
    ['checked', `${count(scrub.runs)} times, ${bytes(scrub.runBytes)} since; ${found}`],
    ['stored anew', `${count(status.respread)} values, ${count(status.undercovered)} to come`],
    ['cache', `${bytes(cache.bytes)}, ${count(cache.hits)} hits, ${count(cache.misses)} misses`],
    ['codec', codec === undefined ? 'not used yet' : `${codec.backend}, ${codec.instructions}`],
  ]
  for (const [name, fact] of facts) print(`${paint('dim', name.padEnd(11))} ${fact}`)
  const rows = status.members.map((member) => [
    member.id,
    count(member.shards),
    bytes(member.bytes),
    count(member.missing),
    count(member.quarantined),
    member.isFull ? 'yes' : 'no',
  ])
  print(`\n${table(['member', 'shards', 'bytes', 'lacks', 'damaged', 'has all'], rows)}\n`)
  if (words.length === 0) print(paint('green', 'Nothing is known to be missing or damaged.'))
  for (const each of words) print(paint('yellow', each))
}
