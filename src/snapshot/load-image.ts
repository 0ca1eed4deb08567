/**
 * Makes an empty database hold exactly the state of an image. A load that failed leaves a database that is good for
 * nothing: its owner removes it.
 */
import { StoreError } from '../base/errors.js'
import type { Database } from '../env/database.js'
import type { ImageManifest } from '../wire/image.js'
import { type ChunkReader, visitRecords } from './image-records.js'

/** A batch is written when it holds so much, so that it holds up a turn of the event loop for a few ms at most. */
const BATCH_ENTRIES = 1024
const BATCH_BYTES = 524_288

/**
 * Loads the image of `manifest`, whose chunks `read` brings, into `database`, which must be empty, and makes it
 * durable. One chunk is in memory at a time.
 * @throws {StoreError} QUORATE_CORRUPTION when anything is not as the manifest says; QUORATE_NO_SPACE when the
 *   database could not be made durable; what `read` throws
 */
export async function loadImage(
  manifest: ImageManifest,
  read: ChunkReader,
  database: Database,
): Promise<void> {
  await requireEmpty(database)
  let batch = database.batch()
  let [entries, bytes] = [0, 0]
  const write = async (): Promise<void> => {
    await batch.write()
    batch = database.batch()
    entries = 0
    bytes = 0
  }
  await visitRecords(manifest, read, (key, value) => {
    batch.put(key, value)
    entries++
    bytes += key.length + value.length
    return entries >= BATCH_ENTRIES || bytes >= BATCH_BYTES ? write() : undefined
  })
  await write()
  if (await database.flush()) return
  throw new StoreError('QUORATE_NO_SPACE', 'the state that was loaded did not reach the disk', {
    retryable: true,
  })
}

/** Old records between those of the image would stay: a database that is not empty is the caller's mistake. */
async function requireEmpty(database: Database): Promise<void> {
  const snapshot = database.snapshot()
  const cursor = snapshot.cursor({ range: {}, reverse: false })
  const [record] = await cursor.next(1, 1).finally(() => snapshot.close())
  if (record !== undefined) throw new TypeError('an image is loaded into an empty database')
}
