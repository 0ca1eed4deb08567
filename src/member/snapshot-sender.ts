/**
 * Snapshots to other members: for followers of a log that does not hold what they lack, and for members that have
 * lost their state.
 *
 *   waiting    as many as `maxTransfers` are under way already
 *   preparing  the image is fixed here and at the other members, and its manifest is made
 *   sending    it was offered; the receiver fetches it, from here and from the others
 *   ending     it is in force there; what the receiver needs next is kept in the log until its log continues
 *   failed     waits before the core is told, because the core asks again at once
 *
 * One transfer per receiver. The log is kept from the image on for as long as a transfer needs it (`floor`,
 * trap T-61), which is bounded: a receiver that is not heard of for SILENT_MS fails. Nothing here holds up the
 * writes, checkpoints or other members.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import type { LogIndex, NodeId, SnapshotWanted } from '../raft/types.js'
import type { Image } from '../snapshot/image.js'
import type { ImageManifest } from '../wire/image.js'
import type { Offer, Progress } from '../wire/snapshot-transfer.js'
import type { Driver } from './driver.js'
import type { ImageHolder } from './image-holder.js'

/** A receiver that is not heard of for so long has failed. */
const SILENT_MS = 15_000
/** An offer that may have been lost with a connection is made again. */
const OFFER_MS = 2_000
const OFFER_AGAIN_MS = 50
/** The log is kept for so long for a receiver that has installed and does not continue. */
const ENDING_MS = 15_000
/** Before the core is told of a failure: doubled with each failure in a row. */
const RETRY_MS_MIN = 250
const RETRY_MS_MAX = 15_000
/** The state passes an index while it is being fixed, now and then: then the next one is taken. */
const PIN_ATTEMPTS = 5
/** So long the end of the log has to be applied. */
const PIN_MS = 1_000

/** What a sender works with. */
export interface SenderParts {
  readonly time: Time
  readonly core: RaftCore
  readonly machine: StateMachine
  readonly driver: Driver
  readonly holder: ImageHolder
  readonly maxTransfers: number
  /** Whether the state here may be given to others. */
  isSound(): boolean
  /** Members that could keep the image, too. */
  helpers(): readonly NodeId[]
  sendPin(to: NodeId, index: LogIndex): void
  sendUnpin(to: NodeId, index: LogIndex): void
  /** False when it was dropped. */
  sendOffer(to: NodeId, offer: Offer): boolean
  /** A transfer has come so far. */
  noted(to: NodeId, step: TransferStep, index: LogIndex): void
}

/** What an operator hears of a transfer: it was offered, is in force there, or has failed and is tried again. */
export type TransferStep = 'offered' | 'installed' | 'failed'

/** A transfer as plain data. */
export interface TransferView {
  readonly to: NodeId
  readonly phase: 'waiting' | 'preparing' | 'sending' | 'ending' | 'failed'
  readonly index: LogIndex
  readonly bytes: number
  readonly totalBytes: number
}

interface Transfer {
  readonly to: NodeId
  /** What the core asked for; undefined when the receiver asked, to rebuild its state. */
  readonly wanted: SnapshotWanted | undefined
  /** What the core asked for before the receiver asked itself: it waits to hear how that ended. */
  readonly owed: SnapshotWanted | undefined
  readonly atLeast: LogIndex
  readonly abort: AbortController
  phase: TransferView['phase']
  /** Of the image; 0 before there is one. */
  index: LogIndex
  helpers: readonly NodeId[]
  /** Whether the image is kept for it. */
  isPinned: boolean
  /** When it was heard of last, or failed. */
  at: number
  /** Of one that failed: whether the receiver may have installed it. */
  outcome: 'none' | 'unknown'
  offer: Offer | undefined
  offeredAt: number
  /** Whether anything has come since the offer. */
  hasAnswered: boolean
  bytes: number
  totalBytes: number
}

/** Sends snapshots; see the file's comment. */
export class SnapshotSender {
  readonly #parts: SenderParts
  readonly #transfers = new Map<NodeId, Transfer>()
  readonly #failures = new Map<NodeId, number>()
  #completed = 0

  constructor(parts: SenderParts) {
    this.#parts = parts
  }

  /** The log must keep what comes after this index. */
  get floor(): LogIndex {
    let floor = Number.POSITIVE_INFINITY
    for (const { index, phase } of this.#transfers.values()) {
      if (index > 0 && phase !== 'failed') floor = Math.min(floor, index)
    }
    return floor
  }

  /** Transfers that ended well since the start. */
  get completed(): number {
    return this.#completed
  }

  views(): TransferView[] {
    return [...this.#transfers.values()].map(({ to, phase, index, bytes, totalBytes }) => ({
      to,
      phase,
      index,
      bytes,
      totalBytes,
    }))
  }

  /** The core needs a snapshot at a follower. */
  onWanted(wanted: SnapshotWanted): void {
    this.#begin(wanted.peer, wanted, wanted.atLeast)
  }

  /** A member has lost its state. */
  onImageWanted(from: NodeId, atLeast: LogIndex): void {
    const known = this.#transfers.get(from)
    // It asks again and again until it has its offer.
    if (known === undefined || known.wanted !== undefined || known.atLeast < atLeast) {
      this.#begin(from, undefined, atLeast)
    } else if (known.phase === 'sending') {
      this.#sendOffer(known)
    }
  }

  /** The way to a member is new: what was sent before may be lost. */
  onPeerUp(node: NodeId): void {
    const transfer = this.#transfers.get(node)
    if (transfer?.phase === 'sending') this.#sendOffer(transfer)
  }

  /** How the receiver is doing. */
  onProgress(from: NodeId, progress: Progress): void {
    const transfer = this.#transfers.get(from)
    if (transfer?.phase !== 'sending' || transfer.index !== progress.index) return
    transfer.at = this.#parts.time.now()
    transfer.hasAnswered = true
    transfer.bytes = progress.bytes
    transfer.totalBytes = progress.totalBytes
    this.#parts.holder.touch(transfer.index)
    if (progress.status === 'done') this.#done(transfer)
    else if (progress.status === 'failed') this.#fail(transfer)
  }

  /** A member asks for a piece of an image: it is alive. */
  onAsk(from: NodeId, index: LogIndex): void {
    const transfer = this.#transfers.get(from)
    if (transfer?.phase === 'sending' && transfer.index === index) {
      transfer.at = this.#parts.time.now()
      transfer.hasAnswered = true
    }
  }

  /** Another role or term: what the core asked for in an earlier one does not count any more. */
  onSoft(): void {
    const { core } = this.#parts
    for (const transfer of [...this.#transfers.values()]) {
      const { wanted } = transfer
      if (wanted === undefined) continue
      if (core.role !== 'leader' || core.term !== wanted.term) this.#remove(transfer)
    }
    if (core.role !== 'leader') this.#failures.clear()
  }

  /** Called with every tick. */
  tick(now: number): void {
    for (const transfer of [...this.#transfers.values()]) this.#look(transfer, now)
    this.#next()
  }

  /** Ends all transfers. */
  end(): void {
    for (const transfer of [...this.#transfers.values()]) this.#remove(transfer)
  }

  #begin(to: NodeId, wanted: SnapshotWanted | undefined, atLeast: LogIndex): void {
    const former = this.#transfers.get(to)
    if (former !== undefined) this.#remove(former)
    this.#transfers.set(to, {
      to,
      wanted,
      owed: wanted === undefined ? (former?.wanted ?? former?.owed) : undefined,
      atLeast,
      abort: new AbortController(),
      phase: 'waiting',
      index: 0,
      helpers: [],
      isPinned: false,
      at: this.#parts.time.now(),
      outcome: 'none',
      offer: undefined,
      offeredAt: 0,
      hasAnswered: false,
      bytes: 0,
      totalBytes: 0,
    })
    this.#next()
  }

  /** Begins what waits, in order, as far as there is room. */
  #next(): void {
    const isActive = ({ phase }: Transfer) => phase === 'preparing' || phase === 'sending'
    const all = [...this.#transfers.values()]
    let room = this.#parts.maxTransfers - all.filter(isActive).length
    for (const transfer of all) {
      if (transfer.phase !== 'waiting' || room-- <= 0) continue
      transfer.phase = 'preparing'
      this.#parts.driver.own(this.#prepare(transfer))
    }
  }

  #look(transfer: Transfer, now: number): void {
    const { core, driver } = this.#parts
    const { phase, at, to, wanted, index } = transfer
    if (phase === 'ending') {
      const match = core.status().peers.find(({ id }) => id === to)?.matchIndex ?? 0
      if (match >= index || now - at >= ENDING_MS) this.#remove(transfer)
    } else if (phase === 'sending') {
      if (now - at >= SILENT_MS) this.#fail(transfer, 'unknown')
      else if (this.#isUnheard(transfer, now)) this.#sendOffer(transfer)
    } else if (phase === 'failed' && now >= at) {
      this.#remove(transfer)
      // Who went silent may have installed it: the core finds out by asking for what comes next (trap T-20).
      const ok = transfer.outcome === 'unknown'
      if (wanted !== undefined) driver.step({ type: 'snapshotStatus', peer: to, ok })
      this.#settleOwed(transfer)
    }
  }

  /** What the receiver has by now the core finds out by asking for what comes next (trap T-20). */
  #settleOwed({ to, owed }: Transfer): void {
    const { core, driver } = this.#parts
    if (owed === undefined || core.role !== 'leader' || core.term !== owed.term) return
    driver.step({ type: 'snapshotStatus', peer: to, ok: true })
  }

  /** Whether nothing has come since the offer for so long that it may be lost. */
  #isUnheard({ at, hasAnswered, offeredAt }: Transfer, now: number): boolean {
    return now - (hasAnswered ? Math.max(at, offeredAt) : offeredAt) >= OFFER_MS
  }

  async #prepare(transfer: Transfer): Promise<void> {
    const { driver } = this.#parts
    try {
      const image = await this.#fix(transfer)
      if (!this.#isPreparing(transfer)) return
      if (image === undefined) return this.#fail(transfer)
      const manifest = await image.manifest(transfer.abort.signal)
      if (this.#isPreparing(transfer)) this.#offer(transfer, manifest)
    } catch (error) {
      // Aborted, or damaged here: the state machine's own checks deal with that.
      if (error instanceof StoreError) this.#fail(transfer)
      else driver.fail(error)
    }
  }

  /** Whether `transfer` is still wanted. */
  #isPreparing(transfer: Transfer): boolean {
    return this.#transfers.get(transfer.to) === transfer && transfer.phase === 'preparing'
  }

  /**
   * The image for `transfer`, fixed here and, while this member leads, at the others: they hear of it on the same
   * connection as of everything committed so far, so none of them has passed the end of the log. That may never be
   * applied, when nothing is committed without the receiver: then it is the present state.
   */
  async #fix(transfer: Transfer): Promise<Image | undefined> {
    const { core, machine, holder, time } = this.#parts
    for (let attempt = 0; attempt < PIN_ATTEMPTS && this.#isPreparing(transfer); attempt++) {
      const shared = this.#shareable(transfer)
      const isAhead = core.role === 'leader' && attempt === 0
      const index = shared?.index ?? (isAhead ? core.lastIndex : machine.appliedIndex)
      if (index < transfer.atLeast || !this.#parts.isSound()) return undefined
      transfer.index = index
      transfer.isPinned = true
      transfer.helpers = shared?.helpers ?? this.#pinElsewhere(transfer)
      const timer = time.after(PIN_MS, () => holder.release(index))
      const image = await holder.hold(index)
      time.cancel(timer)
      if (image !== undefined) {
        this.#started(transfer)
        return image
      }
      this.#unpin(transfer)
    }
    return undefined
  }

  #started({ wanted, to, index }: Transfer): void {
    if (wanted !== undefined) this.#parts.driver.step({ type: 'snapshotStarted', peer: to, index })
  }

  /** An image that is being sent to somebody else serves this one, too. */
  #shareable({ atLeast, to }: Transfer): Transfer | undefined {
    return [...this.#transfers.values()].find(
      (other) => other.phase === 'sending' && other.index >= atLeast && other.to !== to,
    )
  }

  #pinElsewhere({ to, index }: Transfer): NodeId[] {
    const { core, helpers, sendPin } = this.#parts
    if (core.role !== 'leader') return []
    const nodes = helpers().filter((node) => node !== to)
    for (const node of nodes) sendPin(node, index)
    return nodes
  }

  #offer(transfer: Transfer, manifest: ImageManifest): void {
    const { holder, time } = this.#parts
    const { to, index, wanted, helpers } = transfer
    transfer.offer = {
      index,
      term: manifest.term,
      leaderTerm: wanted?.term ?? 0,
      session: wanted?.session ?? 0,
      root: manifest.root,
      manifestBytes: holder.publish(index, manifest),
      holders: helpers.filter((node) => node !== to),
    }
    transfer.phase = 'sending'
    transfer.totalBytes = manifest.bytes
    transfer.at = time.now()
    this.#parts.noted(to, 'offered', index)
    this.#sendOffer(transfer)
  }

  #sendOffer(transfer: Transfer): void {
    const { time, sendOffer } = this.#parts
    const isSent = transfer.offer !== undefined && sendOffer(transfer.to, transfer.offer)
    // The way there may not be up yet: then it is worth another look soon.
    transfer.offeredAt = time.now() - (isSent ? 0 : OFFER_MS - OFFER_AGAIN_MS)
  }

  #done(transfer: Transfer): void {
    this.#completed++
    this.#failures.delete(transfer.to)
    this.#parts.noted(transfer.to, 'installed', transfer.index)
    if (transfer.wanted === undefined) {
      this.#remove(transfer)
      this.#settleOwed(transfer)
      return
    }
    transfer.phase = 'ending'
    this.#unpin(transfer)
    this.#parts.driver.step({ type: 'snapshotStatus', peer: transfer.to, ok: true })
  }

  #fail(transfer: Transfer, outcome: 'none' | 'unknown' = 'none'): void {
    if (this.#transfers.get(transfer.to) !== transfer) return
    transfer.outcome = outcome
    const failures = (this.#failures.get(transfer.to) ?? 0) + 1
    this.#failures.set(transfer.to, failures)
    this.#unpin(transfer)
    transfer.phase = 'failed'
    this.#parts.noted(transfer.to, 'failed', transfer.index)
    transfer.at =
      this.#parts.time.now() + Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 8))
  }

  #remove(transfer: Transfer): void {
    transfer.abort.abort()
    this.#transfers.delete(transfer.to)
    this.#unpin(transfer)
  }

  /** Gives up the image, unless another transfer uses it. */
  #unpin(transfer: Transfer): void {
    const { index, helpers, isPinned } = transfer
    transfer.isPinned = false
    const isUsed = [...this.#transfers.values()].some(
      (other) => other.isPinned && other.index === index,
    )
    if (!isPinned || isUsed) return
    this.#parts.holder.release(index)
    for (const node of helpers) this.#parts.sendUnpin(node, index)
  }
}
