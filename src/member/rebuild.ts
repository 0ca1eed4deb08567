/**
 * A state that was lost, had again from another member before this one takes part in anything: its core does not run,
 * so it neither votes nor serves meanwhile.
 *
 * Who the members are stood in the lost state. Known are those of the beginning, and whoever dials in: the others know
 * this member, and come by themselves.
 */
import { StoreError } from '../base/errors.js'
import type { Env } from '../env/env.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import { ChunkStore } from '../snapshot/chunk-store.js'
import { onlyCalls } from '../transport/served-client.js'
import type { ImageManifest } from '../wire/image.js'
import {
  decodeOffer,
  decodePiece,
  encodeAsk,
  encodeIndex,
  encodeProgress,
  FRAME_ASK,
  FRAME_IMAGE_WANTED,
  FRAME_OFFER,
  FRAME_PIECE,
  FRAME_PROGRESS,
  type Offer,
  type Progress,
} from '../wire/snapshot-transfer.js'
import type { Generations } from './generations.js'
import type { Identity } from './identity.js'
import { ImageFetch } from './image-fetch.js'
import { type LoadedState, loadNext } from './load-next.js'
import { type MemberOptions, maxPieceBytes } from './options.js'
import { Peers } from './peers.js'
import type { Roster } from './roster.js'

/** So often a member is asked again, which costs it nothing while it prepares its answer. */
const ASK_MS = 1_000
/** Another one is asked, too, when no offer has come for so long. */
const NEXT_MS = 10_000
/** Nobody is connected for so long: it is given up. */
const ALONE_MS = 30_000
/** Somebody is connected and nothing comes for so long: it is given up. */
const PATIENCE_MS = 600_000
const LOOK_MS = 50

/** What a rebuild works with. */
export interface RebuildParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly identity: Identity
  readonly roster: Roster
  readonly generations: Generations
  readonly incomingDir: string
  /** The log begins after this index: an older state is of no use. */
  readonly atLeast: LogIndex
}

/** A state that was fetched, and from whom. */
export interface FetchedState extends LoadedState {
  readonly from: string
}

/**
 * Fetches and loads the state from whoever has it.
 * @throws {StoreError} QUORATE_NOT_READY nobody could be reached, or gave it; what `Peers.start` throws
 */
export async function fetchState(parts: RebuildParts): Promise<FetchedState> {
  const rebuild = new Rebuild(parts)
  try {
    return await rebuild.run()
  } finally {
    await rebuild.end()
  }
}

interface Offered {
  readonly from: NodeId
  readonly offer: Offer
}

class Rebuild {
  readonly #parts: RebuildParts
  readonly #up = new Set<NodeId>()
  #peers: Peers | undefined
  /** Not taken up yet: the newest of each member. */
  readonly #offers = new Map<NodeId, Offer>()
  #fetch: ImageFetch | undefined
  #nextId: number
  /** When somebody was connected last, and when anything came. */
  #metAt: number
  #movedAt: number

  constructor(parts: RebuildParts) {
    this.#parts = parts
    this.#nextId = parts.env.random.u32('ask')
    this.#metAt = parts.env.time.now()
    this.#movedAt = this.#metAt
  }

  async run(): Promise<FetchedState> {
    const { env, options, identity, roster } = this.#parts
    const nothing = (): void => {}
    this.#peers = await Peers.start(env, identity, options, roster, {
      message: nothing,
      request: nothing,
      answers: nothing,
      retained: nothing,
      space: nothing,
      question: nothing,
      reply: nothing,
      peerUp: (node) => this.#up.add(node),
      peerDown: (node) => this.#up.delete(node),
      peerSilent: () => {},
      client: onlyCalls((_method, _params, reply) =>
        reply({ error: { code: 'QUORATE_NOT_READY', message: 'the member is being rebuilt' } }),
      ),
      image: (from, kind, body) => this.#receive(from, kind, body),
    })
    for (;;) {
      const offered = await this.#awaitOffer()
      const state = await this.#take(offered)
      if (state !== undefined) return { ...state, from: this.#nameOf(offered.from) }
    }
  }

  /** Gives the last words some time to arrive. */
  async end(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#parts.env.time.after(LOOK_MS, resolve)
    })
    await this.#peers?.close()
  }

  #receive(from: NodeId, kind: number, body: Buffer): void {
    if (kind === FRAME_OFFER) {
      const offer = decodeOffer(body)
      // Any other is for a core, and none is running.
      if (offer.leaderTerm === 0) this.#offers.set(from, offer)
    } else if (kind === FRAME_PIECE) {
      this.#movedAt = this.#parts.env.time.now()
      this.#fetch?.onPiece(from, decodePiece(body))
    }
  }

  /** Asks one member after the other until one of them offers its state. */
  async #awaitOffer(): Promise<Offered> {
    const { env, atLeast } = this.#parts
    const body = [encodeIndex(atLeast)]
    let askAt = 0
    let nextAt = 0
    let turn = -1
    for (;;) {
      for (const [from, offer] of this.#offers) {
        this.#offers.delete(from)
        if (offer.index >= atLeast) return { from, offer }
      }
      const now = env.time.now()
      this.#refuseIfHopeless(now)
      const up = [...this.#up].sort((a, b) => a - b)
      if (up.length > 0 && now >= nextAt) {
        turn++
        nextAt = now + NEXT_MS
        askAt = now
      }
      const node = up[turn % up.length]
      if (node !== undefined && now >= askAt) {
        askAt = now + ASK_MS
        this.#peers?.sendFrame(node, FRAME_IMAGE_WANTED, body)
      }
      await new Promise<void>((resolve) => {
        env.time.after(LOOK_MS, resolve)
      })
    }
  }

  /** The state that was offered; undefined when it could not be had. */
  async #take({ from, offer }: Offered): Promise<LoadedState | undefined> {
    const { env, generations, incomingDir } = this.#parts
    const report = (status: Progress['status']) => this.#report(from, offer, status)
    let status: Progress['status'] = 'fetching'
    let isOver = false
    const repeat = (): void => {
      if (isOver) return
      report(status)
      env.time.after(ASK_MS, repeat)
    }
    repeat()
    try {
      const store = await ChunkStore.open(env.disk, incomingDir)
      const loaded = await loadNext(store, generations, async () => {
        const manifest = await this.#run(from, offer, store)
        status = 'loading'
        return manifest
      })
      await store.retain([])
      report('done')
      return loaded
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      report('failed')
      return undefined
    } finally {
      isOver = true
    }
  }

  #run(from: NodeId, offer: Offer, store: ChunkStore): Promise<ImageManifest> {
    const { env, options, identity } = this.#parts
    this.#fetch = new ImageFetch(
      {
        time: env.time,
        clusterId: identity.clusterId,
        store,
        maxPieceBytes: maxPieceBytes(options.limits),
        ask: (to, ask) => this.#peers?.sendFrame(to, FRAME_ASK, [encodeAsk(ask)]) ?? false,
        nextId: () => {
          this.#nextId = (this.#nextId + 1) >>> 0
          return this.#nextId
        },
      },
      from,
      offer,
    )
    return this.#fetch.run()
  }

  #report(to: NodeId, { index }: Offer, status: Progress['status']): void {
    const [bytes, totalBytes] = [this.#fetch?.bytes ?? 0, this.#fetch?.totalBytes ?? 0]
    const progress = encodeProgress({ index, status, bytes, totalBytes })
    this.#peers?.sendFrame(to, FRAME_PROGRESS, [progress])
  }

  #refuseIfHopeless(now: number): void {
    if (this.#up.size > 0) this.#metAt = now
    const isAlone = this.#peers?.address === undefined || now - this.#metAt >= ALONE_MS
    if (!isAlone && now - this.#movedAt < PATIENCE_MS) return
    const refusal = this.#peers?.refusals()[0]
    const reason = refusal === undefined ? 'could be reached' : `deals with it: ${refusal.message}`
    throw new StoreError(
      'QUORATE_NOT_READY',
      isAlone ? `no other member ${reason}` : 'no other member has given its state',
      { retryable: true },
    )
  }

  #nameOf(node: NodeId): string {
    return this.#parts.roster.nameOf(node) ?? `node ${node}`
  }
}
