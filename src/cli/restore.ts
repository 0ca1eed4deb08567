/** `quorate restore`: makes a data folder of a backup. */
import { type RestoredStore, Store } from '../index.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { longWork } from './long-work.js'
import { count, print } from './terminal.js'

/** What `quorate restore --help` prints. */
export const RESTORE_HELP: string = `quorate restore BACKUP --dir DIR [--id ID] [--archive FOLDER [--at-index N]]

Makes the data folder DIR, which must be empty or absent, of a backup: a new cluster of one member, with an
id of its own. Start it with quorate serve --dir DIR; others join it with quorate serve --join. It never
mixes with the cluster that the backup was taken of, whose members would refuse it.

  --dir DIR  the new data folder
  --id ID    the name of its member (a)
  --archive FOLDER  go on from the backup with the entries that members copied there (quorate serve
             --archive); may be given several times
  --at-index N  the last entry to restore; without it, the last in the archive
  --json     print the result as JSON`

/** Runs the command; resolves with its exit code. */
export async function restore(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    dir: { type: 'string' },
    id: { type: 'string', default: 'a' },
    archive: { type: 'string', multiple: true },
    'at-index': { type: 'string' },
    json: { type: 'boolean', default: false },
  })
  const { dir, id, archive, json } = flags
  const at = flags['at-index']
  const [src, ...others] = positionals
  if (src === undefined || dir === undefined || others.length > 0) {
    throw new UsageError('restore takes one BACKUP and --dir, the new data folder')
  }
  if (at !== undefined && archive === undefined) throw new UsageError('--at-index needs --archive')
  const further = {
    ...(archive && { archive }),
    ...(at !== undefined && { atIndex: wholeNumber('at-index', at, 1) }),
  }
  return longWork('restore', async (options) => {
    const restored = await Store.restore(src, dir, { ...options, ...further, id })
    if (json) print(JSON.stringify(restored, undefined, 2))
    else describe(dir, restored)
  })
}

function describe(dir: string, { id, clusterId, index }: RestoredStore): void {
  print(`${dir} is member ${id} of the new cluster ${clusterId}, at index ${count(index)}`)
}
