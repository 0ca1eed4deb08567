/** `quorate recover`: when no majority will ever be up again, a new cluster from what a survivor has. */
import { nodeEnv } from '../env/node-env.js'
import { inspectSurvivor, recoverCluster, type Survivor } from '../member/recover.js'
import { parseWordsAndFlags, UsageError } from './command-line.js'
import { count, print, table } from './terminal.js'
import { complainOfUnreadable, plainOf } from './unreadable.js'

/** What `quorate recover --help` prints. */
export const RECOVER_HELP: string = `quorate recover --dir DIR --preview
quorate recover --dir DIR --force-new-cluster [--to NEW]

For a cluster that has lost a majority of its voters for good. Makes a new cluster of one member, with an id
of its own, in the folder NEW, from what the member in DIR has: its state and all of its log. DIR stays as
it is. Look first: --preview says what DIR has and what may be lost, and changes nothing.

Of several survivors take the one whose log ends in the highest term, and among equals at the highest
index. Never start a member of the old cluster again.

  --dir DIR            the data folder of a survivor that is not running
  --to NEW             the new data folder, empty or absent (DIR.recovered)
  --force-new-cluster  do it
  --preview            only say what would be done
  --json               print what DIR has, or the result, as JSON`

/** LevelDB's, for folders that are read and written once. */
const MEMORY = { writeBufferBytes: 16 * 1024 * 1024, cacheBytes: 1024 * 1024 }

/** Runs the command; resolves with its exit code. */
export async function recover(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    dir: { type: 'string' },
    to: { type: 'string' },
    'force-new-cluster': { type: 'boolean', default: false },
    preview: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  })
  const { dir, preview, json } = flags
  if (dir === undefined || positionals.length > 0) {
    throw new UsageError('recover takes --dir, the data folder of a survivor')
  }
  const env = nodeEnv(MEMORY)
  if (preview) {
    const survivor = await inspectSurvivor(env, dir)
    if (json) print(JSON.stringify(survivor, undefined, 2))
    else describe(dir, survivor)
    return 0
  }
  if (!flags['force-new-cluster']) {
    throw new UsageError('recover takes --preview or --force-new-cluster')
  }
  const to = flags.to ?? `${dir.replace(/[/\\]+$/, '')}.recovered`
  const founded = await recoverCluster(env, dir, to)
  if (json)
    print(JSON.stringify({ ...founded, unreadable: plainOf(founded.unreadable) }, undefined, 2))
  else {
    const { id, clusterId, index, unreadable } = founded
    print(`${to} is member ${id} of the new cluster ${clusterId}, at index ${count(index)}`)
    complainOfUnreadable(unreadable)
    print(`${dir} is as it was; never start it, or another member of its cluster, again`)
  }
  return 0
}

function describe(dir: string, survivor: Survivor): void {
  const { id, clusterId, members, term, votedFor, last, commitIndex, unproven } = survivor
  print(`${dir} is member ${id} of cluster ${clusterId}`)
  const rows = members.map((member) => [member.id, member.as, member.address ?? '—'])
  print(`${table(['member', 'part', 'address'], rows)}\n`)
  print(`its log ends in term ${count(last.term)} at index ${count(last.index)}`)
  print(`it knows entries to be committed up to index ${count(commitIndex)}`)
  const vote =
    votedFor === undefined ? 'nobody' : votedFor === id ? 'itself, so it may have led' : votedFor
  print(`in its newest term, ${count(term)}, it voted for ${vote}\n`)
  print(inWords(survivor, unproven))
}

function inWords({ members, last }: Survivor, unproven: number): string {
  const voters = members.filter(({ as }) => as === 'voter').length
  const majority = Math.floor(voters / 2) + 1
  const own =
    unproven === 0
      ? 'The new cluster would hold exactly these entries.'
      : `The new cluster would hold these entries and the ${count(unproven)} after them, which may never have ` +
        'been acknowledged: writes whose callers were told that their outcome is unknown.'
  if (voters === 1) return `${own}\nNothing is lost: this member is the only voter.`
  return (
    `${own}\nLost would be whatever ${majority} other voters acknowledged without this one: nothing if its log ` +
    `is the longest there is, unknown otherwise. Another survivor whose log ends in a term above ` +
    `${count(last.term)}, or in that term beyond index ${count(last.index)}, is the better one to take.`
  )
}
