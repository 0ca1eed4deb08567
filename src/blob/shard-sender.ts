/**
 * Shards on their way to other members, each until it is durable there or certainly not.
 *
 * Bounded: `windowBytes` sent to one member and not acknowledged, so that what Raft says to it is not held up behind
 * shards for long; others wait here. What waits is bounded by who sends (upload.ts), but for spare shards, whose part
 * is durable without them: of those `windowBytes` wait for one member, older ones are dropped, and it makes them anew
 * itself.
 */
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import {
  encodePutShard,
  FRAME_PUT_SHARD,
  type ShardAck,
  type StoreStatus,
} from '../wire/blob-frames.js'
import type { BlobCluster } from './cluster.js'

/** What became of a shard that was to be sent. `lost`: the member cannot be reached, or does not answer. */
export type SendResult = Exclude<StoreStatus, 'busy'> | 'lost' | 'dropped'

/** A shard on its way. */
export interface Sending {
  readonly to: NodeId
  readonly shard: readonly Uint8Array[]
  readonly bytes: number
  /** Called once, unless it is cancelled. */
  readonly done: (result: SendResult) => void
  isSpare: boolean
  isOver: boolean
  sentAt: number
}

interface Lane {
  waiting: Sending[]
  readonly sent: Map<number, Sending>
  unackedBytes: number
  pausedUntil: number
}

/** A member whose disk has too much to do is left alone for so long. */
const BUSY_MS = 50
/** What is not answered for so long never will be. */
const SILENT_MS = 30_000
const ID_MAX = 0xffff_ffff

/** See the file's comment. */
export class ShardSender {
  readonly #time: Time
  readonly #cluster: BlobCluster
  readonly #windowBytes: number
  readonly #lanes = new Map<NodeId, Lane>()
  #lastId: number

  constructor(time: Time, cluster: BlobCluster, windowBytes: number, firstId: number) {
    this.#time = time
    this.#cluster = cluster
    this.#windowBytes = windowBytes
    this.#lastId = firstId
  }

  /** Bytes that wait or are not acknowledged, for all members together. */
  get pendingBytes(): number {
    let bytes = 0
    for (const { waiting, unackedBytes } of this.#lanes.values()) {
      bytes += unackedBytes + waiting.reduce((sum, sending) => sum + sending.bytes, 0)
    }
    return bytes
  }

  /** Sends a shard, whose parts must not change afterwards. */
  send(to: NodeId, shard: readonly Uint8Array[], done: (result: SendResult) => void): Sending {
    const bytes = shard.reduce((sum, part) => sum + part.length, 0)
    const sending = { to, shard, bytes, done, isSpare: false, isOver: false, sentAt: 0 }
    const lane = this.#laneOf(to)
    lane.waiting.push(sending)
    this.#pump(to, lane)
    return sending
  }

  /** The part of this shard is durable without it. */
  spare(sending: Sending): void {
    sending.isSpare = true
    const lane = this.#lanes.get(sending.to)
    if (lane === undefined) return
    const spares = lane.waiting.filter(({ isSpare }) => isSpare)
    let bytes = spares.reduce((sum, spare) => sum + spare.bytes, 0)
    for (const spare of spares) {
      if (bytes <= this.#windowBytes) break
      bytes -= spare.bytes
      lane.waiting = lane.waiting.filter((other) => other !== spare)
      end(spare, 'dropped')
    }
  }

  /** Nobody wants to know any more what becomes of it. */
  cancel(sending: Sending): void {
    sending.isOver = true
    const lane = this.#lanes.get(sending.to)
    if (lane !== undefined) lane.waiting = lane.waiting.filter((other) => other !== sending)
  }

  /** Answers to nothing that is under way are ignored. */
  onAck(from: NodeId, { id, status }: ShardAck): void {
    const lane = this.#lanes.get(from)
    const sending = lane?.sent.get(id)
    if (lane === undefined || sending === undefined) return
    this.#take(lane, id, sending)
    if (status !== 'busy') {
      end(sending, status)
    } else if (!sending.isOver) {
      lane.waiting.unshift(sending)
      lane.pausedUntil = this.#time.now() + BUSY_MS
    }
    this.#pump(from, lane)
  }

  /** Whatever was on its way to `node` is lost. */
  onPeerDown(node: NodeId): void {
    const lane = this.#lanes.get(node)
    if (lane === undefined) return
    this.#lanes.delete(node)
    for (const sending of [...lane.sent.values(), ...lane.waiting]) end(sending, 'lost')
  }

  /** Called with every tick. */
  tick(now: number): void {
    for (const [node, lane] of this.#lanes) {
      for (const [id, sending] of lane.sent) {
        if (now - sending.sentAt < SILENT_MS) break
        this.#take(lane, id, sending)
        end(sending, 'lost')
      }
      this.#pump(node, lane)
    }
  }

  /** Everything under way is lost. */
  end(): void {
    for (const node of [...this.#lanes.keys()]) this.onPeerDown(node)
  }

  #pump(node: NodeId, lane: Lane): void {
    if (lane.waiting.length > 0 && !this.#cluster.isUp(node)) {
      const { waiting } = lane
      lane.waiting = []
      for (const sending of waiting) end(sending, 'lost')
    }
    if (this.#time.now() < lane.pausedUntil) return
    for (let first = lane.waiting[0]; first !== undefined; first = lane.waiting[0]) {
      const unacked = lane.unackedBytes + first.bytes
      if (lane.unackedBytes > 0 && unacked > this.#windowBytes) return
      const id = this.#nextId()
      // Too much waits for this connection already: the next tick tries again.
      if (!this.#cluster.send(node, FRAME_PUT_SHARD, encodePutShard(id, first.shard))) return
      lane.waiting.shift()
      lane.sent.set(id, first)
      lane.unackedBytes = unacked
      first.sentAt = this.#time.now()
    }
  }

  #take(lane: Lane, id: number, { bytes }: Sending): void {
    lane.sent.delete(id)
    lane.unackedBytes -= bytes
  }

  #laneOf(node: NodeId): Lane {
    const known = this.#lanes.get(node)
    if (known !== undefined) return known
    const lane = { waiting: [], sent: new Map(), unackedBytes: 0, pausedUntil: 0 }
    this.#lanes.set(node, lane)
    return lane
  }

  #nextId(): number {
    this.#lastId = this.#lastId === ID_MAX ? 0 : this.#lastId + 1
    return this.#lastId
  }
}

function end(sending: Sending, result: SendResult): void {
  if (sending.isOver) return
  sending.isOver = true
  sending.done(result)
}
