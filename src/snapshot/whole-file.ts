/**
 * Files that are written once, as a whole: under its name a file is complete, whatever a power cut left.
 *
 * The bytes go to `<path>.new`, are made durable and then renamed. The name itself is durable when the caller has
 * synced the folder.
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'

/** What the name of a file that is being written ends with. */
export const UNFINISHED = '.new'

/** Writes the file `path`; one that has the name already is replaced. On failure nothing new has the name. */
export async function writeWhole(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const unfinished = `${path}${UNFINISHED}`
  const file = await disk.open(unfinished, 'create')
  try {
    await file.write([bytes], 0)
    await file.sync()
    await disk.rename(unfinished, path)
  } catch (error) {
    // It would be in the way of the next attempt. What matters to the caller is the first failure.
    await disk.remove(unfinished).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

/**
 * The bytes of the file `path`.
 * @throws {StoreError} QUORATE_CORRUPTION when it has more than `bytesMax`: it is not what it should be
 */
export async function readWhole(disk: Disk, path: string, bytesMax: number): Promise<Buffer> {
  const file = await disk.open(path, 'read')
  try {
    const size = await file.size()
    if (size > bytesMax) {
      throw new StoreError('QUORATE_CORRUPTION', `${path} has ${size} bytes, over ${bytesMax}`)
    }
    const bytes = Buffer.allocUnsafe(size)
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}
