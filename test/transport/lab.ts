/** Transports on a simulated network, and strangers who talk to them byte by byte. */
import assert from 'node:assert/strict'
import type { Connection } from '../../src/env/network.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import { SimRandom } from '../../src/sim/sim-random.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'
import { ClientConnection } from '../../src/transport/client.js'
import { type ClientHandlers, onlyCalls } from '../../src/transport/served-client.js'
import {
  type PeerAddress,
  Transport,
  type TransportOptions,
} from '../../src/transport/transport.js'
import { FrameReader, FrameWriter } from '../../src/wire/frame.js'

export const LIMIT_MS = 30_000
/** Where `eavesdrop` listens. */
export const MIDDLE = '127.0.0.99:1'
export const SECRET: Buffer = Buffer.from('a secret of at least sixteen bytes')

/** Where node `id` listens. */
export const addressOf = (id: number): string => `127.0.0.${id}:7100`

/** Node `id` as the others know it. */
export function peerAt(id: number, address: string): PeerAddress {
  const memberId = `m${id}`
  return { nodeId: id, memberId, address, otherAddress: undefined, incarnation: undefined }
}

/** The options of node `id` among `count` nodes m1, m2, …. */
export function optionsOf(
  id: number,
  count: number,
  overrides: Partial<TransportOptions> = {},
): TransportOptions {
  const ids = Array.from({ length: count }, (_, i) => i + 1).filter((other) => other !== id)
  return {
    identity: {
      clusterId: Buffer.from('cluster1'),
      memberId: `m${id}`,
      nodeId: id,
      incarnation: `${id}`.padStart(16, 'f'),
    },
    listen: addressOf(id),
    advertised: undefined,
    priority: 0,
    removed: new Set(),
    peers: ids.map((other) => peerAt(other, addressOf(other))),
    tls: undefined,
    secret: undefined,
    clients: undefined,
    maxFrameBytes: 200_000,
    maxQueuedBytes: 400_000,
    maxClients: 4,
    ...overrides,
  }
}

/** One member: its transport, and what it heard as lines of text. */
export interface LabNode {
  readonly transport: Transport
  readonly time: SimTime
  /** `up 2`, `down 2`, each with the time it came. */
  readonly events: string[]
  /** Who fell silent, and after how many frames of all. */
  readonly silent: { peer: number; frames: number }[]
  /** The bodies of the frames that came in. */
  readonly frames: { from: number; kind: number; body: Buffer }[]
  onFrame: (body: Buffer) => void
  onCall: ClientHandlers['call']
}

/** Somebody who is connected to a transport without being one. */
export class Stranger {
  readonly connection: Connection
  received: Buffer = Buffer.alloc(0)
  isClosed = false

  constructor(connection: Connection) {
    this.connection = connection
    connection.setHandlers({
      data: (bytes) => {
        this.received = Buffer.concat([this.received, bytes])
      },
      drain: () => {},
      close: () => {
        this.isClosed = true
      },
    })
  }

  say(...parts: Uint8Array[]): void {
    this.connection.write(parts)
  }

  /** The frames that came so far, with plain tags. */
  frames(): { kind: number; body: Buffer }[] {
    const frames: { kind: number; body: Buffer }[] = []
    new FrameReader(10_000, (kind, body) => frames.push({ kind, body })).push(this.received)
    return frames
  }
}

/** A frame with a plain tag. */
export function frame(kind: number, body: Uint8Array): Buffer {
  const writer = new FrameWriter()
  writer.push(kind, [body])
  return Buffer.concat(writer.take())
}

export class Lab {
  readonly world: SimWorld
  readonly network: SimNetwork
  #lives = 0

  constructor(seed = 1) {
    this.world = new SimWorld(seed)
    this.network = new SimNetwork(this.world)
  }

  async start(options: TransportOptions): Promise<LabNode> {
    const id = options.identity.nodeId
    const time = new SimTime(this.world)
    const at = () => Math.round(this.world.now)
    const heard: Omit<LabNode, 'transport'> = {
      time,
      events: [],
      silent: [],
      frames: [],
      onFrame: () => {},
      onCall: (method, params, reply) => reply({ ok: { method, params } }),
    }
    const transport = await this.complete(
      Transport.start(this.network.host(`h${id}`, time), time, this.#random(`h${id}`), options, {
        frame: (from, kind, body) => {
          heard.frames.push({ from, kind, body })
          node.onFrame(body)
        },
        peerUp: (peer) => heard.events.push(`${at()} up ${peer}`),
        peerDown: (peer) => heard.events.push(`${at()} down ${peer}`),
        peerSilent: (peer) => heard.silent.push({ peer, frames: heard.frames.length }),
        client: onlyCalls((method, params, reply) => node.onCall(method, params, reply)),
      }),
    )
    const node: LabNode = Object.assign(heard, { transport })
    return node
  }

  /** Starts nodes 1 to `count` and waits until all links are up. */
  async cluster(count: number, overrides: Partial<TransportOptions> = {}): Promise<LabNode[]> {
    const nodes: LabNode[] = []
    for (let id = 1; id <= count; id++) {
      nodes.push(await this.start(optionsOf(id, count, overrides)))
    }
    await this.until(() => nodes.every((node) => node.transport.status().peers.every((p) => p.up)))
    return nodes
  }

  /** The process of node `id` dies. */
  kill(id: number, node: LabNode): void {
    node.time.kill()
    this.network.kill(`h${id}`)
  }

  /** Connects to node `id` without saying anything. */
  async stranger(id: number): Promise<Stranger> {
    const network = this.network.host('stranger', new SimTime(this.world))
    return new Stranger(await this.complete(network.connect(addressOf(id), undefined)))
  }

  /** Listens where node `id` would, and collects who connects. */
  async impostor(id: number): Promise<Stranger[]> {
    const callers: Stranger[] = []
    const network = this.network.host(`h${id}`, new SimTime(this.world))
    await network.listen(addressOf(id), undefined, (connection) => {
      callers.push(new Stranger(connection))
    })
    return callers
  }

  /** Somebody in the middle of the way to node 1, at MIDDLE, who hears everything that comes and may change it. */
  async eavesdrop(change: (chunk: Buffer) => Buffer[]): Promise<Buffer[]> {
    const heard: Buffer[] = []
    const network = this.network.host('middle', new SimTime(this.world))
    await network.listen(MIDDLE, undefined, (inner) => {
      const outer = network.connect(addressOf(1), undefined)
      const backlog: Buffer[] = []
      inner.setHandlers({
        data: (bytes) => {
          heard.push(Buffer.from(bytes))
          backlog.push(...change(Buffer.from(bytes)))
          outer
            .then((connection) => connection.write(backlog.splice(0)))
            .catch(() => inner.destroy())
        },
        drain: () => {},
        close: () => {
          outer.then((connection) => connection.destroy()).catch(() => {})
        },
      })
      outer.then(
        (connection) => {
          connection.setHandlers({
            data: (bytes) => inner.write([bytes]),
            drain: () => {},
            close: () => inner.destroy(),
          })
        },
        () => inner.destroy(),
      )
    })
    return heard
  }

  client(
    id: number,
    secret: Buffer | undefined = undefined,
    address: string = addressOf(id),
  ): Promise<ClientConnection> {
    const time = new SimTime(this.world)
    const network = this.network.host('client', time)
    const options = { tls: undefined, secret, timeoutMs: 5_000 }
    const random = this.#random('client')
    return this.complete(ClientConnection.connect(network, time, random, address, options))
  }

  complete<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, LIMIT_MS)
  }

  async until(condition: () => boolean): Promise<void> {
    assert(await this.world.runUntil(condition, LIMIT_MS), 'this does not happen')
  }

  /** Every start draws numbers of its own, as a real process does. */
  #random(host: string): SimRandom {
    return new SimRandom(this.world, `${host}#${this.#lives++}`)
  }
}
