/**
 * Images of the state that are kept here for others to fetch, and the pieces of them that are handed out.
 *
 * Bounded: images in number (IMAGES_MAX) and in time (KEPT_MS after the last use), asks that wait per asker, chunks
 * in memory (CACHED_CHUNKS). One ask is served at a time, no faster than `bytesPerSecond`; an answer that an asker's
 * connection does not take is dropped, and asked for again. So nobody who fetches slowly, or not at all, holds up
 * writes, checkpoints or others (traps T-58, T-60).
 */
import type { DatabaseSnapshot } from '../env/database.js'
import type { Time } from '../env/time.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import { Image } from '../snapshot/image.js'
import { encodeManifest, type ImageManifest } from '../wire/image.js'
import type { Ask, Piece, PieceStatus } from '../wire/snapshot-transfer.js'

/** Images kept at once. */
const IMAGES_MAX = 4
/** After its last use an image is kept for so long. */
const KEPT_MS = 60_000
/** Of an image that others are to make room for. */
const IDLE_MS = 5_000
/** Asks of one member that wait; more are answered `busy`. */
const ASKS_MAX = 16
/** Chunks kept in memory, because their pieces are asked for one by one. */
const CACHED_CHUNKS = 8
/** So often a wait for the rate is looked at again: it ends when the holder closes. */
const PAY_MS = 100

/** What a holder works with. */
export interface HolderParts {
  readonly time: Time
  readonly machine: StateMachine
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly bytesPerSecond: number
  readonly maxPieceBytes: number
  /** Sends a piece, or drops it. */
  send(to: NodeId, piece: Piece): void
  /** Takes charge of work that goes on after this turn and never rejects. */
  own(work: Promise<void>): void
}

interface Held {
  readonly index: LogIndex
  /** Undefined until the state has reached the index. */
  image: Image | undefined
  manifest: Buffer | undefined
  usedAt: number
  /** Of the call of `hold` that waits for the image. */
  readonly resolve: (image: Image | undefined) => void
  readonly reject: (error: unknown) => void
}

const NO_BYTES = Buffer.alloc(0)

/** Keeps and serves images; see the file's comment. */
export class ImageHolder {
  readonly #parts: HolderParts
  readonly #held = new Map<LogIndex, Held>()
  /** By image and first key; the oldest first. */
  readonly #chunks = new Map<string, Buffer>()
  readonly #waiting = new Map<NodeId, number>()
  #serving: Promise<void> = Promise.resolve()
  /** The time by which what was sent is paid for. */
  #paidAt = 0
  #isClosed = false

  constructor(parts: HolderParts) {
    this.#parts = parts
  }

  /**
   * Fixes the state at `index` as soon as it is applied, or finds the image of it; undefined when the state has
   * passed it, or all places are in use.
   */
  hold(index: LogIndex): Promise<Image | undefined> {
    const known = this.#held.get(index)
    if (known?.image !== undefined) {
      known.usedAt = this.#parts.time.now()
      return Promise.resolve(known.image)
    }
    if (known !== undefined || this.#isClosed || !this.#makeRoom()) {
      return Promise.resolve(undefined)
    }
    return new Promise((resolve, reject) => {
      const usedAt = this.#parts.time.now()
      const held: Held = { index, image: undefined, manifest: undefined, usedAt, resolve, reject }
      this.#held.set(index, held)
      void this.#pin(held)
    })
  }

  /** The manifest of an image that is held here may be asked for from now on; returns its length in bytes. */
  publish(index: LogIndex, manifest: ImageManifest): number {
    const held = this.#held.get(index)
    const bytes = encodeManifest(manifest)
    if (held !== undefined) held.manifest = bytes
    return bytes.length
  }

  /** The image is in use, whoever uses it. */
  touch(index: LogIndex): void {
    const held = this.#held.get(index)
    if (held !== undefined) held.usedAt = this.#parts.time.now()
  }

  /** The image is not needed any more. */
  release(index: LogIndex): void {
    const held = this.#held.get(index)
    if (held === undefined) return
    this.#held.delete(index)
    for (const key of [...this.#chunks.keys()]) {
      if (key.startsWith(`${index} `)) this.#chunks.delete(key)
    }
    held.resolve(undefined)
    if (held.image !== undefined) this.#parts.own(held.image.close())
  }

  /** A member asks for a piece. */
  onAsk(from: NodeId, ask: Ask): void {
    const waiting = this.#waiting.get(from) ?? 0
    if (waiting >= ASKS_MAX) {
      this.#refuse(from, ask, 'busy')
      return
    }
    this.#waiting.set(from, waiting + 1)
    this.#serving = this.#serving.then(() => this.#serve(from, ask))
    this.#parts.own(this.#serving)
  }

  /** Called with every tick: lets go of what nobody uses. */
  tick(now: number): void {
    for (const { index, usedAt } of [...this.#held.values()]) {
      if (now - usedAt >= KEPT_MS) this.release(index)
    }
  }

  /** Lets go of all images. */
  clear(): void {
    for (const index of [...this.#held.keys()]) this.release(index)
  }

  /** Lets go of everything, for good. */
  close(): void {
    this.#isClosed = true
    this.clear()
  }

  /** Waits for the state to reach the index; whoever waits for that is answered, also when the image is let go. */
  async #pin(held: Held): Promise<void> {
    const { index } = held
    let snapshot: DatabaseSnapshot | undefined
    try {
      snapshot = await this.#parts.machine.pin(index)
      const isWanted = this.#held.get(index) === held
      if (snapshot === undefined || !isWanted) {
        if (isWanted) this.#held.delete(index)
        await snapshot?.close()
        held.resolve(undefined)
        return
      }
      held.image = new Image(snapshot, this.#parts.clusterId)
      held.usedAt = this.#parts.time.now()
      held.resolve(held.image)
    } catch (error) {
      if (this.#held.get(index) === held) this.#held.delete(index)
      await snapshot?.close()
      held.reject(error)
    }
  }

  #makeRoom(): boolean {
    if (this.#held.size < IMAGES_MAX) return true
    const [oldest] = [...this.#held.values()].sort((a, b) => a.usedAt - b.usedAt)
    if (oldest === undefined || this.#parts.time.now() - oldest.usedAt < IDLE_MS) return false
    this.release(oldest.index)
    return true
  }

  async #serve(from: NodeId, ask: Ask): Promise<void> {
    await this.#untilPaid()
    this.#waiting.set(from, this.#waiting.get(from)! - 1)
    if (this.#isClosed) return
    const held = this.#held.get(ask.index)
    if (held === undefined) return this.#refuse(from, ask, 'gone')
    held.usedAt = this.#parts.time.now()
    if (held.image === undefined) return this.#refuse(from, ask, 'busy')
    const whole = await this.#wholeOf(held, held.image, ask.firstKey)
    if (whole === undefined || ask.offset >= whole.length) return this.#refuse(from, ask, 'gone')
    const length = Math.min(ask.maxBytes, this.#parts.maxPieceBytes)
    const bytes = whole.subarray(ask.offset, ask.offset + length)
    this.#pay(bytes.length)
    this.#parts.send(from, { id: ask.id, status: 'ok', wholeBytes: whole.length, bytes })
  }

  /** The chunk that begins at `firstKey`, or the manifest; undefined when there is none or it cannot be read. */
  async #wholeOf(held: Held, image: Image, firstKey: Uint8Array): Promise<Buffer | undefined> {
    if (firstKey.length === 0) return held.manifest
    const key = `${held.index} ${Buffer.from(firstKey).toString('latin1')}`
    const cached = this.#chunks.get(key)
    if (cached !== undefined) return cached
    let chunk: Buffer
    try {
      chunk = await image.readChunk(firstKey)
    } catch {
      // Damaged here, closed meanwhile, or no chunk of this image: whoever asked finds it elsewhere.
      return undefined
    }
    if (this.#held.get(held.index) !== held) return chunk
    this.#chunks.set(key, chunk)
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size <= CACHED_CHUNKS) break
      this.#chunks.delete(oldest)
    }
    return chunk
  }

  async #untilPaid(): Promise<void> {
    const { time } = this.#parts
    for (;;) {
      const wait = Math.min(PAY_MS, this.#paidAt - time.now())
      if (wait <= 0 || this.#isClosed) return
      await new Promise<void>((resolve) => {
        time.after(wait, resolve)
      })
    }
  }

  #pay(bytes: number): void {
    const { bytesPerSecond, time } = this.#parts
    this.#paidAt = Math.max(this.#paidAt, time.now()) + (bytes * 1000) / bytesPerSecond
  }

  #refuse(to: NodeId, { id }: Ask, status: PieceStatus): void {
    this.#parts.send(to, { id, status, wholeBytes: 0, bytes: NO_BYTES })
  }
}
