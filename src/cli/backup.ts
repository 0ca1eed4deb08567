/** `quorate backup`: backs up a running member over the network, or the folder of one that is not running. */
import { nodeEnv } from '../env/node-env.js'
import type { BackupResult } from '../index.js'
import { backupFolder, type OfflineBackup } from '../member/offline.js'
import { type BackupOptions, writeBackup } from '../snapshot/backup.js'
import { RemoteState } from '../store/remote-state.js'
import type { Protection } from '../transport/protection.js'
import { ask } from './asking.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { longWork } from './long-work.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readProtection } from './protection.js'
import { bytes, complain, count, print } from './terminal.js'

const DEFAULT_TIMEOUT_MS = 10_000

/** What `quorate backup --help` prints. */
export const BACKUP_HELP: string = `quorate backup DEST --at ADDRESS [--since EARLIER]
quorate backup DEST --dir DIR [--since EARLIER]

Writes a backup into the folder DEST: of a running member, which goes on meanwhile and sends its state here,
or of the data folder of a member that is not running.

  --at ADDRESS     a member's address (host:port or unix:/path)
  --stale          with --at: what that member has, without asking a majority whether it is the newest
  --timeout-ms N   with --at: how long it may take to connect and to reach the newest state (${DEFAULT_TIMEOUT_MS})
  --dir DIR        a data folder
  --since EARLIER  an earlier backup: what has not changed is shared with it (hard links), and not fetched;
                   both stay complete, and either may be removed
  --json           print the result as JSON
${PROTECTION_HELP}`

/** LevelDB's, for a folder that is read once. */
const MEMORY = { writeBufferBytes: 16 * 1024 * 1024, cacheBytes: 1024 * 1024 }

/** Runs the command; resolves with its exit code. */
export async function backup(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    at: { type: 'string' },
    stale: { type: 'boolean', default: false },
    'timeout-ms': { type: 'string', default: String(DEFAULT_TIMEOUT_MS) },
    dir: { type: 'string' },
    since: { type: 'string' },
    json: { type: 'boolean', default: false },
    ...PROTECTION_FLAGS,
  })
  const { at, dir, since, json } = flags
  const [dest, ...others] = positionals
  if (dest === undefined || others.length > 0 || (at === undefined) === (dir === undefined)) {
    throw new UsageError(
      'backup takes one DEST, and --at, a running member, or --dir, a data folder',
    )
  }
  const timeoutMs = wholeNumber('timeout-ms', flags['timeout-ms'], 1)
  const protection = await readProtection(flags)
  const level = flags.stale ? 'eventual' : 'strong'
  return longWork('backup', async (options) => {
    const result =
      at === undefined
        ? await backupFolder(nodeEnv(MEMORY), dir!, dest, { ...options, since })
        : await fetchBackup({ at, level, timeoutMs, protection }, dest, { ...options, since })
    if (json) print(JSON.stringify(result, undefined, 2))
    else describe(dest, result)
  })
}

interface Asked {
  readonly at: string
  readonly level: 'strong' | 'eventual'
  readonly timeoutMs: number
  readonly protection: Protection
}

async function fetchBackup(
  { at, level, timeoutMs, protection }: Asked,
  dest: string,
  options: BackupOptions,
): Promise<BackupResult> {
  return ask(at, protection, timeoutMs, (connection) => {
    const { disk } = nodeEnv(MEMORY)
    return writeBackup(disk, new RemoteState(connection, level, timeoutMs), dest, options)
  })
}

function describe(dest: string, result: BackupResult | OfflineBackup): void {
  const { index, chunksWritten, chunksShared } = result
  print(`${dest} holds the state at index ${count(index)}: ${bytes(result.bytes)}`)
  print(`${count(chunksWritten)} chunks written, ${count(chunksShared)} shared`)
  if (!('unproven' in result) || result.unproven === 0) return
  complain(
    `${count(result.unproven)} more entries are in the log; whether they are committed only the ` +
      'cluster knows. To have them in a backup, let a running member make it (--at).',
  )
}
