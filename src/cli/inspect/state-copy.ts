/**
 * A member's LevelDB, read without being changed: opening one writes to its folder, and a start removes its logs. So a
 * temporary folder is made of links to its tables, which LevelDB never changes, and copies of the small files that say
 * which of them count; what is opened is that, at its last flush, as a start would.
 */
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { LevelDatabases } from '../../env/level-database.js'
import { StateMachine } from '../../machine/state-machine.js'
import { changeConfiguration, firstConfiguration } from '../../member/directory.js'
import type { Identity } from '../../member/identity.js'
import { MAX_SESSIONS } from '../../member/storage.js'

const MEMORY = { writeBufferBytes: 16 * 1024 * 1024, cacheBytes: 8 * 1024 * 1024 }
const TABLE = /\.(ldb|sst)$/
const NEEDED = /^(CURRENT|MANIFEST-\d+)$/

/** A copy of a state; must be closed, which removes it. */
export interface StateCopy {
  readonly machine: StateMachine
  close(): Promise<void>
}

/**
 * Opens a copy of the state in `stateDir`. Entries may be applied to it; the original stays as it is.
 * @throws {StoreError} QUORATE_CORRUPTION, QUORATE_FORMAT
 */
export async function openStateCopy(stateDir: string, identity: Identity): Promise<StateCopy> {
  const root = await mkdtemp(join(tmpdir(), 'quorate-inspect-'))
  try {
    const copy = join(root, 'state')
    await mkdir(copy)
    for (const name of await readdir(stateDir)) {
      const [from, to] = [resolve(stateDir, name), join(copy, name)]
      if (TABLE.test(name)) await link(from, to)
      else if (NEEDED.test(name)) await copyFile(from, to)
    }
    const machine = await StateMachine.open(new LevelDatabases(MEMORY), copy, {
      maxSessions: MAX_SESSIONS,
      historyBytes: 0,
      initial: firstConfiguration(identity.firstMembers),
      confChange: changeConfiguration,
    })
    return {
      machine,
      close: async () => {
        await machine.close()
        await rm(root, { recursive: true })
      },
    }
  } catch (error) {
    await rm(root, { recursive: true })
    throw error
  }
}

async function link(from: string, to: string): Promise<void> {
  try {
    await symlink(from, to)
  } catch {
    // Not allowed here (Windows): it takes longer, and is the same.
    await copyFile(from, to)
  }
}
