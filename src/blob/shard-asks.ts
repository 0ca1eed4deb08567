/** Shards that are asked for at other members, and shards that others ask for here. */
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import {
  type AskedPiece,
  type AskShard,
  encodeAskedPiece,
  encodeAskShard,
  encodeNoPiece,
  FRAME_ASK_SHARD,
  FRAME_SHARD_PIECE,
} from '../wire/blob-frames.js'
import { type BlobCluster, isOperating, type WorkOwner } from './cluster.js'
import type { ShardStore } from './shard-store.js'

/** An ask that is not answered for so long is made elsewhere. */
const ANSWER_MS = 3_000
const ID_MAX = 0xffff_ffff
/** Asks of one member that are served at once; more are answered `busy`. */
const SERVED_MAX = 32

interface Waiting {
  readonly node: NodeId
  readonly until: number
  readonly settle: (piece: AskedPiece | undefined) => void
}

/** Asks for shards; each ask is answered, or given up after ANSWER_MS. Bounded by who asks (part-reader.ts). */
export class ShardAsks {
  readonly #time: Time
  readonly #cluster: BlobCluster
  readonly #waiting = new Map<number, Waiting>()
  #lastId: number

  constructor(time: Time, cluster: BlobCluster, firstId: number) {
    this.#time = time
    this.#cluster = cluster
    this.#lastId = firstId
  }

  /** The answer, not verified; undefined when there is none. */
  ask(node: NodeId, ask: Omit<AskShard, 'id'>): Promise<AskedPiece | undefined> {
    this.#lastId = this.#lastId === ID_MAX ? 0 : this.#lastId + 1
    const id = this.#lastId
    return new Promise((resolve) => {
      const settle = (piece: AskedPiece | undefined): void => {
        if (this.#waiting.delete(id)) resolve(piece)
      }
      this.#waiting.set(id, { node, until: this.#time.now() + ANSWER_MS, settle })
      const body = encodeAskShard({ ...ask, id })
      if (!this.#cluster.send(node, FRAME_ASK_SHARD, [body])) settle(undefined)
    })
  }

  /** Those that nobody waits for are ignored. */
  onPiece(from: NodeId, piece: AskedPiece): void {
    const waiting = this.#waiting.get(piece.id)
    if (waiting?.node === from) waiting.settle(piece)
  }

  onPeerDown(node: NodeId): void {
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.node === node) waiting.settle(undefined)
    }
  }

  /** Called with every tick. */
  tick(now: number): void {
    for (const waiting of [...this.#waiting.values()]) {
      if (now < waiting.until) return
      waiting.settle(undefined)
    }
  }

  /** Nothing is answered any more. */
  end(): void {
    for (const waiting of [...this.#waiting.values()]) waiting.settle(undefined)
  }
}

/** Gives shards to others. Whoever asked finds damage itself, by what comes with the blocks. */
export class ShardAnswers {
  readonly #cluster: BlobCluster
  readonly #store: ShardStore
  readonly #work: WorkOwner
  readonly #served = new Map<NodeId, number>()

  constructor(cluster: BlobCluster, store: ShardStore, work: WorkOwner) {
    this.#cluster = cluster
    this.#store = store
    this.#work = work
  }

  onAsk(from: NodeId, ask: AskShard): void {
    const served = this.#served.get(from) ?? 0
    if (served >= SERVED_MAX) {
      this.#cluster.send(from, FRAME_SHARD_PIECE, encodeNoPiece(ask.id, 'busy'))
      return
    }
    this.#served.set(from, served + 1)
    this.#work.own(this.#serve(from, ask))
  }

  async #serve(from: NodeId, ask: AskShard): Promise<void> {
    try {
      const answer = (await this.#pieceOf(ask)) ?? encodeNoPiece(ask.id, 'missing')
      // A connection that has too much to carry drops it: it is asked for again, or elsewhere.
      this.#cluster.send(from, FRAME_SHARD_PIECE, answer)
    } catch (error) {
      if (!isOperating(error)) this.#work.fail(error)
      // The disk does not give it now: whoever asked does without, or asks again.
      this.#cluster.send(from, FRAME_SHARD_PIECE, encodeNoPiece(ask.id, 'busy'))
    } finally {
      this.#served.set(from, this.#served.get(from)! - 1)
    }
  }

  async #pieceOf(ask: AskShard): Promise<Uint8Array[] | undefined> {
    const { id, blob, part, index, from, to } = ask
    const name = { id: blob, part, index }
    const shard = this.#store.find(name)
    if (shard === undefined || from >= to) return undefined
    const { fromBlock, toBlock } = blocksOf(shard, from, to)
    const piece = await this.#store.read(name, fromBlock, toBlock)
    return piece && encodeAskedPiece({ ...piece, id, status: 'ok' })
  }
}

/** The blocks in which bytes `[from, to)` of a shard's body lie. */
export function blocksOf(
  { partBytes, dataShards, unit }: { partBytes: number; dataShards: number; unit: number },
  from: number,
  to: number,
): { readonly fromBlock: number; readonly toBlock: number } {
  const blocks = Math.ceil(Math.ceil(partBytes / dataShards) / unit)
  const toBlock = Math.min(blocks, Math.ceil(to / unit))
  return { fromBlock: Math.min(Math.floor(from / unit), Math.max(0, toBlock - 1)), toBlock }
}
