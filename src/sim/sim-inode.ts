/**
 * The bytes of one simulated file: what processes see, what is durable, and what is in between.
 *
 * Invariants:
 *   1. the durable bytes are `#base` with the durable changes applied in order
 *   2. `#content` is what all finished changes made of `#base`, in the order in which they finished
 */
import type { PowerCutMode } from './sim-disk.js'

const SECTOR_BYTES = 512
const PAGE_BYTES = 4_096

/** A keyed draw: an unsigned 32-bit number. */
export type Draw = (...keys: readonly (number | string)[]) => number

/** A change of a file's bytes, under way or finished. */
interface Change {
  readonly position: number
  /** A write's bytes: the caller's own while it is under way, a copy afterwards. `undefined`: a truncation. */
  parts: readonly Uint8Array[] | undefined
  isFinished: boolean
  isDurable: boolean
  /** A sync that covered it failed: it may be on the disk or not, and no later sync helps. */
  isUncertain: boolean
}

/** A change under way; opaque. */
export type PendingChange = Change

/** The bytes of one file. */
export class SimInode {
  /** Its newest name. */
  path: string
  #base: Bytes
  #content: Bytes
  /** What came after `#base`, by the time it began. */
  #changes: Change[] = []

  /** `bytes` are durable; they are not copied and must not change. */
  constructor(path: string, bytes: Buffer) {
    this.path = path
    this.#base = new Bytes(bytes)
    this.#content = new Bytes(bytes)
  }

  /** As processes see it. */
  get length(): number {
    return this.#content.length
  }

  get hasUnsynced(): boolean {
    return this.#changes.some((change) => !change.isDurable)
  }

  /** Fills `target` from what processes see; returns the bytes read. */
  read(target: Uint8Array, position: number): number {
    const bytes = this.#content.view().subarray(position, position + target.length)
    target.set(bytes)
    return bytes.length
  }

  /** A write or, without `parts`, a truncation begins: from now on a power cut may find it done. */
  begin(position: number, parts: readonly Uint8Array[] | undefined): PendingChange {
    const change: Change = {
      position,
      parts,
      isFinished: false,
      isDurable: false,
      isUncertain: false,
    }
    this.#changes.push(change)
    return change
  }

  /** The change has happened, of a write only the first `bytes`: processes see it. */
  finish(change: PendingChange, bytes: number): void {
    if (change.parts !== undefined) {
      change.parts = [Buffer.concat(change.parts).subarray(0, bytes)]
    }
    change.isFinished = true
    this.#content.apply(change)
  }

  /** The change failed without a trace. */
  forget(change: PendingChange): void {
    this.#changes.splice(this.#changes.indexOf(change), 1)
  }

  /** What a sync that begins now will make durable. */
  finished(): PendingChange[] {
    return this.#changes.filter((change) => change.isFinished && !change.isDurable)
  }

  makeDurable(changes: readonly PendingChange[]): void {
    for (const change of changes) change.isDurable = !change.isUncertain
    let settled = 0
    while (this.#changes[settled]?.isDurable) this.#base.apply(this.#changes[settled++]!)
    this.#changes.splice(0, settled)
  }

  makeUncertain(changes: readonly PendingChange[]): void {
    for (const change of changes) change.isUncertain = true
  }

  /** Ends what is under way: `happens` says of each whether it took place. */
  endUnderWay(happens: (position: number) => boolean): void {
    for (const change of this.#changes.filter((candidate) => !candidate.isFinished)) {
      if (happens(change.position)) this.finish(change, Number.POSITIVE_INFINITY)
      else this.forget(change)
    }
  }

  /** Flips the bits of `mask` in one byte, on the disk and in the cache. */
  corrupt(position: number, mask: number): void {
    this.#base.flip(position, mask)
    this.#content.flip(position, mask)
  }

  /** What a power cut now would leave; must not be changed. */
  survivor(mode: PowerCutMode, draw: Draw): Buffer {
    const bytes = new Bytes(this.#base.share())
    const loose = this.#changes.filter((change) => !change.isDurable)
    const kept = draw('kept') % (loose.length + 1)
    for (const change of this.#changes) {
      if (change.isDurable) {
        bytes.apply(change)
        continue
      }
      const i = loose.indexOf(change)
      if (change.isUncertain && draw('uncertain', i) % 2 === 0) continue
      switch (mode) {
        case 'none':
          break
        case 'prefix':
          if (i < kept) bytes.apply(change)
          break
        case 'torn':
          if (i < kept) bytes.apply(change)
          else if (i === kept) bytes.applyTorn(change, (key) => draw('torn', key))
          break
        case 'arbitrary':
          bytes.applyPages(change, (page) => draw('page', i, page) % 2 === 0)
          break
      }
    }
    return bytes.share()
  }
}

/** Bytes that changes are applied to: copied before the first change, then growing by doubling. */
class Bytes {
  #memory: Buffer
  #length: number
  #isShared = true

  constructor(memory: Buffer) {
    this.#memory = memory
    this.#length = memory.length
  }

  get length(): number {
    return this.#length
  }

  view(): Buffer {
    return this.#memory.subarray(0, this.#length)
  }

  /** A view that later changes leave alone. */
  share(): Buffer {
    this.#isShared = true
    return this.view()
  }

  flip(position: number, mask: number): void {
    this.#own(this.#length)
    if (position < this.#length) this.#memory[position]! ^= mask
  }

  apply(change: Change): void {
    if (change.parts === undefined) this.#setLength(change.position)
    else this.#write(change.position, Buffer.concat(change.parts))
  }

  /**
   * Up to some sector as written, the rest old bytes, zeros or garbage. Sectors that already held what is
   * written are not harmed: on a disk that did that, no two writes could share a sector.
   */
  applyTorn(change: Change, draw: (key: string) => number): void {
    if (change.parts === undefined) return
    const written = Buffer.concat(change.parts)
    const { position } = change
    const firstSector = Math.floor(position / SECTOR_BYTES)
    const sectorCount = Math.ceil((position + written.length) / SECTOR_BYTES) - firstSector
    const cut = firstSector + (draw('sector') % (sectorCount + 1))
    const rest = draw('rest') % 3
    for (let at = 0; at < written.length; ) {
      const sector = Math.floor((position + at) / SECTOR_BYTES)
      const end = Math.min(written.length, (sector + 1) * SECTOR_BYTES - position)
      const bytes = written.subarray(at, end)
      if (sector >= cut) {
        if (rest === 0) return
        if (!this.#holds(position + at, bytes)) bytes.fill(rest === 1 ? 0 : draw('garbage'))
      }
      this.#write(position + at, bytes)
      at = end
    }
  }

  /** Of a write the pages that survive; of a truncation all or nothing. */
  applyPages(change: Change, survives: (page: number) => boolean): void {
    const { position, parts } = change
    if (parts === undefined) {
      if (survives(0)) this.#setLength(position)
      return
    }
    const written = Buffer.concat(parts)
    for (let at = 0; at < written.length; ) {
      const page = Math.floor((position + at) / PAGE_BYTES)
      const end = Math.min(written.length, (page + 1) * PAGE_BYTES - position)
      if (survives(page)) this.#write(position + at, written.subarray(at, end))
      at = end
    }
  }

  #holds(position: number, bytes: Buffer): boolean {
    return this.view()
      .subarray(position, position + bytes.length)
      .equals(bytes)
  }

  #write(position: number, bytes: Buffer): void {
    if (bytes.length === 0) return
    const end = position + bytes.length
    if (end > this.#length) this.#setLength(end)
    this.#own(this.#length)
    this.#memory.set(bytes, position)
  }

  #setLength(length: number): void {
    this.#own(length)
    if (length > this.#length) this.#memory.fill(0, this.#length, length)
    this.#length = length
  }

  /** Makes the memory this one's own, and large enough for `length`. */
  #own(length: number): void {
    const isLarge = length <= this.#memory.length
    if (isLarge && !this.#isShared) return
    const room = isLarge ? length : Math.min(this.#memory.length * 2, 2 ** 26)
    const own = Buffer.alloc(Math.max(length, room))
    this.#memory.copy(own, 0, 0, Math.min(this.#length, length))
    this.#memory = own
    this.#isShared = false
  }
}
