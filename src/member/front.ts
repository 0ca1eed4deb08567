/** What a member shows to the clients that connect to it: calls, and news about itself. */
import { StoreError } from '../base/errors.js'
import type { RaftCore } from '../raft/core.js'
import type { ClientPort } from '../transport/served-client.js'
import { type CallResult, callErrorOf } from '../wire/envelope.js'
import type { Administration } from './administration.js'
import type { Backend } from './backend.js'
import type { Backups } from './backups.js'
import { answerCall } from './client-calls.js'
import { Clients } from './clients.js'
import type { FreeSpace } from './free-space.js'
import { type LimitOptions, maxFrameBytes, maxManifestBytes } from './options.js'
import type { RetainedCalls } from './retained-calls.js'
import type { Roster } from './roster.js'
import type { Service } from './service.js'

/** The parts of a member that clients hear of. */
export interface FrontParts {
  readonly core: RaftCore
  readonly roster: Roster
  readonly service: Service
  readonly space: FreeSpace
  readonly administration: Administration
  readonly backups: Backups
  readonly retained: RetainedCalls
  /** Why nothing is done here any more. */
  ended(): Error | undefined
  /** Why nothing can be read here. */
  unreadable(): Error | undefined
  isRemoved(): boolean
}

/** See the file's comment. */
export class Front {
  readonly #backend: Backend
  readonly #parts: FrontParts
  readonly #clients: Clients

  constructor(backend: Backend, limits: LimitOptions, id: string, parts: FrontParts) {
    const { maxValueBytes, maxRequestBytes } = limits
    const { core, roster, service, space } = parts
    this.#backend = backend
    this.#parts = parts
    this.#clients = new Clients({
      backend,
      maxValueBytes,
      maxManifestBytes: maxManifestBytes(limits),
      maxFrameBytes: maxFrameBytes(limits),
      call: (method, params, reply) => this.#onCall(method, params, reply),
      news: (role) => ({
        memberId: id,
        role,
        leader: roster.nameOf(service.leader),
        term: core.term,
        isReady: service.isReady && parts.ended() === undefined,
        isServing: parts.unreadable() === undefined,
        appliedIndex: backend.appliedIndex,
        refusal: space.refusal && callErrorOf(space.refusal),
        confIndex: roster.directory.confIndex,
        members: roster.members.map(({ id, address, nodeId }) => ({
          id,
          address,
          as: roster.partOf(nodeId),
        })),
        maxValueBytes,
        maxRequestBytes,
        maxFrameBytes: maxFrameBytes(limits),
        blobThresholdBytes: finite(backend.blobs.thresholdBytes),
      }),
    })
  }

  /** Serves a client that has connected. */
  serve(port: ClientPort): ReturnType<Clients['serve']> {
    return this.#clients.serve(port)
  }

  /** Something that clients are told about may have changed. */
  look(): void {
    this.#clients.look()
  }

  tick(now: number): void {
    this.#clients.tick(now)
  }

  end(): Promise<void> {
    return this.#clients.end()
  }

  /** A call of a client connection. */
  #onCall(method: string, params: unknown, reply: (result: CallResult) => void): void {
    const { administration, backups, retained, ended, isRemoved } = this.#parts
    const error = isRemoved() ? noMember() : ended()
    if (method === 'status') reply({ ok: this.#backend.status() })
    else if (error instanceof StoreError) reply({ error: callErrorOf(error) })
    else if (method === 'join') administration.onJoin(params, reply)
    else if (method === 'members') administration.onCall(params, reply)
    else if (method === 'backup') backups.onCall(params, reply)
    else if (method === 'retained') answerCall(retained.answer(params), reply)
    else if (method === 'checkpoint') answerCall(this.#backend.checkpoint(), reply)
    else reply({ error: { code: 'QUORATE_FORMAT', message: `unknown call ${method}` } })
  }
}

/** Undefined for Infinity, which does not travel. */
function finite(bytes: number): number | undefined {
  return bytes === Number.POSITIVE_INFINITY ? undefined : bytes
}

/** What a former member tells clients: it does not mean the client, so it is not QUORATE_REMOVED. */
function noMember(): StoreError {
  return new StoreError('QUORATE_NOT_READY', 'the member asked is none any more: ask another one', {
    retryable: true,
  })
}
