/**
 * One connection to one member: asks and reads of a turn leave together, replies find who waits for them.
 *
 * It does not reconnect. When the connection is lost everybody who waits hears `lost`, once, and decides whether to ask
 * another member.
 *
 * Invariants:
 *   1. whoever waits hears exactly one of `reply`, `lost` and `late`, unless it was `forget`ten
 *   2. ids are never used twice on one connection
 */
import { StoreError } from '../../base/errors.js'
import { ClientConnection, type ClientOptions, type ClientWorld } from '../../transport/client.js'
import { ByteWriter } from '../../wire/byte-stream.js'
import {
  ASK_ID_MAX,
  type Ask,
  decodeReset,
  FRAME_ASKS,
  FRAME_NEWS,
  FRAME_REPLIES,
  FRAME_RESET,
  writeAsk,
} from '../../wire/client-ask.js'
import { type ClientNews, decodeNews } from '../../wire/client-news.js'
import { decodeReplies, type Reply } from '../../wire/client-reply.js'
import { DecodeError } from '../../wire/command.js'
import {
  type Answer,
  decodeAnswers,
  encodeRequest,
  FRAME_ANSWERS,
  FRAME_REQUEST,
} from '../../wire/forward.js'
import {
  decodeReadAnswers,
  encodeReadCalls,
  FRAME_READ_ANSWERS,
  FRAME_READS,
  type ReadAnswer,
  type ReadCall,
  readCallBytes,
} from '../../wire/read-call.js'
import { type Candidate, type Health, onAnswer, onFailure, onProbe, UNKNOWN } from './balance.js'

/** Asks that may wait at one member; more wait here for others to be answered, or fail. */
const WAITING_MAX = 16_000
/** A frame of asks or reads is cut before this size, and before what the member accepts. */
const FRAME_BYTES = 262_144
/** A member says better why it could not answer in time: it may, for so long. */
const GRACE_MS = 100
const PROBE_MS = 1_000
/** A member that does not answer a probe for so long has failed. */
const PROBE_TIMEOUT_MS = 2_000

/** Somebody who waits for the answer to an ask. */
export interface Waiter {
  /** On the client's clock; Infinity when only the connection bounds it. */
  readonly deadline: number
  reply(reply: Reply): void
  /** The connection is lost: what the ask did is not known. */
  lost(error: StoreError): void
  /** The deadline has passed. */
  late(): void
}

/** A read on its way to a member; `id` is set when it is sent. */
export interface SentRead extends Omit<ReadCall, 'id' | 'remainingMs'> {
  id: number
  remainingMs: number
  readonly deadline: number
  answered(answer: ReadAnswer): void
  lost(error: StoreError): void
  late(): void
}

/** What the owner of a link hears. */
export interface MemberLinkHandlers {
  /** The member is who it says; it has not told its news yet. */
  up(memberId: string, clusterId: Uint8Array): void
  news(news: ClientNews): void
  answers(answers: readonly Answer[]): void
  /** The member's way to the leader of this link is new. */
  reset(link: number): void
  /** What was asked in this turn is about to leave: the last moment for requests to go with it. */
  gather(): void
  ended(error: StoreError): void
}

/** See the file's comment. */
export class MemberLink implements Candidate {
  readonly address: string
  readonly #world: ClientWorld
  readonly #handlers: MemberLinkHandlers
  readonly #connection: ClientConnection
  readonly #asks = new ByteWriter()
  readonly #waiters = new Map<number, Waiter>()
  readonly #reads = new Map<number, SentRead>()
  #unsentReads: SentRead[] = []
  #nextId = 1
  /** What everybody hears once the connection is over. */
  #lost: StoreError | undefined
  #news: ClientNews | undefined
  #health: Health = UNKNOWN
  #probe: { readonly id: number; readonly sentAt: number } | undefined
  #probedAt = Number.NEGATIVE_INFINITY
  /** For how long the probe under way is not answered. */
  #silentMs = 0

  constructor(
    world: ClientWorld,
    address: string,
    options: ClientOptions,
    handlers: MemberLinkHandlers,
  ) {
    this.address = address
    this.#world = world
    this.#handlers = handlers
    this.#connection = ClientConnection.open(world, address, options, {
      up: ({ memberId, clusterId }) => handlers.up(memberId, clusterId),
      frame: (kind, body) => this.#receive(kind, body),
      gather: () => this.#gather(),
      ended: (error) => this.#ended(error),
    })
  }

  /** The member's last word about itself; undefined before the first, and when the connection is over. */
  get news(): ClientNews | undefined {
    return this.#lost === undefined ? this.#news : undefined
  }

  get outstanding(): number {
    return this.#reads.size + this.#waiters.size
  }

  get isFull(): boolean {
    return this.outstanding >= WAITING_MAX
  }

  get health(): Health {
    return this.#health
  }

  get latencyMs(): number {
    return Math.max(this.#health.latencyMs ?? 0, this.#silentMs)
  }

  /** Asks; `waiter` hears what comes of it. Gives the ask's id. */
  ask(ask: Ask, waiter: Waiter): number {
    const id = this.tell(ask)
    if (this.#lost === undefined) this.#waiters.set(id, waiter)
    else this.#loseSoon(waiter, this.#lost)
    return id
  }

  /** Sends an ask that is not answered. Gives its id. */
  tell(ask: Ask): number {
    const id = this.#newId()
    if (this.#lost !== undefined) return id
    const start = this.#asks.length
    writeAsk(this.#asks, id, ask)
    if (start > 0 && this.#asks.length > this.#frameBytes) {
      this.#asks.truncate(start)
      this.#sendAsks()
      writeAsk(this.#asks, id, ask)
    }
    this.#connection.wake()
    return id
  }

  /** Nobody waits for the ask `id` any more, and the member need not go on with it. */
  forget(id: number): void {
    if (this.#waiters.delete(id)) this.tell({ type: 'end', id })
  }

  read(read: SentRead): void {
    if (this.#lost !== undefined) {
      this.#loseSoon(read, this.#lost)
      return
    }
    read.id = this.#newId()
    this.#reads.set(read.id, read)
    this.#unsentReads.push(read)
    this.#connection.wake()
  }

  /** Sends a request (wire/request.ts), which must not change afterwards. */
  request(link: number, request: Buffer): void {
    this.#connection.send(FRAME_REQUEST, encodeRequest(link, request))
  }

  /** As ClientConnection.call. */
  call(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    return this.#connection.call(method, params, timeoutMs)
  }

  /** Asks for `gather` at the end of this turn. */
  wake(): void {
    this.#connection.wake()
  }

  noteAnswer(latencyMs: number): void {
    this.#health = onAnswer(this.#health, latencyMs)
  }

  noteFailure(): void {
    this.#health = onFailure(this.#health, this.#world.time.now())
  }

  /** Lets asks time out, and measures how far the member is. */
  tick(now: number): void {
    for (const [id, read] of this.#reads) {
      if (now < read.deadline + GRACE_MS) continue
      this.#reads.delete(id)
      read.late()
    }
    for (const [id, waiter] of this.#waiters) {
      if (now < waiter.deadline + GRACE_MS) continue
      this.forget(id)
      waiter.late()
    }
    if (this.news !== undefined) this.#measure(now)
  }

  close(): void {
    this.#connection.close()
  }

  get #frameBytes(): number {
    return Math.min(FRAME_BYTES, this.#news?.maxFrameBytes ?? 0)
  }

  #newId(): number {
    // The next connection begins at 1 again.
    if (this.#nextId >= ASK_ID_MAX) this.close()
    return this.#nextId++ >>> 0
  }

  #measure(now: number): void {
    this.#silentMs = this.#probe === undefined ? 0 : now - this.#probe.sentAt
    if (this.#probe !== undefined) {
      if (this.#silentMs < PROBE_TIMEOUT_MS) return
      this.#waiters.delete(this.#probe.id)
      this.#probe = undefined
      this.noteFailure()
    }
    if (now - this.#probedAt < PROBE_MS) return
    this.#probedAt = now
    const deadline = Number.POSITIVE_INFINITY
    const nothing = (): void => undefined
    const reply = (): void => this.#probed(now)
    const id = this.ask({ type: 'probe' }, { deadline, reply, lost: nothing, late: nothing })
    this.#probe = { id, sentAt: now }
  }

  #probed(sentAt: number): void {
    const now = this.#world.time.now()
    this.#probe = undefined
    this.#silentMs = 0
    this.#health = onProbe(this.#health, now - sentAt, now)
  }

  #receive(kind: number, body: Buffer): void {
    switch (kind) {
      case FRAME_ANSWERS:
        this.#handlers.answers(decodeAnswers(body))
        return
      case FRAME_READ_ANSWERS:
        for (const answer of decodeReadAnswers(body)) this.#answered(answer)
        return
      case FRAME_REPLIES:
        for (const { id, reply } of decodeReplies(body)) this.#replied(id, reply)
        return
      case FRAME_RESET:
        this.#handlers.reset(decodeReset(body))
        return
      case FRAME_NEWS:
        this.#news = decodeNews(body)
        this.#handlers.news(this.#news)
        return
      default:
        throw new DecodeError(`frame of kind ${kind} to a client`)
    }
  }

  #answered(answer: ReadAnswer): void {
    const read = this.#reads.get(answer.id)
    // One that came after its time was up finds nobody.
    if (read === undefined) return
    this.#reads.delete(answer.id)
    read.answered(answer)
  }

  #replied(id: number, reply: Reply): void {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return
    this.#waiters.delete(id)
    waiter.reply(reply)
  }

  /** Asks before requests: a view that is to be cut before a write is registered before it. */
  #gather(): void {
    this.#sendAsks()
    if (this.#unsentReads.length > 0) this.#sendReads()
    this.#handlers.gather()
  }

  #sendAsks(): void {
    if (this.#asks.length > 0) this.#connection.send(FRAME_ASKS, [this.#asks.take()])
  }

  #sendReads(): void {
    const now = this.#world.time.now()
    const reads = this.#unsentReads
    this.#unsentReads = []
    let [group, bytes]: [SentRead[], number] = [[], 0]
    for (const read of reads) {
      read.remainingMs = Math.max(0, read.deadline - now)
      const size = readCallBytes(read)
      if (bytes > 0 && bytes + size > this.#frameBytes) {
        this.#connection.send(FRAME_READS, [encodeReadCalls(group)])
        ;[group, bytes] = [[], 0]
      }
      bytes += size
      group.push(read)
    }
    if (group.length > 0) this.#connection.send(FRAME_READS, [encodeReadCalls(group)])
  }

  #ended(error: StoreError): void {
    this.#lost = new StoreError('QUORATE_NETWORK', `the connection ended: ${error.message}`, {
      cause: error,
      retryable: true,
    })
    const waiting = [...this.#reads.values(), ...this.#waiters.values()]
    this.#reads.clear()
    this.#waiters.clear()
    this.#unsentReads = []
    // First: whoever waits looks for another member now.
    this.#handlers.ended(error)
    for (const waiter of waiting) waiter.lost(this.#lost)
  }

  #loseSoon(waiter: Pick<Waiter, 'lost'>, error: StoreError): void {
    this.#world.time.soon(() => waiter.lost(error))
  }
}
