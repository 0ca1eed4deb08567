/**
 * Chunks on their way into a folder of a backup: what is there already, or in an earlier backup, is not written again;
 * of the rest some are written at a time, because each waits for an fsync of its own.
 */
import type { Disk } from '../env/disk.js'
import { type ChunkName, ChunkStore, nameOf } from './chunk-store.js'
import type { ChunkContent } from './image.js'

/** Chunks are written until so much is under way. */
const WRITING_BYTES_MAX = 4 * 1024 * 1024

/** Hears of each chunk that the backup has now. */
export type OnKept = (chunk: ChunkName, how: 'written' | 'shared') => void

/** See the file's comment. */
export class ChunkSink {
  readonly #store: ChunkStore
  readonly #earlier: ChunkStore | undefined
  readonly #onKept: OnKept
  /** By the chunk's name. */
  readonly #underWay = new Map<string, Promise<void>>()
  #bytes = 0
  #failure: { readonly error: unknown } | undefined

  /** @param earlier the same folder of an earlier backup, to share chunks with */
  static async open(
    disk: Disk,
    dir: string,
    earlier: ChunkStore | undefined,
    onKept: OnKept,
  ): Promise<ChunkSink> {
    return new ChunkSink(await ChunkStore.open(disk, dir), earlier, onKept)
  }

  private constructor(store: ChunkStore, earlier: ChunkStore | undefined, onKept: OnKept) {
    this.#store = store
    this.#earlier = earlier
    this.#onKept = onKept
  }

  /** What has been written. */
  get store(): ChunkStore {
    return this.#store
  }

  /** Keeps a chunk, of whose bytes it makes a copy; waits while many are under way. */
  async keep(chunk: ChunkName, content: ChunkContent): Promise<void> {
    if (await this.#isThere(chunk)) {
      this.#onKept(chunk, 'shared')
      return
    }
    this.#write(chunk, Buffer.from(await content()))
    while (this.#bytes >= WRITING_BYTES_MAX) await Promise.race(this.#underWay.values())
    this.#throwFailure()
    this.#onKept(chunk, 'written')
  }

  /** Resolves when nothing is being written any more; never rejects. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay.values())
  }

  /** Makes all that was kept durable, and removes every chunk but `wanted`. @throws what a write failed with */
  async finish(wanted: readonly ChunkName[]): Promise<void> {
    await this.settled()
    this.#throwFailure()
    await this.#store.retain(wanted)
    await this.#store.sync()
  }

  /** Whether the chunk is there or on its way, or could be shared; a copy that rotted is not. */
  async #isThere(chunk: ChunkName): Promise<boolean> {
    if (this.#underWay.has(nameOf(chunk))) return true
    if (await this.#store.holds(chunk)) return true
    return this.#earlier !== undefined && (await this.#store.linkFrom(this.#earlier, chunk))
  }

  #write(chunk: ChunkName, bytes: Buffer): void {
    this.#bytes += chunk.bytes
    const name = nameOf(chunk)
    const writing = this.#put(chunk, bytes).finally(() => {
      this.#bytes -= chunk.bytes
      this.#underWay.delete(name)
    })
    this.#underWay.set(name, writing)
  }

  /** Never rejects. */
  async #put(chunk: ChunkName, bytes: Buffer): Promise<void> {
    try {
      await this.#store.put(chunk, bytes)
    } catch (error) {
      this.#failure ??= { error }
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
