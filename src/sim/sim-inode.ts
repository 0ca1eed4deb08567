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
  #base: Bytes
  #content: Bytes
  /** What came after `#base`, by the time it began. */
  #changes: Change[] = []

  constructor(bytes: Buffer) {
    this.#base = new Bytes(bytes)
    this.#content = new Bytes(Buffer.from(bytes))
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
    for (const bytes of [this.#base, this.#content]) {
      const view = bytes.view()
      if (position < view.length) view[position]! ^= mask
    }
  }

  /** What a power cut now would leave. */
  survivor(mode: PowerCutMode, draw: Draw): Buffer {
    const bytes = new Bytes(Buffer.from(this.#base.view()))
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
    return Buffer.from(bytes.view())
  }
}

/** Bytes that changes are applied to; grows by doubling. */
class Bytes {
  #memory: Buffer
  #length: number

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

  apply(change: Change): void {
    if (change.parts === undefined) this.#setLength(change.position)
    else this.#write(change.position, Buffer.concat(change.parts))
  }

  /** Up to some sector as written, the rest old bytes, zeros or garbage. */
  applyTorn(change: Change, draw: (key: string) => number): void {
    if (change.parts === undefined) return
    const written = Buffer.concat(change.parts)
    const { position } = change
    const firstSector = Math.floor(position / SECTOR_BYTES)
    const sectorCount = Math.ceil((position + written.length) / SECTOR_BYTES) - firstSector
    const cut = (firstSector + (draw('sector') % (sectorCount + 1))) * SECTOR_BYTES
    const intact = Math.max(0, Math.min(written.length, cut - position))
    this.#write(position, written.subarray(0, intact))
    const rest = Buffer.alloc(written.length - intact)
    const kind = draw('rest') % 3
    if (kind === 0) return
    if (kind === 1) for (let i = 0; i < rest.length; i++) rest[i] = draw(`garbage${i % 64}`) & 0xff
    this.#write(position + intact, rest)
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

  #write(position: number, bytes: Buffer): void {
    if (bytes.length === 0) return
    const end = position + bytes.length
    if (end > this.#length) this.#setLength(end)
    this.#memory.set(bytes, position)
  }

  #setLength(length: number): void {
    if (length > this.#memory.length) {
      const larger = Buffer.alloc(Math.max(length, Math.min(this.#memory.length * 2, 2 ** 26)))
      this.#memory.copy(larger, 0, 0, this.#length)
      this.#memory = larger
    } else if (length > this.#length) {
      this.#memory.fill(0, this.#length, length)
    }
    this.#length = length
  }
}
