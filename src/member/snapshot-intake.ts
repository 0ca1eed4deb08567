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
import type { RaftCore } from '../raft/core.js'
import type { EntryId, LogIndex, NodeId, SnapshotMessage, SnapshotMeta } from '../raft/types.js'
import { ChunkStore } from '../snapshot/chunk-store.js'
import type { ImageManifest } from '../wire/image.js'
import type { Ask, Offer, Piece, Progress } from '../wire/snapshot-transfer.js'
import type { Driver } from './driver.js'
import type { Generations } from './generations.js'
import { ImageFetch } from './image-fetch.js'
import { loadNext } from './load-next.js'

const LOOK_MS = 20
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
  readonly core: RaftCore
  readonly log: RaftLog
  readonly machine: StateMachine
  readonly driver: Driver
  readonly generations: Generations
  readonly maxPieceBytes: number
  firstAsk(): number
  /** False when it was dropped. */
  ask(to: NodeId, ask: Ask): boolean
  sendProgress(to: NodeId, progress: Progress): void
  /** The log begins after `index` now, where the state stands. */
  installed(index: LogIndex): void
  /** A state that was out of use is in use again. */
  rebuilt(from: NodeId, setAside: string | undefined): void
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
  readonly #jobs: (() => Promise<void>)[] = []
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

  /** Whether a state is being taken in. */
  get isBusy(): boolean {
    return this.#work !== undefined
  }

  /** A leader offers the state that this member lacks, or somebody that in place of the one out of use. */
  onOffer(from: NodeId, offer: Offer): void {
    if (this.#isEnded) return
    // Whoever leads knows best what is needed.
    if (isSameOffer(this.#current, from, offer)) return
    if (offer.leaderTerm === 0 && (this.isBusy || !this.#parts.driver.isStateVoid)) return
    this.#next = { from, offer, phase: 'fetching', fetch: undefined }
    this.#current?.fetch?.abort(overtaken())
    this.#start()
  }

  /** Runs `job` while no state is being taken in; what it throws ends the member. */
  alone(job: () => Promise<void>): void {
    this.#jobs.push(job)
    this.#start()
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

  #start(): void {
    if (this.#work !== undefined) return
    this.#work = this.#run()
    this.#parts.driver.own(this.#work)
  }

  /** Does one thing after the other until nothing is left; never rejects. */
  async #run(): Promise<void> {
    // What began this stands first.
    await Promise.resolve()
    for (;;) {
      const job = this.#jobs.shift()
      const intake = this.#next
      if (job !== undefined) {
        await this.#runJob(job)
      } else if (intake !== undefined) {
        this.#next = undefined
        this.#current = intake
        const status = await this.#take(intake)
        this.#current = undefined
        const { index } = intake.offer
        this.#parts.sendProgress(intake.from, { index, status, bytes: 0, totalBytes: 0 })
      } else break
    }
    this.#work = undefined
  }

  async #runJob(job: () => Promise<void>): Promise<void> {
    try {
      if (!this.#isEnded) await job()
    } catch (error) {
      this.#parts.driver.fail(error)
    }
  }

  async #take(intake: Intake): Promise<'done' | 'failed'> {
    const { disk, incomingDir, driver, generations } = this.#parts
    try {
      if (this.#isBehind(intake)) return 'done'
      const store = await ChunkStore.open(disk, incomingDir)
      const { manifest, database } = await loadNext(store, generations, () =>
        this.#fetch(intake, store),
      )
      const isInForce = await (intake.offer.leaderTerm === 0
        ? this.#replace(intake, manifest, database)
        : this.#install(intake, manifest, database))
      if (!isInForce) {
        await database.close()
        await generations.dropNext()
      }
      await store.retain([])
      return 'done'
    } catch (error) {
      // The leader tries again after a while; what has arrived is kept until then.
      if (!isPassing(error)) driver.fail(error)
      return 'failed'
    }
  }

  /** A leader that does not know how far this member is hears it from the core, and nothing has to be fetched. */
  #isBehind({ from, offer }: Intake): boolean {
    const { core, driver, self } = this.#parts
    const { index, term, leaderTerm, session } = offer
    if (leaderTerm === 0 || index > core.commitIndex) return false
    const snapshot = { index, term, conf: core.status().conf }
    const message = {
      type: 'snapshot',
      from,
      to: self,
      term: leaderTerm,
      snapshot,
      session,
    } as const
    driver.step({ type: 'receive', message })
    return true
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
    return driver.install(message, (snapshot) => this.#carryOut(intake.from, snapshot, database))
  }

  /** The steps of raft.md 3.5, in the order of generations.ts; nothing is applied or appended meanwhile. */
  async #carryOut(
    from: NodeId,
    { index, term }: SnapshotMeta,
    database: Database,
  ): Promise<Configuration> {
    const { machine, installed, driver, log } = this.#parts
    const wasVoid = driver.isStateVoid
    const former = wasVoid ? 'keep' : 'drop'
    const aside = await this.#switchTo(database, { index, term }, former, () =>
      log.compactTo(index, term),
    )
    this.#installed++
    installed(index)
    if (wasVoid) this.#parts.rebuilt(from, aside)
    return { conf: machine.conf, members: machine.members }
  }

  /**
   * Puts the state in the place of the one that is out of use, when all of it is applied as far as the core knows and
   * the log holds what comes after it. Whether it did.
   */
  async #replace(intake: Intake, manifest: ImageManifest, database: Database): Promise<boolean> {
    const { core, driver, log, time, rebuilt } = this.#parts
    const { index, term } = manifest
    const isOver = () => this.#isEnded || this.#next !== undefined || !driver.isStateVoid
    while (!isOver() && core.status().appliedIndex < index) {
      await new Promise<void>((resolve) => {
        time.after(LOOK_MS, resolve)
      })
    }
    if (isOver() || index < log.status().firstIndex - 1) return false
    let aside: string | undefined
    await driver.replaceState(async () => {
      // The log goes on as it is: followers may need what is in it.
      aside = await this.#switchTo(database, { index, term }, 'keep', () => Promise.resolve())
    })
    this.#installed++
    rebuilt(intake.from, aside)
    return true
  }

  /** Makes `database` the state that ends with `end`; returns where the former one will be kept. */
  async #switchTo(
    database: Database,
    end: EntryId,
    former: 'keep' | 'drop',
    fitLog: () => Promise<void>,
  ): Promise<string | undefined> {
    const { generations, machine } = this.#parts
    const formerDir = generations.stateDir
    const aside = former === 'keep' ? await generations.nameAside() : undefined
    try {
      await generations.begin(end)
      await fitLog()
      await generations.commit()
      const { closed } = await machine.replace(database)
      assert(machine.appliedIndex === end.index, 'another state was installed', { ...end })
      void this.#putAway(formerDir, aside, closed)
      return aside
    } catch (error) {
      // What was begun is carried out at the next open.
      await database.close()
      throw error
    }
  }

  /** Views of the former state may be open for long, also when the member closes: the next open removes it then. */
  async #putAway(
    stateDir: string,
    aside: string | undefined,
    closed: Promise<void>,
  ): Promise<void> {
    const { generations, driver } = this.#parts
    try {
      await closed
      if (this.#isEnded) return
      if (aside === undefined) await generations.remove(stateDir)
      else await generations.setAside(stateDir, aside)
    } catch (error) {
      driver.fail(error)
    }
  }
}

/** Offers are made again when nothing is heard of the first. */
function isSameOffer(intake: Intake | undefined, from: NodeId, offer: Offer): boolean {
  if (intake?.from !== from) return false
  const { index, root, leaderTerm, session } = intake.offer
  return (
    index === offer.index &&
    root === offer.root &&
    leaderTerm === offer.leaderTerm &&
    session === offer.session
  )
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
