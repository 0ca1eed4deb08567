/**
 * Members that have shards and a way to each other, without a log: a state that is applied by hand, stores on simulated
 * disks, and a network that carries what it is not told to lose.
 */
import assert from 'node:assert/strict'
import type { BlobCluster, WorkOwner } from '../../src/blob/cluster.js'
import { Ticks } from '../../src/blob/cluster.js'
import { Intake } from '../../src/blob/intake.js'
import { Introduced } from '../../src/blob/introduced.js'
import { Latencies } from '../../src/blob/latencies.js'
import { PartCache } from '../../src/blob/part-cache.js'
import { PartCoder } from '../../src/blob/part-coder.js'
import { PartReader } from '../../src/blob/part-reader.js'
import { ShardAnswers, ShardAsks } from '../../src/blob/shard-asks.js'
import type { StoredShard } from '../../src/blob/shard-index.js'
import { ShardSender } from '../../src/blob/shard-sender.js'
import { ShardSource } from '../../src/blob/shard-source.js'
import { ShardStore } from '../../src/blob/shard-store.js'
import { StateReader } from '../../src/blob/state-reader.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'
import type { ShardMembers } from '../../src/machine/coverage.js'
import { StateMachine } from '../../src/machine/state-machine.js'
import { changeConfiguration, firstConfiguration } from '../../src/member/directory.js'
import type { NodeId } from '../../src/raft/types.js'
import { SimDatabases } from '../../src/sim/sim-database.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'
import {
  decodeAskedPiece,
  decodeAskShard,
  decodePutShard,
  decodeShardAck,
  FRAME_ASK_SHARD,
  FRAME_PUT_SHARD,
  FRAME_SHARD_ACK,
  FRAME_SHARD_PIECE,
} from '../../src/wire/blob-frames.js'
import type { Operation } from '../../src/wire/command.js'
import { type BlobId, encodeManifest, type Manifest, partDigest } from '../../src/wire/manifest.js'
import { packEntry, RequestWriter } from '../../src/wire/request.js'
import { type Shard, sealShard } from '../../src/wire/shard.js'
import { OPTIONS as MACHINE } from '../machine/machine-fixture.js'
import { OPTIONS as STORE } from './shard-fixture.js'

export const CLUSTER_ID: Buffer = Buffer.from('cluster!')
export const KEY: Buffer = Buffer.from('key')
const UNIT = 512
const DELAY_MS = 1

/** One member; nodes are 1, 2, …, and slots one less. */
export class Peer implements BlobCluster {
  readonly crew: Crew
  readonly self: NodeId
  readonly clusterId: Uint8Array = CLUSTER_ID
  readonly isReady = true
  readonly refusal: undefined = undefined
  readonly disk: SimDisk
  readonly latencies: Latencies = new Latencies()
  readonly damaged: StoredShard[] = []
  readonly coder: PartCoder = new PartCoder(() => new JavaScriptBackend(), Number.POSITIVE_INFINITY)
  term = 1
  isFull = false
  store!: ShardStore
  intake!: Intake
  sender!: ShardSender
  asks!: ShardAsks
  answers!: ShardAnswers
  reader!: PartReader

  constructor(crew: Crew, self: NodeId) {
    this.crew = crew
    this.self = self
    this.disk = new SimDisk(crew.world, `disk ${self}`, {})
  }

  get members(): ShardMembers {
    return this.crew.members
  }

  isUp(node: NodeId): boolean {
    return !this.crew.down.has(node)
  }

  isLow(node: NodeId): boolean {
    return node === this.self && this.isFull
  }

  nameOf(node: NodeId): string {
    return `node ${node}`
  }

  send(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean {
    if (this.crew.down.has(to) || this.crew.down.has(this.self)) return false
    const body = Buffer.concat(parts)
    this.crew.world.schedule(DELAY_MS, () => {
      if (!this.crew.lost.has(kind)) this.crew.peer(to).receive(this.self, kind, body)
    })
    return true
  }

  receive(from: NodeId, kind: number, body: Buffer): void {
    if (kind === FRAME_PUT_SHARD) this.intake.onPut(from, decodePutShard(body))
    else if (kind === FRAME_SHARD_ACK) this.sender.onAck(from, decodeShardAck(body))
    else if (kind === FRAME_ASK_SHARD) this.answers.onAsk(from, decodeAskShard(body))
    else if (kind === FRAME_SHARD_PIECE) this.asks.onPiece(from, decodeAskedPiece(body))
    else assert.fail(`frame of kind ${kind}`)
  }
}

/** See the file's comment. */
export class Crew {
  readonly world: SimWorld
  readonly time: SimTime
  readonly ticks: Ticks = new Ticks()
  /** Nobody reaches them. */
  readonly down: Set<NodeId> = new Set()
  /** Frames of these kinds never arrive. */
  readonly lost: Set<number> = new Set()
  readonly peers: Peer[] = []
  readonly work: WorkOwner = {
    own: () => {},
    fail: (error) => {
      throw error
    },
  }
  readonly introduced: Introduced = new Introduced()
  machine!: StateMachine
  state!: StateReader
  #index = 0
  #seq = 0

  /** @param maxReceivedBytes of each member */
  static async start(count: number, maxReceivedBytes = 1_000_000): Promise<Crew> {
    const crew = new Crew(count)
    const databases = new SimDatabases(crew.world, 'state')
    const initial = firstConfiguration(
      crew.peers.map(({ self }) => ({ id: `m${self}`, nodeId: self, address: `m${self}:1` })),
    )
    const options = { ...MACHINE, initial, confChange: changeConfiguration }
    crew.machine = await crew.run(StateMachine.open(databases, 'state', options))
    crew.state = new StateReader(crew.machine, () => true)
    for (const peer of crew.peers) await crew.#equip(peer, maxReceivedBytes)
    return crew
  }

  private constructor(count: number) {
    this.world = new SimWorld(1)
    this.time = new SimTime(this.world)
    for (let node = 1; node <= count; node++) this.peers.push(new Peer(this, node))
  }

  get members(): ShardMembers {
    const voters = this.peers.map(({ self }) => self)
    return { voters, votersOutgoing: [], slots: new Map(voters.map((node) => [node, node - 1])) }
  }

  peer(node: NodeId): Peer {
    return this.peers[node - 1]!
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, 60_000)
  }

  /** Puts it into force at the next index. */
  async apply(operation: Operation, term = 1): Promise<number> {
    const writer = new RequestWriter(64)
    writer.add({ type: 'write', operations: [operation] })
    const seq = ++this.#seq
    const data = packEntry([writer.finish(Buffer.from('client 1'), seq, seq, 0)])
    const index = ++this.#index
    await this.run(this.machine.apply([{ index, term, kind: 'normal', data }]))
    return index
  }

  /** Puts the manifest into force under KEY. */
  async put(manifest: Manifest): Promise<number> {
    const value = encodeManifest(manifest)
    const index = await this.apply({ type: 'put', key: KEY, value, coded: true }, manifest.id.term)
    this.introduced.note(manifest.id, index)
    return index
  }

  /** The shards of one part of `data`, one for each member, and the manifest that names them; nothing is stored. */
  async code(data: Buffer, dataShards: number, id: BlobId): Promise<Coded> {
    const coder = new PartCoder(() => new JavaScriptBackend(), Number.POSITIVE_INFINITY)
    const part = { number: 0, bytes: data.length, dataShards, digest: partDigest(data) }
    const padded = Buffer.concat([data, Buffer.alloc(dataShards)])
    const slots = this.peers.map(({ self }) => self - 1)
    const bodies = await coder.shardsOf(padded, part, slots)
    const shards = bodies.map((body, index) => {
      const head = { clusterId: CLUSTER_ID, id, part: 0, index, dataShards }
      return sealShard({ ...head, partBytes: data.length, unit: UNIT, key: KEY }, Buffer.from(body))
    })
    const durable = shards.map(() => true)
    const parts = [{ ...part, durable, digests: shards.map(({ digest }) => digest) }]
    const members = this.peers.map(({ self: node }) => ({ node, slot: node - 1 }))
    return { shards, manifest: { id, bytes: data.length, isStream: false, members, parts } }
  }

  /** The same, each stored at its member. */
  async spread(data: Buffer, dataShards: number, id: BlobId): Promise<Coded> {
    const coded = await this.code(data, dataShards, id)
    const stored = this.peers.map(({ store }, i) => store.append(coded.shards[i]!))
    await this.run(Promise.all(stored))
    return coded
  }

  async #equip(peer: Peer, maxReceivedBytes: number): Promise<void> {
    const { time, work, state, introduced } = this
    peer.store = await this.run(ShardStore.open(peer.disk.mount(), 'blobs', STORE))
    peer.intake = new Intake(peer, peer.store, state, work, maxReceivedBytes)
    peer.sender = new ShardSender(time, peer, 4096, 0)
    peer.asks = new ShardAsks(time, peer, 0)
    peer.answers = new ShardAnswers(peer, peer.store, work)
    const { store, asks, latencies, coder } = peer
    const onDamaged = (shard: StoredShard): void => {
      peer.damaged.push(shard)
      store.quarantine(shard)
    }
    const source = new ShardSource({ time, cluster: peer, store, asks, latencies, onDamaged })
    const cache = new PartCache(0)
    const reading = { time, cluster: peer, source, latencies, coder, cache, state, introduced }
    peer.reader = new PartReader(reading)
  }
}

/** A part as it is stored. */
export interface Coded {
  readonly shards: readonly Shard[]
  readonly manifest: Manifest
}

/** Bytes that are not like each other. */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[i] = state >>> 16
  }
  return bytes
}

export function blobId(seq: number, term = 1): BlobId {
  return { term, proposer: 1, seq }
}
