/** Parts of large values that one member's shards alone are enough for: those that are coded with k = 1. */
import { StoreError } from '../base/errors.js'
import { DecodeError } from '../wire/command.js'
import { type BlobPart, isSameBlob, partDigest, SLOT_MAX } from '../wire/manifest.js'
import { openShard, type Shard } from '../wire/shard.js'
import type { LargeName } from './reseal.js'
import type { ShardStore } from './shard-store.js'

/** The bytes of the part; undefined when they are not all in `store`. @throws {Error} the disk's own */
export async function lonePart(
  store: ShardStore,
  { manifest: { id } }: LargeName,
  part: BlobPart,
): Promise<Buffer | undefined> {
  if (part.dataShards > 1) return undefined
  for (let index = 0; index <= SLOT_MAX; index++) {
    const found = store.find({ id, part: part.number, index })
    if (found === undefined) continue
    const bytes = await store.readWhole(found)
    const shard = bytes && opened(bytes)
    if (shard === undefined || !isSameBlob(shard.head.id, id)) continue
    if (shard.body.length === part.bytes && partDigest(shard.body).equals(part.digest)) {
      return shard.body
    }
  }
  return undefined
}

function opened(bytes: Buffer): Shard | undefined {
  try {
    return openShard(bytes)
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

/** What somebody is told who asks one member alone for what it takes several to read. */
export function needsOthers(key: Uint8Array): StoreError {
  const shown = Buffer.from(key.subarray(0, 64)).toString('hex')
  return new StoreError(
    'QUORATE_BLOB_UNREADABLE',
    `the large value under key 0x${shown} lies in shards of several members: let a running one make the backup`,
  )
}
