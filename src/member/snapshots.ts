/**
 * Everything about images of the state on one member: those it keeps and hands out, those it sends and those it takes
 * in (docs/architecture.md, "Life of a snapshot").
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { RaftCore } from '../raft/core.js'
import type { LogIndex, NodeId, SnapshotWanted } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import {
  decodeAsk,
  decodeIndex,
  decodeOffer,
  decodePiece,
  decodeProgress,
  encodeAsk,
  encodeIndex,
  encodeOffer,
  encodePiece,
  encodeProgress,
  FRAME_ASK,
  FRAME_IMAGE_WANTED,
  FRAME_OFFER,
  FRAME_PIECE,
  FRAME_PIN,
  FRAME_PROGRESS,
  FRAME_UNPIN,
  type Offer,
} from '../wire/snapshot-transfer.js'
import type { Driver } from './driver.js'
import { ImageHolder } from './image-holder.js'
import type { Rebuilt } from './open-state.js'
import { type MemberOptions, maxPieceBytes } from './options.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'
import { SnapshotIntake } from './snapshot-intake.js'
import { SnapshotSender, type TransferStep, type TransferView } from './snapshot-sender.js'
import { StateRebuild } from './state-rebuild.js'
import { incomingDir, type Storage } from './storage.js'

/** So often a receiver says how it is doing. */
const REPORT_MS = 1000

/** What snapshots work with. */
export interface SnapshotParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly storage: Storage
  readonly core: RaftCore
  readonly driver: Driver
  readonly roster: Roster
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  /** The log begins after `index` now, where the state stands. */
  installed(index: LogIndex): void
  /** Makes another member lead, if one can. */
  handOver(): Promise<void>
  /** Nothing is to be read here until `rebuilt`. */
  stateLost(why: StoreError): void
  rebuilt(rebuilt: Rebuilt): void
  /** A state on its way to another member has come so far. */
  noted(to: NodeId, step: TransferStep, index: LogIndex): void
}

/** A state that is being taken in. */
export interface IntakeView {
  readonly from: NodeId
  readonly index: LogIndex
  readonly bytes: number
  readonly totalBytes: number
}

/** See the file's comment. */
export class Snapshots {
  readonly #parts: SnapshotParts
  readonly #holder: ImageHolder
  readonly #sender: SnapshotSender
  readonly #intake: SnapshotIntake
  readonly #rebuild: StateRebuild
  #reportAt = 0

  constructor(parts: SnapshotParts) {
    this.#parts = parts
    this.#holder = this.#newHolder()
    this.#sender = this.#newSender()
    this.#intake = this.#newIntake()
    this.#rebuild = this.#newRebuild()
  }

  /** The log must keep what comes after this index. */
  get floor(): LogIndex {
    return this.#sender.floor
  }

  /** States that came from others and were put into force, since the start. */
  get installed(): number {
    return this.#intake.installed
  }

  /** States that were sent and are in force elsewhere, since the start. */
  get sent(): number {
    return this.#sender.completed
  }

  get sending(): readonly TransferView[] {
    return this.#sender.views()
  }

  get receiving(): IntakeView | undefined {
    return this.#intake.progress
  }

  /** Why the state is out of use and is being had again; undefined when it is in use. */
  get lost(): StoreError | undefined {
    return this.#rebuild.why
  }

  /** The state is damaged (StateRebuild). */
  rebuild(why: StoreError, where: 'apply' | 'read'): void {
    this.#rebuild.begin(why, where)
  }

  /** A follower needs entries that the log does not hold any more. */
  onWanted(wanted: SnapshotWanted): void {
    this.#sender.onWanted(wanted)
  }

  /** The way to a member is new. */
  onPeerUp(node: NodeId): void {
    this.#sender.onPeerUp(node)
  }

  /** Another role, leader or term. */
  onSoft(): void {
    this.#sender.onSoft()
  }

  /** A frame about images. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    switch (kind) {
      case FRAME_PIN:
        this.#pin(from, decodeIndex(body))
        return
      case FRAME_UNPIN:
        if (from === this.#parts.core.leader) this.#holder.release(decodeIndex(body))
        return
      case FRAME_IMAGE_WANTED:
        this.#sender.onImageWanted(from, decodeIndex(body))
        return
      case FRAME_OFFER:
        this.#onOffer(from, decodeOffer(body))
        return
      case FRAME_ASK: {
        const ask = decodeAsk(body)
        this.#sender.onAsk(from, ask.index)
        this.#holder.onAsk(from, ask)
        return
      }
      case FRAME_PIECE:
        this.#intake.onPiece(from, decodePiece(body))
        return
      case FRAME_PROGRESS:
        this.#sender.onProgress(from, decodeProgress(body))
        return
      default:
        throw new DecodeError(`unknown frame kind ${kind}`)
    }
  }

  /** Called with every tick. */
  tick(now: number): void {
    this.#holder.tick(now)
    this.#sender.tick(now)
    this.#rebuild.tick(now)
    if (now < this.#reportAt) return
    this.#reportAt = now + REPORT_MS
    this.#intake.report()
  }

  /** Ends what is under way; the driver waits for what has to be finished. */
  end(): void {
    this.#rebuild.stop()
    this.#intake.end()
    this.#sender.end()
    this.#holder.close()
  }

  /** Only the leader knows an index that nobody has passed. */
  #pin(from: NodeId, index: LogIndex): void {
    const { core, driver } = this.#parts
    if (from !== core.leader || this.lost !== undefined) return
    driver.own(
      this.#holder.hold(index).then(
        () => undefined,
        (error: unknown) => {
          // What is damaged here is had from others.
          if (!(error instanceof StoreError)) driver.fail(error)
        },
      ),
    )
  }

  #onOffer(from: NodeId, offer: Offer): void {
    // An offer of nobody who leads is one in place of a state that is out of use.
    const isStale = offer.leaderTerm !== 0 && offer.leaderTerm < this.#parts.core.term
    if (!isStale) this.#intake.onOffer(from, offer)
  }

  #newHolder(): ImageHolder {
    const { env, options, storage, driver } = this.#parts
    return new ImageHolder({
      time: env.time,
      machine: storage.machine,
      clusterId: storage.identity.clusterId,
      bytesPerSecond: options.limits.snapshotBytesPerSecond,
      maxPieceBytes: maxPieceBytes(options.limits),
      send: (to, piece) => this.#send(to, FRAME_PIECE, encodePiece(piece)),
      own: (work) => driver.own(work),
    })
  }

  #newSender(): SnapshotSender {
    const { env, options, storage, core, driver, noted } = this.#parts
    return new SnapshotSender({
      time: env.time,
      core,
      machine: storage.machine,
      driver,
      holder: this.#holder,
      maxTransfers: options.limits.maxSnapshotTransfers,
      isSound: () => this.lost === undefined,
      helpers: () => this.#heard(),
      sendPin: (to, index) => this.#send(to, FRAME_PIN, [encodeIndex(index)]),
      sendUnpin: (to, index) => this.#send(to, FRAME_UNPIN, [encodeIndex(index)]),
      sendOffer: (to, offer) => this.#send(to, FRAME_OFFER, [encodeOffer(offer)]),
      noted,
    })
  }

  #newIntake(): SnapshotIntake {
    const { env, options, storage, core, driver, installed } = this.#parts
    const { log, machine, generations, identity } = storage
    return new SnapshotIntake({
      self: identity.nodeId,
      time: env.time,
      disk: env.disk,
      incomingDir: incomingDir(options.dir),
      clusterId: identity.clusterId,
      core,
      log,
      machine,
      driver,
      generations,
      maxPieceBytes: maxPieceBytes(options.limits),
      firstAsk: () => env.random.u32('ask'),
      ask: (to, ask) => this.#send(to, FRAME_ASK, [encodeAsk(ask)]),
      sendProgress: (to, progress) => {
        this.#send(to, FRAME_PROGRESS, [encodeProgress(progress)])
      },
      installed,
      rebuilt: (from, setAside) => this.#rebuild.end(from, setAside),
    })
  }

  #newRebuild(): StateRebuild {
    const { env, storage, core, driver, roster, handOver, stateLost, rebuilt } = this.#parts
    const { log, machine, generations } = storage
    return new StateRebuild({
      time: env.time,
      core,
      driver,
      log,
      machine,
      generations,
      sources: () => {
        const leads = (node: NodeId) => (node === core.leader ? 0 : 1)
        return this.#heard().sort((a, b) => leads(a) - leads(b) || a - b)
      },
      hasOthers: () => roster.others.length > 0,
      handOver,
      sendWanted: (to, atLeast) => this.#send(to, FRAME_IMAGE_WANTED, [encodeIndex(atLeast)]),
      isTakingIn: () => this.#intake.isBusy,
      alone: (work) => this.#intake.alone(work),
      nameOf: (node) => roster.nameOf(node) ?? `node ${node}`,
      begun: (why) => {
        this.#holder.clear()
        stateLost(why)
      },
      rebuilt,
    })
  }

  /** The other members that are connected and were heard of lately. */
  #heard(): NodeId[] {
    const peers = this.#parts.peers()
    const nodes = this.#parts.roster.others.map(({ nodeId }) => nodeId)
    return nodes.filter((node) => peers?.isHeard(node) === true)
  }

  #send(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean {
    return this.#parts.peers()?.sendFrame(to, kind, parts) ?? false
  }
}
