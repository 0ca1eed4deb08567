/**
 * The connections of one member with the others and with clients.
 *
 * Every member dials every other one: it sends on the connection it dialed and receives on the one it was
 * dialed on. Frames between two members arrive in order, each at most once; whatever is lost with a
 * connection is lost silently, and Raft sends it again.
 *
 * A member of the cluster that is not known here is let in as a guest, and dialed back for as long as it stays:
 * who was away or is new knows less of the membership than the leader who brings it the log.
 */
import { isWildcardAddress } from '../env/address.js'
import type { Connection, Listener, Network } from '../env/network.js'
import type { Random } from '../env/random.js'
import type { Time } from '../env/time.js'
import { NONE, type NodeId } from '../raft/types.js'
import { TRANSPORT_KIND_MIN } from '../wire/frame.js'
import { CLUSTER_ID_BYTES, type Hello, MEMBER_ID_BYTES_MAX } from '../wire/handshake.js'
import { Acceptor, HANDSHAKE_MS } from './acceptor.js'
import type { ClientRules } from './client-roles.js'
import { Link, type LinkStatus } from './link.js'
import { listen } from './listen.js'
import { checkAddress, checkSecret, isProtected, type Protection } from './protection.js'
import type { ClientHost } from './served-client.js'

/** Who this member is. */
export interface TransportIdentity {
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  readonly memberId: string
  readonly nodeId: NodeId
  /** 8 bytes in hexadecimal: tells this member from one that begins anew under its name (trap T-14). */
  readonly incarnation: string
}

/** Another member and where it listens. */
export interface PeerAddress {
  readonly nodeId: NodeId
  readonly memberId: string
  readonly address: string
  /** Where it may be found when that fails; the address that it names itself takes its place. */
  readonly otherAddress: string | undefined
  /** Only this incarnation of it is dealt with; undefined: any, until one is known. */
  readonly incarnation: string | undefined
}

/** What another member has proven about itself. */
export interface PeerFacts {
  readonly incarnation: string
  readonly priority: number
  /** Where this member has a connection to it; undefined while there is none. */
  readonly connectedAddress: string | undefined
}

/** Settings of a transport; all are required. */
export interface TransportOptions extends Protection, ClientRules {
  readonly identity: TransportIdentity
  readonly listen: string
  /** Where others are told to dial; undefined: where it listens, if others can make sense of that. */
  readonly advertised: string | undefined
  /** How much this member wants to lead, -100 to 100. */
  readonly priority: number
  readonly peers: readonly PeerAddress[]
  /** Members that were: they are told that they are none any more. */
  readonly removed: ReadonlySet<NodeId>
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
  /** The connection on which `node` speaks broke just now; all that had come on it was handed over before. */
  peerSilent(node: NodeId): void
  /** Serves a client that has come in. */
  readonly client: ClientHost
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

/** Members that are not known here and may be connected at a time; more are refused. */
const GUESTS_MAX = 64

interface Peer {
  address: PeerAddress
  /** Not one of `setPeers`: it goes with its connection. */
  isGuest: boolean
  readonly link: Link
  /** What it said on the connection that it dialed last. */
  hello: Hello | undefined
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
  #removed: ReadonlySet<NodeId>
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
    this.#removed = options.removed
    this.#acceptor = new Acceptor(time, random, options, {
      peer: (node) => this.#peers.get(node)?.address,
      isRemoved: (node) => this.#removed.has(node),
      welcomes: (hello) => this.#welcomes(hello),
      memberUp: (hello) => this.#memberUp(hello),
      memberFrame: (node, kind, body) => this.#receive(node, kind, body),
      memberDown: (node) => this.#memberDown(node),
      client: (port) => this.#handlers.client(port),
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
    for (const peer of options.peers) checkAddress(peer.address, options)
    const transport = new Transport(network, time, random, options, handlers)
    await transport.#listen()
    transport.setPeers(options.peers, options.removed)
    return transport
  }

  /** Where this really listens. */
  get address(): string {
    return this.#listener!.address
  }

  /** Where others are told to dial this member; empty when that is not known. */
  get reachableAt(): string {
    const { advertised } = this.#options
    if (advertised !== undefined) return advertised
    const { address } = this
    return isWildcardAddress(address) ? '' : address
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

  /** What `node` has proven about itself; undefined before it connected. */
  facts(node: NodeId): PeerFacts | undefined {
    const peer = this.#peers.get(node)
    if (peer?.hello === undefined) return undefined
    const { incarnation, priority } = peer.hello
    return { incarnation, priority, connectedAddress: peer.link.connectedAddress }
  }

  /**
   * Makes `peers` the members that are dialed and let in; connections to those that stay go on. Those in
   * `removed` are told so when they come; one that is in both keeps the connections it has.
   * @throws {StoreError} QUORATE_INSECURE, and then nothing has changed.
   */
  setPeers(peers: readonly PeerAddress[], removed: ReadonlySet<NodeId>): void {
    for (const peer of peers) checkAddress(peer.address, this.#options)
    this.#removed = removed
    const wanted = new Map(peers.map((peer) => [peer.nodeId, peer]))
    wanted.delete(this.#options.identity.nodeId)
    for (const [node, peer] of this.#peers) {
      const next = wanted.get(node)
      if (next?.memberId === peer.address.memberId) {
        wanted.delete(node)
        peer.isGuest = false
        peer.link.moveTo(next.address)
        this.#expect(peer, next)
      } else if (next !== undefined || !peer.isGuest || removed.has(node)) {
        this.#drop(node, peer)
      }
    }
    for (const peer of wanted.values()) this.#add(peer, 'known')
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
    const accept = (connection: Connection) => this.#acceptor.accept(connection)
    const { listen: address } = this.#options
    this.#listener = await listen(this.#network, address, this.#options, accept)
  }

  #add(address: PeerAddress, standing: 'known' | 'guest'): void {
    const { identity, priority, tls, secret, maxFrameBytes, maxQueuedBytes } = this.#options
    const { nodeId: from, ...self } = identity
    const { nodeId: node, memberId, incarnation } = address
    const dial = {
      address: address.address,
      tls,
      secret,
      timeoutMs: HANDSHAKE_MS,
      maxFrameBytes,
      hello: {
        role: 'member' as const,
        ...self,
        from,
        to: node,
        priority,
        address: this.reachableAt,
      },
      expected: { clusterId: self.clusterId, nodeId: node, memberId, incarnation },
    }
    const link = new Link(this.#network, this.#time, this.#random, dial, maxQueuedBytes, {
      up: () => this.#linkUp(node),
      down: () => this.#broken(node),
    })
    this.#suggest(link, address.otherAddress)
    const counters = { isDownKnown: false, receivedFrames: 0, receivedBytes: 0 }
    const isGuest = standing === 'guest'
    this.#peers.set(node, { address, isGuest, link, hello: undefined, ...counters })
  }

  /** What another member says of its address is no more than a hint: one that may not be dialed is none. */
  #suggest(link: Link, address: string | undefined): void {
    if (address === undefined || address === '' || !isProtected(address, this.#options)) return
    link.suggest(address)
  }

  /** A member that stays may have become known by its incarnation. */
  #expect(peer: Peer, next: PeerAddress): void {
    const { incarnation } = next
    peer.address = next
    peer.link.expect(incarnation)
    const isOther = incarnation !== undefined && peer.hello?.incarnation !== incarnation
    if (peer.hello === undefined || !isOther) return
    peer.hello = undefined
    this.#acceptor.drop(next.nodeId)
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

  /** A guest must be one that can be answered, and go by a name that nobody here has: names are given once. */
  #welcomes({ address, from, memberId }: Hello): boolean {
    const { identity } = this.#options
    const peers = [...this.#peers.values()]
    const isNamesake = [identity, ...peers.map((peer) => peer.address)].some(
      (known) => known.memberId === memberId,
    )
    const guests = peers.filter(({ isGuest }) => isGuest).length
    const isSomebody = from !== NONE && from !== identity.nodeId && !isNamesake
    return isSomebody && guests < GUESTS_MAX && isProtected(address, this.#options)
  }

  #memberDown(node: NodeId): void {
    this.#broken(node)
    if (!this.#isClosed && this.#peers.has(node)) this.#handlers.peerSilent(node)
    const peer = this.#peers.get(node)
    if (peer?.isGuest) this.#drop(node, peer)
  }

  #memberUp(hello: Hello): void {
    if (!this.#isClosed && !this.#peers.has(hello.from)) {
      const { from: nodeId, memberId, address } = hello
      const unknown = { otherAddress: undefined, incarnation: undefined }
      this.#add({ nodeId, memberId, address, ...unknown }, 'guest')
    }
    const peer = this.#peers.get(hello.from)
    if (this.#isClosed || peer === undefined) return
    peer.isDownKnown = false
    peer.hello = hello
    this.#suggest(peer.link, hello.address)
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
