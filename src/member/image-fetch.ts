/**
 * Fetches an image that was offered: first the manifest from who offered it, then the chunks that are missing here,
 * from several members at once, into a ChunkStore.
 *
 * Nothing that comes is believed: the manifest must have the root that was offered, each chunk its hash. What fails
 * is asked for elsewhere. Bounded: WINDOW_BYTES of chunks under way, or one chunk; one ask under way per worker.
 * What has arrived stays, so a fetch that was broken off goes on where it ended, also after a restart and for another
 * image: chunks are named by what is in them.
 */
import { EMPTY } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Time, TimerHandle } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import type { ChunkStore } from '../snapshot/chunk-store.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, type ImageManifest } from '../wire/image.js'
import type { ImageChunk } from '../wire/image-chunk.js'
import type { Ask, Offer, Piece } from '../wire/snapshot-transfer.js'

/** Workers, each with one chunk under way. */
const WORKERS_MAX = 4
/** Bytes of chunks under way at once, unless a single one is larger. */
const WINDOW_BYTES = 8 * 1024 * 1024
/** An ask that is not answered for so long is made elsewhere, or again. */
const ANSWER_MS = 3_000
/** Before a member is asked again that was busy or not connected. */
const PAUSE_MS = 100
/** While others can be asked, such a member is left alone for so long. */
const REST_MS = 1_000
/** Without a single piece for so long the fetch has failed. */
const STALLED_MS = 20_000
/** A holder that gave wrong bytes so often is not asked any more. */
const FAULTS_MAX = 3

/** What a fetch works with. */
export interface FetchParts {
  readonly time: Time
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly store: ChunkStore
  readonly maxPieceBytes: number
  /** False when it was dropped. */
  ask(to: NodeId, ask: Ask): boolean
  /** Asks are numbered without end, so that a late answer to an earlier fetch is none to this one. */
  nextId(): number
}

interface Source {
  readonly node: NodeId
  underWay: number
  faults: number
  /** Did not answer, or is busy: asked again from here on, or when there is nobody else. */
  restsUntil: number
}

interface Waiting {
  readonly node: NodeId
  readonly timer: TimerHandle
  settle(piece: Piece | undefined): void
}

/** One fetch; see the file's comment. */
export class ImageFetch {
  readonly offer: Offer
  readonly #parts: FetchParts
  readonly #source: NodeId
  #sources: Source[]
  readonly #waiting = new Map<number, Waiting>()
  #queue: ImageChunk[] = []
  #heardAt: number
  #failure: Error | undefined
  #bytes = 0
  #totalBytes = 0

  /** @param source who made the offer */
  constructor(parts: FetchParts, source: NodeId, offer: Offer) {
    this.#parts = parts
    this.#source = source
    this.offer = offer
    const nodes = new Set([source, ...offer.holders])
    this.#sources = [...nodes].map((node) => ({ node, underWay: 0, faults: 0, restsUntil: 0 }))
    this.#heardAt = parts.time.now()
  }

  /** Bytes of chunks that are here. */
  get bytes(): number {
    return this.#bytes
  }

  /** Bytes of all chunks; 0 before the manifest is here. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  /**
   * Resolves when every chunk is in the store, durably.
   * @throws {StoreError} QUORATE_NOT_READY nobody gives it, or not any more; QUORATE_CORRUPTION what was offered is
   *   not what came; what `abort` says; the disk's own errors
   */
  async run(): Promise<ImageManifest> {
    const { store } = this.#parts
    const manifest = await this.#fetchManifest()
    await store.retain(manifest.chunks)
    this.#queue = store.missing(manifest)
    this.#totalBytes = manifest.bytes
    this.#bytes = manifest.bytes - this.#queue.reduce((sum, { bytes }) => sum + bytes, 0)
    const largest = this.#queue.reduce((most, { bytes }) => Math.max(most, bytes), 1)
    const workers = Math.min(WORKERS_MAX, Math.max(1, Math.floor(WINDOW_BYTES / largest)))
    const ends = await Promise.allSettled(Array.from({ length: workers }, () => this.#work()))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    await store.sync()
    return manifest
  }

  /** A piece came; those that nobody waits for are ignored. */
  onPiece(from: NodeId, piece: Piece): void {
    const waiting = this.#waiting.get(piece.id)
    if (waiting?.node !== from) return
    if (piece.status === 'ok') this.#heardAt = this.#parts.time.now()
    waiting.settle(piece)
  }

  /** Ends the fetch with `error`; `run` rejects with it. */
  abort(error: Error): void {
    this.#failure ??= error
    for (const waiting of [...this.#waiting.values()]) waiting.settle(undefined)
  }

  async #fetchManifest(): Promise<ImageManifest> {
    const { manifestBytes, root, index, term } = this.offer
    const source = this.#sources[0]!
    for (;;) {
      const bytes = await this.#fetchWhole(source, EMPTY, manifestBytes)
      if (bytes === undefined) continue
      const manifest = decode(bytes)
      const isOffered =
        manifest.root === root &&
        manifest.index === index &&
        manifest.term === term &&
        manifest.clusterId === this.#parts.clusterId
      if (isOffered) return manifest
      throw new StoreError('QUORATE_CORRUPTION', 'the manifest that came is not the one offered')
    }
  }

  /** Fetches chunks until none is left. */
  async #work(): Promise<void> {
    try {
      for (let chunk = this.#queue.pop(); chunk !== undefined; chunk = this.#queue.pop()) {
        while (!(await this.#fetchChunk(chunk))) this.#refuseIfEnded()
      }
    } catch (error) {
      // The other workers have nothing to go on for.
      this.abort(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  /** Whether the chunk is in the store now. */
  async #fetchChunk(chunk: ImageChunk): Promise<boolean> {
    const source = this.#leastBusy()
    source.underWay++
    try {
      const bytes = await this.#fetchWhole(source, chunk.firstKey, chunk.bytes)
      if (bytes === undefined) return false
      await this.#parts.store.put(chunk, bytes)
      this.#bytes += chunk.bytes
      return true
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'QUORATE_CORRUPTION') throw error
      this.#blame(source)
      return false
    } finally {
      source.underWay--
    }
  }

  /** All pieces of a chunk or the manifest from one member; undefined when it does not give them now. */
  async #fetchWhole(
    source: Source,
    firstKey: Uint8Array,
    wholeBytes: number,
  ): Promise<Buffer | undefined> {
    const whole = Buffer.allocUnsafe(wholeBytes)
    let at = 0
    while (at < wholeBytes) {
      this.#refuseIfEnded()
      const piece = await this.#ask(source.node, firstKey, at)
      this.#refuseIfEnded()
      if (piece?.status === 'gone') {
        this.#drop(source)
        return undefined
      }
      if (piece?.status !== 'ok') {
        await this.#pause()
        source.restsUntil = this.#parts.time.now() + REST_MS
        // A chunk may be had elsewhere; the manifest only here.
        if (this.#sources.length > 1 && firstKey.length > 0) return undefined
        continue
      }
      const isFit = piece.wholeBytes === wholeBytes && piece.bytes.length > 0
      if (!isFit || at + piece.bytes.length > wholeBytes) {
        this.#blame(source)
        return undefined
      }
      piece.bytes.copy(whole, at)
      at += piece.bytes.length
    }
    return whole
  }

  /** The answer; undefined when none came in time. */
  #ask(node: NodeId, firstKey: Uint8Array, offset: number): Promise<Piece | undefined> {
    const { time, maxPieceBytes } = this.#parts
    const id = this.#parts.nextId()
    const { index } = this.offer
    return new Promise((resolve) => {
      const settle = (piece: Piece | undefined): void => {
        const waiting = this.#waiting.get(id)
        if (waiting === undefined) return
        this.#waiting.delete(id)
        time.cancel(waiting.timer)
        resolve(piece)
      }
      const timer = time.after(ANSWER_MS, () => settle(undefined))
      this.#waiting.set(id, { node, timer, settle })
      const ask = { id, index, offset, maxBytes: maxPieceBytes, firstKey }
      if (!this.#parts.ask(node, ask)) settle(undefined)
    })
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.time.after(PAUSE_MS, resolve)
    })
  }

  #leastBusy(): Source {
    const now = this.#parts.time.now()
    const awake = this.#sources.filter(({ restsUntil }) => restsUntil <= now)
    const [first, ...others] = awake.length > 0 ? awake : this.#sources
    if (first === undefined) throw this.#nobodyLeft()
    return others.reduce((best, other) => (other.underWay < best.underWay ? other : best), first)
  }

  #blame(source: Source): void {
    source.faults++
    if (source.faults >= FAULTS_MAX) this.#drop(source)
  }

  #drop(source: Source): void {
    this.#sources = this.#sources.filter((other) => other !== source)
    // Without the one who made the offer nobody may have what is missing, but then nobody gives it either.
    if (this.#sources.length === 0 || (source.node === this.#source && this.#totalBytes === 0)) {
      this.abort(this.#nobodyLeft())
    }
  }

  #nobodyLeft(): StoreError {
    const { index } = this.offer
    return new StoreError('QUORATE_NOT_READY', `nobody gives the state at index ${index} any more`)
  }

  #refuseIfEnded(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#parts.time.now() - this.#heardAt < STALLED_MS) return
    throw new StoreError('QUORATE_NOT_READY', 'no piece of the state came for a long time')
  }
}

function decode(bytes: Buffer): ImageManifest {
  try {
    return decodeManifest(bytes)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_CORRUPTION', `the manifest that came: ${cause.message}`, {
      cause,
    })
  }
}
