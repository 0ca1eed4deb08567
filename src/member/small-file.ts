/**
 * Files of a few bytes that are replaced as a whole: after a crash either the old bytes are there or the new ones, and
 * what was written stays.
 */
import type { Disk } from '../env/disk.js'
import { readWhole, UNFINISHED, writeWhole } from '../snapshot/whole-file.js'

const BYTES_MAX = 1 << 20

/** Makes `bytes` the durable content of the file `name` in the folder `dir`. */
export async function writeSmallFile(
  disk: Disk,
  dir: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const unfinished = `${name}${UNFINISHED}`
  if (((await disk.list(dir)) ?? []).includes(unfinished)) await disk.remove(`${dir}/${unfinished}`)
  await writeWhole(disk, `${dir}/${name}`, bytes)
  await disk.syncDir(dir)
}

/** The bytes of a file. @throws {StoreError} QUORATE_CORRUPTION when it has more than a MiB */
export function readSmallFile(disk: Disk, path: string): Promise<Buffer> {
  return readWhole(disk, path, BYTES_MAX)
}
