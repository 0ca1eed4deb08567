/** `quorate restore`: makes a data folder of a backup. */
import { PartCoder } from '../blob/part-coder.js'
import { nodeEnv } from '../env/node-env.js'
import { chooseBackend } from '../erasure/choose.js'
import { type MaintenanceOptions, type RestoredStore, Store } from '../index.js'
import { type RetainedRestore, restoreRetained } from '../store/retained-restore.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { longWork } from './long-work.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readProtection } from './protection.js'
import { count, print } from './terminal.js'
import { complainOfUnreadable, plainOf } from './unreadable.js'

const DEFAULT_TIMEOUT_MS = 10_000

/** What `quorate restore --help` prints. */
export const RESTORE_HELP: string = `quorate restore BACKUP --dir DIR [--id ID] [--archive FOLDER [--at-index N]]
quorate restore --from-cluster ADDRESS,... --dir DIR [--id ID]

Makes the data folder DIR, which must be empty or absent, of a backup, or of the checkpoint that the members of
a running cluster retain (quorate checkpoint --retain): a new cluster of one member, with an
id of its own. Start it with quorate serve --dir DIR; others join it with quorate serve --join. It never
mixes with the cluster that the backup was taken of, whose members would refuse it.

  --dir DIR  the new data folder
  --id ID    the name of its member (a)
  --archive FOLDER  go on from the backup with the entries that members copied there (quorate serve
             --archive); may be given several times
  --at-index N  the last entry to restore; without it, the last in the archive
  --from-cluster ADDRESSES  of members (host:port or unix:/path), with commas between them: each sends its share,
             and any k of them are enough
  --timeout-ms N  how long a member may take to be connected and to say what it has (${DEFAULT_TIMEOUT_MS})
  --json     print the result as JSON
${PROTECTION_HELP}`

/** Runs the command; resolves with its exit code. */
export async function restore(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    dir: { type: 'string' },
    id: { type: 'string', default: 'a' },
    archive: { type: 'string', multiple: true },
    'at-index': { type: 'string' },
    'from-cluster': { type: 'string' },
    'timeout-ms': { type: 'string', default: String(DEFAULT_TIMEOUT_MS) },
    json: { type: 'boolean', default: false },
    ...PROTECTION_FLAGS,
  })
  const { dir, id, archive, json } = flags
  const at = flags['at-index']
  const [src, ...others] = positionals
  const addresses = flags['from-cluster']
  if (addresses !== undefined) {
    if (src !== undefined || dir === undefined || archive !== undefined || at !== undefined) {
      throw new UsageError('restore --from-cluster takes --dir, the new data folder, and no backup')
    }
    const timeoutMs = wholeNumber('timeout-ms', flags['timeout-ms'], 1)
    const protection = await readProtection(flags)
    const cluster = { addresses: addresses.split(','), protection, timeoutMs, id }
    return finish(dir, json, (options) => fromCluster(dir, { ...cluster, ...options }))
  }
  if (src === undefined || dir === undefined || others.length > 0) {
    throw new UsageError('restore takes one BACKUP and --dir, the new data folder')
  }
  if (at !== undefined && archive === undefined) throw new UsageError('--at-index needs --archive')
  const further = {
    ...(archive && { archive }),
    ...(at !== undefined && { atIndex: wholeNumber('at-index', at, 1) }),
  }
  return finish(dir, json, (options) => Store.restore(src, dir, { ...options, ...further, id }))
}

/** LevelDB's, for a folder that is written once. */
const MEMORY = { writeBufferBytes: 16 * 1024 * 1024, cacheBytes: 1024 * 1024 }

function fromCluster(dir: string, options: Omit<RetainedRestore, 'coder'>): Promise<RestoredStore> {
  const coder = new PartCoder(() => chooseBackend(undefined).backend, undefined)
  return restoreRetained(nodeEnv(MEMORY), dir, { ...options, coder })
}

function finish(
  dir: string,
  json: boolean,
  work: (options: Required<MaintenanceOptions>) => Promise<RestoredStore>,
): Promise<number> {
  return longWork('restore', async (options) => {
    const restored = await work(options)
    if (json)
      print(JSON.stringify({ ...restored, unreadable: plainOf(restored.unreadable) }, undefined, 2))
    else describe(dir, restored)
  })
}

function describe(dir: string, { id, clusterId, index, unreadable }: RestoredStore): void {
  print(`${dir} is member ${id} of the new cluster ${clusterId}, at index ${count(index)}`)
  complainOfUnreadable(unreadable)
}
