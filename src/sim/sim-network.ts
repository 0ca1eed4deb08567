/**
 * A network of simulated hosts: ordered byte streams with latency, that can be cut, clogged and broken.
 *
 * What holds for TCP holds here: bytes arrive in order and at most once; write boundaries mean nothing
 * (chunks are split now and then); a cut link loses nothing by itself, the bytes wait until it is healed; a
 * connection that ends may take its unread tail with it; a dead process closes its connections, a machine
 * without power does not, and the other side learns of that only by silence. Draws are keyed by the link and
 * by the moment, so that neither another link nor an earlier event changes them. There is no TLS.
 */
import { formatAddress, parseAddress } from '../env/address.js'
import type { Connection, Listener, Network, TlsOptions } from '../env/network.js'
import { SimConnection, type SimLink } from './sim-connection.js'
import type { SimTime } from './sim-time.js'
import type { SimWorld } from './world.js'

const CONNECT_RETRY_MS = 1_000
const CONNECT_TIMEOUT_MS = 5_000
const EPHEMERAL_PORT_MIN = 49_152

/** How long bytes travel, in milliseconds; drawn anew for each chunk. */
export interface Latency {
  readonly minMs: number
  readonly maxMs: number
}

const LAN: Latency = { minMs: 0.1, maxMs: 0.5 }

interface Port {
  readonly host: string
  readonly time: SimTime
  readonly onConnection: (connection: Connection) => void
  readonly accepted: Set<SimConnection>
}

/** All hosts and links of one world. */
export class SimNetwork {
  readonly #world: SimWorld
  readonly #latency: Latency
  readonly #links = new Map<string, LinkState>()
  readonly #ports = new Map<string, Port>()
  /** The host an address belongs to, also while nothing listens there. */
  readonly #homes = new Map<string, string>()
  /** Every connection that somebody may still hear of. */
  readonly #connections = new Set<SimConnection>()
  readonly #dark = new Set<string>()
  #nextPort = EPHEMERAL_PORT_MIN

  constructor(world: SimWorld, latency: Latency = LAN) {
    this.#world = world
    this.#latency = latency
  }

  /** The network as the process behind `time` on `host` sees it. A host that was without power has it again. */
  host(host: string, time: SimTime): Network {
    if (this.#dark.delete(host)) this.#retry()
    return {
      listen: async (address, tls, onConnection) => {
        refuseTls(tls)
        return this.#listen({ host, time, onConnection, accepted: new Set() }, address)
      },
      connect: async (address, tls) => {
        refuseTls(tls)
        return this.#connect(host, time, address)
      },
    }
  }

  /** Nothing passes from `from` to `to` until it is healed. The other direction is not touched. */
  cut(from: string, to: string): void {
    this.#link(from, to).isCut = true
  }

  heal(from: string, to: string): void {
    this.#link(from, to).isCut = false
    this.#retry()
  }

  /** Cuts all links between hosts of different groups, both ways, and heals those within a group. */
  partition(groups: readonly (readonly string[])[]): void {
    const groupOf = new Map(groups.flatMap((group, i) => group.map((host) => [host, i] as const)))
    for (const [from, fromGroup] of groupOf) {
      for (const [to, toGroup] of groupOf) this.#link(from, to).isCut = fromGroup !== toGroup
    }
    this.#retry()
  }

  /** Ends all cuts and clogs. */
  healAll(): void {
    for (const link of this.#links.values()) {
      link.isCut = false
      link.cloggedUntil = 0
    }
    this.#retry()
  }

  /** Nothing passes from `from` to `to` for `ms`; then everything at once. */
  clog(from: string, to: string, ms: number): void {
    this.#link(from, to).cloggedUntil = this.#world.now + ms
  }

  setLatency(from: string, to: string, latency: Latency): void {
    this.#link(from, to).latency = latency
  }

  /** All connections between two hosts die at once, on both sides, with what was under way. */
  break(a: string, b: string): void {
    for (const connection of this.#open()) {
      const { host, peerHost } = connection
      if ((host === a && peerHost === b) || (host === b && peerHost === a)) connection.reset()
    }
  }

  /** The process on `host` dies: its machine closes its ports and connections. */
  kill(host: string): void {
    for (const connection of this.#leave(host)) connection.destroy()
  }

  /** The machine `host` loses its power: nobody is told. It is back with the next call of `host`. */
  powerCut(host: string): void {
    for (const connection of this.#leave(host)) connection.vanish()
    this.#dark.add(host)
  }

  /** Closes the ports of `host` and gives the connections it had. */
  #leave(host: string): SimConnection[] {
    for (const [address, port] of this.#ports) {
      if (port.host === host) this.#ports.delete(address)
    }
    return this.#open().filter((connection) => connection.host === host)
  }

  #open(): SimConnection[] {
    return [...this.#connections].filter((connection) => connection.isOpen)
  }

  #retry(): void {
    for (const connection of this.#connections) connection.out.retry()
  }

  #link(from: string, to: string): LinkState {
    const key = `${from}>${to}`
    let link = this.#links.get(key)
    if (link === undefined) {
      link = new LinkState(this.#world, key, this.#latency, () => this.#dark.has(to))
      this.#links.set(key, link)
    }
    return link
  }

  #listen(port: Port, address: string): Listener {
    const endpoint = parseAddress(address)
    const isAnyPort = endpoint.type === 'tcp' && endpoint.port === 0
    const actual = isAnyPort ? formatAddress(endpoint.host, this.#nextPort++) : address
    if (this.#ports.has(actual)) throw systemError('EADDRINUSE', `listen ${actual}`)
    this.#ports.set(actual, port)
    this.#homes.set(actual, port.host)
    return {
      address: actual,
      close: async () => {
        if (this.#ports.get(actual) === port) this.#ports.delete(actual)
        for (const connection of port.accepted) connection.destroy()
      },
    }
  }

  #connect(host: string, time: SimTime, address: string): Promise<Connection> {
    parseAddress(address)
    const deadline = this.#world.now + CONNECT_TIMEOUT_MS
    return new Promise((resolve, reject) => {
      const fail = (code: string) => {
        time.deliver(() => reject(systemError(code, `connect ${address}`)))
      }
      const knock = () => {
        const target = this.#homes.get(address)
        if (time.isKilled) return
        if (target === undefined) fail('ECONNREFUSED')
        else if (this.#isReachable(host, target)) this.#answer(host, time, address, resolve, fail)
        else if (this.#world.now >= deadline) fail('ETIMEDOUT')
        else this.#world.schedule(CONNECT_RETRY_MS, knock)
      }
      this.#world.schedule(this.#link(host, this.#homes.get(address) ?? host).delayMs(), knock)
    })
  }

  #isReachable(host: string, target: string): boolean {
    const now = this.#world.now
    return this.#link(host, target).openAt() <= now && this.#link(target, host).openAt() <= now
  }

  #answer(
    host: string,
    time: SimTime,
    address: string,
    resolve: (connection: Connection) => void,
    fail: (code: string) => void,
  ): void {
    const port = this.#ports.get(address)
    const target = this.#homes.get(address)!
    const back = this.#link(target, host).delayMs()
    if (port === undefined) {
      this.#world.schedule(back, () => fail('ECONNREFUSED'))
      return
    }
    const client = this.#side(host, target, time, address)
    const server = this.#side(target, host, port.time, formatAddress(host, this.#nextPort++))
    SimConnection.join(client, server)
    for (const earlier of port.accepted) {
      if (earlier.isSettled) port.accepted.delete(earlier)
    }
    port.accepted.add(server)
    port.time.deliver(() => port.onConnection(server))
    this.#world.schedule(back, () => time.deliver(() => resolve(client)))
  }

  #side(host: string, other: string, time: SimTime, remote: string): SimConnection {
    const connection = new SimConnection(this.#world, this.#link(host, other), host, time, remote)
    for (const earlier of this.#connections) {
      if (earlier.isSettled) this.#connections.delete(earlier)
    }
    this.#connections.add(connection)
    return connection
  }
}

/** One direction between two hosts, shared by all connections between them. */
class LinkState implements SimLink {
  latency: Latency
  isCut = false
  cloggedUntil = 0
  readonly #world: SimWorld
  readonly #key: string
  readonly #isDark: () => boolean
  #drawsAt = -1
  #draws = 0

  constructor(world: SimWorld, key: string, latency: Latency, isDark: () => boolean) {
    this.#world = world
    this.#key = key
    this.latency = latency
    this.#isDark = isDark
  }

  openAt(): number {
    return this.isCut || this.#isDark() ? Number.POSITIVE_INFINITY : this.cloggedUntil
  }

  delayMs(): number {
    const { minMs, maxMs } = this.latency
    return minMs + this.#draw(Math.round((maxMs - minMs) * 1_000) + 1, 'latency') / 1_000
  }

  splitAt(bytes: number): number {
    if (bytes < 2 || this.#draw(4, 'isSplit') !== 0) return bytes
    return 1 + this.#draw(bytes - 1, 'split')
  }

  keepsTail(): boolean {
    return this.#draw(2, 'tail') === 0
  }

  #draw(bound: number, purpose: string): number {
    const micros = Math.round(this.#world.now * 1_000)
    if (micros !== this.#drawsAt) this.#draws = 0
    this.#drawsAt = micros
    return this.#world.below(bound, 'network', this.#key, purpose, micros, this.#draws++)
  }
}

function refuseTls(tls: TlsOptions | undefined): void {
  if (tls !== undefined) throw new TypeError('the simulated network has no TLS')
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${what}: ${code}`), { code })
}
