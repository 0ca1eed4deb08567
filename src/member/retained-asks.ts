/** Pieces of what other members have of a retained checkpoint, and what this one gives them. */
import type { BlobCluster } from '../blob/cluster.js'
import type { Time } from '../env/time.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import { headOf, type ImagePart, isHeadOf, type ShardGiver } from '../snapshot/coded-image.js'
import {
  decodeRetainedFile,
  RETAINED_FILE_BYTES_MAX,
  type RetainedFile,
} from '../snapshot/retained-file.js'
import type { AskedPiece, AskShard } from '../wire/blob-frames.js'
import { DecodeError } from '../wire/command.js'
import { shardBytes } from '../wire/manifest.js'
import {
  type DurableImage,
  encodeRetainAsk,
  encodeRetainPiece,
  FRAME_RETAIN_ASK,
  FRAME_RETAIN_PIECE,
  type RetainAsk,
  type RetainPiece,
} from '../wire/retained.js'
import { openPiece } from '../wire/shard.js'

/** An ask that is not answered for so long is given up. */
const ANSWER_MS = 3_000
const NOTHING = Buffer.alloc(0)

/** What asks work with. */
export interface RetainedAskParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly maxPieceBytes: number
  /** Drawn anew at each start. */
  readonly firstAsk: number
  askShard(node: NodeId, ask: Omit<AskShard, 'id'>): Promise<AskedPiece | undefined>
}

interface Waiting {
  readonly node: NodeId
  readonly until: number
  readonly settle: (piece: RetainPiece | undefined) => void
}

/** See the file's comment. One description is fetched at a time. */
export class RetainedAsks {
  readonly #parts: RetainedAskParts
  readonly #waiting = new Map<number, Waiting>()
  #lastId: number

  constructor(parts: RetainedAskParts) {
    this.#parts = parts
    this.#lastId = parts.firstAsk
  }

  /** The description of `image`, from the first of `nodes` that gives the one with its root. */
  async fetchFile(
    image: DurableImage,
    nodes: readonly NodeId[],
  ): Promise<RetainedFile | undefined> {
    for (const node of nodes) {
      const bytes = await this.#fetch(node, image.index)
      const file = bytes && decoded(bytes)
      if (file?.index === image.index && file.manifest.root === image.root) return file
    }
    return undefined
  }

  /** The shards that `node` has of `image`, at the index of its slot. */
  giverAt(image: DurableImage, node: NodeId, index: number): ShardGiver {
    return { index, give: (part) => this.#give(image, node, index, part) }
  }

  onAsk(from: NodeId, { id, offset }: RetainAsk, file: RetainedFile | undefined): void {
    const bytes = file?.bytes.subarray(offset, offset + this.#parts.maxPieceBytes) ?? NOTHING
    const piece = { id, wholeBytes: file?.bytes.length ?? 0, bytes }
    this.#parts.cluster.send(from, FRAME_RETAIN_PIECE, encodeRetainPiece(piece))
  }

  /** Those that nobody waits for are ignored. */
  onPiece(from: NodeId, piece: RetainPiece): void {
    const waiting = this.#waiting.get(piece.id)
    if (waiting?.node === from) waiting.settle(piece)
  }

  /** Called with every tick. */
  tick(now: number): void {
    for (const { until, settle } of [...this.#waiting.values()]) if (now >= until) settle(undefined)
  }

  /** Nothing is answered any more. */
  end(): void {
    for (const { settle } of [...this.#waiting.values()]) settle(undefined)
  }

  async #fetch(node: NodeId, index: LogIndex): Promise<Buffer | undefined> {
    const pieces: Buffer[] = []
    for (let offset = 0; ; ) {
      const piece = await this.#ask(node, index, offset)
      const isMore = piece !== undefined && piece.bytes.length > 0
      if (!isMore || piece.wholeBytes > RETAINED_FILE_BYTES_MAX) return undefined
      pieces.push(Buffer.from(piece.bytes))
      offset += piece.bytes.length
      if (offset >= piece.wholeBytes) return Buffer.concat(pieces)
    }
  }

  #ask(node: NodeId, index: LogIndex, offset: number): Promise<RetainPiece | undefined> {
    this.#lastId = (this.#lastId + 1) >>> 0
    const id = this.#lastId
    return new Promise((resolve) => {
      const settle = (piece: RetainPiece | undefined): void => {
        if (this.#waiting.delete(id)) resolve(piece)
      }
      const { time, cluster } = this.#parts
      this.#waiting.set(id, { node, until: time.now() + ANSWER_MS, settle })
      const body = encodeRetainAsk({ id, index, offset })
      if (!cluster.send(node, FRAME_RETAIN_ASK, [body])) settle(undefined)
    })
  }

  async #give(
    image: DurableImage,
    node: NodeId,
    index: number,
    part: ImagePart,
  ): Promise<Buffer | undefined> {
    const { cluster, askShard } = this.#parts
    const wanted = headOf(image, cluster.clusterId, part, index)
    const to = shardBytes(part)
    const piece = await askShard(node, { blob: wanted.id, part: part.number, index, from: 0, to })
    if (piece?.status !== 'ok') return undefined
    try {
      const { head, layout } = openPiece(piece)
      const isIt = isHeadOf(head, wanted) && head.index === index && piece.firstBlock === 0
      return isIt && piece.blocks.length === layout.bodyBytes
        ? Buffer.from(piece.blocks)
        : undefined
    } catch (error) {
      if (error instanceof DecodeError) return undefined
      throw error
    }
  }
}

function decoded(bytes: Buffer): RetainedFile | undefined {
  try {
    return decodeRetainedFile(bytes)
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}
