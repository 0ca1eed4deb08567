/**
 * The shards on one member's disk (docs/formats.md, "Shards"): segments that are appended to with group commit.
 *
 * Deleting is forgetting: the bytes of a forgotten shard stay until `reclaim` rewrites or removes their segment, and a
 * start may find the shard again. Which shards may be forgotten is for the owner to know; nothing is forgotten here by
 * itself. What `read` and `readWhole` give is not verified: wire/shard.ts does that, and knows what it should be.
 *
 * Invariants:
 *   1. a shard whose `append` has resolved is found, now and after any crash, until it is forgotten or quarantined (I9)
 *   2. a segment is removed only when none of its records is the place of a shard, so that what was moved is durable
 *      in its new place before
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import { DecodeError } from '../wire/command.js'
import { type BlobId, blobName } from '../wire/manifest.js'
import { blockPlace, openShard, type Shard, type ShardPiece, shardLayout } from '../wire/shard.js'
import { recordBytes, SHARD_FRAME_BYTES } from '../wire/shard-segment.js'
import { type ShardEntry, ShardIndex, type ShardName, type StoredShard } from './shard-index.js'
import { reclaimSegments } from './shard-reclaim.js'
import {
  isUnreadable,
  type RecoveredShards,
  recoverShards,
  type ShardDamage,
} from './shard-recovery.js'
import { Segment, SegmentFiles } from './shard-segment.js'
import { type ShardStoreOptions, ShardWriter, sealSegment } from './shard-writer.js'

/** What a start found beside whole shards. */
export interface RecoveryReport {
  /** What was stored once and cannot be read: it counts as missing. */
  readonly damage: readonly ShardDamage[]
  /** Of writes that never finished, cut off. */
  readonly tornBytes: number
}

/** A store of shards in numbers. */
export interface ShardStoreStatus {
  readonly shards: number
  /** Of the shards. */
  readonly bytes: number
  /** Of records that are not needed any more and take space until they are reclaimed. */
  readonly deadBytes: number
  readonly segments: number
  /** Damaged ones that have not been replaced. */
  readonly quarantined: number
}

/** Defaults of a store of shards. */
export const DEFAULT_SHARD_STORE: ShardStoreOptions = {
  segmentBytes: 67_108_864,
  groupBytes: 8_388_608,
  queueBytes: 33_554_432,
}

const READ_ATTEMPTS = 2

/** The shards of one member; nobody else may have them open (the member's lock sees to it). */
export class ShardStore {
  readonly recovered: RecoveryReport
  readonly #index = new ShardIndex()
  readonly #files: SegmentFiles
  readonly #segments = new Set<Segment>()
  readonly #writer: ShardWriter
  readonly #options: ShardStoreOptions
  /** Appends under way, by name. */
  readonly #appending = new Map<string, { readonly shard: Shard; readonly done: Promise<void> }>()
  /** Where the damaged record of each quarantined shard is, by name. */
  readonly #quarantined = new Map<string, Segment>()
  #reclaiming: Promise<number> | undefined
  #closing: Promise<void> | undefined

  private constructor(disk: Disk, dir: string, options: ShardStoreOptions, found: RecoveredShards) {
    this.#options = options
    this.#files = new SegmentFiles(disk)
    const conflicts = this.#takeIn(found)
    this.recovered = { damage: [...found.damage, ...conflicts], tornBytes: found.tornBytes }
    this.#writer = new ShardWriter(
      disk,
      dir,
      options,
      this.#files,
      this.#segments,
      found.lastNumber,
    )
  }

  /**
   * Opens the shards in the folder `dir`, which is created with the first append. Reads one table per sealed segment
   * and all of the newest segment; keeps half a kilobyte of memory for each blob.
   * @throws {StoreError} QUORATE_FORMAT for what a newer version wrote; else the disk's own error
   */
  static async open(disk: Disk, dir: string, options: ShardStoreOptions): Promise<ShardStore> {
    const found = await recoverShards(disk, dir)
    const store = new ShardStore(disk, dir, options, found)
    await store.#begin(disk)
    return store
  }

  /**
   * Stores a shard; resolves when it is durable, at once when it is there already. It must not change until then.
   * @throws {StoreError} by rejection: QUORATE_OVERLOADED too much waits to be written; QUORATE_CORRUPTION another
   *   shard of this name, or of this blob another key, or of this part another code is there (I4); QUORATE_NOT_OPEN
   * @throws {Error} by rejection: the disk's own; with ENOSPC and EDQUOT the store goes on as before, and with any
   *   other everything that waits to be written is rejected
   */
  append(shard: Shard): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(notOpen())
    const conflict = this.#index.conflictOf(shard.head, shard.digest)
    if (conflict !== undefined) return Promise.reject(conflicting(shard, conflict))
    if (this.#index.find(shard.head) !== undefined) return Promise.resolve()
    const name = nameOf(shard.head)
    const before = this.#appending.get(name)
    if (before === undefined) return this.#append(shard, name)
    if (before.shard.digest.equals(shard.digest)) return before.done
    return Promise.reject(conflicting(shard, 'another digest'))
  }

  /** The shard of this name. */
  find(name: ShardName): StoredShard | undefined {
    return this.#index.find(name)
  }

  /** The shards of a blob, ascending by part and index. */
  ofBlob(id: BlobId): readonly StoredShard[] {
    return this.#index.ofBlob(id)
  }

  /**
   * All shards, blob by blob. It may be left for later after any of them: what is appended and forgotten meanwhile may
   * come or not, everything else comes once.
   */
  shards(): IterableIterator<StoredShard> {
    return this.#index.entries()
  }

  /**
   * Reads the blocks `[from, to)` of a shard with what proves them; undefined when it is not there any more.
   * @throws {RangeError} when it has no such blocks
   * @throws {StoreError} by rejection: QUORATE_NOT_OPEN
   * @throws {Error} by rejection: the disk's own
   */
  read(name: ShardName, from: number, to: number): Promise<ShardPiece | undefined> {
    if (this.#closing !== undefined) return Promise.reject(notOpen())
    const entry = this.#index.find(name)
    if (entry?.segment === undefined) return Promise.resolve(undefined)
    const layout = shardLayout(entry)
    if (!(from >= 0 && from < to && to <= layout.blocks)) {
      throw new RangeError(`a shard of ${layout.blocks} blocks has no blocks ${from} to ${to}`)
    }
    const { start, end } = blockPlace(layout, entry.unit, from, to)
    const base = entry.position + SHARD_FRAME_BYTES
    return entry.segment.use(async (file) => {
      const readPart = async (first: number, last: number): Promise<Buffer> => {
        const target = Buffer.allocUnsafe(last - first)
        return target.subarray(0, await file.read(target, base + first))
      }
      const [head, blocks, footer] = await Promise.all([
        readPart(0, layout.headBytes),
        readPart(start, end),
        readPart(layout.footerAt, layout.bytes),
      ])
      return { head, footer, firstBlock: from, blocks }
    })
  }

  /** The bytes of a shard; otherwise as `read`. */
  readWhole(name: ShardName): Promise<Buffer | undefined> {
    if (this.#closing !== undefined) return Promise.reject(notOpen())
    const entry = this.#index.find(name)
    if (entry?.segment === undefined) return Promise.resolve(undefined)
    const { position, bytes } = entry
    return entry.segment.use(async (file) => {
      const target = Buffer.allocUnsafe(bytes)
      return target.subarray(0, await file.read(target, position + SHARD_FRAME_BYTES))
    })
  }

  /**
   * Reads and verifies a shard: it, `gone` when it is not there any more, or `damaged` when its bytes are not what was
   * stored, or the disk has failed twice to read them.
   * @throws as `readWhole`, but no EIO
   */
  async readSound(shard: StoredShard): Promise<Shard | 'gone' | 'damaged'> {
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      try {
        const bytes = await this.readWhole(shard)
        if (bytes === undefined) return 'gone'
        const found = openShard(bytes)
        return found.digest.equals(shard.digest) ? found : 'damaged'
      } catch (error) {
        if (error instanceof DecodeError) return 'damaged'
        if (!isUnreadable(error)) throw error
      }
    }
    return 'damaged'
  }

  /** Nobody needs this shard any more; one that is not there is left alone. */
  forget(name: ShardName): void {
    const entry = this.#index.find(name)
    if (entry !== undefined) this.#index.delete(entry)
    this.#quarantined.delete(nameOf(name))
  }

  /** This shard is damaged: it is not found any more, and the next append of its name takes its place. */
  quarantine(shard: StoredShard): void {
    const entry = this.#index.find(shard)
    if (entry === undefined || entry !== shard || entry.segment === undefined) return
    this.#quarantined.set(nameOf(entry), entry.segment)
    this.#index.delete(entry)
  }

  /**
   * Gives space back: removes segments that hold nothing, and moves up to `budgetBytes` out of those that hold little.
   * Returns what was moved. With calls that overlap the later ones get the result of the first. A damaged shard that it
   * meets is quarantined.
   * @throws {Error} by rejection: the disk's own; nothing is lost by it
   */
  reclaim(budgetBytes: number): Promise<number> {
    if (this.#closing !== undefined) return Promise.reject(notOpen())
    this.#reclaiming ??= this.#reclaim(budgetBytes).finally(() => {
      this.#reclaiming = undefined
    })
    return this.#reclaiming
  }

  status(): ShardStoreStatus {
    let deadBytes = 0
    for (const segment of this.#segments) deadBytes += segment.deadBytes
    return {
      shards: this.#index.count,
      bytes: this.#index.bytes,
      deadBytes,
      segments: this.#segments.size,
      quarantined: this.#quarantined.size,
    }
  }

  /** Writes what waits, then ends the use of the disk; reads under way are let finish. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #append(shard: Shard, name: string): Promise<void> {
    let conflict: string | undefined
    const written = this.#writer.write(shard, (segment, position) => {
      // Another shard of the blob may have come first.
      conflict = this.#index.conflictOf(shard.head, shard.digest)
      if (conflict !== undefined) return
      this.#index.place(shard.head, shard.digest, segment, position)
      this.#quarantined.delete(name)
    })
    const done = written
      .finally(() => this.#appending.delete(name))
      .then(() => {
        if (conflict !== undefined) throw conflicting(shard, conflict)
      })
    this.#appending.set(name, { shard, done })
    return done
  }

  #reclaim(budgetBytes: number): Promise<number> {
    return reclaimSegments(this.#segments, this.#options.segmentBytes, budgetBytes, {
      readSound: (entry) => this.readSound(entry),
      move: (entry, shard) => this.#move(entry, shard),
      quarantine: (entry) => this.quarantine(entry),
      remove: (segment) => this.#remove(segment),
    })
  }

  /** Writes a shard again; unless it was forgotten meanwhile, the new place counts. */
  #move(entry: ShardEntry, shard: Shard): Promise<void> {
    return this.#writer.write(shard, (segment, position) => {
      if (entry.isStored) this.#index.move(entry, segment, position)
    })
  }

  async #remove(segment: Segment): Promise<void> {
    await segment.remove()
    this.#segments.delete(segment)
    for (const [name, place] of this.#quarantined) {
      if (place === segment) this.#quarantined.delete(name)
    }
  }

  /** Of two records of one shard the later one counts; what contradicts an earlier one is damage. */
  #takeIn(found: RecoveredShards): ShardDamage[] {
    const conflicts: ShardDamage[] = []
    for (const facts of found.segments) {
      const segment = new Segment(this.#files, facts)
      this.#segments.add(segment)
      for (const { head, digest, position } of facts.rows) {
        const conflict = this.#index.conflictOf(head, digest)
        if (conflict === undefined) this.#index.place(head, digest, segment, position)
        else {
          const { id, part, index } = head
          const reason = `an earlier shard of this name has ${conflict}`
          conflicts.push({ path: facts.path, position, reason, shard: { id, part, index } })
        }
      }
    }
    return conflicts
  }

  /** Goes on in the newest segment if it is whole; the others get the tables that they lack. */
  async #begin(disk: Disk): Promise<void> {
    const newest = [...this.#segments].at(-1)
    for (const segment of this.#segments) {
      if (segment.state === 'sealed') continue
      const hasRoom = segment.end < this.#options.segmentBytes
      if (segment === newest && segment.state === 'open' && hasRoom) {
        await this.#writer.goOnIn(segment)
        continue
      }
      const file = await disk.open(segment.path, 'write')
      await sealSegment(segment, file)
      await file.close()
    }
  }

  async #close(): Promise<void> {
    // Whoever began it is told how it ended.
    await this.#reclaiming?.catch(() => undefined)
    await this.#writer.close()
    await this.#files.close()
  }
}

function nameOf({ id, part, index }: ShardName): string {
  return `${blobName(id)}-${part}-${index}`
}

function notOpen(): StoreError {
  return new StoreError('QUORATE_NOT_OPEN', 'the shards are closed')
}

function conflicting({ head }: Shard, what: string): StoreError {
  const words = `of shard ${head.index} of part ${head.part} of blob ${blobName(head.id)}`
  return new StoreError('QUORATE_CORRUPTION', `${words} there is one with ${what}`)
}

/** The space that a shard takes on the disk. */
export function storedBytes(shard: StoredShard): number {
  return recordBytes(shard.bytes)
}
