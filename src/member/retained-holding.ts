/**
 * What one member has of the retained checkpoints: it makes its shards from its own state when the log says so, keeps
 * them and the description beside them, and makes those that it lacks of a durable one from the shards of others.
 *
 * A description is on disk only when the shards beside it were made of that image: not before, and never removed for
 * what others say. So shards of a state that was wrong are not taken for those of the right one.
 *
 * Bounded: one is made at a time and one mended, a chunk of it in memory; at most two descriptions, about 60 bytes for
 * a MiB of state and 24 for each large value. All ends with the member.
 */
import { StoreError } from '../base/errors.js'
import type { WorkOwner } from '../blob/cluster.js'
import type { PartCoder } from '../blob/part-coder.js'
import type { Rate } from '../blob/rate.js'
import type { ShardStore } from '../blob/shard-store.js'
import type { DatabaseSnapshot } from '../env/database.js'
import type { Time } from '../env/time.js'
import type { LogIndex } from '../raft/types.js'
import {
  codeImage,
  headOf,
  type ImagePart,
  keepShard,
  partsOf,
  readChunk,
  type ShardGiver,
  type ShardMaker,
} from '../snapshot/coded-image.js'
import { Image } from '../snapshot/image.js'
import {
  describeRetained,
  type RetainedFile,
  type RetainedFolder,
} from '../snapshot/retained-file.js'
import {
  type DurableImage,
  type RetainedImage,
  type RetainedRecord,
  type RetainStatus,
  retainedBlob,
} from '../wire/retained.js'

/** What could not be mended is tried again after so long. */
const AGAIN_MS = 2_000

/** What a holding works with. */
export interface HoldingParts {
  readonly time: Time
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  readonly folder: RetainedFolder
  readonly store: ShardStore
  /** Of the making, and of the mending. */
  readonly makeRate: Rate
  readonly mendRate: Rate
  readonly work: WorkOwner
  coder(): PartCoder
  /** The index of this member's shards; undefined while it has none. */
  slot(): number | undefined
  /** Those who have it whole. */
  givers(image: DurableImage): readonly ShardGiver[]
  /** The description, from one of them; undefined when nobody gives it. */
  fetchFile(image: DurableImage): Promise<RetainedFile | undefined>
  /** What was made here is not what enough others have. */
  onDiverged(index: LogIndex): void
}

interface Held {
  readonly file: RetainedFile
  /** Whether all own shards of it are durable. */
  isWhole: boolean
  /** Whether they were all made of this image once; only then it is on disk. */
  readonly isProven: boolean
}

interface Making {
  readonly image: RetainedImage
  isOver: boolean
  /** Ends reading. */
  end(): void
}

/** See the file's comment. */
export class RetainedHolding {
  readonly #parts: HoldingParts
  readonly #files = new Map<LogIndex, Held>()
  /** What the state says; undefined while that is not known. */
  #record: RetainedRecord | undefined
  #isLoaded = false
  #making: Making | undefined
  #isMending = false
  #mendAt = 0
  #failure: string | undefined
  /** The one that was made last from the state of this process. */
  #madeAt: LogIndex = 0
  #isEnded = false
  /** Work on the files, one after the other; never rejects. */
  #last: Promise<void> = Promise.resolve()
  readonly #underWay = new Set<Promise<void>>()

  constructor(parts: HoldingParts) {
    this.#parts = parts
  }

  /** Why the last attempt to make or mend something failed; undefined since one has not. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** Whether all that is retained is known here, with what it refers to. */
  get isKnown(): boolean {
    if (this.#record === undefined) return false
    return this.#wanted.every(({ index }) => this.#files.has(index)) && !this.isDiverged
  }

  /** Whether what was made here is not the durable one: its shards stay, so that nothing takes them for others. */
  get isDiverged(): boolean {
    const durable = this.#record?.durable
    const file = durable && this.#files.get(durable.index)?.file
    return file !== undefined && file.manifest.root !== durable?.root
  }

  isPinned(name: string): boolean {
    for (const { file } of this.#files.values()) if (file.pins.has(name)) return true
    return false
  }

  /** The description of the one at `index`, if it is here with all shards of this member. */
  whole(index: LogIndex): RetainedFile | undefined {
    const held = this.#files.get(index)
    const isRight = index !== this.#record?.durable?.index || !this.isDiverged
    return held?.isWhole === true && isRight ? held.file : undefined
  }

  statusOf({ index }: RetainedImage): RetainStatus {
    if (this.whole(index) !== undefined) return 'whole'
    return this.#making?.image.index === index || !this.#isLoaded ? 'making' : 'lacking'
  }

  /** Of the shards of the one at `index`. */
  bytesOf(index: LogIndex): number {
    const held = this.#files.get(index)
    if (held === undefined) return 0
    return this.#parts.store
      .ofBlob(retainedBlob(held.file))
      .reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** What the state says has changed, or is known again; undefined: it is not known. */
  setRecord(record: RetainedRecord | undefined): void {
    this.#record = record
    const making = this.#making
    if (making !== undefined && !this.#isWanted(making.image.index)) this.#stop(making)
    if (record === undefined || (this.#wanted.length === 0 && this.#files.size === 0)) return
    this.#own(this.#inTurn(() => this.#settle()).catch((error) => this.#noteFailure(error)))
  }

  /** The state right after the entry that began `image`; it is closed here. */
  make(image: RetainedImage, state: DatabaseSnapshot): void {
    if (this.#isEnded) {
      this.#own(state.close())
      return
    }
    if (this.#making !== undefined) this.#stop(this.#making)
    const making: Making = { image, isOver: false, end: () => {} }
    this.#making = making
    this.#own(this.#make(making, state))
  }

  /** A shard of what is retained is not in use any more. */
  onDamaged(index: LogIndex): void {
    const held = this.#files.get(index)
    if (held !== undefined) held.isWhole = false
  }

  /** Called with every tick. */
  tick(now: number): void {
    const durable = this.#record?.durable
    if (durable === undefined || !this.#isLoaded || this.#isMending || now < this.#mendAt) return
    if (this.whole(durable.index) !== undefined || this.#making?.image.index === durable.index)
      return
    if (this.#parts.slot() === undefined || this.isDiverged) return
    this.#isMending = true
    this.#own(this.#mend(durable))
  }

  /** Ends all that is under way; nothing reads the state any more when it resolves. */
  async end(): Promise<void> {
    this.#isEnded = true
    if (this.#making !== undefined) this.#stop(this.#making)
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
  }

  get #wanted(): readonly RetainedImage[] {
    const { making, durable } = this.#record ?? {}
    return [making, durable].filter((image) => image !== undefined)
  }

  #isWanted(index: LogIndex): boolean {
    return this.#wanted.some((image) => image.index === index)
  }

  #stop(making: Making): void {
    making.isOver = true
    making.end()
    if (this.#making === making) this.#making = undefined
  }

  /** Loads what is here if anything is wanted, and removes what is not. */
  async #settle(): Promise<void> {
    if (!this.#isLoaded && this.#wanted.length > 0) {
      for (const file of await this.#parts.folder.load()) {
        if (!this.#files.has(file.index)) {
          this.#files.set(file.index, { file, isWhole: this.#hasAll(file), isProven: true })
        }
      }
      this.#isLoaded = true
    }
    if (this.#record === undefined) return
    for (const { file, isProven } of [...this.#files.values()]) {
      if (!this.#isPassed(file.index)) continue
      this.#files.delete(file.index)
      if (isProven) await this.#parts.folder.remove(file)
    }
    this.#noteDivergence()
  }

  /** Whether something newer is wanted in its place. One that is newer is of a state that is applied once more. */
  #isPassed(index: LogIndex): boolean {
    return !this.#isWanted(index) && this.#wanted.some((image) => image.index > index)
  }

  /** All own shards of it are made of just this image. */
  async #keep(file: RetainedFile): Promise<void> {
    await this.#parts.folder.write(file)
    this.#files.set(file.index, { file, isWhole: this.#hasAll(file), isProven: true })
    // It may not be wanted any more, or be known to be wrong.
    await this.#settle()
  }

  /** Told once, of a state that is still the one that it was made of. */
  #noteDivergence(): void {
    const durable = this.#record?.durable
    if (!this.isDiverged || durable === undefined || durable.index !== this.#madeAt) return
    this.#madeAt = 0
    this.#parts.onDiverged(durable.index)
  }

  #hasAll(file: RetainedFile): boolean {
    for (const parts of partsOf(file.manifest.chunks, file.dataShards)) {
      if (!this.#have(file, parts)) return false
    }
    return true
  }

  #have(file: RetainedFile, parts: readonly ImagePart[]): boolean {
    const { store, clusterId } = this.#parts
    const slot = this.#parts.slot()
    if (slot === undefined) return false
    return parts.every((part) => store.find(headOf(file, clusterId, part, slot)) !== undefined)
  }

  async #make(making: Making, state: DatabaseSnapshot): Promise<void> {
    const { image } = making
    const reading = openImage(state, this.#parts.clusterId)
    try {
      making.end = () => this.#own(reading.close())
      // What was made before is here now. Made again, of a state that was mended since, it would be another one.
      await this.#inTurn(async () => {})
      if (this.#files.has(image.index) || making.isOver) return
      const coded = await codeImage(reading, this.#makerOf(image), async (bytes) => {
        await this.#parts.makeRate.pay(bytes, () => making.isOver)
        if (making.isOver) throw givenUp()
      })
      const file = describeRetained(image, coded.manifest, coded.pins)
      this.#madeAt = image.index
      await this.#inTurn(() => this.#keep(file))
      this.#failure = undefined
    } catch (error) {
      if (!making.isOver) this.#noteFailure(error)
    } finally {
      await reading.close()
      if (this.#making === making) this.#making = undefined
    }
  }

  async #mend(image: DurableImage): Promise<void> {
    const isOver = (): boolean => this.#isEnded || this.#record?.durable?.index !== image.index
    try {
      const known = this.#files.get(image.index)
      const file = known?.file ?? (await this.#parts.fetchFile(image))
      if (file === undefined) return
      // What it refers to is known from now on.
      if (known === undefined)
        this.#files.set(image.index, { file, isWhole: false, isProven: false })
      if (!(await this.#mendAll(image, file, isOver))) return
      await this.#inTurn(() => this.#keep(file))
      this.#failure = undefined
    } catch (error) {
      if (!isOver()) this.#noteFailure(error)
    } finally {
      this.#isMending = false
      this.#mendAt = this.#parts.time.now() + AGAIN_MS
    }
  }

  /** Makes what is lacking; everything, and compares it with what is there, unless that was proven before. */
  async #mendAll(image: DurableImage, file: RetainedFile, isOver: () => boolean): Promise<boolean> {
    const { manifest, dataShards } = file
    const maker = this.#makerOf(image)
    if (maker.slot === undefined) return false
    const isProven = this.#files.get(image.index)?.isProven === true
    const all = partsOf(manifest.chunks, dataShards)
    for (const chunk of manifest.chunks) {
      const parts = all.next().value ?? []
      if (isProven && this.#have(file, parts)) continue
      const bytes = await readChunk(chunk, parts, this.#parts.givers(image), maker.coder)
      for (const part of parts) await keepShard(maker, bytes, part)
      await this.#parts.mendRate.pay(chunk.bytes, isOver)
      if (isOver()) return false
    }
    return true
  }

  #makerOf(image: RetainedImage): ShardMaker {
    const { clusterId, store } = this.#parts
    return { image, clusterId, slot: this.#parts.slot(), coder: this.#parts.coder(), store }
  }

  /** What others can do without; anything else ends the member. */
  #noteFailure(error: unknown): void {
    const isExpected =
      error instanceof StoreError || (error as { code?: unknown }).code !== undefined
    if (isExpected) this.#failure = (error as Error).message
    else if (!this.#isEnded) this.#parts.work.fail(error)
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work)
    // Whoever asked for it hears of it.
    this.#last = done.catch(() => undefined)
    return done
  }

  /** Of work that never rejects. */
  #own(work: Promise<void>): void {
    const settled = work.finally(() => this.#underWay.delete(settled))
    this.#underWay.add(settled)
    this.#parts.work.own(settled)
  }
}

function openImage(state: DatabaseSnapshot, clusterId: Uint8Array): Image {
  return new Image(state, Buffer.from(clusterId).toString('hex'))
}

function givenUp(): StoreError {
  return new StoreError('QUORATE_ABORTED', 'a newer checkpoint is being retained')
}
