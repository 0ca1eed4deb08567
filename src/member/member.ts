/**
 * One member: a running engine over its storage, as the backend of the Stores of its process.
 *
 * Opened in the order lock, identity, log, state machine, engine; closed the other way round.
 */

import type { ShardStore } from '../blob/shard-store.js'
import type { Env } from '../env/env.js'
import type { RaftLog } from '../log/raft-log.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import type { LogIndex } from '../raft/types.js'
import type { BackupOptions, BackupResult } from '../snapshot/backup.js'
import type { MembershipAnswer, MembershipRequest } from '../wire/membership.js'
import type {
  AppliedWhere,
  Backend,
  BackendEvents,
  BackupRequest,
  Blobs,
  LinkHandlers,
  LocalReads,
  MemberStatus,
  Overload,
  PendingRead,
  RequestLink,
  RetainedCheckpoint,
  RetainRequest,
  StateView,
  ViewRequest,
  WatchCursor,
  WatchRequest,
} from './backend.js'
import { CallMeters } from './call-meters.js'
import { Engine } from './engine.js'
import type { MemberMetrics } from './metrics.js'
import type { Rebuilt } from './open-state.js'
import type { MemberOptions } from './options.js'
import { closeStorage, openStorage, type Storage } from './storage.js'

/** The parts of a member that a simulation watches. */
export interface MemberParts {
  readonly core: RaftCore
  readonly log: RaftLog
  readonly machine: StateMachine
  /** What had to be done about the state before; undefined when it was in order. */
  readonly rebuilt: Rebuilt | undefined
  readonly shards: ShardStore
}

/** A running member; see the file's comment. */
export class Member implements Backend {
  readonly clusterId: Uint8Array
  readonly local: LocalReads = {
    get: (key) => {
      this.#engine.refuseIfUnreadable()
      return this.#engine.service.readNow(key)
    },
    view: () => {
      this.#engine.refuseIfUnreadable()
      return this.#engine.service.openNow()
    },
  }
  readonly blobs: Blobs
  readonly calls: CallMeters = new CallMeters()
  readonly #env: Env
  readonly #storage: Storage
  readonly #engine: Engine
  #closing: Promise<void> | undefined

  /**
   * Opens the data folder and starts to take part. Resolves when everything that is known to be committed
   * here is applied; it does not wait for a leader. A lone member leads within milliseconds.
   *
   * @throws {StoreError} QUORATE_LOCKED, QUORATE_WRONG_MEMBER, QUORATE_WRONG_CLUSTER, QUORATE_FORMAT,
   *   QUORATE_CORRUPTION, QUORATE_INSECURE, QUORATE_NETWORK.
   * @param watch is given the parts before anything happens to them; for simulations
   */
  static async open(
    env: Env,
    options: MemberOptions,
    events: BackendEvents,
    watch: ((parts: MemberParts) => void) | undefined,
  ): Promise<Member> {
    const storage = await openStorage(env, options)
    let member: Member | undefined
    try {
      member = new Member(env, options, events, storage)
      watch?.({
        core: member.#engine.core,
        log: storage.log,
        machine: storage.machine,
        rebuilt: storage.rebuilt,
        shards: storage.shards,
      })
      await member.#engine.start()
      return member
    } catch (error) {
      if (member !== undefined) await member.#engine.abandon()
      await closeStorage(storage)
      throw error
    }
  }

  private constructor(env: Env, options: MemberOptions, events: BackendEvents, storage: Storage) {
    this.clusterId = Buffer.from(storage.identity.clusterId, 'hex')
    this.#env = env
    this.#storage = storage
    this.blobs = {
      thresholdBytes: options.coding.thresholdBytes,
      upload: (request) => {
        this.#engine.refuseIfEnded()
        return this.#engine.blobs.upload(request)
      },
      fetch: async (request) => {
        this.#engine.refuseIfEnded()
        return this.#engine.blobs.fetch(request)
      },
    }
    this.#engine = new Engine({ env, options, events, storage, backend: this })
  }

  now(): number {
    return this.#env.time.now()
  }

  newClientId(): Uint8Array {
    return this.#env.random.bytes(8, 'client id')
  }

  get appliedIndex(): LogIndex {
    return this.#storage.machine.appliedIndex
  }

  openLink(handlers: LinkHandlers): RequestLink {
    const link = this.#engine.service.openLink(handlers)
    const error = this.#engine.ended()
    if (error !== undefined) handlers.end(error)
    return link
  }

  read(read: PendingRead): void {
    const error = this.#engine.unreadable()
    if (error !== undefined) read.fail(error)
    else {
      this.#engine.observer.reads[read.level]++
      this.#engine.service.read(read)
    }
  }

  async openView(request: ViewRequest): Promise<StateView> {
    this.#engine.refuseIfUnreadable()
    const view = await this.#engine.service.openView(request)
    const error = this.#engine.unreadable()
    if (error === undefined) return view
    await view.close()
    throw error
  }

  watch(request: WatchRequest): WatchCursor {
    this.#engine.refuseIfUnreadable()
    return this.#engine.service.watch(request)
  }

  async awaitApplied(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#engine.refuseIfEnded()
    return this.#engine.service.awaitApplied(index, where, deadline, signal)
  }

  async backup(
    dest: string,
    options: BackupOptions,
    request: BackupRequest,
  ): Promise<BackupResult> {
    this.#engine.refuseIfUnreadable()
    return this.#engine.backups.run(dest, options, request)
  }

  async checkpoint(): Promise<LogIndex> {
    this.#engine.refuseIfUnreadable()
    return this.#engine.checkpoints.runAnew(this.#engine.driver.appendedBytes)
  }

  async retain(request: RetainRequest): Promise<RetainedCheckpoint> {
    this.#engine.refuseIfUnreadable()
    return this.#engine.retained.retain(request)
  }

  async askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer> {
    this.#engine.refuseIfEnded()
    return this.#engine.administration.ask(request, signal)
  }

  status(): MemberStatus {
    return this.#engine.status()
  }

  overloaded(overload: Overload): void {
    this.#engine.service.overloaded(overload)
  }

  metrics(): MemberMetrics {
    return this.#engine.metrics()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#engine.close()
    await closeStorage(this.#storage)
  }
}
