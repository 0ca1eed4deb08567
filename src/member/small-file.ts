/**
 * Files of a few bytes that are replaced as a whole: after a crash either the old bytes are there or the new ones.
 *
 * The new bytes are written under a temporary name, synced, renamed, and the folder is synced.
 */
import type { Disk } from '../env/disk.js'

const BYTES_MAX = 1 << 20

/** Makes `bytes` the durable content of the file `name` in the folder `dir`. */
export async function writeSmallFile(
  disk: Disk,
  dir: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const temporary = `${dir}/${name}.tmp`
  if (((await disk.list(dir)) ?? []).includes(`${name}.tmp`)) await disk.remove(temporary)
  const file = await disk.open(temporary, 'create')
  try {
    await file.write([bytes], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, `${dir}/${name}`)
  await disk.syncDir(dir)
}

/** The bytes of a file, at most a MiB of them. */
export async function readSmallFile(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, 'read')
  try {
    const bytes = Buffer.alloc(Math.min(await file.size(), BYTES_MAX))
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}
