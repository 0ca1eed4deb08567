/**
 * The member among the others: what it says to them and hears from them, as typed calls over frames.
 *
 * A lone member without a port has no transport at all; then nothing is sent and nobody is up. A frame that does
 * not decode closes its connection and is counted (DecodeError, see Transport). A member that was removed is kept
 * connected for a moment, so that it hears of it.
 */
import type { StoreErrorCode } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { Time } from '../env/time.js'
import type { Message, NodeId } from '../raft/types.js'
import {
  type PeerAddress,
  type PeerFacts,
  Transport,
  type TransportHandlers,
} from '../transport/transport.js'
import { DecodeError } from '../wire/command.js'
import {
  type CallResult,
  decodeAnswer,
  decodeCall,
  encodeAnswer,
  encodeCall,
} from '../wire/envelope.js'
import {
  type Answer,
  decodeAnswers,
  decodeRequest,
  decodeRetained,
  decodeSpace,
  encodeAnswers,
  encodeRequest,
  encodeRetained,
  encodeSpace,
  FRAME_ANSWERS,
  FRAME_MESSAGE,
  FRAME_QUESTION,
  FRAME_REPLY,
  FRAME_REQUEST,
  FRAME_RETAINED,
  FRAME_SPACE,
  type SpaceReport,
} from '../wire/forward.js'
import { asMembershipRequest, type MembershipRequest } from '../wire/membership.js'
import { decodeMessage, encodeMessage } from '../wire/message.js'
import type { Identity } from './identity.js'
import { type MemberOptions, maxFrameBytes } from './options.js'
import type { Roster } from './roster.js'

/** What comes in; a DecodeError that one of these throws closes the connection. */
export interface PeerHandlers
  extends Pick<TransportHandlers, 'peerUp' | 'peerDown' | 'peerSilent' | 'client'> {
  message(message: Message): void
  request(from: NodeId, link: number, request: Buffer): void
  answers(answers: readonly Answer[]): void
  retained(from: NodeId, index: number): void
  space(from: NodeId, report: SpaceReport): void
  question(from: NodeId, id: number, request: MembershipRequest): void
  reply(from: NodeId, id: number, result: CallResult): void
  /** A frame about images of the state (wire/snapshot-transfer.ts). */
  image(from: NodeId, kind: number, body: Buffer): void
}

/** Why a connection to another member is refused, by that member or by this one. */
export interface PeerRefusal {
  readonly node: NodeId
  readonly code: StoreErrorCode
  readonly message: string
}

/** What went over the connections between members since the start, and what is under way. */
export interface PeerTraffic {
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Waiting to be sent. */
  readonly queuedBytes: number
  /** Not sent, because there was no connection or too much waited already. */
  readonly droppedFrames: number
  /** Connections that were established to others. */
  readonly connects: number
  /** Client connections that are open. */
  readonly clients: number
}

/** Members say something to each other about every second; one that was silent for so long is not reachable. */
const SILENCE_MS = 3000
/** So long the last frames to a removed member have to arrive. */
const LEAVING_MS = 1000

/** Talks to the other members. */
export class Peers {
  readonly #time: Time
  readonly #self: NodeId
  readonly #options: MemberOptions
  readonly #handlers: PeerHandlers
  readonly #heardAt = new Map<NodeId, number>()
  #members: readonly PeerAddress[] = []
  #leaving: readonly PeerAddress[] = []
  #removed: ReadonlySet<NodeId> = new Set()
  #transport: Transport | undefined
  #forwardedRequests = 0

  /**
   * Listens and begins to dial the other members.
   * @throws {StoreError} QUORATE_INSECURE, QUORATE_NETWORK.
   */
  static async start(
    env: Env,
    identity: Identity,
    options: MemberOptions,
    roster: Roster,
    handlers: PeerHandlers,
  ): Promise<Peers> {
    const peers = new Peers(env.time, identity.nodeId, options, handlers)
    await peers.#start(env, identity, roster)
    return peers
  }

  private constructor(time: Time, self: NodeId, options: MemberOptions, handlers: PeerHandlers) {
    this.#time = time
    this.#self = self
    this.#options = options
    this.#handlers = handlers
  }

  /** Where this member listens. */
  get address(): string | undefined {
    return this.#transport?.address
  }

  /** Where others can reach this member as far as it can tell by itself; undefined when it cannot. */
  get reachableAt(): string | undefined {
    const address = this.#transport?.reachableAt
    return address === '' ? undefined : address
  }

  /** The members are those of `roster` now. */
  setMembers(roster: Roster): void {
    const before = this.#members
    this.#take(roster)
    const gone = before.filter(({ nodeId }) => this.#removed.has(nodeId))
    if (gone.length > 0) {
      this.#leaving = [...this.#leaving, ...gone]
      this.#time.after(LEAVING_MS, () => {
        this.#leaving = this.#leaving.filter((peer) => !gone.includes(peer))
        this.#connect()
      })
    }
    this.#connect()
  }

  /** What `node` has proven about itself since it connected. */
  facts(node: NodeId): PeerFacts | undefined {
    return this.#transport?.facts(node)
  }

  /** Connections that are not had because one side does not want the other. */
  refusals(): readonly PeerRefusal[] {
    const links = this.#transport?.status().peers ?? []
    return links.flatMap(({ nodeId: node, lastError }) =>
      lastError === undefined || lastError.code === 'QUORATE_NETWORK'
        ? []
        : [{ node, ...lastError }],
    )
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
    this.#forwardedRequests++
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

  /** Says how much room this member has on its disk. */
  sendSpace(to: NodeId, report: SpaceReport): void {
    this.#transport?.send(to, FRAME_SPACE, [encodeSpace(report)])
  }

  /** Asks the leader about the members; false when it was dropped. */
  sendQuestion(to: NodeId, id: number, request: MembershipRequest): boolean {
    const body = encodeCall({ id, method: 'members', params: request })
    return this.#transport?.send(to, FRAME_QUESTION, [body]) ?? false
  }

  /** Answers a question; a lost answer is noticed by who asked. */
  sendReply(to: NodeId, id: number, result: CallResult): void {
    this.#transport?.send(to, FRAME_REPLY, [encodeAnswer(id, result)])
  }

  /** Sends a frame about images; false when it was dropped. The parts must not change afterwards. */
  sendFrame(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean {
    return this.#transport?.send(to, kind, parts) ?? false
  }

  /** Connections refused or closed for a fault since the start, by reason. */
  rejected(): Readonly<Record<string, number>> {
    return this.#transport?.status().rejected ?? {}
  }

  /** Requests that were handed to a leader elsewhere, or dropped on the way. */
  get forwardedRequests(): number {
    return this.#forwardedRequests
  }

  traffic(): PeerTraffic {
    const status = this.#transport?.status()
    const sum = { sentBytes: 0, receivedBytes: 0, queuedBytes: 0, droppedFrames: 0, connects: 0 }
    for (const peer of status?.peers ?? []) {
      sum.sentBytes += peer.sentBytes
      sum.receivedBytes += peer.receivedBytes
      sum.queuedBytes += peer.queuedBytes
      sum.droppedFrames += peer.dropped
      sum.connects += peer.connects
    }
    return { ...sum, clients: status?.clients ?? 0 }
  }

  async close(): Promise<void> {
    await this.#transport?.close()
  }

  async #start(env: Env, identity: Identity, roster: Roster): Promise<void> {
    const { members, limits, tls, secret, priority } = this.#options
    const { id: memberId, nodeId, incarnation } = identity
    this.#take(roster)
    const ownAddress = roster.find(memberId)?.address
    const listen = this.#options.listen ?? members?.[memberId] ?? ownAddress
    if (listen === undefined) return
    this.#transport = await Transport.start(
      env.network,
      env.time,
      env.random,
      {
        identity: {
          clusterId: Buffer.from(identity.clusterId, 'hex'),
          memberId,
          nodeId,
          incarnation,
        },
        listen,
        advertised: members?.[memberId],
        priority,
        peers: this.#members,
        removed: this.#removed,
        tls,
        secret,
        clients: this.#options.clients,
        maxFrameBytes: maxFrameBytes(limits),
        maxQueuedBytes: limits.maxQueuedBytes,
        maxClients: limits.maxClients,
      },
      {
        frame: (from, kind, body) => this.#receive(from, kind, body),
        peerUp: this.#handlers.peerUp,
        peerDown: this.#handlers.peerDown,
        peerSilent: this.#handlers.peerSilent,
        client: this.#handlers.client,
      },
    )
  }

  /** Where the others are by the directory, and as a hint by this member's own options. */
  #take(roster: Roster): void {
    this.#members = roster.others.flatMap((member) => {
      const { nodeId, id: memberId, address } = member
      if (address === undefined) return []
      const otherAddress = this.#options.members?.[memberId]
      const incarnation = roster.incarnationOf(member)
      return [{ nodeId, memberId, address, otherAddress, incarnation }]
    })
    this.#removed = new Set(roster.directory.removed.map(({ nodeId }) => nodeId))
  }

  #connect(): void {
    const leaving = this.#leaving.filter(({ nodeId }) => this.#removed.has(nodeId))
    this.#transport?.setPeers([...this.#members, ...leaving], this.#removed)
  }

  #receive(from: NodeId, kind: number, body: Buffer): void {
    this.#heardAt.set(from, this.#time.now())
    switch (kind) {
      case FRAME_MESSAGE: {
        const message = decodeMessage(body)
        if (message.to !== this.#self) throw new DecodeError('a message for another node')
        // A snapshot is told to the core by this member itself, when its state is here.
        if (message.type === 'snapshot') throw new DecodeError('a snapshot without its state')
        // A follower hands the wish for a transfer on under the name of its target.
        if (message.from !== from && message.type !== 'transferLeader') {
          throw new DecodeError('a message in the name of another node')
        }
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
      case FRAME_SPACE:
        this.#handlers.space(from, decodeSpace(body))
        return
      case FRAME_QUESTION: {
        const { id, params } = decodeCall(body)
        this.#handlers.question(from, id, asMembershipRequest(params))
        return
      }
      case FRAME_REPLY: {
        const { id, result } = decodeAnswer(body)
        this.#handlers.reply(from, id, result)
        return
      }
      default:
        this.#handlers.image(from, kind, body)
    }
  }
}
