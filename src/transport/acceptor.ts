/**
 * The listening side: every connection proves who it is before anything it says has an effect (design D11).
 *
 * A connection that sends anything but the handshake, or a frame that is too long or damaged, is closed and
 * counted under a reason; nothing else happens. Unproven connections are bounded in number (the oldest goes
 * first, so that a flood of silent ones keeps nobody out for long), in bytes and in time.
 */
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Connection } from '../env/network.js'
import type { Random } from '../env/random.js'
import type { Time, TimerHandle } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import type { ClientRole } from '../wire/client-news.js'
import { TRANSPORT_KIND_MIN } from '../wire/frame.js'
import {
  decodeHello,
  encodeChallenge,
  encodeRefusal,
  FRAME_CALL,
  FRAME_CHALLENGE,
  FRAME_HELLO,
  FRAME_PROOF,
  FRAME_REFUSED,
  FRAME_WELCOME,
  type Hello,
  NONCE_BYTES,
} from '../wire/handshake.js'
import { Channel } from './channel.js'
import { type ClientRules, type ProvenClient, proveClient } from './client-roles.js'
import { checkCertificate, wipedMessage } from './dial.js'
import { type ClientHost, ServedClient } from './served-client.js'
import { proofOf, sessionTags, type Transcript } from './session-key.js'
import type { PeerAddress, TransportIdentity } from './transport.js'

/** From accepting a connection to knowing who it is. */
export const HANDSHAKE_MS = 5_000
/** Connections that have not proven anything yet; beyond it the oldest is closed. */
const UNPROVEN_MAX = 64
/** How connections end that did nothing wrong. */
const ORDINARY_ENDS: ReadonlySet<string> = new Set(['broken', 'closed', 'replaced', 'removed'])

/** What an acceptor needs to know. */
export interface AcceptorOptions extends ClientRules {
  readonly identity: TransportIdentity
  readonly maxFrameBytes: number
  readonly maxQueuedBytes: number
  readonly maxClients: number
}

/** What the owner of an acceptor hears and is asked. */
export interface AcceptorHandlers {
  /** The member known as `node`. */
  peer(node: NodeId): PeerAddress | undefined
  /** Whether a member that is not known here may come in. */
  welcomes(stranger: Hello): boolean
  /** Whether `node` was a member and is none any more; it is told so. */
  isRemoved(node: NodeId): boolean
  /** A member is proven to be who `hello` says; it replaces an earlier connection of the same member. */
  memberUp(hello: Hello): void
  memberFrame(node: NodeId, kind: number, body: Buffer): void
  /** The proven connection of a member broke; not called when a newer one replaced it. */
  memberDown(node: NodeId): void
  /** Serves a client that has come in. */
  readonly client: ClientHost
}

/** All incoming connections of one member. */
export class Acceptor {
  readonly #time: Time
  readonly #random: Random
  readonly #options: AcceptorOptions
  readonly #handlers: AcceptorHandlers
  readonly #unproven = new Set<Incoming>()
  readonly #members = new Map<NodeId, Incoming>()
  readonly #clients = new Set<Incoming>()
  readonly #rejected = new Map<string, number>()
  #isClosed = false

  constructor(time: Time, random: Random, options: AcceptorOptions, handlers: AcceptorHandlers) {
    this.#time = time
    this.#random = random
    this.#options = options
    this.#handlers = handlers
  }

  /** Takes a new connection. */
  accept(connection: Connection): void {
    if (this.#isClosed) {
      connection.destroy()
      return
    }
    for (const oldest of this.#unproven) {
      if (this.#unproven.size < UNPROVEN_MAX) break
      oldest.close('crowded', 'too many connections that have not proven anything')
      this.#unproven.delete(oldest)
    }
    const nonce = this.#random.bytes(NONCE_BYTES, 'nonce')
    this.#unproven.add(new Incoming(connection, this.#time, this.#options, nonce, this.#owner))
  }

  /** Closes the connection of a member that is not one any more. */
  drop(node: NodeId): void {
    this.#members.get(node)?.close('removed', 'not a member any more')
  }

  get clientCount(): number {
    return this.#clients.size
  }

  /** How many connections were closed, by reason. */
  rejected(): Record<string, number> {
    return Object.fromEntries(this.#rejected)
  }

  close(): void {
    this.#isClosed = true
    for (const incoming of [...this.#unproven, ...this.#members.values(), ...this.#clients]) {
      incoming.close('closed', 'closed on this side')
    }
  }

  readonly #owner: IncomingOwner = {
    admit: (hello, names) => this.#admit(hello, names),
    proven: (incoming, hello) => this.#proven(incoming, hello),
    frame: (node, kind, body) => this.#handlers.memberFrame(node, kind, body),
    client: (port) => this.#handlers.client(port),
    rejected: (reason) => this.#count(reason),
    closed: (incoming) => this.#closed(incoming),
  }

  /** Throws the refusal of a hello that may not come in, whatever it could prove. */
  #admit(hello: Hello, names: readonly string[] | undefined): void {
    const { identity, maxClients } = this.#options
    if (hello.role === 'client') {
      if (this.#clients.size < maxClients) return
      throw new StoreError('QUORATE_OVERLOADED', `${maxClients} clients are connected already`)
    }
    checkCertificate(names, hello.memberId)
    if (!equalBytes(hello.clusterId, identity.clusterId)) {
      throw new StoreError('QUORATE_WRONG_CLUSTER', `${identity.memberId} is of another cluster`)
    }
    if (hello.to !== identity.nodeId) {
      const message = `this is member ${identity.memberId} (node ${identity.nodeId})`
      throw new StoreError('QUORATE_WRONG_MEMBER', message)
    }
    if (this.#handlers.isRemoved(hello.from)) {
      throw new StoreError('QUORATE_REMOVED', `${hello.memberId} was removed from the cluster`)
    }
    const peer = this.#handlers.peer(hello.from)
    if (peer === undefined && this.#handlers.welcomes(hello)) return
    if (peer?.memberId !== hello.memberId) {
      const message = `no member ${hello.memberId} (node ${hello.from}) is known here`
      throw new StoreError('QUORATE_WRONG_MEMBER', message)
    }
    if ((peer.incarnation ?? hello.incarnation) !== hello.incarnation) {
      throw new StoreError('QUORATE_WRONG_MEMBER', wipedMessage(hello.memberId))
    }
  }

  #proven(incoming: Incoming, hello: Hello): void {
    this.#unproven.delete(incoming)
    if (hello.role === 'client') {
      this.#clients.add(incoming)
      return
    }
    const earlier = this.#members.get(hello.from)
    this.#members.set(hello.from, incoming)
    earlier?.close('replaced', 'the member has connected anew')
    this.#handlers.memberUp(hello)
  }

  #count(reason: string): void {
    this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + 1)
  }

  #closed(incoming: Incoming): void {
    this.#unproven.delete(incoming)
    this.#clients.delete(incoming)
    const node = incoming.node
    if (node === undefined || this.#members.get(node) !== incoming) return
    this.#members.delete(node)
    this.#handlers.memberDown(node)
  }
}

interface IncomingOwner {
  admit(hello: Hello, names: readonly string[] | undefined): void
  proven(incoming: Incoming, hello: Hello): void
  frame(node: NodeId, kind: number, body: Buffer): void
  readonly client: ClientHost
  rejected(reason: string): void
  closed(incoming: Incoming): void
}

type Phase =
  | { readonly type: 'hello' }
  | { readonly type: 'proof'; readonly hello: Hello; readonly transcript: Transcript }
  | { readonly type: 'member'; readonly node: NodeId }
  | { readonly type: 'client'; readonly client: ServedClient }

/** One incoming connection. */
class Incoming {
  readonly #time: Time
  readonly #options: AcceptorOptions
  readonly #nonce: Uint8Array
  readonly #owner: IncomingOwner
  readonly #channel: Channel
  readonly #deadline: TimerHandle
  #phase: Phase = { type: 'hello' }

  constructor(
    connection: Connection,
    time: Time,
    options: AcceptorOptions,
    nonce: Uint8Array,
    owner: IncomingOwner,
  ) {
    this.#time = time
    this.#options = options
    this.#nonce = nonce
    this.#owner = owner
    this.#channel = new Channel(connection, time, {
      frame: (kind, body) => this.#frame(kind, body),
      gather: () => {
        if (this.#phase.type === 'client') this.#phase.client.gather()
      },
      closed: (reason) => this.#closed(reason),
    })
    this.#deadline = time.after(HANDSHAKE_MS, () => {
      this.close('timeout', 'no handshake in time')
    })
  }

  /** The member this proved to be. */
  get node(): NodeId | undefined {
    return this.#phase.type === 'member' ? this.#phase.node : undefined
  }

  close(reason: string, message: string): void {
    this.#channel.close(reason, message)
  }

  #frame(kind: number, body: Buffer): void {
    const phase = this.#phase
    if (phase.type === 'member' && kind < TRANSPORT_KIND_MIN) {
      this.#owner.frame(phase.node, kind, body)
    } else if (phase.type === 'client' && kind === FRAME_CALL) {
      phase.client.call(body)
    } else if (phase.type === 'client' && kind < TRANSPORT_KIND_MIN) {
      phase.client.frame(kind, body)
    } else if (phase.type === 'hello' || phase.type === 'proof') {
      this.#shakeHands(kind, body)
    } else {
      this.close('kind', `frame of kind ${kind} from a ${phase.type}`)
    }
  }

  #shakeHands(kind: number, body: Buffer): void {
    const phase = this.#phase
    try {
      if (phase.type === 'hello' && kind === FRAME_HELLO) this.#challenge(body)
      else if (phase.type === 'proof' && kind === FRAME_PROOF) this.#welcome(phase, body)
      else this.close('kind', `frame of kind ${kind} in the ${phase.type} phase`)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#refuse(error)
    }
  }

  #challenge(body: Buffer): void {
    const hello = decodeHello(body)
    this.#owner.admit(hello, this.#channel.peerNames)
    const { nodeId: node, ...identity } = this.#options.identity
    const challenge = encodeChallenge({ ...identity, node, nonce: this.#nonce })
    this.#phase = { type: 'proof', hello, transcript: { hello: body, challenge } }
    this.#channel.send(FRAME_CHALLENGE, [challenge])
  }

  #welcome({ hello, transcript }: Phase & { type: 'proof' }, body: Buffer): void {
    const { maxFrameBytes } = this.#options
    const names = this.#channel.peerNames
    const { role, secret } = this.#proven(hello, transcript, body)
    // Asked again: others may have come in since.
    this.#owner.admit(hello, names)
    this.#time.cancel(this.#deadline)
    this.#channel.send(FRAME_WELCOME, [proofOf('acceptor', secret, transcript)])
    this.#channel.prove(sessionTags('acceptor', secret, transcript), maxFrameBytes)
    this.#channel.watch('answers')
    if (hello.role === 'member') this.#phase = { type: 'member', node: hello.from }
    this.#owner.proven(this, hello)
    if (hello.role === 'client') this.#phase = { type: 'client', client: this.#serve(role) }
  }

  /** @throws {StoreError} QUORATE_UNAUTHORIZED */
  #proven({ role }: Hello, transcript: Transcript, proof: Buffer): ProvenClient {
    const { secret } = this.#options
    const names = this.#channel.peerNames
    if (role === 'client') return proveClient(this.#options, names, transcript, proof)
    // Members show that they are members by the same secret, and are asked for no role.
    return proveClient({ secret, clients: undefined }, names, transcript, proof)
  }

  #serve(role: ClientRole): ServedClient {
    return new ServedClient(this.#channel, role, this.#options, this.#owner.client)
  }

  #refuse(error: StoreError): void {
    this.#channel.send(FRAME_REFUSED, [encodeRefusal(error)])
    this.#channel.finish(error.code, error.message)
  }

  #closed(reason: string): void {
    this.#time.cancel(this.#deadline)
    const isProven = this.#phase.type === 'member' || this.#phase.type === 'client'
    if (this.#phase.type === 'client') this.#phase.client.closed()
    if (!isProven || !ORDINARY_ENDS.has(reason)) this.#owner.rejected(reason)
    this.#owner.closed(this)
  }
}
