/**
 * The member among the others: what it says to them and hears from them, as typed calls over frames.
 *
 * A lone member without a port has no transport at all; then nothing is sent and nobody is up. A frame that does
 * not decode closes its connection and is counted (DecodeError, see Transport).
 */
import type { Env } from '../env/env.js'
import type { Time } from '../env/time.js'
import type { Message, NodeId } from '../raft/types.js'
import { Transport, type TransportHandlers } from '../transport/transport.js'
import { DecodeError } from '../wire/command.js'
import {
  type Answer,
  decodeAnswers,
  decodeRequest,
  decodeRetained,
  encodeAnswers,
  encodeRequest,
  encodeRetained,
  FRAME_ANSWERS,
  FRAME_MESSAGE,
  FRAME_REQUEST,
  FRAME_RETAINED,
} from '../wire/forward.js'
import { decodeMessage, encodeMessage } from '../wire/message.js'
import type { Identity } from './identity.js'
import type { MemberOptions } from './options.js'

/** What comes in; a DecodeError that one of these throws closes the connection. */
export interface PeerHandlers extends Pick<TransportHandlers, 'peerUp' | 'peerDown' | 'call'> {
  message(message: Message): void
  request(from: NodeId, link: number, request: Buffer): void
  answers(answers: readonly Answer[]): void
  retained(from: NodeId, index: number): void
}

/** Members say something to each other about every second; one that was silent for so long is not reachable. */
const SILENCE_MS = 3000
/** Room in a frame beside entries and values. */
const FRAME_OVERHEAD_BYTES = 65_536

/** Talks to the other members. */
export class Peers {
  readonly #time: Time
  readonly #self: NodeId
  readonly #handlers: PeerHandlers
  readonly #heardAt = new Map<NodeId, number>()
  #transport: Transport | undefined

  /**
   * Listens and begins to dial the other members.
   * @throws {StoreError} QUORATE_INSECURE, QUORATE_NETWORK.
   */
  static async start(
    env: Env,
    identity: Identity,
    options: MemberOptions,
    handlers: PeerHandlers,
  ): Promise<Peers> {
    const peers = new Peers(env.time, identity.nodeId, handlers)
    await peers.#start(env, identity, options)
    return peers
  }

  private constructor(time: Time, self: NodeId, handlers: PeerHandlers) {
    this.#time = time
    this.#self = self
    this.#handlers = handlers
  }

  /** Where this member listens. */
  get address(): string | undefined {
    return this.#transport?.address
  }

  /** Whether frames to `node` have a proven connection to go to. */
  isUp(node: NodeId): boolean {
    return this.#transport?.isUp(node) ?? false
  }

  /** Whether `node` is connected and has been heard of lately: a cut network leaves connections standing. */
  isHeard(node: NodeId): boolean {
    const heardAt = this.#heardAt.get(node) ?? Number.NEGATIVE_INFINITY
    return this.isUp(node) && this.#time.now() - heardAt < SILENCE_MS
  }

  /** Sends a message of the core; false when it was dropped. */
  sendMessage(message: Message): boolean {
    return this.#transport?.send(message.to, FRAME_MESSAGE, encodeMessage(message)) ?? false
  }

  /** Hands a request to the leader; false when it was dropped. The request must not change afterwards. */
  sendRequest(to: NodeId, link: number, request: Buffer): boolean {
    return this.#transport?.send(to, FRAME_REQUEST, encodeRequest(link, request)) ?? false
  }

  /** Sends answers; lost ones are found out by sending the request again. */
  sendAnswers(to: NodeId, answers: readonly Answer[]): void {
    this.#transport?.send(to, FRAME_ANSWERS, [encodeAnswers(answers)])
  }

  /** Says that this member is alive and, if it leads, up to where everybody has the log; else `index` is 0. */
  sendRetained(to: NodeId, index: number): void {
    this.#transport?.send(to, FRAME_RETAINED, [encodeRetained(index)])
  }

  /** Connections refused or closed for a fault since the start, by reason. */
  rejected(): Readonly<Record<string, number>> {
    return this.#transport?.status().rejected ?? {}
  }

  async close(): Promise<void> {
    await this.#transport?.close()
  }

  async #start(env: Env, identity: Identity, options: MemberOptions): Promise<void> {
    const { members, limits, tls, secret } = options
    const listen = options.listen ?? members?.[identity.id]
    if (listen === undefined) return
    this.#transport = await Transport.start(
      env.network,
      env.time,
      env.random,
      {
        identity: {
          clusterId: Buffer.from(identity.clusterId, 'hex'),
          memberId: identity.id,
          nodeId: identity.nodeId,
        },
        listen,
        peers: identity.firstMembers
          .filter((member) => member.nodeId !== identity.nodeId)
          .map((member) => ({
            nodeId: member.nodeId,
            memberId: member.id,
            address: members?.[member.id] ?? '',
          })),
        tls,
        secret,
        maxFrameBytes: 2 * (limits.maxValueBytes + limits.maxRequestBytes) + FRAME_OVERHEAD_BYTES,
        maxQueuedBytes: limits.maxQueuedBytes,
        maxClients: limits.maxClients,
      },
      {
        frame: (from, kind, body) => this.#take(from, kind, body),
        peerUp: this.#handlers.peerUp,
        peerDown: this.#handlers.peerDown,
        call: this.#handlers.call,
      },
    )
  }

  #take(from: NodeId, kind: number, body: Buffer): void {
    this.#heardAt.set(from, this.#time.now())
    switch (kind) {
      case FRAME_MESSAGE: {
        const message = decodeMessage(body)
        if (message.to !== this.#self) throw new DecodeError('a message for another node')
        this.#handlers.message(message)
        return
      }
      case FRAME_REQUEST: {
        const { link, request } = decodeRequest(body)
        this.#handlers.request(from, link, request)
        return
      }
      case FRAME_ANSWERS:
        this.#handlers.answers(decodeAnswers(body))
        return
      case FRAME_RETAINED:
        this.#handlers.retained(from, decodeRetained(body))
        return
      default:
        throw new DecodeError(`unknown frame kind ${kind}`)
    }
  }
}
