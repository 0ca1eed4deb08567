/**
 * The shards that lie on the simulated disks, found from the outside: every shard in a file is looked for by its first
 * bytes and verified on its own. What files are called, how they are laid out and what the store knows about them does
 * not count here.
 */
import { DecodeError } from '../../wire/command.js'
import { type BlobId, blobName } from '../../wire/manifest.js'
import { decodeShardHead, openShard, type Shard, shardLayout } from '../../wire/shard.js'
import type { SimDisk } from '../sim-disk.js'

/** Where shards may be looked for. */
export interface ShardDisk {
  readonly host: { readonly disk: SimDisk }
  /** Goes up when its bytes may be others than those that were looked at. */
  readonly generation: number
}

/** The bytes that each shard begins with. */
const MAGIC = Buffer.from('QSHD', 'latin1')
const DIR = 'data/blobs'

interface ScannedFile {
  generation: number
  /** The end of the last shard. */
  end: number
  /** What is there behind it, such as a table, is looked at once. */
  bytes: number
  /** By part, then by index. */
  readonly shards: Map<string, Map<number, Shard>>
}

/** Names a shard in maps. */
export function shardName(id: BlobId, part: number, index: number): string {
  return `${partName(id, part)}/${index}`
}

/** The shards of one machine; see the file's comment. */
export class ShardsOnDisk {
  readonly #at: ShardDisk
  readonly #files = new Map<string, ScannedFile>()

  constructor(at: ShardDisk) {
    this.#at = at
  }

  /** What would be left if the power went now, and nothing else: it is durable. */
  find(id: BlobId, part: number, index: number): Shard | undefined {
    return this.#foundOf(id, part).get(index)
  }

  /** Those of one part, one of each index. */
  ofPart(id: BlobId, part: number): Shard[] {
    return [...this.#foundOf(id, part).values()]
  }

  #foundOf(id: BlobId, part: number): ReadonlyMap<number, Shard> {
    const name = partName(id, part)
    const found = new Map<number, Shard>()
    for (const [path, bytes] of this.#at.host.disk.durableIn(DIR)) {
      for (const [index, shard] of this.#scan(path, bytes).get(name) ?? []) found.set(index, shard)
    }
    return found
  }

  /** Files grow at their end; what was looked at is looked at again when it may have changed otherwise. */
  #scan(path: string, bytes: Buffer): ScannedFile['shards'] {
    const { generation } = this.#at
    let file = this.#files.get(path)
    if (file === undefined || file.generation !== generation || file.end > bytes.length) {
      file = { generation, end: 0, bytes: 0, shards: new Map() }
      this.#files.set(path, file)
    }
    if (file.bytes === bytes.length) return file.shards
    file.bytes = bytes.length
    let at = bytes.indexOf(MAGIC, file.end)
    while (at !== -1) {
      const shard = shardAt(bytes, at)
      if (shard !== undefined) {
        note(file, shard)
        file.end = at + shard.layout.bytes
      }
      at = bytes.indexOf(MAGIC, shard === undefined ? at + 1 : file.end)
    }
    return file.shards
  }
}

function note({ shards }: ScannedFile, shard: Shard): void {
  const { id, part, index } = shard.head
  const name = partName(id, part)
  const known = shards.get(name)
  if (known === undefined) shards.set(name, new Map([[index, shard]]))
  else known.set(index, shard)
}

function partName(id: BlobId, part: number): string {
  return `${blobName(id)}/${part}`
}

/** The shard that begins there and is whole. */
function shardAt(bytes: Buffer, at: number): Shard | undefined {
  try {
    const rest = bytes.subarray(at)
    return openShard(rest.subarray(0, shardLayout(decodeShardHead(rest)).bytes))
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}
