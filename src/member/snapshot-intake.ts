/**
 * Snapshots that are offered to this member: fetched, loaded beside the present state, given to the core, and put
 * into force if the core takes them.
 *
 * One at a time. A newer offer takes the place of the one under way, and finds what has arrived already; the core
 * refuses what it does not need any more (traps T-17, T-19), and then nothing has happened.
 */
import { assert } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { Database } from '../env/database.js'
import type { Disk } from '../env/disk.js'
import type { Time } from '../env/time.js'
import type { RaftLog } from '../log/raft-log.js'
import type { Configuration, StateMachine } from '../machine/state-machine.js'
import type { EntryId, LogIndex, NodeId, SnapshotMessage, SnapshotMeta } from '../raft/types.js'
import { ChunkStore } from '../snapshot/chunk-store.js'
import type { ImageManifest } from '../wire/image.js'
import type { Ask, Offer, Piece, Progress } from '../wire/snapshot-transfer.js'
import type { Driver } from './driver.js'
import type { Generations } from './generations.js'
import { ImageFetch } from './image-fetch.js'
import { loadNext } from './load-next.js'

/** What the operating system and LevelDB say: a full disk may have room later. */
const SYSTEM_CODE = /^(E[A-Z0-9]+|LEVEL_[A-Z_]+)$/

/** What an intake works with. */
export interface IntakeParts {
  readonly self: NodeId
  readonly time: Time
  readonly disk: Disk
  /** Where chunks are kept until they are loaded. */
  readonly incomingDir: string
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly driver: Driver
  readonly generations: Generations
  readonly maxPieceBytes: number
  firstAsk(): number
  /** False when it was dropped. */
  ask(to: NodeId, ask: Ask): boolean
  sendProgress(to: NodeId, progress: Progress): void
  /** The state is that after the entry `index` now. */
  installed(index: LogIndex): void
}

interface Intake {
  readonly from: NodeId
  readonly offer: Offer
  phase: 'fetching' | 'loading'
  fetch: ImageFetch | undefined
}

/** Takes snapshots in; see the file's comment. */
export class SnapshotIntake {
  readonly #parts: IntakeParts
  readonly #asks: { nextId(): number }
  /** The one under way, and the offer that comes next: the newest one. */
  #current: Intake | undefined
  #next: Intake | undefined
  #work: Promise<void> | undefined
  #installed = 0
  #isEnded = false

  constructor(parts: IntakeParts) {
    this.#parts = parts
    let asks = parts.firstAsk()
    this.#asks = {
      nextId: () => {
        asks = (asks + 1) >>> 0
        return asks
      },
    }
  }

  /** States put into force since the start. */
  get installed(): number {
    return this.#installed
  }

  /** The state that is being taken in; undefined when none is. */
  get progress(): (Progress & { readonly from: NodeId }) | undefined {
    if (this.#current === undefined) return undefined
    const { offer, fetch, phase, from } = this.#current
    const [bytes, totalBytes] = [fetch?.bytes ?? 0, fetch?.totalBytes ?? 0]
    return { from, index: offer.index, status: phase, bytes, totalBytes }
  }

  /** A leader offers the state that this member lacks. */
  onOffer(from: NodeId, offer: Offer): void {
    if (this.#isEnded) return
    this.#next = { from, offer, phase: 'fetching', fetch: undefined }
    this.#current?.fetch?.abort(overtaken())
    if (this.#work !== undefined) return
    this.#work = this.#run()
    this.#parts.driver.own(this.#work)
  }

  onPiece(from: NodeId, piece: Piece): void {
    this.#current?.fetch?.onPiece(from, piece)
  }

  /** Says how it goes; called about once a second. */
  report(): void {
    const progress = this.progress
    if (progress !== undefined) this.#parts.sendProgress(progress.from, progress)
  }

  /** Takes nothing more in; what is under way is given up, unless the core has it already. */
  end(): void {
    this.#isEnded = true
    this.#next = undefined
    this.#current?.fetch?.abort(new StoreError('QUORATE_NOT_OPEN', 'the member was closed'))
  }

  /** Takes offers in until there is none; never rejects. */
  async #run(): Promise<void> {
    // The offer that began this stands first.
    await Promise.resolve()
    while (this.#next !== undefined) {
      const intake = this.#next
      this.#next = undefined
      this.#current = intake
      const status = await this.#take(intake)
      this.#current = undefined
      const { index } = intake.offer
      this.#parts.sendProgress(intake.from, { index, status, bytes: 0, totalBytes: 0 })
    }
    this.#work = undefined
  }

  async #take(intake: Intake): Promise<'done' | 'failed'> {
    const { disk, incomingDir, driver, generations } = this.#parts
    try {
      const store = await ChunkStore.open(disk, incomingDir)
      const { manifest, database } = await loadNext(store, generations, () =>
        this.#fetch(intake, store),
      )
      if (!(await this.#install(intake, manifest, database))) {
        await database.close()
        await generations.dropNext()
      }
      await store.retain(undefined)
      return 'done'
    } catch (error) {
      // The leader tries again after a while; what has arrived is kept until then.
      if (!isPassing(error)) driver.fail(error)
      return 'failed'
    }
  }

  async #fetch(intake: Intake, store: ChunkStore): Promise<ImageManifest> {
    const { time, clusterId, maxPieceBytes, ask } = this.#parts
    const { nextId } = this.#asks
    const parts = { time, clusterId, store, maxPieceBytes, ask, nextId }
    intake.phase = 'fetching'
    intake.fetch = new ImageFetch(parts, intake.from, intake.offer)
    if (this.#isEnded || this.#next !== undefined) intake.fetch.abort(overtaken())
    const manifest = await intake.fetch.run()
    intake.phase = 'loading'
    return manifest
  }

  /** Gives the snapshot to the core; whether it took it, and the state is in force. */
  #install(intake: Intake, manifest: ImageManifest, database: Database): Promise<boolean> {
    if (this.#isEnded) return Promise.resolve(false)
    const { self, driver } = this.#parts
    const { index, term, conf } = manifest
    const message: SnapshotMessage = {
      type: 'snapshot',
      from: intake.from,
      to: self,
      term: intake.offer.leaderTerm,
      snapshot: { index, term, conf },
      session: intake.offer.session,
    }
    return driver.install(message, (snapshot) => this.#carryOut(snapshot, database))
  }

  /** Settles, in what it returns, when the former state is not read any more. */
  async #switchTo(database: Database, end: EntryId): Promise<{ former: Promise<void> }> {
    const { generations, log, machine } = this.#parts
    try {
      await generations.begin(end)
      await log.compactTo(end.index, end.term)
      await generations.commit()
      const { closed } = await machine.replace(database)
      return { former: closed }
    } catch (error) {
      // What was begun is carried out at the next open.
      await database.close()
      throw error
    }
  }

  /** The steps of raft.md 3.5, in the order of generations.ts; nothing is applied or appended meanwhile. */
  async #carryOut({ index, term }: SnapshotMeta, database: Database): Promise<Configuration> {
    const { generations, machine, installed } = this.#parts
    const former = generations.stateDir
    const { former: closed } = await this.#switchTo(database, { index, term })
    assert(machine.appliedIndex === index, 'the state that was installed is another one', { index })
    void this.#removeOnceClosed(former, closed)
    this.#installed++
    installed(index)
    return { conf: machine.conf, members: machine.members }
  }

  /** Views of the former state may be open for long, also when the member closes: the next open removes it then. */
  async #removeOnceClosed(stateDir: string, closed: Promise<void>): Promise<void> {
    try {
      await closed
      if (!this.#isEnded) await this.#parts.generations.remove(stateDir)
    } catch (error) {
      this.#parts.driver.fail(error)
    }
  }
}

function overtaken(): StoreError {
  return new StoreError('QUORATE_ABORTED', 'a newer snapshot was offered, or the member is closing')
}

/** Whether a snapshot that failed with `error` may succeed later; anything else must not happen. */
function isPassing(error: unknown): boolean {
  if (error instanceof StoreError) return true
  const { code } = Object(error) as { code?: unknown }
  return typeof code === 'string' && SYSTEM_CODE.test(code)
}
