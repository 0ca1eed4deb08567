/**
 * The state at one log index as bytes that are the same on every member: the records of the database in key order,
 * cut into chunks, read straight from a snapshot of the database while writes go on.
 *
 * Invariants:
 *   1. manifest and chunks depend on the records alone: not on when they were written, or in which batches, or where
 *      LevelDB keeps them
 *   2. at most one chunk for each call under way is in memory, and no turn of the event loop takes more than a few
 *      milliseconds: the cursor brings 64 KiB or one value at a time
 *   3. a state whose values fail their checksums gets no manifest: damage is neither sent nor backed up
 */
import { asBuffer, compareBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Cursor, DatabaseSnapshot } from '../env/database.js'
import { MEMBERS_KEY, META_KEY } from '../machine/key-space.js'
import { proveRecord } from '../machine/prove-record.js'
import { decodeStateRecord, type StateRecord } from '../machine/state-record.js'
import type { LogIndex, Term } from '../raft/types.js'
import { type ImageManifest, sealManifest } from '../wire/image.js'
import { ChunkWriter, describeChunk, type ImageChunk } from '../wire/image-chunk.js'

const SLICE_ENTRIES = 1000
const SLICE_BYTES = 65_536

/** Brings the bytes of a chunk, which hold until the visitor's promise settles. */
export type ChunkContent = () => Buffer | Promise<Buffer>
/** Hears of each chunk in order while a manifest is made. */
export type ChunkVisitor = (chunk: ImageChunk, content: ChunkContent) => Promise<void> | void

/** An image; see the file's comment. Owns its snapshot: must be closed. */
export class Image {
  readonly index: LogIndex
  readonly term: Term
  readonly #snapshot: DatabaseSnapshot
  readonly #clusterId: string
  readonly #state: StateRecord
  readonly #members: Uint8Array
  readonly #underWay = new Set<Promise<unknown>>()
  #manifest: Promise<ImageManifest> | undefined
  #isClosed = false

  /**
   * @param clusterId 8 bytes in hexadecimal
   * @throws {StoreError} QUORATE_NOT_READY when nothing was ever applied; QUORATE_CORRUPTION
   */
  constructor(snapshot: DatabaseSnapshot, clusterId: string) {
    const record = snapshot.get(META_KEY)
    if (record === undefined) {
      throw new StoreError('QUORATE_NOT_READY', 'there is no state yet: nothing was ever applied')
    }
    const members = snapshot.get(MEMBERS_KEY)
    if (members === undefined) {
      throw new StoreError('QUORATE_CORRUPTION', 'the state has no members')
    }
    this.#snapshot = snapshot
    this.#clusterId = clusterId
    this.#state = decodeStateRecord(asBuffer(record))
    this.#members = members
    this.index = this.#state.appliedIndex
    this.term = this.#state.appliedTerm
  }

  /**
   * The chunk that begins at `firstKey`: about 1 MiB, and at most CHUNK_BYTES_MAX, in memory of its own.
   * @throws {StoreError} QUORATE_CORRUPTION when no record has this key: the asker's image is another one
   */
  readChunk(firstKey: Uint8Array): Promise<Buffer> {
    return this.#own(this.#readChunk(firstKey))
  }

  /**
   * What the image is made of; shared by all callers, made at the first call by reading everything once.
   * @throws {StoreError} QUORATE_CORRUPTION naming a value that fails its checksum; QUORATE_ABORTED by the signal of
   *   the first caller. The next call begins anew.
   */
  manifest(signal?: AbortSignal): Promise<ImageManifest> {
    this.#manifest ??= this.scan(() => {}, signal).catch((error) => {
      this.#manifest = undefined
      throw error
    })
    return this.#manifest
  }

  /** Makes the manifest and shows every chunk on the way. Errors as of `manifest`, and those of `visit`. */
  scan(visit: ChunkVisitor, signal?: AbortSignal): Promise<ImageManifest> {
    return this.#own(this.#scan(visit, signal))
  }

  /** Ends calls under way with QUORATE_NOT_OPEN and gives the snapshot back. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await Promise.allSettled(this.#underWay)
    await this.#snapshot.close()
  }

  async #readChunk(firstKey: Uint8Array): Promise<Buffer> {
    const writer = new ChunkWriter()
    await this.#forEach(firstKey, undefined, (key, value) => {
      if (writer.isEmpty && compareBytes(key, firstKey) !== 0) return 'stop'
      if (!writer.takes(key)) return 'stop'
      writer.add(key, value)
      return writer.isFull ? 'stop' : undefined
    })
    if (!writer.isEmpty) return writer.take()
    throw new StoreError(
      'QUORATE_CORRUPTION',
      `no chunk of the state at index ${this.index} begins where it was asked for`,
    )
  }

  async #scan(visit: ChunkVisitor, signal: AbortSignal | undefined): Promise<ImageManifest> {
    const writer = new ChunkWriter()
    const chunks: ImageChunk[] = []
    const finish = async (): Promise<void> => {
      const bytes = writer.take()
      const chunk = describeChunk(bytes)
      chunks.push(chunk)
      await visit(chunk, () => bytes)
    }
    await this.#forEach(undefined, signal, (key, value) => {
      proveRecord(key, value)
      if (!writer.takes(key)) return finish().then(() => writer.add(key, value))
      writer.add(key, value)
      return undefined
    })
    await finish()
    const { conf, digest, sessions } = this.#state
    const { index, term } = this
    const header = { clusterId: this.#clusterId, index, term, conf, digest, sessions }
    return sealManifest({ ...header, members: this.#members }, chunks)
  }

  /** Runs `visit` over the records from `from` on, until it says stop. */
  async #forEach(
    from: Uint8Array | undefined,
    signal: AbortSignal | undefined,
    visit: (key: Uint8Array, value: Uint8Array) => 'stop' | Promise<void> | undefined,
  ): Promise<void> {
    this.#refuseIfEnded(signal)
    const range = from === undefined ? {} : { gte: from }
    const cursor: Cursor = this.#snapshot.cursor({ range, reverse: false })
    // LevelDB's thread reads the next slice while this one is looked at.
    const readAhead = (): ReturnType<Cursor['next']> => {
      const reading = cursor.next(SLICE_ENTRIES, SLICE_BYTES)
      reading.catch(() => {}) // whoever waits for it hears of it
      return reading
    }
    let ahead = readAhead()
    try {
      for (;;) {
        const slice = await ahead
        this.#refuseIfEnded(signal)
        if (slice.length === 0) return
        ahead = readAhead()
        for (const [key, value] of slice) {
          const wish = visit(key, value)
          if (wish === 'stop') return
          if (wish !== undefined) await wish
        }
      }
    } finally {
      await Promise.allSettled([ahead])
      await cursor.close()
    }
  }

  #refuseIfEnded(signal: AbortSignal | undefined): void {
    if (this.#isClosed) throw new StoreError('QUORATE_NOT_OPEN', 'the image is closed')
    if (signal?.aborted === true) throw abortedBy(signal)
  }

  #own<T>(work: Promise<T>): Promise<T> {
    const settled = work.finally(() => this.#underWay.delete(settled))
    this.#underWay.add(settled)
    return settled
  }
}

/** What a call that was aborted by `signal` ends with. */
export function abortedBy(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the call was aborted', { cause: signal.reason })
}
