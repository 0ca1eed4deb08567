/** `quorate members`: who the members of a cluster are, and changing them; any running member can be asked. */
import { NodeTime } from '../env/node-time.js'
import type { ChangeOptions, Membership } from '../index.js'
import { Members } from '../store/members.js'
import { asMembershipAnswer } from '../wire/membership.js'
import { ask } from './asking.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readProtection } from './protection.js'
import { count, print, table } from './terminal.js'

/** What `quorate members --help` prints. */
export const MEMBERS_HELP: string = `quorate members [list] --at ADDRESS
quorate members add ID ADDRESS --at ADDRESS [--learner]
quorate members promote|demote|remove ID --at ADDRESS
quorate members move ID ADDRESS --at ADDRESS
quorate members replace OLD-ID NEW-ID NEW-ADDRESS [...] --at ADDRESS
quorate members transfer [ID] --at ADDRESS

Asks any running member, which asks the leader. A new member is started with quorate serve --join; it
gets the log as a learner and votes once it has caught up. Names are never used again.

  --at ADDRESS         a member's address (host:port or unix:/path)
  --learner            with add: never a voter
  --force              go on although large values will have fewer shards than they are promised
  --expect INDEX       refuse when the members have changed since that index (list prints it)
  --timeout-ms N       how long it may take (60000)
  --json               print the answer as JSON
${PROTECTION_HELP}`

const DEFAULT_TIMEOUT_MS = 60_000
/** The member answers in the time it is given; the answer needs some to arrive. */
const ANSWER_MS = 1_000

/** Runs the command; resolves with its exit code. */
export async function members(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    at: { type: 'string' },
    learner: { type: 'boolean', default: false },
    force: { type: 'boolean', default: false },
    expect: { type: 'string' },
    'timeout-ms': { type: 'string', default: String(DEFAULT_TIMEOUT_MS) },
    json: { type: 'boolean', default: false },
    ...PROTECTION_FLAGS,
  })
  const { at, expect, learner, force, json } = flags
  if (at === undefined) throw new UsageError('members needs --at, the address of a member')
  const timeoutMs = wholeNumber('timeout-ms', flags['timeout-ms'], 1)
  const options: ChangeOptions = {
    timeoutMs,
    ...(force && { coverage: 'force' }),
    ...(expect === undefined ? {} : { expectConfIndex: wholeNumber('expect', expect, 0) }),
  }
  const [action = 'list', ...words] = positionals
  const carryOut = plan(action, words, learner ? 'learner' : 'voter')
  const time = new NodeTime()
  await ask(at, await readProtection(flags), timeoutMs, async (connection) => {
    const asked = new Members({
      now: () => time.now(),
      askMembership: async (request) => {
        const answer = await connection.call('members', request, request.timeoutMs + ANSWER_MS)
        return asMembershipAnswer(request.type, answer)
      },
    })
    const answer = await carryOut(asked, options)
    if (json) print(JSON.stringify(answer, undefined, 2))
    else describe(answer)
  })
  return 0
}

type Answer = Membership | { readonly confIndex: number } | { readonly leader: string }
type Action = (members: Members, options: ChangeOptions) => Promise<Answer>

/** What is to be done; a wrong number of words is a UsageError, before anybody is asked. */
function plan(action: string, words: readonly string[], as: 'voter' | 'learner'): Action {
  const take = (least: number, most: number): readonly string[] => {
    if (words.length >= least && words.length <= most) return words
    throw new UsageError(`members ${action} takes other words; see quorate members --help`)
  }
  switch (action) {
    case 'list': {
      take(0, 0)
      return (members, { timeoutMs }) => members.list(timeoutMs === undefined ? {} : { timeoutMs })
    }
    case 'add': {
      const [id, address] = take(2, 2)
      return (members, options) => members.add(id!, address!, { ...options, as })
    }
    case 'move': {
      const [id, address] = take(2, 2)
      return (members, options) => members.move(id!, address!, options)
    }
    case 'promote':
    case 'demote':
    case 'remove': {
      const [id] = take(1, 1)
      return (members, options) => members[action](id!, options)
    }
    case 'replace':
      return planReplace(take(3, Number.POSITIVE_INFINITY))
    case 'transfer': {
      const [id] = take(0, 1)
      return async (members, { timeoutMs }) => ({
        leader: await members.transferLeadership(id, timeoutMs === undefined ? {} : { timeoutMs }),
      })
    }
    default:
      throw new UsageError(
        `no action '${action}'; there are list, add, promote, demote, remove, move, replace, transfer`,
      )
  }
}

function planReplace(words: readonly string[]): Action {
  if (words.length % 3 !== 0) {
    throw new UsageError('members replace takes OLD-ID NEW-ID NEW-ADDRESS, once or more')
  }
  const replacements = Array.from({ length: words.length / 3 }, (_, i) => {
    const [remove, id, address] = words.slice(3 * i, 3 * i + 3)
    return { remove: remove!, add: { id: id!, address: address! } }
  })
  return (members, options) => members.replace(replacements, options)
}

function describe(answer: Answer): void {
  if ('members' in answer) describeMembership(answer)
  else if ('leader' in answer) print(`${answer.leader} leads`)
  else print(`done at index ${answer.confIndex}`)
}

function describeMembership({ confIndex, isJoint, members }: Membership): void {
  const rows = members.map((member) => [
    member.id,
    member.address ?? '—',
    member.isLeader ? 'leader' : member.as,
    member.isUp ? 'up' : 'down',
    count(member.matchIndex),
    count(member.lag),
  ])
  print(table(['member', 'address', 'part', 'from the leader', 'has entries to', 'lacks'], rows))
  const joint = isJoint ? '; a change of several members is under way' : ''
  print(`\nmembers last changed at index ${confIndex}${joint}`)
}
