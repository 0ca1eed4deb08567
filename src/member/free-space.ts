/**
 * The room on the disks of the members, looked at about once a second, and what follows when it gets short.
 *
 * A disk is low below `minFreeBytes` and when the log could not prepare its next segment; it is ample again from a
 * quarter more on. Below half of `minFreeBytes` it is scarce: then no more is applied between two looks than a part of
 * what is free, because LevelDB does not survive a full disk, and checkpoints, which let segments go, need room, too.
 * A leader takes no new writes while its own disk is low, or those of so many
 * voters that the others are no majority, and says so to all members: there each call is refused before it is sent,
 * so its outcome is certain. What was sent before is finished. A leader that is low hands over to a member that is not.
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { RaftLog } from '../log/raft-log.js'
import type { RaftCore } from '../raft/core.js'
import { NONE, type NodeId } from '../raft/types.js'
import type { SpaceReport } from '../wire/forward.js'
import type { Driver } from './driver.js'
import { type MemberOptions, reserveBytes } from './options.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'

/** What is known about the room on this member's disk. */
export interface SpaceStatus {
  /** As of the last look; undefined before the first. */
  readonly freeBytes: number | undefined
  readonly isLow: boolean
  /** Whether new writes are refused, because of this member's disk or that of others. */
  readonly refusesWrites: boolean
}

/** What free space works on. */
export interface FreeSpaceParts {
  readonly disk: Disk
  readonly options: MemberOptions
  readonly log: RaftLog
  readonly core: RaftCore
  readonly driver: Driver
}

/** What it asks of its member. */
export interface FreeSpacePorts {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  roster(): Roster
  /** Makes somebody lead for whom `isWanted`, if anybody can. */
  handOver(isWanted: (node: NodeId) => boolean): void
  /** Takes a checkpoint and lets go of all of the log that nobody needs. */
  shorten(): void
  /** The disk has become low, or ample again. */
  changed(status: SpaceStatus): void
}

const EVERY_MS = 1000
/** While the disk stays low, the log is shortened and the lead handed over so often. */
const AGAIN_MS = 5000
/** What a member said about its disk counts for so long. */
const REPORT_MS = 5000
/** Space counts as returned when there is so much more than the least. */
const RETURN_FACTOR = 1.25
/** While it is scarce, so much more than its entries is counted for each apply, */
const APPLY_BYTES = 4096
/** and one part in so many of what is free may be used between two looks. */
const SHARE = 4

interface KnownReport extends SpaceReport {
  readonly at: number
}

/** See the file's comment. */
export class FreeSpace {
  readonly #parts: FreeSpaceParts
  readonly #ports: FreeSpacePorts
  readonly #reports = new Map<NodeId, KnownReport>()
  #freeBytes: number | undefined
  #isLow = false
  #isLooking = false
  #isServing = false
  #now = 0
  #nextAt = 0
  #nextRelief = 0
  #isScarce = false
  /** Applied since the last look, while it is scarce. */
  #spent = 0
  #nextLook: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined

  constructor(parts: FreeSpaceParts, ports: FreeSpacePorts) {
    this.#parts = parts
    this.#ports = ports
  }

  get status(): SpaceStatus {
    return {
      freeBytes: this.#freeBytes,
      isLow: this.#isLow,
      refusesWrites: this.refusal !== undefined,
    }
  }

  get isLow(): boolean {
    return this.#isLow
  }

  /** Whether `node` has said lately that its disk is low. */
  isLowAt(node: NodeId): boolean {
    return this.#fresh(node)?.isLow === true
  }

  /** Why no new write is taken; undefined when they are. */
  get refusal(): StoreError | undefined {
    const { core } = this.#parts
    const isRefused =
      core.role === 'leader' ? this.#refuses() : this.#fresh(core.leader)?.refuses === true
    if (!isRefused) return undefined
    return new StoreError('QUORATE_NO_SPACE', 'too little disk space is free to take new writes', {
      retryable: true,
    })
  }

  /** Undefined when entries of `bytes` may be applied now; else resolves when it is worth asking again. */
  roomToApply(bytes: number): Promise<void> | undefined {
    if (!this.#isScarce) return undefined
    this.#spent += bytes + APPLY_BYTES
    if (this.#spent * SHARE <= (this.#freeBytes ?? 0)) return undefined
    this.#nextLook ??= withResolver()
    return this.#nextLook.promise
  }

  /** Another member's word about its disk. */
  onReport(from: NodeId, report: SpaceReport): void {
    this.#reports.set(from, { ...report, at: this.#now })
  }

  /** Looks before the member takes part. What is committed by then is applied with whatever room there is. */
  async start(): Promise<void> {
    await this.#look()
  }

  /** Called with every tick. */
  tick(now: number): void {
    this.#now = now
    this.#isServing = true
    if (now < this.#nextAt) return
    this.#nextAt = now + EVERY_MS
    if (!this.#isLooking) this.#parts.driver.own(this.#look())
    this.#report()
    if (this.#isLow && now >= this.#nextRelief) this.#relieve()
  }

  /** Nothing waits for room any more. */
  end(): void {
    this.#isScarce = false
    this.#wake()
  }

  /** Never rejects: who cannot say how much is free has to find out by writing. */
  async #look(): Promise<void> {
    const { disk, options } = this.#parts
    this.#isLooking = true
    try {
      this.#note(await disk.freeBytes(options.dir))
    } catch {
      this.#freeBytes = undefined
    } finally {
      this.#isLooking = false
    }
  }

  #note(freeBytes: number): void {
    const { log, options } = this.#parts
    const { minFreeBytes } = options.storage
    const wasLow = this.#isLow
    const { nextSegment, isWaiting } = log.status()
    const least = wasLow ? minFreeBytes * RETURN_FACTOR : minFreeBytes
    this.#freeBytes = freeBytes
    this.#isLow = freeBytes < least || isWaiting || nextSegment === 'noSpace'
    // Without writes, which are refused now, nothing else would make it try again.
    if (nextSegment === 'noSpace') log.prepareNext()
    this.#isScarce = this.#isServing && freeBytes < reserveBytes(options.storage)
    this.#wake()
    if (wasLow === this.#isLow) return
    this.#nextRelief = 0
    this.#ports.changed(this.status)
  }

  #wake(): void {
    this.#spent = 0
    this.#nextLook?.resolve()
    this.#nextLook = undefined
  }

  #relieve(): void {
    const { core } = this.#parts
    this.#nextRelief = this.#now + AGAIN_MS
    this.#ports.shorten()
    const isIdle = core.role === 'leader' && core.status().transferTarget === NONE
    if (isIdle) this.#ports.handOver((node) => !this.isLowAt(node))
  }

  #report(): void {
    const peers = this.#ports.peers()
    const report = {
      isLow: this.#isLow,
      refuses: this.#parts.core.role === 'leader' && this.#refuses(),
    }
    for (const { nodeId } of this.#ports.roster().others) peers?.sendSpace(nodeId, report)
  }

  /** As the leader. */
  #refuses(): boolean {
    if (this.#isLow) return true
    return !this.#ports.roster().isQuorum((node) => !this.isLowAt(node))
  }

  #fresh(node: NodeId): KnownReport | undefined {
    const report = this.#reports.get(node)
    return report !== undefined && this.#now - report.at < REPORT_MS ? report : undefined
  }
}

function withResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
