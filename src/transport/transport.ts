/**
 * The connections of one member with the others and with clients.
 *
 * Every member dials every other one: it sends on the connection it dialed and receives on the one it was
 * dialed on. Frames between two members arrive in order, each at most once; whatever is lost with a
 * connection is lost silently, and Raft sends it again.
 */
import { StoreError } from '../base/errors.js'
import type { Listener, Network } from '../env/network.js'
import type { Random } from '../env/random.js'
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import { TRANSPORT_KIND_MIN } from '../wire/frame.js'
import { CLUSTER_ID_BYTES, MEMBER_ID_BYTES_MAX } from '../wire/handshake.js'
import { Acceptor, HANDSHAKE_MS } from './acceptor.js'
import { Link, type LinkStatus } from './link.js'
import { checkAddress, checkSecret, type Protection } from './protection.js'
import type { CallHandler } from './served-client.js'

/** Who this member is. */
export interface TransportIdentity {
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  readonly memberId: string
  readonly nodeId: NodeId
}

/** Another member and where it listens. */
export interface PeerAddress {
  readonly nodeId: NodeId
  readonly memberId: string
  readonly address: string
}

/** Settings of a transport; all are required. */
export interface TransportOptions extends Protection {
  readonly identity: TransportIdentity
  readonly listen: string
  readonly peers: readonly PeerAddress[]
  /** The longest body of a frame, in both directions. */
  readonly maxFrameBytes: number
  /** Per peer and per client; at least one frame of `maxFrameBytes`. */
  readonly maxQueuedBytes: number
  readonly maxClients: number
}

/** What the owner of a transport hears; all calls come from the event loop. */
export interface TransportHandlers {
  /**
   * A frame from another member; `body` is owned by the receiver and may view a larger buffer that is never
   * reused. A DecodeError thrown here closes the connection it came on.
   */
  frame(from: NodeId, kind: number, body: Buffer): void
  /** The outgoing link to `node` is established and proven. */
  peerUp(node: NodeId): void
  /** A proven link to or from `node` broke just now; once, until a link is proven again (design D12). */
  peerDown(node: NodeId): void
  /** A call of a client connection. */
  readonly call: CallHandler
}

/** One peer as plain data. */
export interface PeerLinkStatus extends LinkStatus {
  readonly nodeId: NodeId
  readonly receivedFrames: number
  readonly receivedBytes: number
}

/** A transport as plain data. */
export interface TransportStatus {
  readonly peers: readonly PeerLinkStatus[]
  /** Incoming connections that were refused or closed for a fault, by reason. */
  readonly rejected: Readonly<Record<string, number>>
  readonly clients: number
}

interface Peer {
  readonly address: PeerAddress
  readonly link: Link
  isDownKnown: boolean
  receivedFrames: number
  receivedBytes: number
}

/** The open port and the links of one member. */
export class Transport {
  readonly #network: Network
  readonly #time: Time
  readonly #random: Random
  readonly #options: TransportOptions
  readonly #handlers: TransportHandlers
  readonly #acceptor: Acceptor
  readonly #peers = new Map<NodeId, Peer>()
  #listener: Listener | undefined
  #isClosed = false

  private constructor(
    network: Network,
    time: Time,
    random: Random,
    options: TransportOptions,
    handlers: TransportHandlers,
  ) {
    this.#network = network
    this.#time = time
    this.#random = random
    this.#options = options
    this.#handlers = handlers
    this.#acceptor = new Acceptor(time, random, options, {
      peer: (node) => this.#peers.get(node)?.address,
      memberUp: (node) => this.#memberUp(node),
      memberFrame: (node, kind, body) => this.#receive(node, kind, body),
      memberDown: (node) => this.#broken(node),
      call: (method, params, reply) => this.#handlers.call(method, params, reply),
    })
  }

  /**
   * Listens and begins to dial all peers; it does not wait for them.
   * @throws {StoreError} QUORATE_INSECURE for an address beyond this machine without TLS or secret;
   *   QUORATE_NETWORK when the address cannot be listened on.
   */
  static async start(
    network: Network,
    time: Time,
    random: Random,
    options: TransportOptions,
    handlers: TransportHandlers,
  ): Promise<Transport> {
    checkOptions(options)
    checkAddress(options.listen, options)
    for (const peer of options.peers) checkAddress(peer.address, options)
    const transport = new Transport(network, time, random, options, handlers)
    await transport.#listen()
    transport.setPeers(options.peers)
    return transport
  }

  /** Where this really listens. */
  get address(): string {
    return this.#listener!.address
  }

  isUp(node: NodeId): boolean {
    return this.#peers.get(node)?.link.isUp ?? false
  }

  /**
   * Queues one frame; it leaves at the end of this turn. False when it was dropped: no link, or more than
   * `maxQueuedBytes` wait already. `kind` is 0 to 239. Parts must not change afterwards.
   */
  send(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean {
    checkFrame(kind, parts, this.#options.maxFrameBytes)
    return this.#peers.get(to)?.link.send(kind, parts) ?? false
  }

  /**
   * Makes `peers` the members that are dialed and let in; links to those that stay as they are go on.
   * @throws {StoreError} QUORATE_INSECURE, and then nothing has changed.
   */
  setPeers(peers: readonly PeerAddress[]): void {
    for (const peer of peers) checkAddress(peer.address, this.#options)
    const wanted = new Map(peers.map((peer) => [peer.nodeId, peer]))
    wanted.delete(this.#options.identity.nodeId)
    for (const [node, peer] of this.#peers) {
      const next = wanted.get(node)
      if (next !== undefined && isSamePeer(peer.address, next)) wanted.delete(node)
      else this.#drop(node, peer)
    }
    for (const peer of wanted.values()) this.#add(peer)
  }

  status(): TransportStatus {
    const peers = [...this.#peers].map(([nodeId, peer]) => ({
      nodeId,
      ...peer.link.status(),
      receivedFrames: peer.receivedFrames,
      receivedBytes: peer.receivedBytes,
    }))
    const rejected = this.#acceptor.rejected()
    return { peers, rejected, clients: this.#acceptor.clientCount }
  }

  /** Closes the port and all connections; no handler is called afterwards. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const peer of this.#peers.values()) peer.link.close()
    this.#acceptor.close()
    await this.#listener?.close()
  }

  async #listen(): Promise<void> {
    const { listen, tls } = this.#options
    try {
      this.#listener = await this.#network.listen(listen, tls, (connection) => {
        this.#acceptor.accept(connection)
      })
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new StoreError('QUORATE_NETWORK', `cannot listen on ${listen}: ${why}`, { cause })
    }
  }

  #add(address: PeerAddress): void {
    const { identity, tls, secret, maxFrameBytes, maxQueuedBytes } = this.#options
    const { clusterId, nodeId, memberId } = identity
    const node = address.nodeId
    const dial = {
      address: address.address,
      tls,
      secret,
      timeoutMs: HANDSHAKE_MS,
      maxFrameBytes,
      hello: { role: 'member' as const, clusterId, from: nodeId, memberId, to: node },
      expected: { clusterId, nodeId: node, memberId: address.memberId },
    }
    const link = new Link(this.#network, this.#time, this.#random, dial, maxQueuedBytes, {
      up: () => this.#linkUp(node),
      down: () => this.#broken(node),
    })
    const counters = { isDownKnown: false, receivedFrames: 0, receivedBytes: 0 }
    this.#peers.set(node, { address, link, ...counters })
  }

  #drop(node: NodeId, peer: Peer): void {
    this.#peers.delete(node)
    peer.link.close()
    this.#acceptor.drop(node)
  }

  #linkUp(node: NodeId): void {
    const peer = this.#peers.get(node)
    if (this.#isClosed || peer === undefined) return
    peer.isDownKnown = false
    this.#handlers.peerUp(node)
  }

  #memberUp(node: NodeId): void {
    const peer = this.#peers.get(node)
    if (this.#isClosed || peer === undefined) return
    peer.isDownKnown = false
    peer.link.hurry()
  }

  #broken(node: NodeId): void {
    const peer = this.#peers.get(node)
    if (this.#isClosed || peer === undefined || peer.isDownKnown) return
    peer.isDownKnown = true
    this.#handlers.peerDown(node)
  }

  #receive(node: NodeId, kind: number, body: Buffer): void {
    const peer = this.#peers.get(node)
    if (this.#isClosed || peer === undefined) return
    peer.receivedFrames++
    peer.receivedBytes += body.length
    this.#handlers.frame(node, kind, body)
  }
}

function isSamePeer(a: PeerAddress, b: PeerAddress): boolean {
  return a.address === b.address && a.memberId === b.memberId
}

function checkOptions(options: TransportOptions): void {
  const { identity, secret, maxFrameBytes, maxQueuedBytes } = options
  if (identity.clusterId.length !== CLUSTER_ID_BYTES) {
    throw new RangeError(`a cluster id has ${CLUSTER_ID_BYTES} bytes`)
  }
  if (Buffer.byteLength(identity.memberId) > MEMBER_ID_BYTES_MAX) {
    throw new RangeError(`a member id has at most ${MEMBER_ID_BYTES_MAX} bytes`)
  }
  checkSecret(secret)
  if (maxQueuedBytes < maxFrameBytes) {
    throw new RangeError('maxQueuedBytes is less than maxFrameBytes')
  }
}

function checkFrame(kind: number, parts: readonly Uint8Array[], maxFrameBytes: number): void {
  let bytes = 0
  for (const part of parts) bytes += part.length
  if (bytes > maxFrameBytes)
    throw new RangeError(`frame of ${bytes} bytes, allowed ${maxFrameBytes}`)
  if (kind < 0 || kind >= TRANSPORT_KIND_MIN) throw new RangeError(`frame kind ${kind}`)
}
