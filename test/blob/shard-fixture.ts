/** A store of shards on a simulated disk, and shards whose bytes follow from their names. */
import assert from 'node:assert/strict'
import type { ShardName, StoredShard } from '../../src/blob/shard-index.js'
import { ShardStore } from '../../src/blob/shard-store.js'
import type { ShardStoreOptions } from '../../src/blob/shard-writer.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { SimWorld } from '../../src/sim/world.js'
import { openShard, type Shard, sealShard, shardLayout } from '../../src/wire/shard.js'

export const DIR = 'data/blobs'
export const OPTIONS: ShardStoreOptions = {
  segmentBytes: 16_384,
  groupBytes: 8_192,
  queueBytes: 65_536,
}

/** One machine: its disk, and the shards of the process that runs on it. */
export class ShardHost {
  readonly world: SimWorld
  readonly disk: SimDisk
  readonly #options: ShardStoreOptions
  #store: ShardStore | undefined

  constructor(seed: number, options: Partial<ShardStoreOptions>) {
    this.world = new SimWorld(seed)
    this.disk = new SimDisk(this.world, 'host', {})
    this.#options = { ...OPTIONS, ...options }
  }

  static async start(options: Partial<ShardStoreOptions>): Promise<ShardHost> {
    const host = new ShardHost(1, options)
    await host.open()
    return host
  }

  get store(): ShardStore {
    assert.ok(this.#store)
    return this.#store
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, 600_000)
  }

  /** Opens the shards as a new process would. */
  async open(): Promise<ShardStore> {
    this.#store = await this.run(this.begin())
    return this.#store
  }

  /** As `open`, but time passes only when the caller lets it. */
  begin(): Promise<ShardStore> {
    return ShardStore.open(this.disk.mount(), DIR, this.#options)
  }

  async append(...shards: readonly Shard[]): Promise<void> {
    await this.run(Promise.all(shards.map((shard) => this.store.append(shard))))
  }

  /** The shard, read back and verified; undefined when it is not there. */
  async read(name: ShardName): Promise<Shard | undefined> {
    const bytes = await this.run(this.store.readWhole(name))
    return bytes && openShard(bytes)
  }

  /** Everything that is there, read back and verified, by `nameOf`, in the words of `describe`. */
  async contents(): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    for (const stored of this.store.shards()) {
      const shard = await this.read(stored)
      assert.ok(shard)
      assert.ok(shard.digest.equals(stored.digest) && isSame(shard.head, stored))
      found.set(nameOf(stored), shard.digest.toString('hex'))
    }
    return found
  }

  /** The files in the folder. */
  get files(): string[] {
    return this.disk.paths(DIR)
  }
}

function isSame(name: ShardName, stored: StoredShard): boolean {
  return nameOf(name) === nameOf(stored)
}

export function nameOf({ id, part, index }: ShardName): string {
  return `${id.term}-${id.proposer}-${id.seq} ${part}/${index}`
}

/** The shard number `seq`, whose body has so many bytes. */
export function shard(seq: number, bytes: number, part = 0, index = 1): Shard {
  const head = {
    clusterId: Buffer.from('cluster!'),
    id: { term: 2, proposer: 3, seq },
    part,
    index,
    dataShards: 2,
    partBytes: 2 * bytes,
    unit: 512,
    key: Buffer.from(`key ${seq}`),
  }
  const body = Buffer.alloc(shardLayout(head).bodyBytes)
  for (let i = 0; i < body.length; i++) body[i] = (seq * 31 + part * 7 + i * 13 + (i >> 8)) & 0xff
  return sealShard(head, body)
}

/** Whether an error is the disk's own with this code. */
export function isSystem(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Error && 'code' in error && error.code === code
}
