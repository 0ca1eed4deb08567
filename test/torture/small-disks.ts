/**
 * Disks that can be filled: a small tmpfs for each member, in which a file of the harness takes all the space but a
 * few bytes. What the members meet is the system's own ENOSPC, in the log and in LevelDB.
 */
import { execFile } from 'node:child_process'
import { mkdir, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { UsageError } from '../../src/cli/command-line.js'
import type { OpenOptions } from '../../src/index.js'

const run = promisify(execFile)

const DISK_MIB = 96
const KIB = 1024
const MIB = 1024 * KIB
const FILLER = 'filler'
const CHUNK = Buffer.alloc(MIB)

/** Sizes that fit onto such a disk. */
export const SMALL_STORAGE: NonNullable<OpenOptions['storage']> = {
  segmentBytes: MIB,
  checkpointBytes: 2 * MIB,
  keepLogBytes: 8 * MIB,
  minFreeBytes: 8 * MIB,
  writeBufferBytes: MIB,
}

/** The mounted disks of one run. */
export class SmallDisks {
  readonly #folders = new Map<string, string>()

  /** Mounts one disk for each member, below `root`. @throws {UsageError} when that is not allowed. */
  static async mount(root: string, ids: readonly string[]): Promise<SmallDisks> {
    const disks = new SmallDisks()
    for (const id of ids) {
      const folder = join(root, id)
      await mkdir(folder)
      try {
        await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', folder])
      } catch (error) {
        await disks.unmount()
        const why = error instanceof Error ? error.message.split('\n').at(-2) : String(error)
        throw new UsageError(
          `--disk-full mounts a small tmpfs for each member, which is not allowed here (${why}); ` +
            'run it as root, or under unshare --map-root-user --mount',
        )
      }
      disks.#folders.set(id, folder)
    }
    return disks
  }

  /** Takes the space of a member's disk, all but about `freeBytes`. */
  async fill(id: string, freeBytes: number): Promise<void> {
    const folder = this.#folders.get(id)
    if (folder === undefined) return
    const file = await open(join(folder, FILLER), 'w')
    try {
      for (;;) {
        const { bavail, bsize } = await statfs(folder)
        const wanted = Math.min(CHUNK.length, bavail * bsize - freeBytes)
        if (wanted <= 0) return
        await file.write(CHUNK, 0, wanted)
      }
    } catch (error) {
      // Somebody else was faster: then it is full.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
    } finally {
      await file.close()
    }
  }

  /** Gives the space back. */
  async relieve(id: string): Promise<void> {
    const folder = this.#folders.get(id)
    if (folder !== undefined) await rm(join(folder, FILLER), { force: true })
  }

  async unmount(): Promise<void> {
    for (const folder of this.#folders.values()) await run('umount', ['-l', folder])
    this.#folders.clear()
  }
}
