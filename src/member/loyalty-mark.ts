/**
 * The file `loyal` in the data folder of a member that promises loyalty to leaders: for how long. A member that is
 * started without that promise, or with a shorter one, waits out what its former life may have promised last.
 */
import type { Disk } from '../env/disk.js'
import type { Time } from '../env/time.js'
import { readSmallFile, writeSmallFile } from './small-file.js'

const FILE = 'loyal'
const MS_MAX = 3_600_000

/**
 * Waits if it has to, and remembers `promisedMs`; 0: nothing is promised any more. To be called before the member takes
 * part in anything.
 */
export async function renewPromise(
  disk: Disk,
  time: Time,
  dir: string,
  promisedMs: number,
): Promise<void> {
  const isMarked = ((await disk.list(dir)) ?? []).includes(FILE)
  const formerMs = isMarked ? await formerPromise(disk, dir) : 0
  if (formerMs === promisedMs) return
  if (formerMs > promisedMs) {
    await new Promise<void>((resolve) => time.after(formerMs, resolve))
  }
  if (promisedMs > 0) await writeSmallFile(disk, dir, FILE, Buffer.from(`${promisedMs}\n`))
  else await disk.remove(`${dir}/${FILE}`)
}

/** What cannot be read may have been as long as any. */
async function formerPromise(disk: Disk, dir: string): Promise<number> {
  const ms = Number((await readSmallFile(disk, `${dir}/${FILE}`)).toString('utf8'))
  return ms > 0 && ms <= MS_MAX ? ms : MS_MAX
}
